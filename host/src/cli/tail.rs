//! `gristmill tail`: shows the records of a topic as they come.

use std::time::Duration;

use clap::Args;
use serde_json::{Value as Json, json};

use crate::cli::cluster::Cluster;
use crate::cli::output;
use crate::fault::Fault;
use crate::id::{TopicName, TopicPartition};
use crate::io::Input;
use crate::kafka::tail::{From, Isolation, TopicReader};
use crate::record::RecordRef;

/// Shows the records of a topic as they come.
#[derive(Args, Debug)]
#[command(after_help = "Talks to: the broker\n\
                        Example:  gristmill tail shop.delivery-time.dead-letters --all --headers")]
pub(super) struct Options {
    /// The topic.
    topic: String,

    #[command(flatten)]
    cluster: Cluster,

    /// Show what is there, then stop.
    #[arg(long)]
    all: bool,

    /// Begin at the first record, then wait for more.
    #[arg(long, conflicts_with = "all")]
    from_start: bool,

    /// Stop after so many records.
    #[arg(long, short = 'n', value_name = "N")]
    count: Option<u64>,

    /// Show headers too.
    #[arg(long)]
    headers: bool,

    /// Show records of open and aborted transactions too.
    #[arg(long)]
    uncommitted: bool,

    /// Print one JSON object a line; bytes that are not UTF-8 are written as {"hex":"..."}.
    #[arg(long)]
    json: bool,
}

/// How long a poll waits. An interrupt ends the process at once, whatever it waits for.
const POLL: Duration = Duration::from_millis(200);

pub(super) fn run(options: &Options) -> Result<(), Fault> {
    let topic = TopicName::new(&options.topic);
    let isolation = if options.uncommitted { Isolation::Uncommitted } else { Isolation::Committed };
    let from = if options.all || options.from_start { From::Start } else { From::End };
    let kafka = options.cluster.kafka()?;
    let mut reader = TopicReader::open(&kafka, "gristmill-tail", &topic, isolation, from)?;
    let mut left = options.count.unwrap_or(u64::MAX);
    while left > 0 && !(options.all && reader.has_caught_up()) {
        let Some(Input::Records(place, records)) = reader.poll(POLL)? else { continue };
        let shown = usize::try_from(left).unwrap_or(usize::MAX).min(records.len());
        let lines: String = records.iter().take(shown).map(|record| line(options, &place, &record)).collect();
        output::print(&lines)?;
        left = left.saturating_sub(shown as u64);
    }
    Ok(())
}

fn line(options: &Options, place: &TopicPartition, record: &RecordRef<'_>) -> String {
    if options.json {
        return format!("{}\n", as_json(place, record));
    }
    plain(place, record, if options.headers { Headers::Shown } else { Headers::Hidden })
}

/// Whether the headers of a record are of interest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Headers {
    /// A line for each.
    Shown,
    /// None.
    Hidden,
}

/// A record as people read it: where it lies, its key, its value, and its headers on lines of their own.
pub(super) fn plain(place: &TopicPartition, record: &RecordRef<'_>, headers: Headers) -> String {
    let part = |bytes: Option<&[u8]>, none: &str| match bytes {
        Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        None => none.to_owned(),
    };
    let (key, value) = (part(record.key(), "(no key)"), part(record.value(), "(tombstone)"));
    let mut text = format!("{}@{}\t{key}\t{value}\n", place.partition, record.offset());
    if headers == Headers::Shown {
        for header in record.headers() {
            let (name, value) = (part(Some(header.name), ""), part(header.value, "(null)"));
            text.push_str(&format!("\t{name}: {value}\n"));
        }
    }
    text
}

fn as_json(place: &TopicPartition, record: &RecordRef<'_>) -> Json {
    let headers = record.headers().map(|header| json!([bytes(header.name), header.value.map(bytes)]));
    json!({
        "topic": place.topic.as_str(),
        "partition": place.partition.0,
        "offset": record.offset().0,
        "timestamp": record.timestamp().0,
        "key": record.key().map(bytes),
        "value": record.value().map(bytes),
        "headers": headers.collect::<Vec<_>>(),
    })
}

fn bytes(bytes: &[u8]) -> Json {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => json!({ "hex": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Offset, Partition, Timestamp};
    use crate::record::{Chunk, Header};

    fn place() -> TopicPartition {
        TopicPartition::new(&TopicName::new("t"), Partition(3))
    }

    fn options(flags: &[&str]) -> Options {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            options: Options,
        }
        <Line as clap::Parser>::parse_from(["tail", "t"].iter().chain(flags)).options
    }

    fn chunk(key: Option<&[u8]>, value: Option<&[u8]>) -> Chunk {
        let mut chunk = Chunk::new();
        assert!(chunk.push(key, value, [Header::new("h", b"1")], (Timestamp(5), Offset(17))));
        chunk
    }

    #[test]
    fn tells_a_tombstone_from_an_empty_value() {
        let tombstone = chunk(Some(b"k"), None);
        let empty = chunk(None, Some(b""));

        assert_eq!(line(&options(&[]), &place(), &tombstone.first().unwrap()), "3@17\tk\t(tombstone)\n");
        assert_eq!(
            line(&options(&["--headers"]), &place(), &empty.first().unwrap()),
            "3@17\t(no key)\t\n\th: 1\n"
        );
    }

    #[test]
    fn writes_bytes_that_are_not_text_as_hexadecimal_digits() {
        let records = chunk(Some(b"\xff\x00"), Some(b"v"));

        let line = line(&options(&["--json"]), &place(), &records.first().unwrap());

        assert_eq!(
            line,
            "{\"topic\":\"t\",\"partition\":3,\"offset\":17,\"timestamp\":5,\"key\":{\"hex\":\"ff00\"},\
             \"value\":\"v\",\"headers\":[[\"h\",\"1\"]]}\n"
        );
    }
}
