//! The compacted view of a broadcast topic: one for each process, filled by one reader, read by all tasks.
//!
//! Tasks never join with the view itself. Each applies the view's entries to its own copy, in offset order, in its own
//! transactions; so what a task joins with is decided by its own commits, on whichever host it runs.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, RwLock};

use crate::id::{Offset, Partition};
use crate::record::{Chunk, RecordRef};

/// A view that its reader and the tasks share.
pub type SharedView = Arc<RwLock<View>>;

/// The latest record of every key of one topic, tombstones included, and how far the topic has been read.
#[derive(Debug, Default)]
pub struct View {
    partitions: BTreeMap<Partition, Progress>,
    /// Where the latest record of a key lies.
    latest: HashMap<Box<[u8]>, (Partition, Offset)>,
    /// The latest records, in the order in which tasks apply them. Each chunk holds one record.
    entries: BTreeMap<(Partition, Offset), Chunk>,
    size_bytes: usize,
}

#[derive(Debug, Clone, Copy)]
struct Progress {
    position: Offset,
    /// The stable end when the process started: before it is reached, the view is not complete.
    complete_at: Offset,
}

impl View {
    /// The view of a topic of which nothing is read yet. `stable_ends` are the last stable offsets at this moment:
    /// the view is complete once it has been read that far.
    pub fn new(
        start: impl IntoIterator<Item = (Partition, Offset)>,
        stable_ends: &BTreeMap<Partition, Offset>,
    ) -> Self {
        let partitions = start.into_iter().map(|(partition, position)| {
            let complete_at = stable_ends.get(&partition).copied().unwrap_or(position);
            (partition, Progress { position, complete_at })
        });
        Self { partitions: partitions.collect(), ..Self::default() }
    }

    /// Adds what was read of a partition. Records without a key mean nothing in a table; the caller counts them.
    pub fn apply(&mut self, partition: Partition, chunk: &Chunk) {
        for record in chunk.iter() {
            if let Some(key) = record.key() {
                self.replace(key, partition, &record);
            }
            self.advance(partition, record.offset().next());
        }
    }

    fn replace(&mut self, key: &[u8], partition: Partition, record: &RecordRef<'_>) {
        let mut entry = Chunk::new();
        if !entry.push_record(record) {
            return;
        }
        self.size_bytes = self.size_bytes.saturating_add(entry.size_bytes());
        let place = (partition, record.offset());
        let replaced = self.latest.insert(key.into(), place).and_then(|old| self.entries.remove(&old));
        self.size_bytes = self.size_bytes.saturating_sub(replaced.map_or(0, |old| old.size_bytes()));
        self.entries.insert(place, entry);
    }

    /// Moves the position of a partition past offsets that hold no records, such as control records.
    pub fn advance(&mut self, partition: Partition, position: Offset) {
        if let Some(progress) = self.partitions.get_mut(&partition) {
            progress.position = progress.position.max(position);
        }
    }

    /// Whether everything that was stable when the process started has been read.
    pub fn is_complete(&self) -> bool {
        self.partitions.values().all(|progress| progress.position >= progress.complete_at)
    }

    /// The partitions and how far each has been read: the next offset to read.
    pub fn positions(&self) -> impl Iterator<Item = (Partition, Offset)> {
        self.partitions.iter().map(|(partition, progress)| (*partition, progress.position))
    }

    /// How far a partition has been read: the next offset to read. The start for a partition that is not read.
    pub fn position(&self, partition: Partition) -> Offset {
        self.partitions.get(&partition).map_or(Offset(0), |progress| progress.position)
    }

    /// The latest records of a partition from an offset on, in offset order, `limit` at most.
    pub fn entries_from(&self, partition: Partition, from: Offset, limit: usize) -> Chunk {
        let mut chunk = Chunk::new();
        let range = (partition, from)..=(partition, Offset(i64::MAX));
        for record in self.entries.range(range).take(limit).filter_map(|(_, entry)| entry.first()) {
            chunk.push_record(&record);
        }
        chunk
    }

    /// Whether there is a record of a key, a tombstone perhaps.
    pub fn knows(&self, key: &[u8]) -> bool {
        self.latest.contains_key(key)
    }

    /// How many bytes the entries take; the host bounds it by configuration.
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Timestamp;

    fn record(key: &str, value: Option<&str>, offset: i64) -> Chunk {
        let mut chunk = Chunk::new();
        chunk.push(Some(key.as_bytes()), value.map(str::as_bytes), [], (Timestamp(0), Offset(offset)));
        chunk
    }

    fn view(stable_end: i64) -> View {
        let ends = BTreeMap::from([(Partition(0), Offset(stable_end))]);
        View::new([(Partition(0), Offset(0))], &ends)
    }

    #[test]
    fn is_complete_once_the_captured_end_is_read() {
        let mut view = view(2);
        assert!(!view.is_complete());

        view.apply(Partition(0), &record("a", Some("1"), 0));
        assert!(!view.is_complete());

        view.advance(Partition(0), Offset(2));
        assert!(view.is_complete());
    }

    #[test]
    fn keeps_only_the_latest_record_of_a_key() {
        let mut view = view(0);
        for (offset, value) in [(0, Some("1")), (1, None), (2, Some("3"))] {
            view.apply(Partition(0), &record("a", value, offset));
        }

        let entries = view.entries_from(Partition(0), Offset(0), 10);

        assert_eq!(entries.len(), 1);
        assert_eq!(entries.first().unwrap().value(), Some(&b"3"[..]));
        assert_eq!(view.size_bytes(), 2);
    }

    #[test]
    fn knows_the_keys_of_rows_and_tombstones() {
        let mut view = view(0);
        view.apply(Partition(0), &record("a", Some("1"), 0));
        view.apply(Partition(0), &record("b", None, 1));

        assert!(view.knows(b"a") && view.knows(b"b") && !view.knows(b"c"));
    }
}
