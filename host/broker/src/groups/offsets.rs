//! The offsets of a consumer group: committed ones, and those that wait for a transaction to end.

use std::collections::BTreeMap;
use std::collections::HashMap;

/// Kafka's bound on the metadata of one committed offset (`offset.metadata.max.bytes`).
pub(crate) const MAX_METADATA: usize = 4_096;
/// What an entry costs beside its topic's name and its metadata.
const ENTRY_OVERHEAD: usize = 96;

/// Topic and partition.
pub(crate) type PartitionKey = (String, i32);

/// One committed offset: next-to-read, with the client's own note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: Option<String>,
}

/// A map of offsets that knows its size.
#[derive(Debug, Default)]
struct Entries {
    by_partition: BTreeMap<PartitionKey, Committed>,
    size_bytes: usize,
}

impl Entries {
    fn insert(&mut self, key: PartitionKey, value: Committed) {
        let name = key.0.len();
        self.size_bytes += entry_size(name, &value);
        if let Some(old) = self.by_partition.insert(key, value) {
            self.size_bytes = self.size_bytes.saturating_sub(entry_size(name, &old));
        }
    }

    fn retain(&mut self, keep: impl Fn(&PartitionKey) -> bool) {
        self.by_partition.retain(|key, _| keep(key));
        self.size_bytes = self.by_partition.iter().map(|(key, value)| entry_size(key.0.len(), value)).sum();
    }
}

fn entry_size(name: usize, value: &Committed) -> usize {
    ENTRY_OVERHEAD + name + value.metadata.as_ref().map_or(0, String::len)
}

/// The offsets of one group.
#[derive(Debug, Default)]
pub(crate) struct Offsets {
    committed: Entries,
    /// By producer id.
    pending: HashMap<i64, Entries>,
}

impl Offsets {
    pub(crate) fn get(&self, key: &PartitionKey) -> Option<&Committed> {
        self.committed.by_partition.get(key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&PartitionKey, &Committed)> {
        self.committed.by_partition.iter()
    }

    /// Whether an open transaction will change this offset, or not: nobody can rely on it yet.
    pub(crate) fn is_unstable(&self, key: &PartitionKey) -> bool {
        self.pending.values().any(|pending| pending.by_partition.contains_key(key))
    }

    pub(crate) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    pub(crate) fn size_bytes(&self) -> usize {
        self.committed.size_bytes + self.pending.values().map(|pending| pending.size_bytes).sum::<usize>()
    }

    pub(crate) fn commit(&mut self, key: PartitionKey, value: Committed) {
        self.committed.insert(key, value);
    }

    /// Keeps an offset until the producer's transaction ends.
    pub(crate) fn stage(&mut self, producer_id: i64, key: PartitionKey, value: Committed) {
        self.pending.entry(producer_id).or_default().insert(key, value);
    }

    /// The producer's transaction committed: its offsets count.
    pub(crate) fn commit_staged(&mut self, producer_id: i64) {
        for (key, value) in self.pending.remove(&producer_id).unwrap_or_default().by_partition {
            self.committed.insert(key, value);
        }
    }

    /// The producer's transaction aborted: its offsets never were.
    pub(crate) fn drop_staged(&mut self, producer_id: i64) {
        self.pending.remove(&producer_id);
    }

    /// Forgets one partition; false when nothing was committed for it.
    pub(crate) fn delete(&mut self, key: &PartitionKey) -> bool {
        let removed = self.committed.by_partition.remove(key);
        let freed = removed.as_ref().map_or(0, |value| entry_size(key.0.len(), value));
        self.committed.size_bytes = self.committed.size_bytes.saturating_sub(freed);
        removed.is_some()
    }

    /// Forgets a topic that was deleted: one of the same name starts afresh.
    pub(crate) fn delete_topic(&mut self, topic: &str) {
        self.committed.retain(|key| key.0 != topic);
        self.pending.values_mut().for_each(|pending| pending.retain(|key| key.0 != topic));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> PartitionKey {
        ("items".to_owned(), 0)
    }

    fn at(offset: i64) -> Committed {
        Committed { offset, leader_epoch: -1, metadata: None }
    }

    #[test]
    fn shows_staged_offsets_only_when_their_transaction_commits() {
        let mut offsets = Offsets::default();
        offsets.commit(key(), at(5));
        offsets.stage(1, key(), at(9));
        offsets.stage(2, key(), at(7));

        assert!(offsets.is_unstable(&key()));
        assert_eq!(offsets.get(&key()), Some(&at(5)));
        offsets.drop_staged(1);
        assert_eq!(offsets.get(&key()), Some(&at(5)));
        offsets.commit_staged(2);
        assert_eq!(offsets.get(&key()), Some(&at(7)));
        assert!(!offsets.is_unstable(&key()));
    }

    #[test]
    fn knows_its_size_through_replacement_and_deletion() {
        let mut offsets = Offsets::default();
        offsets.commit(key(), Committed { metadata: Some("x".repeat(100)), ..at(1) });
        let with_note = offsets.size_bytes();

        offsets.commit(key(), at(2));

        assert_eq!(offsets.size_bytes(), with_note - 100);
        offsets.commit(("items".to_owned(), 1), at(2));
        assert!(offsets.delete(&("items".to_owned(), 1)));
        assert_eq!(offsets.size_bytes(), with_note - 100);
        offsets.stage(1, key(), at(3));
        offsets.delete_topic("items");
        assert_eq!(offsets.size_bytes(), 0);
    }
}
