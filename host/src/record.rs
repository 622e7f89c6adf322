//! Records in chunks: one arena of bytes, and flat descriptions of what lies where in it.
//!
//! A chunk is what a consumer fills, what a task buffers and what a plugin gets in one call, so that the bytes of a
//! record are copied once on their way from Kafka into a guest.
//!
//! ```text
//! records   [ key, value, headers, timestamp, offset ] ...
//! headers   [ name, value ] ...
//! bytes     key value name value key value ...
//! ```

use crate::id::{Offset, Timestamp};

/// Bytes `start .. start + len` of the arena that goes with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Span {
    /// The first byte.
    pub start: u32,
    /// How many bytes.
    pub len: u32,
}

/// Positions `start .. start + len` of the list that goes with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Range {
    /// The first position.
    pub start: u32,
    /// How many positions.
    pub len: u32,
}

/// Where the parts of a header lie. Names are bytes: Kafka does not make producers write UTF-8.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeaderSlot {
    /// The name.
    pub name: Span,
    /// The value; none is Kafka's null.
    pub value: Option<Span>,
}

/// Where the parts of a record lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordSlot {
    /// The key; none is Kafka's null.
    pub key: Option<Span>,
    /// The value; none is a tombstone, an empty span is an empty value.
    pub value: Option<Span>,
    /// The headers, in the chunk's list of headers.
    pub headers: Range,
    /// When the record was made, as the broker stores it.
    pub timestamp: Timestamp,
    /// Its place in the partition.
    pub offset: Offset,
}

/// A header as it is read or written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header<'a> {
    /// The name, as bytes.
    pub name: &'a [u8],
    /// The value; none is Kafka's null.
    pub value: Option<&'a [u8]>,
}

impl<'a> Header<'a> {
    /// A header with a name of our own and a value.
    pub fn new(name: &'a str, value: &'a [u8]) -> Self {
        Self { name: name.as_bytes(), value: Some(value) }
    }
}

/// Consecutive records of one partition of one source, in offset order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Chunk {
    records: Vec<RecordSlot>,
    headers: Vec<HeaderSlot>,
    bytes: Vec<u8>,
}

/// The bytes of a chunk are addressed with 32 bits; a chunk is closed well before that.
pub const CHUNK_BYTES_MAX: usize = 1 << 30;

impl Chunk {
    /// A chunk without records.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a record. `headers` are copied in their order.
    ///
    /// The caller keeps a chunk below [`CHUNK_BYTES_MAX`]: beyond it spans would be cut off, so such a record is
    /// refused with `false` and nothing is appended.
    pub fn push<'h>(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl IntoIterator<Item = Header<'h>>,
        (timestamp, offset): (Timestamp, Offset),
    ) -> bool {
        let added = key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
        if self.bytes.len().saturating_add(added) > CHUNK_BYTES_MAX {
            return false;
        }
        let key = key.map(|bytes| self.append(bytes));
        let value = value.map(|bytes| self.append(bytes));
        let start = count(self.headers.len());
        for header in headers {
            let name = self.append(header.name);
            let value = header.value.map(|bytes| self.append(bytes));
            self.headers.push(HeaderSlot { name, value });
        }
        let headers = Range { start, len: count(self.headers.len()) - start };
        self.records.push(RecordSlot { key, value, headers, timestamp, offset });
        true
    }

    fn append(&mut self, bytes: &[u8]) -> Span {
        let span = Span { start: count(self.bytes.len()), len: count(bytes.len()) };
        self.bytes.extend_from_slice(bytes);
        span
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// How many bytes the keys, values and headers take.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The record at a position of the chunk.
    pub fn get(&self, index: usize) -> Option<RecordRef<'_>> {
        self.records.get(index).map(|slot| RecordRef { slot, chunk: self })
    }

    /// The records in their order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = RecordRef<'_>> + ExactSizeIterator {
        self.records.iter().map(|slot| RecordRef { slot, chunk: self })
    }

    /// The first record.
    pub fn first(&self) -> Option<RecordRef<'_>> {
        self.get(0)
    }

    /// The last record.
    pub fn last(&self) -> Option<RecordRef<'_>> {
        self.len().checked_sub(1).and_then(|index| self.get(index))
    }

    /// A chunk of copies of the records that `keep` wants, by position.
    #[must_use]
    pub fn select(&self, mut keep: impl FnMut(usize) -> bool) -> Self {
        let mut chosen = Self::new();
        for (_, record) in self.iter().enumerate().filter(|(index, _)| keep(*index)) {
            chosen.push_record(&record);
        }
        chosen
    }

    /// Appends a copy of a record of another chunk.
    pub fn push_record(&mut self, record: &RecordRef<'_>) -> bool {
        self.push(record.key(), record.value(), record.headers(), (record.timestamp(), record.offset()))
    }

    /// A chunk of copies of a run of records, by position.
    #[must_use]
    pub fn slice(&self, positions: &std::ops::Range<usize>) -> Self {
        self.select(|index| positions.contains(&index))
    }

    /// Appends copies of all records of `other`, which follow in the same partition. Refused with `false`, and nothing
    /// is appended, when the arena would grow beyond [`CHUNK_BYTES_MAX`].
    pub fn append_chunk(&mut self, other: &Self) -> bool {
        if self.bytes.len().saturating_add(other.bytes.len()) > CHUNK_BYTES_MAX {
            return false;
        }
        let (byte, header) = (count(self.bytes.len()), count(self.headers.len()));
        let moved = |span: Span| Span { start: span.start + byte, ..span };
        self.headers.extend(
            other
                .headers
                .iter()
                .map(|slot| HeaderSlot { name: moved(slot.name), value: slot.value.map(moved) }),
        );
        self.records.extend(other.records.iter().map(|slot| RecordSlot {
            key: slot.key.map(moved),
            value: slot.value.map(moved),
            headers: Range { start: slot.headers.start + header, ..slot.headers },
            ..*slot
        }));
        self.bytes.extend_from_slice(&other.bytes);
        true
    }

    /// The descriptions of the records, for whoever hands the arena on as it is.
    pub fn slots(&self) -> &[RecordSlot] {
        &self.records
    }

    /// The descriptions of the headers.
    pub fn header_slots(&self) -> &[HeaderSlot] {
        &self.headers
    }

    /// The arena.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// One record of a chunk.
