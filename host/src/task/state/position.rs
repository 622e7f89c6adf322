//! The position record: one for each task in each commit. It says what the state of a task stands for.
//!
//! ```text
//! 02                        version of the format
//! sequence                  how many commits there were
//! stream time               8 bytes, the highest first
//! generation                the last generation that a job got
//! state version             of the plugin that wrote the state
//! plugin                    its digest, as text
//! sources                   how many, then topic and position of each
//! broadcasts                how many, then topic, partition and position of each
//! ids                       how many, then topic and id of each of these topics, as far as the cluster told it
//! ```
//! Version 01 has no ids.

use std::collections::BTreeMap;

use crate::id::{Offset, Partition, Timestamp, TopicName, TopicPartition};
use crate::task::spec::TopicIds;
use crate::task::state::bytes::{Reader, put_bytes, put_number};

const VERSION: u8 = 2;

/// The version before topics had ids.
const WITHOUT_IDS: u8 = 1;

/// Positions in topics: the next offset.
pub type Positions = BTreeMap<TopicPartition, Offset>;

/// What a task's state stands for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PositionRecord {
    /// How many commits there were.
    pub sequence: u64,
    /// The highest timestamp that the task has seen.
    pub stream_time: Timestamp,
    /// The last generation that a job got.
    pub generation: u64,
    /// The state version of the plugin.
    pub state_version: u32,
    /// The digest of the plugin.
    pub plugin: String,
    /// How far its partitions were handled, by topic.
    pub sources: BTreeMap<TopicName, Offset>,
    /// How far the broadcast topics were applied.
    pub broadcasts: Positions,
    /// Which topics these are positions in: one that is made anew under the same name has another id.
    pub topic_ids: TopicIds,
}

/// What the note beside a group's offsets begins with, when they were committed with a position record.
const NOTE: &str = "state ";

/// Whether offsets with this note were committed with a position record.
pub fn says_state(note: &str) -> bool {
    note.starts_with(NOTE)
}

/// The note beside the offsets of the group that are committed with the position record of this sequence.
pub(crate) fn note(sequence: u64) -> String {
    format!("{NOTE}{sequence}")
}

impl PositionRecord {
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_number(&mut out, self.sequence);
        out.extend_from_slice(&self.stream_time.0.to_be_bytes());
        put_number(&mut out, self.generation);
        put_number(&mut out, u64::from(self.state_version));
        put_bytes(&mut out, self.plugin.as_bytes());
        put_number(&mut out, self.sources.len() as u64);
        for (topic, offset) in &self.sources {
            put_bytes(&mut out, topic.as_str().as_bytes());
            put_number(&mut out, offset.0.unsigned_abs());
        }
        put_number(&mut out, self.broadcasts.len() as u64);
        for (place, offset) in &self.broadcasts {
            put_bytes(&mut out, place.topic.as_str().as_bytes());
            put_number(&mut out, u64::from(place.partition.0.unsigned_abs()));
            put_number(&mut out, offset.0.unsigned_abs());
        }
        put_number(&mut out, self.topic_ids.len() as u64);
        for (topic, id) in &self.topic_ids {
            put_bytes(&mut out, topic.as_str().as_bytes());
            put_bytes(&mut out, id.as_bytes());
        }
        out
    }

    /// None for what is no position record, or one of a later version.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let version = reader.byte()?;
        (WITHOUT_IDS..=VERSION).contains(&version).then_some(())?;
        let sequence = reader.number()?;
        let mut stream_time = [0u8; 8];
        for byte in &mut stream_time {
            *byte = reader.byte()?;
        }
        let mut record = Self {
            sequence,
            stream_time: Timestamp(i64::from_be_bytes(stream_time)),
            generation: reader.number()?,
            state_version: u32::try_from(reader.number()?).ok()?,
            plugin: reader.text()?.to_owned(),
            ..Self::default()
        };
        for _ in 0..reader.number()? {
            let topic = TopicName::new(reader.text()?);
            record.sources.insert(topic, offset(&mut reader)?);
        }
        for _ in 0..reader.number()? {
            let topic = TopicName::new(reader.text()?);
            let partition = Partition(i32::try_from(reader.number()?).ok()?);
            record.broadcasts.insert(TopicPartition { topic, partition }, offset(&mut reader)?);
        }
        let ids = if version == WITHOUT_IDS { 0 } else { reader.number()? };
        for _ in 0..ids {
            let topic = TopicName::new(reader.text()?);
            record.topic_ids.insert(topic, reader.text()?.to_owned());
        }
        Some(record)
    }
}

fn offset(reader: &mut Reader<'_>) -> Option<Offset> {
    Some(Offset(i64::try_from(reader.number()?).ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_it_wrote() {
        let record = PositionRecord {
            sequence: 7,
            stream_time: Timestamp(-1),
            generation: 3,
            state_version: 2,
            plugin: "sha256:00".into(),
            sources: BTreeMap::from([("items".into(), Offset(12))]),
            broadcasts: Positions::from([(TopicPartition::new(&"classes".into(), Partition(1)), Offset(5))]),
            topic_ids: TopicIds::from([("items".into(), "AbC".into())]),
        };

        assert_eq!(PositionRecord::read(&record.write()), Some(record));
    }

    #[test]
    fn does_not_read_a_later_version() {
        let mut bytes = PositionRecord::default().write();
        bytes[0] = VERSION + 1;

        assert_eq!(PositionRecord::read(&bytes), None);
    }

    #[test]
    fn reads_a_record_from_before_topics_had_ids() {
        let record = PositionRecord { sequence: 7, plugin: "sha256:00".into(), ..PositionRecord::default() };
        let mut bytes = record.write();
        bytes[0] = WITHOUT_IDS;
        // The count of the ids, which were not there.
        bytes.pop();

        assert_eq!(PositionRecord::read(&bytes), Some(record));
    }

    proptest! {
        #[test]
        fn never_fails_on_any_bytes(bytes: Vec<u8>) {
            PositionRecord::read(&bytes);
        }
    }
}
