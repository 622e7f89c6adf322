//! One partition's log.

use std::collections::BTreeMap;

use crate::id::{Offset, Timestamp};
use crate::record::{Chunk, Header};

/// What lies at an offset.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Content {
    /// A record.
    Record {
        /// The key.
        key: Option<Vec<u8>>,
        /// The value.
        value: Option<Vec<u8>>,
        /// The headers.
        headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
        /// The timestamp.
        timestamp: Timestamp,
    },
    /// The control record that ends a transaction.
    Marker,
}

/// What became of an entry's transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Visible to everybody.
    Committed,
    /// Visible to nobody who asks for committed records.
    Aborted,
    /// Not decided: the epoch of the producer that wrote it.
    Open(u64),
}

/// An entry of a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stored {
    /// Its place.
    pub offset: Offset,
    /// What it is.
    pub content: Content,
    /// What became of it.
    pub fate: Fate,
}

impl Stored {
    /// Whether a reader of committed records sees it.
    pub fn is_visible(&self) -> bool {
        self.fate == Fate::Committed && self.content != Content::Marker
    }

    /// Appends it to a chunk, if a reader of committed records sees it.
    pub(crate) fn push_to(&self, chunk: &mut Chunk) {
        if let (true, Content::Record { key, value, headers, timestamp }) = (self.is_visible(), &self.content)
        {
            let headers = headers.iter().map(|(name, value)| Header { name, value: value.as_deref() });
            chunk.push(key.as_deref(), value.as_deref(), headers, (*timestamp, self.offset));
        }
    }
}

/// The entries of a partition. Their offsets ascend and have gaps where something was removed.
#[derive(Debug, Default)]
pub(crate) struct Log {
    entries: Vec<Stored>,
    start: Offset,
    end: Offset,
    /// No entry before this place among the entries is open.
    decided: usize,
}

impl Log {
    pub(crate) fn append(&mut self, content: Content, fate: Fate) -> Offset {
        let offset = self.end;
        self.end = offset.next();
        self.entries.push(Stored { offset, content, fate });
        offset
    }

    pub(crate) fn entries(&self) -> &[Stored] {
        &self.entries
    }

    /// The first offset that a reader may ask for.
    pub(crate) fn start(&self) -> Offset {
        self.start
    }

    pub(crate) fn end(&self) -> Offset {
        self.end
    }

    /// Whether a reader can be at this offset.
    pub(crate) fn has(&self, offset: Offset) -> bool {
        (self.start..=self.end).contains(&offset)
    }

    pub(crate) fn stable_end(&self) -> Offset {
        let open = self.entries.iter().skip(self.decided).find(|entry| matches!(entry.fate, Fate::Open(_)));
        open.map_or(self.end, |entry| entry.offset)
    }

    /// The entries from an offset to the last stable offset.
    pub(crate) fn stable_from(&self, from: Offset) -> impl Iterator<Item = &Stored> {
        let end = self.stable_end();
        let start = self.entries.partition_point(|entry| entry.offset < from);
        self.entries.iter().skip(start).take_while(move |entry| entry.offset < end)
    }

    /// Ends what a producer has open here; the marker takes an offset.
    pub(crate) fn decide(&mut self, epoch: u64, fate: &Fate) {
        let open = Fate::Open(epoch);
        for entry in self.entries.iter_mut().skip(self.decided).filter(|entry| entry.fate == open) {
            entry.fate = fate.clone();
        }
        self.append(Content::Marker, Fate::Committed);
        self.decided = self.first_open();
    }

    /// Removes what nobody needs who reads the log from its start to the last stable offset: rows that a newer committed
    /// record of their key replaces, aborted records, markers; and tombstones below `forgotten`. The offsets of the others
    /// stay, and so does the end.
    pub(crate) fn compact(&mut self, forgotten: Offset) {
        let stable_end = self.stable_end();
        let mut newest = BTreeMap::new();
        for entry in self.entries.iter().filter(|entry| entry.offset < stable_end && entry.is_visible()) {
            if let Content::Record { key: Some(key), .. } = &entry.content {
                newest.insert(key.clone(), entry.offset);
            }
        }
        let is_needed = |entry: &Stored| match &entry.content {
            Content::Record { key: Some(key), value, .. } => {
                newest.get(key) == Some(&entry.offset) && (value.is_some() || entry.offset >= forgotten)
            }
            Content::Record { key: None, .. } => entry.is_visible(),
            Content::Marker => false,
        };
        self.entries.retain(|entry| entry.offset >= stable_end || is_needed(entry));
        self.decided = self.first_open();
    }

