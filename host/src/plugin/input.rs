//! What goes in, in the shapes of the interface, with buffers that are kept from call to call.

use crate::io::Batch;
use crate::plugin::bindings::v0_1::gristmill::transform::types;
use crate::record::{Chunk, HeaderSlot, RecordSlot, Span};

/// The flat descriptions of a batch. The arena itself is lent to the guest as it is.
#[derive(Default)]
pub(crate) struct Input {
    records: Vec<types::InputRecord>,
    headers: Vec<types::Header>,
    previous: Vec<Option<types::Span>>,
    /// The arena of a batch with rows before its records: theirs behind that of the records.
    bytes: Vec<u8>,
}

impl Input {
    /// The batch as the guest gets it.
    pub(crate) fn fill<'a>(&'a mut self, batch: &Batch<'a>) -> types::Batch<'a> {
        self.records.clear();
        self.records.extend(batch.records.slots().iter().map(record));
        self.headers.clear();
        self.headers.extend(batch.records.header_slots().iter().map(header));
        self.previous.clear();
        if let Some(rows) = batch.previous {
            self.join(batch.records, rows);
        }
        types::Batch {
            source: batch.source.0,
            // Kafka counts partitions from 0.
            partition: u32::try_from(batch.partition.0).unwrap_or_default(),
            records: &self.records,
            headers: &self.headers,
            previous: &self.previous,
            bytes: if batch.previous.is_some() { &self.bytes } else { batch.records.bytes() },
        }
    }

    /// Puts the rows before some records into the same arena.
    fn join(&mut self, records: &Chunk, rows: &Chunk) {
        self.bytes.clear();
        self.bytes.extend_from_slice(records.bytes());
        for row in rows.iter() {
            let start = count(self.bytes.len());
            let value = row.value();
            self.bytes.extend_from_slice(value.unwrap_or_default());
            self.previous.push(value.map(|value| types::Span { start, len: count(value.len()) }));
        }
    }
}

fn record(slot: &RecordSlot) -> types::InputRecord {
    types::InputRecord {
        key: slot.key.map(span),
        value: slot.value.map(span),
        headers: types::Range { start: slot.headers.start, len: slot.headers.len },
        timestamp: slot.timestamp.0,
        offset: slot.offset.0,
    }
}

fn header(slot: &HeaderSlot) -> types::Header {
    types::Header { name: span(slot.name), value: slot.value.map(span) }
}

/// A length as 32 bits; chunks stay far below the limit, and so do two of them.
fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// A span as the guest gets it.
pub(crate) fn span(span: Span) -> types::Span {
    types::Span { start: span.start, len: span.len }
}
