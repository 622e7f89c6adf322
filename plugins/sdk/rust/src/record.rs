//! A record as a plugin reads it: views into the arena of its batch.

use crate::Timestamp;
use crate::arena;
use crate::bindings::gristmill::transform::types;

/// A record of a source. Keys and values are bytes and need not be text.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// None is a record without a key, which is not an empty key.
    pub key: Option<&'a [u8]>,
    /// None for a tombstone, and empty bytes for an empty value.
    pub value: Option<&'a [u8]>,
    /// In the order in which they were written.
    pub headers: Headers<'a>,
    /// As stored by the broker.
    pub timestamp: Timestamp,
    /// Within the partition.
    pub offset: i64,
    /// Of the topic.
    pub partition: u32,
    /// The value that the key had before. Only for sources that the manifest gives `previous = true`.
    pub previous: Option<&'a [u8]>,
}

/// The headers of a record or row. Names are bytes, as the producer wrote them, and may repeat.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    list: &'a [types::Header],
    bytes: &'a [u8],
}

impl<'a> Headers<'a> {
    pub(crate) fn new(list: &'a [types::Header], bytes: &'a [u8]) -> Self {
        Self { list, bytes }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Names and values, in order. A header without a value is not one with an empty value.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        let bytes = self.bytes;
        self.list.iter().map(move |header| {
            (arena::slice(bytes, header.name), header.value.map(|value| arena::slice(bytes, value)))
        })
    }

    /// The value of the last header with this name: Kafka's own rule. None also if it has no value.
    #[must_use]
    pub fn last(&self, name: &str) -> Option<&'a [u8]> {
        self.iter().filter(|(own, _)| *own == name.as_bytes()).last().and_then(|(_, value)| value)
    }
}

/// A row of a table.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The row's key.
    pub key: &'a [u8],
    /// The row's value.
    pub value: &'a [u8],
    /// Those of the record that made the row.
    pub headers: Headers<'a>,
    /// That of the record that made the row.
    pub timestamp: Timestamp,
    /// That of the record that made the row.
    pub offset: i64,
}
