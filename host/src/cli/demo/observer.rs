//! The demo's consumer of a topic: reads what is committed, as the shop would, and notes when it saw it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::corpus::Update;
use crate::clock::Clock;
use crate::config::pipeline::Kafka;
use crate::fault::{Code, Fault};
use crate::id::{Offset, TopicName, TopicPartition};
use crate::io::Input;
use crate::kafka::tail::{From, Isolation, TopicReader};
use crate::record::RecordRef;

/// How long a new topic may be without a leader.
const LEADERLESS: Duration = Duration::from_secs(20);

/// The pause before it is looked at again.
const PAUSE: Duration = Duration::from_millis(100);

/// A record that was seen.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Its key and value.
    pub(super) record: Update,
    /// When.
    pub(super) at: Duration,
}

/// Reads one topic from its beginning, committed records only.
pub(super) struct Observer {
    reader: TopicReader,
    clock: Clock,
    seen: BTreeMap<(TopicPartition, Offset), Seen>,
    mark: Vec<u8>,
    marked: usize,
}

impl Observer {
    /// Begins to read.
    ///
    /// # Errors
    /// `topic_missing`, `kafka_failed`.
    pub(super) fn open(kafka: &Kafka, topic: TopicName, clock: &Clock) -> Result<Self, Fault> {
        let reader = open_reader(kafka, &topic, Isolation::Committed)?;
        let seen = BTreeMap::new();
        Ok(Self { reader, clock: clock.clone(), seen, mark: b"\0".to_vec(), marked: 0 })
    }

    /// Counts the records whose values end with `mark`.
    pub(super) fn count_marked(&mut self, mark: Vec<u8>) {
        self.mark = mark;
    }

    /// How many of those were seen since then.
    pub(super) fn marked(&self) -> usize {
        self.marked
    }

    /// Takes what is there, waiting up to `wait` for it.
    ///
    /// # Errors
    /// `kafka_failed`.
    pub(super) fn look(&mut self, wait: Duration) -> Result<(), Fault> {
        let deadline = self.clock.elapsed().saturating_add(wait);
        while let Some(input) = self.reader.poll(deadline.saturating_sub(self.clock.elapsed()))? {
            let at = self.clock.elapsed();
            if let Input::Records(place, chunk) = input {
                for record in chunk.iter() {
                    let seen = Seen { record: update(&record), at };
                    let is_marked = record.value().is_some_and(|value| value.ends_with(&self.mark));
                    self.marked += usize::from(is_marked);
                    self.seen.insert((place.clone(), record.offset()), seen);
                }
            }
            if at >= deadline {
                break;
            }
        }
        Ok(())
    }

    /// How many records it has seen.
    pub(super) fn count(&self) -> usize {
        self.seen.len()
    }

    /// What it has seen, partition after partition, in the order of each.
    pub(super) fn seen(&self) -> impl Iterator<Item = &Seen> {
        self.seen.values()
    }
}

/// Opens a topic from its start. One that was made a moment ago has no leader yet, perhaps.
///
/// # Errors
/// As for [`TopicReader::open`], when it does not get better.
pub(super) fn open_reader(
    kafka: &Kafka,
    topic: &TopicName,
    isolation: Isolation,
) -> Result<TopicReader, Fault> {
    let clock = Clock::system();
    loop {
        match TopicReader::open(kafka, "gristmill-demo", topic, isolation, From::Start) {
            Err(fault) if fault.code() == Code::KafkaFailed && clock.elapsed() < LEADERLESS => {
                std::thread::sleep(PAUSE);
            }
            opened => return opened,
        }
    }
}

fn update(record: &RecordRef<'_>) -> Update {
    Update {
        key: String::from_utf8_lossy(record.key().unwrap_or_default()).into_owned(),
        value: record.value().map(<[u8]>::to_vec),
    }
}
