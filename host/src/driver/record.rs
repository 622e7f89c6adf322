//! What a test puts into topics, and what it finds there.

use std::borrow::Cow;

use crate::id::{Offset, Partition, Timestamp, TopicPartition};
use crate::memory::{Content, Stored};

/// A header: name and value, as bytes.
type OwnedHeader = (Vec<u8>, Option<Vec<u8>>);

/// A record on its way into a topic.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Message {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<OwnedHeader>,
    timestamp: Option<Timestamp>,
    partition: Option<Partition>,
}

impl Message {
    /// A record with a key and a value, stamped with the driver's time, in the partition that its key belongs to.
    pub fn new(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        Self { key: Some(key.into()), value: Some(value.into()), ..Self::default() }
    }

    /// A record that deletes a key.
    pub fn tombstone(key: impl Into<Vec<u8>>) -> Self {
        Self { key: Some(key.into()), ..Self::default() }
    }

    /// A record without a key, in partition 0 unless told otherwise.
    pub fn keyless(value: impl Into<Vec<u8>>) -> Self {
        Self { value: Some(value.into()), ..Self::default() }
    }

    /// With one header more.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.as_bytes().to_vec(), Some(value.into())));
        self
    }

    /// With a timestamp of its own.
    #[must_use]
    pub fn at(mut self, timestamp: Timestamp) -> Self {
        self.timestamp = Some(timestamp);
        self
    }

    /// In this partition, whatever the key says.
    #[must_use]
    pub fn to_partition(mut self, partition: Partition) -> Self {
        self.partition = Some(partition);
        self
    }

    pub(super) fn key(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }

    pub(super) fn partition(&self) -> Option<Partition> {
        self.partition
    }

    pub(super) fn into_content(self, now: Timestamp) -> Content {
        let Self { key, value, headers, timestamp, partition: _ } = self;
        Content::Record { key, value, headers, timestamp: timestamp.unwrap_or(now) }
    }
}

/// A record as a reader of committed records finds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// The partition that it lies in.
    pub partition: Partition,
    /// Its place there.
    pub offset: Offset,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value; none is a tombstone.
    pub value: Option<Vec<u8>>,
    /// The headers in their order.
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// The timestamp.
    pub timestamp: Timestamp,
}

impl Record {
    /// What a reader of committed records sees of an entry; none if that is nothing.
    pub(super) fn of(place: &TopicPartition, stored: Stored) -> Option<Self> {
        if !stored.is_visible() {
            return None;
        }
        let (partition, offset) = (place.partition, stored.offset);
        match stored.content {
            Content::Record { key, value, headers, timestamp } => {
                Some(Self { partition, offset, key, value, headers, timestamp })
            }
            Content::Marker => None,
        }
    }

    /// The key as text; empty when there is none.
    pub fn key_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.key.as_deref().unwrap_or_default())
    }

    /// The value as text; none for a tombstone.
    pub fn value_text(&self) -> Option<Cow<'_, str>> {
        self.value.as_deref().map(String::from_utf8_lossy)
    }

    /// The value of the last header with this name, as text.
    pub fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        let (_, value) = self.headers.iter().rfind(|(known, _)| known == name.as_bytes())?;
        value.as_deref().map(String::from_utf8_lossy)
    }
}