    /// Removes the entry at an offset.
    pub(crate) fn remove(&mut self, offset: Offset) {
        if let Some(position) = self.entries.iter().position(|entry| entry.offset == offset) {
            self.entries.remove(position);
            self.decided = self.decided.saturating_sub(usize::from(position < self.decided));
        }
    }

    /// Removes everything before an offset.
    pub(crate) fn truncate(&mut self, before: Offset) {
        self.start = self.start.max(before.min(self.end));
        let start = self.start;
        self.entries.retain(|entry| entry.offset >= start);
        self.decided = self.first_open();
    }

    fn first_open(&self) -> usize {
        let is_open = |entry: &Stored| matches!(entry.fate, Fate::Open(_));
        self.entries.iter().position(is_open).unwrap_or(self.entries.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, value: Option<&str>) -> Content {
        Content::Record {
            key: Some(key.as_bytes().to_vec()),
            value: value.map(|value| value.as_bytes().to_vec()),
            headers: Vec::new(),
            timestamp: Timestamp(0),
        }
    }

    fn offsets(log: &Log) -> Vec<i64> {
        log.entries().iter().map(|entry| entry.offset.0).collect()
    }

    /// `a` twice, an aborted `b`, a tombstone of `c`, and then an open `a` with a `c` that was committed meanwhile.
    fn log() -> Log {
        let mut log = Log::default();
        log.append(record("a", Some("0")), Fate::Committed);
        log.append(record("b", Some("1")), Fate::Aborted);
        log.append(Content::Marker, Fate::Committed);
        log.append(record("c", None), Fate::Committed);
        log.append(record("a", Some("4")), Fate::Committed);
        log.append(record("a", Some("5")), Fate::Open(1));
        log.append(record("c", Some("6")), Fate::Committed);
        log
    }

    #[test]
    fn compacts_below_the_last_stable_offset_and_keeps_offsets() {
        let mut log = log();

        log.compact(Offset(0));

        assert_eq!(offsets(&log), [3, 4, 5, 6]);
        assert_eq!((log.stable_end(), log.end()), (Offset(5), Offset(7)));
        let stable: Vec<_> = log.stable_from(Offset(4)).map(|entry| entry.offset.0).collect();
        assert_eq!(stable, [4]);
    }

    #[test]
    fn forgets_tombstones_only_when_asked() {
        let mut log = log();

        log.compact(Offset(3));
        assert_eq!(offsets(&log), [3, 4, 5, 6]);
        log.compact(Offset(4));

        assert_eq!(offsets(&log), [4, 5, 6]);
    }

    #[test]
    fn decides_a_transaction_after_a_compaction() {
        let mut log = log();
        log.compact(Offset(0));

        log.decide(1, &Fate::Committed);
        log.compact(Offset(0));

        assert_eq!(offsets(&log), [5, 6]);
        assert_eq!((log.stable_end(), log.append(Content::Marker, Fate::Committed)), (Offset(8), Offset(8)));
    }

    #[test]
    fn leaves_an_end_without_records() {
        let mut log = Log::default();
        log.append(record("a", None), Fate::Committed);
        log.compact(Offset(1));

        assert_eq!((offsets(&log), log.start(), log.end()), (vec![], Offset(0), Offset(1)));
        assert!(log.has(Offset(1)) && !log.has(Offset(2)));
    }

    #[test]
    fn moves_its_start_when_it_is_cut() {
        let mut log = log();

        log.truncate(Offset(4));
        log.truncate(Offset(2));

        assert_eq!((offsets(&log), log.start()), (vec![4, 5, 6], Offset(4)));
        assert_eq!(log.stable_end(), Offset(5));
        assert!(!log.has(Offset(3)));
    }
}