#[derive(Clone, Copy, Debug)]
pub struct RecordRef<'a> {
    slot: &'a RecordSlot,
    chunk: &'a Chunk,
}

impl<'a> RecordRef<'a> {
    /// The key; none is Kafka's null.
    pub fn key(&self) -> Option<&'a [u8]> {
        self.slot.key.map(|span| slice(&self.chunk.bytes, span))
    }

    /// The value; none is a tombstone.
    pub fn value(&self) -> Option<&'a [u8]> {
        self.slot.value.map(|span| slice(&self.chunk.bytes, span))
    }

    /// The headers in their order; names may repeat.
    pub fn headers(&self) -> impl ExactSizeIterator<Item = Header<'a>> + use<'a> {
        let chunk = self.chunk;
        sublist(&chunk.headers, self.slot.headers).iter().map(move |slot| Header {
            name: slice(&chunk.bytes, slot.name),
            value: slot.value.map(|span| slice(&chunk.bytes, span)),
        })
    }

    /// When the record was made.
    pub fn timestamp(&self) -> Timestamp {
        self.slot.timestamp
    }

    /// Its place in the partition.
    pub fn offset(&self) -> Offset {
        self.slot.offset
    }
}

/// The bytes of a span; empty when the span does not lie in the arena, which a chunk's own spans always do.
fn slice(bytes: &[u8], span: Span) -> &[u8] {
    let start = span.start as usize;
    bytes.get(start..start.saturating_add(span.len as usize)).unwrap_or_default()
}

fn sublist<T>(list: &[T], range: Range) -> &[T] {
    let start = range.start as usize;
    list.get(start..start.saturating_add(range.len as usize)).unwrap_or_default()
}

/// A length as 32 bits; chunks stay far below the limit.
fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Chunk {
        let mut chunk = Chunk::new();
        let headers = [Header::new("a", b"1"), Header { name: b"\xff", value: None }];
        assert!(chunk.push(Some(b"k1"), Some(b""), headers, (Timestamp(5), Offset(7))));
        assert!(chunk.push(None, None, [], (Timestamp(6), Offset(9))));
        chunk
    }

    #[test]
    fn gives_back_what_was_pushed() {
        let chunk = sample();

        let first = chunk.first().unwrap();
        assert_eq!((first.key(), first.value()), (Some(&b"k1"[..]), Some(&b""[..])));
        assert_eq!((first.timestamp(), first.offset()), (Timestamp(5), Offset(7)));
        let headers: Vec<_> = first.headers().collect();
        assert_eq!(headers, [Header::new("a", b"1"), Header { name: b"\xff", value: None }]);
    }

    #[test]
    fn tells_a_tombstone_from_an_empty_value() {
        let chunk = sample();

        assert_eq!(chunk.first().unwrap().value(), Some(&b""[..]));
        assert_eq!(chunk.last().unwrap().value(), None);
    }

    #[test]
    fn appends_another_chunk_with_its_headers() {
        let mut chunk = sample();

        assert!(chunk.append_chunk(&sample()));

        assert_eq!(chunk.len(), 4);
        assert_eq!(chunk.slice(&(2..4)), sample());
    }

    #[test]
    fn selects_records_by_position_with_their_headers() {
        let chunk = sample();

        let rest = chunk.select(|index| index == 0);

        assert_eq!(rest.len(), 1);
        assert_eq!(rest.first().unwrap().headers().len(), 2);
    }
}
