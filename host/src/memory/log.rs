//! One partition's log.

use crate::id::{Offset, Timestamp};

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
}

/// The entries of a partition; offsets are positions, since nothing is ever deleted.
#[derive(Debug, Default)]
pub(crate) struct Log {
    entries: Vec<Stored>,
    /// No entry before this one is open.
    decided: usize,
}

impl Log {
    pub(crate) fn append(&mut self, content: Content, fate: Fate) -> Offset {
        let offset = self.end();
        self.entries.push(Stored { offset, content, fate });
        offset
    }

    pub(crate) fn entries(&self) -> &[Stored] {
        &self.entries
    }

    pub(crate) fn end(&self) -> Offset {
        Offset(i64::try_from(self.entries.len()).unwrap_or(i64::MAX))
    }

    pub(crate) fn stable_end(&self) -> Offset {
        let open = self.entries.iter().skip(self.decided).find(|entry| matches!(entry.fate, Fate::Open(_)));
        open.map_or(self.end(), |entry| entry.offset)
    }

    /// The entries from an offset to the last stable offset.
    pub(crate) fn stable_from(&self, from: Offset) -> impl Iterator<Item = &Stored> {
        let end = self.stable_end();
        let start = usize::try_from(from.0).unwrap_or(0);
        self.entries.iter().skip(start).take_while(move |entry| entry.offset < end)
    }

    /// Ends what a producer has open here; the marker takes an offset.
    pub(crate) fn decide(&mut self, epoch: u64, fate: &Fate) {
        let open = Fate::Open(epoch);
        for entry in self.entries.iter_mut().skip(self.decided).filter(|entry| entry.fate == open) {
            entry.fate = fate.clone();
        }
        self.append(Content::Marker, Fate::Committed);
        let decided = self.entries.iter().skip(self.decided);
        self.decided += decided.take_while(|entry| !matches!(entry.fate, Fate::Open(_))).count();
    }
}
