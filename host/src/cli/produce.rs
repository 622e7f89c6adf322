//! `gristmill produce`: puts records into a topic, one a line.

use std::io::{self, BufRead};

use clap::Args;
use serde::Deserialize;

use crate::app::checks;
use crate::cli::cluster::Cluster;
use crate::config::document;
use crate::config::pipeline::Kafka;
use crate::fault::{Code, Fault};
use crate::id::{Timestamp, TopicName};
use crate::io::{CauseId, Outgoing};
use crate::kafka::produce::PlainProducer;
use crate::record::Header;

/// Puts the lines of standard input into a topic, one record a line.
#[derive(Args, Debug)]
#[command(after_help = "Talks to: the broker\n\
                        Example:   printf 'bulky\\t{\"minimumTime\":2,\"maximumTime\":5}\\n' | gristmill produce classes\n\
                        With --json a line is {\"key\":\"a\",\"value\":\"b\",\"headers\":{\"h\":\"1\"},\"timestamp\":0}: all optional;\n\
                        a value that is null or left out is a tombstone")]
pub(super) struct Options {
    /// The topic.
    topic: String,

    #[command(flatten)]
    cluster: Cluster,

    /// What separates the key from the value; a line without it has no key.
    #[arg(long, value_name = "TEXT", default_value = "\t", hide_default_value = true)]
    separator: String,

    /// A line is a JSON object.
    #[arg(long)]
    json: bool,
}

/// A record as a line of JSON.
#[derive(Deserialize, Debug, Default, PartialEq)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    headers: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    timestamp: Option<i64>,
}

pub(super) fn run(options: &Options) -> Result<(), Fault> {
    let kafka = options.cluster.kafka()?;
    let topic = TopicName::new(&options.topic);
    expect_topic(&kafka, &topic)?;
    let mut producer = PlainProducer::open(&kafka)?;
    let mut count = 0_u64;
    for (number, line) in (1..).zip(io::stdin().lock().lines()) {
        let line = line.map_err(|error| unreadable(number, error))?;
        let line =
            if options.json { from_json(number, &line)? } else { from_text(&line, &options.separator) };
        send(&mut producer, &topic, &line)?;
        count += 1;
    }
    producer.flush()?;
    eprintln!("records put into `{topic}`: {count}");
    Ok(())
}

/// Asks for the topic first: a producer would wait a minute for it to appear.
fn expect_topic(kafka: &Kafka, topic: &TopicName) -> Result<(), Fault> {
    let known = checks::connect(kafka)?.list()?;
    if known.contains(topic) {
        return Ok(());
    }
    let names: Vec<_> = known.iter().map(TopicName::as_str).collect();
    let hint = match document::nearest(topic.as_str(), &names) {
        hint if hint.starts_with("did you mean") => hint,
        _ => "`gristmill topics FILE --create` makes the topics of a pipeline".to_owned(),
    };
    Err(Fault::new(Code::TopicMissing, format!("topic `{topic}` does not exist")).hint(hint))
}

fn unreadable(number: u64, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Fault {
    Fault::new(Code::InvalidValue, format!("line {number} of the input is no record")).because(error)
}

fn from_text(line: &str, separator: &str) -> Line {
    let (key, value) = match line.split_once(separator).filter(|_| !separator.is_empty()) {
        Some((key, value)) => (Some(key.to_owned()), value),
        None => (None, line),
    };
    Line { key, value: Some(value.to_owned()), ..Line::default() }
}

fn from_json(number: u64, line: &str) -> Result<Line, Fault> {
    let hint = "write {\"key\":\"a\",\"value\":\"b\"}; keys and values are text";
    serde_json::from_str(line).map_err(|error| unreadable(number, error).hint(hint))
}

fn send(producer: &mut PlainProducer, topic: &TopicName, line: &Line) -> Result<(), Fault> {
    let values = line.headers.values().map(|value| match value {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    });
    let values: Vec<_> = values.collect();
    let header = |(name, value): (&'_ String, &'_ Option<String>)| (name.as_bytes().to_vec(), value.clone());
    let owned: Vec<_> = line.headers.keys().zip(&values).map(header).collect();
    let headers: Vec<_> = owned
        .iter()
        .map(|(name, value)| Header { name, value: value.as_deref().map(str::as_bytes) })
        .collect();
    producer.send(&Outgoing {
        topic,
        partition: None,
        key: line.key.as_deref().map(str::as_bytes),
        value: line.value.as_deref().map(str::as_bytes),
        headers: &headers,
        timestamp: line.timestamp.map(Timestamp),
        cause: CauseId(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_a_line_at_the_first_separator() {
        let line = from_text("k\ta\tb", "\t");

        assert_eq!((line.key.as_deref(), line.value.as_deref()), (Some("k"), Some("a\tb")));
        assert_eq!(from_text("no key", "\t").key, None);
        assert_eq!(from_text("k\t", "\t").value.as_deref(), Some(""));
    }

    #[test]
    fn reads_tombstones_from_json() {
        assert_eq!(from_json(1, r#"{"key":"k"}"#).unwrap().value, None);
        assert_eq!(from_json(1, r#"{"key":"k","value":null}"#).unwrap().value, None);
        assert_eq!(from_json(1, r#"{"key":"k","value":""}"#).unwrap().value.as_deref(), Some(""));
    }

    #[test]
    fn names_the_line_that_is_no_record() {
        let fault = from_json(7, r#"{"kee":"k"}"#).unwrap_err();

        assert_eq!(fault.code(), Code::InvalidValue);
        assert_eq!(fault.message(), "line 7 of the input is no record");
    }
}
