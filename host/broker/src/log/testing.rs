//! Builds record batches for unit tests, byte by byte, without the code under test.

use bytes::BufMut;
use bytes::Bytes;
use bytes::BytesMut;

/// Timestamp, key and value.
type Record = (i64, Option<Vec<u8>>, Option<Vec<u8>>);

/// Makes one uncompressed batch.
#[derive(Debug, Clone, Default)]
pub(crate) struct BatchBuilder {
    records: Vec<Record>,
    timestamp: i64,
    producer: Option<(i64, i16, i32)>,
    attributes: i16,
}

impl BatchBuilder {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The timestamp of the records that follow.
    pub(crate) fn at(self, timestamp: i64) -> Self {
        Self { timestamp, ..self }
    }

    pub(crate) fn record(self, key: &str, value: &str) -> Self {
        self.raw(Some(key.as_bytes()), Some(value.as_bytes()))
    }

    pub(crate) fn tombstone(self, key: &str) -> Self {
        self.raw(Some(key.as_bytes()), None)
    }

    pub(crate) fn raw(mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Self {
        self.records.push((self.timestamp, key.map(<[u8]>::to_vec), value.map(<[u8]>::to_vec)));
        self
    }

    pub(crate) fn idempotent(self, id: i64, epoch: i16, sequence: i32) -> Self {
        Self { producer: Some((id, epoch, sequence)), ..self }
    }

    pub(crate) fn transactional(self, id: i64, epoch: i16, sequence: i32) -> Self {
        Self { attributes: self.attributes | 0x10, ..self.idempotent(id, epoch, sequence) }
    }

    pub(crate) fn build(&self) -> Bytes {
        let base_timestamp = self.records.first().map_or(0, |record| record.0);
        let max_timestamp = self.records.iter().map(|record| record.0).max().unwrap_or(0);
        let (id, epoch, sequence) = self.producer.unwrap_or((-1, -1, -1));
        let count = i32::try_from(self.records.len()).unwrap();
        let mut checked = BytesMut::new();
        checked.put_i16(self.attributes);
        checked.put_i32(count - 1);
        checked.put_i64(base_timestamp);
        checked.put_i64(max_timestamp);
        checked.put_i64(id);
        checked.put_i16(epoch);
        checked.put_i32(sequence);
        checked.put_i32(count);
        for (delta, (timestamp, key, value)) in self.records.iter().enumerate() {
            let mut record = BytesMut::new();
            record.put_i8(0);
            put_varint(&mut record, timestamp - base_timestamp);
            put_varint(&mut record, i64::try_from(delta).unwrap());
            put_bytes(&mut record, key.as_deref());
            put_bytes(&mut record, value.as_deref());
            put_varint(&mut record, 0);
            put_varint(&mut checked, i64::try_from(record.len()).unwrap());
            checked.extend_from_slice(&record);
        }
        let mut batch = BytesMut::new();
        batch.put_i64(0);
        batch.put_i32(i32::try_from(checked.len() + 9).unwrap());
        batch.put_i32(-1);
        batch.put_i8(2);
        batch.put_u32(crc32c::crc32c(&checked));
        batch.extend_from_slice(&checked);
        batch.freeze()
    }
}

fn put_bytes(buffer: &mut BytesMut, bytes: Option<&[u8]>) {
    put_varint(buffer, bytes.map_or(-1, |bytes| i64::try_from(bytes.len()).unwrap()));
    buffer.extend_from_slice(bytes.unwrap_or_default());
}

fn put_varint(buffer: &mut BytesMut, value: i64) {
    let mut zigzag = u64::from_ne_bytes(((value << 1) ^ (value >> 63)).to_ne_bytes());
    while zigzag >= 0x80 {
        buffer.put_u8(u8::try_from(zigzag & 0x7f).unwrap() | 0x80);
        zigzag >>= 7;
    }
    buffer.put_u8(u8::try_from(zigzag).unwrap());
}
