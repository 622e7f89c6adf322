//! What happens to topics and groups that nobody of ours has asked for: compaction, and what operators and time do.

use crate::id::{Offset, TopicName, TopicPartition};
use crate::memory::Cluster;
use crate::memory::log::Log;

impl Cluster {
    /// Compacts a partition up to its last stable offset: rows that a newer committed record of their key replaces go, and
    /// so do aborted records and markers. Tombstones stay, and all offsets.
    pub fn compact(&self, place: &TopicPartition) {
        self.change(place, |log| log.compact(Offset::default()));
    }

    /// Removes one record, as compaction may when a newer one of its key exists: it need not remove all such at once.
    pub fn compact_away(&self, place: &TopicPartition, offset: Offset) {
        self.change(place, |log| log.remove(offset));
    }

    /// Compacts a partition, and forgets its tombstones below an offset, as Kafka does when they are old.
    pub fn drop_tombstones_before(&self, place: &TopicPartition, offset: Offset) {
        self.change(place, |log| log.compact(offset));
    }

    /// Deletes the records of a partition before an offset.
    pub fn truncate(&self, place: &TopicPartition, before: Offset) {
        self.change(place, |log| log.truncate(before));
    }

    /// Deletes a topic, with what groups have committed for it.
    pub fn delete(&self, topic: &TopicName) {
        let mut state = self.state.borrow_mut();
        state.topics.remove(topic);
        state.forget_topic(topic);
    }

    /// Deletes a topic and makes it anew, empty, with as many partitions.
    pub fn recreate(&self, topic: &TopicName) {
        let mut state = self.state.borrow_mut();
        if let Some(topic) = state.topics.get_mut(topic) {
            topic.logs.iter_mut().for_each(|log| *log = Log::default());
        }
        state.forget_topic(topic);
    }

    /// Forgets what a group has committed, as Kafka does when it was empty for long.
    pub fn forget_offsets(&self, group: &str) {
        if let Some(group) = self.state.borrow_mut().groups.get_mut(group) {
            group.offsets.clear();
        }
    }

    fn change(&self, place: &TopicPartition, change: impl FnOnce(&mut Log)) {
        if let Some(log) = self.state.borrow_mut().log(place) {
            change(log);
        }
    }
}
