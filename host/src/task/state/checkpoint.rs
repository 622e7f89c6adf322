//! The checkpoint: how far the local copy of a task's state is, and what it was made for. Never in the changelog.
//!
//! ```text
//! 03                version of the format
//! time              8 bytes, the highest first: the wall clock when it was written
//! changelog         the next offset of the changelog to apply
//! tables            how many, then topic and the next offset to apply of each table that is its own changelog
//! indexes           how many, then a text for each that changes with the meaning of its terms
//! rebuild           optional bytes: the key up to which rows have the terms of these indexes, when not all have
//! ids               how many, then topic and id of the changelog and of these tables, as far as the cluster told it
//! ```

use std::collections::BTreeMap;

use crate::id::{Offset, Timestamp, TopicName};
use crate::task::spec::TopicIds;
use crate::task::state::bytes::{Reader, put_bytes, put_number, put_optional};

const VERSION: u8 = 3;

/// How far a local copy is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Checkpoint {
    pub(crate) time: Timestamp,
    pub(crate) changelog: Offset,
    pub(crate) tables: BTreeMap<TopicName, Offset>,
    pub(crate) indexes: Vec<String>,
    pub(crate) rebuild: Option<Vec<u8>>,
    pub(crate) topic_ids: TopicIds,
}

impl Checkpoint {
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.time.0.to_be_bytes());
        put_number(&mut out, self.changelog.0.unsigned_abs());
        put_number(&mut out, self.tables.len() as u64);
        for (topic, offset) in &self.tables {
            put_bytes(&mut out, topic.as_str().as_bytes());
            put_number(&mut out, offset.0.unsigned_abs());
        }
        put_number(&mut out, self.indexes.len() as u64);
        self.indexes.iter().for_each(|index| put_bytes(&mut out, index.as_bytes()));
        put_optional(&mut out, self.rebuild.as_deref());
        put_number(&mut out, self.topic_ids.len() as u64);
        for (topic, id) in &self.topic_ids {
            put_bytes(&mut out, topic.as_str().as_bytes());
            put_bytes(&mut out, id.as_bytes());
        }
        out
    }

    /// None for what is no checkpoint, or one of another version.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        (reader.byte()? == VERSION).then_some(())?;
        let mut time = [0u8; 8];
        for byte in &mut time {
            *byte = reader.byte()?;
        }
        let changelog = Offset(i64::try_from(reader.number()?).ok()?);
        let mut tables = BTreeMap::new();
        for _ in 0..reader.number()? {
            let topic = TopicName::new(reader.text()?);
            tables.insert(topic, Offset(i64::try_from(reader.number()?).ok()?));
        }
        let mut indexes = Vec::new();
        for _ in 0..reader.number()? {
            indexes.push(reader.text()?.to_owned());
        }
        let rebuild = reader.optional()?.map(<[u8]>::to_vec);
        let mut topic_ids = TopicIds::new();
        for _ in 0..reader.number()? {
            let topic = TopicName::new(reader.text()?);
            topic_ids.insert(topic, reader.text()?.to_owned());
        }
        let time = Timestamp(i64::from_be_bytes(time));
        Some(Self { time, changelog, tables, indexes, rebuild, topic_ids })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_wrote_and_nothing_that_was_cut() {
        let checkpoint = Checkpoint {
            time: Timestamp(-5),
            changelog: Offset(1_000),
            tables: BTreeMap::from([("items".into(), Offset(12))]),
            indexes: vec!["by-class 1 ab".into()],
            rebuild: Some(vec![2, 0]),
            topic_ids: TopicIds::from([("items".into(), "AbC".into())]),
        };
        let bytes = checkpoint.write();

        assert!((0..bytes.len()).all(|end| Checkpoint::read(&bytes[..end]).is_none()));
        assert_eq!(Checkpoint::read(&bytes), Some(checkpoint));
    }
}
