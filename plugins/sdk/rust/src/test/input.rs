//! Records to feed.

use crate::Timestamp;

/// A record to feed. The driver gives it its offset, unless it has one.
#[derive(Clone, Debug)]
pub struct Input {
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    pub(super) timestamp: Timestamp,
    pub(super) offset: i64,
    pub(super) partition: u32,
    /// Whether it lies where the test says.
    pub(super) placed: bool,
    /// Whether it is a row that the host gives once more.
    pub(super) again: bool,
}

/// A record with a key and a value.
pub fn record(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Input {
    Input { value: Some(value.as_ref().to_vec()), ..tombstone(key) }
}

/// A record with a key and no value.
pub fn tombstone(key: impl AsRef<[u8]>) -> Input {
    Input {
        key: Some(key.as_ref().to_vec()),
        value: None,
        headers: Vec::new(),
        timestamp: Timestamp::from_millis(0),
        offset: 0,
        partition: 0,
        placed: false,
        again: false,
    }
}

impl Input {
    /// A row of a store.
    pub(super) fn row(key: &[u8], value: &[u8]) -> Self {
        Self { offset: -1, ..record(key, value) }
    }

    /// Takes the key away.
    #[must_use]
    pub fn without_key(mut self) -> Self {
        self.key = None;
        self
    }

    /// Appends a header.
    #[must_use]
    pub fn header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.as_ref().to_vec(), Some(value.as_ref().to_vec())));
        self
    }

    /// Sets partition and offset, for a record of a broadcast source, whose topic may have several partitions. The
    /// driver gives others the next offset of partition 0.
    #[must_use]
    pub fn at(mut self, partition: u32, offset: i64) -> Self {
        (self.partition, self.offset, self.placed) = (partition, offset, true);
        self
    }

    /// Sets the timestamp, which is 0 otherwise.
    #[must_use]
    pub fn timestamp(mut self, timestamp: Timestamp) -> Self {
        self.timestamp = timestamp;
        self
    }
}
