//! Causal order across topics: a record may name what has to be applied before it.
//!
//! ```text
//! gristmill-after: delivery-classes/0@17            a task that has the topic as a broadcast source applies its copy up to
//! gristmill-after: delivery-classes/0@17,holidays/0@3    these offsets, inclusive, before it takes the record
//! ```
//! The host sets it on sinks that declare `after`. Without it an update command could overtake the class change that caused
//! it, and an item would go out with the old times and never be corrected. An offset that the topic does not hold is bogus:
//! it is counted and not waited for. Topics that are no broadcast source here do not count.

use std::collections::BTreeSet;

use crate::event;
use crate::id::{Offset, Partition, TaskId, TopicName, TopicPartition};
use crate::record::RecordRef;
use crate::sabotage::{self, Rule};
use crate::task::broadcast::{Broadcast, Views};

/// The name of the header.
pub(crate) const HEADER: &[u8] = b"gristmill-after";

/// So many bogus offsets are remembered; then all are forgotten, and asked about again.
const BOGUS_MAX: usize = 1_000;

/// What is known about the headers that were met.
#[derive(Debug, Default)]
pub(crate) struct Causal {
    /// A value that is satisfied: most records of a topic carry the same.
    satisfied: Vec<u8>,
    /// What a source waits for and the view has not read: does it exist at all?
    unsure: Option<(TopicPartition, Offset)>,
    /// It does.
    known: Option<(TopicPartition, Offset)>,
    bogus: BTreeSet<(TopicPartition, Offset)>,
}

impl Causal {
    /// Whether a record may be taken.
    pub(crate) fn is_ready(&mut self, record: &RecordRef<'_>, broadcast: &Broadcast, views: &Views) -> bool {
        if sabotage::breaks(Rule::CausalHeader) {
            return true;
        }
        let mut values =
            record.headers().filter(|header| header.name == HEADER).filter_map(|header| header.value);
        values.all(|value| self.is_satisfied(value, broadcast, views))
    }

    fn is_satisfied(&mut self, value: &[u8], broadcast: &Broadcast, views: &Views) -> bool {
        if value == self.satisfied {
            return true;
        }
        let text = std::str::from_utf8(value).unwrap_or_default();
        for (place, offset) in text.split(',').filter_map(read) {
            let awaited = (place, offset);
            let is_applied = broadcast.has_applied(&awaited.0, offset).unwrap_or(true);
            if is_applied || self.bogus.contains(&awaited) {
                continue;
            }
            if self.known.as_ref() != Some(&awaited) && !broadcast.is_read(views, &awaited.0, offset) {
                self.unsure = Some(awaited);
            }
            return false;
        }
        self.satisfied.clear();
        self.satisfied.extend_from_slice(value);
        true
    }

    /// What somebody has to ask the cluster about: whether the topic holds this offset.
    pub(crate) fn unsure(&self) -> Option<&(TopicPartition, Offset)> {
        self.unsure.as_ref()
    }

    /// The cluster has answered, after the record was read: the last stable offset of the partition.
    pub(crate) fn answered(&mut self, task: &TaskId, stable_end: Offset) {
        let Some(asked) = self.unsure.take() else { return };
        if asked.1 < stable_end {
            self.known = Some(asked);
            return;
        }
        event::CausalHeaderBogus { task, place: &asked.0, offset: asked.1 }.emit();
        if self.bogus.len() >= BOGUS_MAX {
            self.bogus.clear();
        }
        self.bogus.insert(asked);
    }

    /// Positions have gone back.
    pub(crate) fn rewind(&mut self) {
        self.satisfied.clear();
        (self.unsure, self.known) = (None, None);
    }
}

fn read(text: &str) -> Option<(TopicPartition, Offset)> {
    let (place, offset) = text.trim().rsplit_once('@')?;
    let (topic, partition) = place.rsplit_once('/')?;
    let place = TopicPartition::new(&TopicName::new(topic), Partition(partition.parse().ok()?));
    Some((place, Offset(offset.parse().ok()?)))
}

/// The value of the header for positions of broadcast topics: the last applied offset of each.
pub(crate) fn write<'a>(positions: impl Iterator<Item = (&'a TopicPartition, Offset)>) -> String {
    let applied = positions.filter(|(_, position)| position.0 > 0);
    applied.map(|(place, position)| format!("{place}@{}", position.0 - 1)).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_the_last_applied_offsets_and_reads_them_back() {
        let place = |topic: &str| TopicPartition::new(&topic.into(), Partition(0));
        let (classes, empty) = (place("delivery-classes"), place("empty"));

        let text = write([(&classes, Offset(18)), (&empty, Offset(0))].into_iter());

        assert_eq!(text, "delivery-classes/0@17");
        assert_eq!(read(&text), Some((classes, Offset(17))));
        assert_eq!([read("x"), read("a/0@x"), read("a@1")], [None, None, None]);
    }
}
