//! Everything that a pipeline's topics hold, read whole.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::client::{Client, Isolation};
use crate::read;
use crate::record::Record;

/// A topic, read whole at both isolation levels. Records are in the order of partition and offset.
#[derive(Clone, Debug, Default)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// What is committed.
    pub committed: Vec<Record>,
    /// All there is, aborted records too.
    pub uncommitted: Vec<Record>,
}

impl Topic {
    /// Reads it.
    ///
    /// # Errors
    /// When the topic cannot be read.
    pub fn read(client: &Client, name: &str) -> Result<Self> {
        // Committed first: what is committed meanwhile is in the second reading, too.
        let committed = read::whole(client, name, Isolation::Committed)?;
        let uncommitted = read::whole(client, name, Isolation::Uncommitted)?;
        Ok(Self { name: name.to_owned(), committed, uncommitted })
    }

    /// Records that were written and not committed.
    pub fn aborted(&self) -> usize {
        self.uncommitted.len().saturating_sub(self.committed.len())
    }
}

/// The ends of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Topic and partition.
    pub place: String,
    /// The last stable offset: where the first open transaction begins.
    pub stable: i64,
    /// The high watermark.
    pub high: i64,
}

/// All that is known of a delivery-time pipeline from outside.
#[derive(Clone, Debug, Default)]
pub struct Observation {
    /// The source with the items.
    pub items: Topic,
    /// The source with the classes.
    pub classes: Topic,
    /// The sink.
    pub enriched: Topic,
    /// Where rejected records go.
    pub dead_letters: Topic,
    /// The group's committed offset of each partition of the items: next to read.
    pub positions: BTreeMap<i32, i64>,
    /// The ends of each partition of the sink and the dead letters.
    pub ends: Vec<End>,
}

impl Observation {
    /// Reads everything. The names are those of the topics and the group.
    ///
    /// # Errors
    /// When something cannot be read.
    pub fn read(
        client: &Client,
        group: &str,
        [items, classes, enriched, dead_letters]: [&str; 4],
    ) -> Result<Self> {
        let mut ends = Vec::new();
        for topic in [enriched, dead_letters] {
            for partition in 0..client.partitions(topic)? {
                let (_, high) = client.watermarks(topic, partition, Isolation::Uncommitted)?;
                let (_, stable) = client.watermarks(topic, partition, Isolation::Committed)?;
                ends.push(End { place: format!("{topic}/{partition}"), stable, high });
            }
        }
        Ok(Self {
            positions: client.committed(group, items)?,
            items: Topic::read(client, items)?,
            classes: Topic::read(client, classes)?,
            enriched: Topic::read(client, enriched)?,
            dead_letters: Topic::read(client, dead_letters)?,
            ends,
        })
    }
}
