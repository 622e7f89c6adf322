//! A batch in the shapes of the interface, with buffers that are kept from call to call.

use crate::io::Batch;
use crate::plugin::bindings::v0_1::gristmill::transform::types;
use crate::record::{HeaderSlot, RecordSlot, Span};

/// The flat descriptions of a batch. The arena itself is lent to the guest as it is.
#[derive(Default)]
pub(crate) struct Input {
    records: Vec<types::InputRecord>,
    headers: Vec<types::Header>,
}

impl Input {
    /// The batch as the guest gets it.
    pub(crate) fn fill<'a>(&'a mut self, batch: &Batch<'a>) -> types::Batch<'a> {
        self.records.clear();
        self.records.extend(batch.records.slots().iter().map(record));
        self.headers.clear();
        self.headers.extend(batch.records.header_slots().iter().map(header));
        types::Batch {
            source: batch.source.0,
            // Kafka counts partitions from 0.
            partition: u32::try_from(batch.partition.0).unwrap_or_default(),
            records: &self.records,
            headers: &self.headers,
            previous: &[],
            bytes: batch.records.bytes(),
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

fn span(span: Span) -> types::Span {
    types::Span { start: span.start, len: span.len }
}
