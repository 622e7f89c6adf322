//! Writing an output, field by field, straight into the arena.

use crate::Headers;
use crate::Sink;
use crate::Timestamp;
use crate::arena;
use crate::bindings::gristmill::transform::types::Header;
use crate::bindings::gristmill::transform::types::OutputRecord;
use crate::bindings::gristmill::transform::types::Range;
use crate::outcome::Draft;

/// Headers whose names begin so are the host's.
const RESERVED: &[u8] = b"gristmill-";

/// An output that lacks its value. It is sent by [`value`](Self::value), [`write`](Self::write) or
/// [`tombstone`](Self::tombstone), and forgotten otherwise.
#[must_use = "an output is sent when its value is given"]
pub struct Output<'a> {
    draft: &'a mut Draft,
    record: OutputRecord,
}

impl<'a> Output<'a> {
    pub(crate) fn new(draft: &'a mut Draft, sink: Sink, cause: Option<u32>) -> Self {
        let headers = Range { start: arena::number(draft.headers.len()), len: 0 };
        let record =
            OutputRecord { sink: sink.position(), key: None, value: None, headers, timestamp: None, cause };
        Self { draft, record }
    }

    /// Sets the key; it decides the partition. Sinks that are compacted topics need one.
    pub fn key(mut self, key: &[u8]) -> Self {
        self.record.key = Some(arena::push(&mut self.draft.bytes, key));
        self
    }

    /// Appends a header. Names that begin with `gristmill-` make the host drop the call.
    pub fn header(mut self, name: &str, value: &[u8]) -> Self {
        self.push_header(name.as_bytes(), Some(value));
        self
    }

    /// Appends the headers of a record, but for those that the host refuses: names that are not UTF-8 or
    /// that begin with `gristmill-`.
    pub fn headers(self, headers: Headers<'_>) -> Self {
        self.headers_of(headers.iter())
    }

    /// Appends headers, but for those that the host refuses, as [`headers`](Self::headers) does.
    pub fn headers_of<'h>(mut self, headers: impl IntoIterator<Item = (&'h [u8], Option<&'h [u8]>)>) -> Self {
        for (name, value) in headers {
            if !name.starts_with(RESERVED) && std::str::from_utf8(name).is_ok() {
                self.push_header(name, value);
            }
        }
        self
    }

    /// Sets the timestamp. By default it is that of the record at hand.
    pub fn timestamp(mut self, timestamp: Timestamp) -> Self {
        self.record.timestamp = Some(timestamp.millis());
        self
    }

    /// Sends it with this value.
    pub fn value(self, value: &[u8]) {
        self.write(|buffer| buffer.extend_from_slice(value));
    }

    /// Sends it with the value that `write` appends to the buffer, which may hold other bytes already
    /// and must not be shortened.
    pub fn write(mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.draft.bytes.len();
        write(&mut self.draft.bytes);
        self.record.value = Some(arena::since(&self.draft.bytes, start));
        self.draft.outputs.push(self.record);
    }

    /// Sends it with the value that `write` appends to the buffer, as [`write`](Self::write) does, unless
    /// that fails.
    ///
    /// # Errors
    /// Those of `write`; nothing is sent then.
    pub fn try_write<E>(mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        let start = self.draft.bytes.len();
        write(&mut self.draft.bytes)?;
        self.record.value = Some(arena::since(&self.draft.bytes, start));
        self.draft.outputs.push(self.record);
        Ok(())
    }

    /// Sends it without a value: the key is deleted.
    pub fn tombstone(self) {
        self.draft.outputs.push(self.record);
    }

    fn push_header(&mut self, name: &[u8], value: Option<&[u8]>) {
        let name = arena::push(&mut self.draft.bytes, name);
        let value = value.map(|value| arena::push(&mut self.draft.bytes, value));
        self.draft.headers.push(Header { name, value });
        self.record.headers.len += 1;
    }
}
