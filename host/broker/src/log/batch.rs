//! The record batch (Kafka's format v2) as the log needs it: header, checks on what was produced, control batches.
//!
//! ```text
//!  0 base offset   i64     21 attributes        i16     43 producer id     i64
//!  8 length        i32     23 last offset delta i32     51 producer epoch  i16
//! 12 leader epoch  i32     27 base timestamp    i64     53 base sequence   i32
//! 16 magic (2)     i8      35 max timestamp     i64     57 record count    i32
//! 17 crc32c        u32        of byte 21 to the end     61 records
//! ```
//! Offset and leader epoch lie before what the checksum covers: a batch is appended as it was received,
//! with only these two written anew.

use bytes::Buf;
use bytes::BufMut;
use bytes::Bytes;
use bytes::BytesMut;
use kafka_protocol::error::ResponseError;

use crate::clock::Millis;
use crate::error::Refusal;

/// The size of a batch without records.
pub(crate) const HEADER: usize = 61;
/// The bytes before the length field's count begins.
const PREFIX: usize = 12;
/// Where the checksum's cover begins.
const CHECKED: usize = 21;

const COMPRESSION: i16 = 0x07;
const LOG_APPEND_TIME: i16 = 0x08;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Commit,
    Abort,
}

/// The fields of a batch header that a broker acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub(crate) size: usize,
    pub(crate) attributes: i16,
    pub(crate) last_offset_delta: i32,
    pub(crate) base_timestamp: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
    pub(crate) record_count: i32,
}

impl BatchHeader {
    /// Reads the header of the first batch in `bytes`; `None` unless that batch is whole and of format v2.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut header = bytes.get(..HEADER)?;
        header.advance(8);
        let size = usize::try_from(header.get_i32()).ok()?.checked_add(PREFIX)?;
        header.advance(4);
        let magic = header.get_i8();
        header.advance(4);
        let parsed = Self {
            size,
            attributes: header.get_i16(),
            last_offset_delta: header.get_i32(),
            base_timestamp: header.get_i64(),
            max_timestamp: header.get_i64(),
            producer_id: header.get_i64(),
            producer_epoch: header.get_i16(),
            base_sequence: header.get_i32(),
            record_count: header.get_i32(),
        };
        (magic == 2 && size >= HEADER && size <= bytes.len()).then_some(parsed)
    }

    pub(crate) fn is_compressed(&self) -> bool {
        self.attributes & COMPRESSION != 0
    }

    pub(crate) fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    pub(crate) fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }
}

/// Checks what a producer sent for one partition: exactly one sound batch of data records.
///
/// # Errors
/// `CORRUPT_MESSAGE` for a broken frame or checksum, `INVALID_RECORD` for what only a broker may write or
/// for more than one batch, as Kafka does.
pub(crate) fn check_produced(bytes: &[u8]) -> Result<BatchHeader, Refusal> {
    let corrupt = |message: &str| Refusal::new(ResponseError::CorruptMessage, message);
    let invalid = |message: &str| Refusal::new(ResponseError::InvalidRecord, message);
    let header = BatchHeader::parse(bytes).ok_or_else(|| corrupt("not a whole record batch of format v2"))?;
    if header.size != bytes.len() {
        return Err(invalid("a produce request carries exactly one batch for each partition"));
    }
    if checksum(bytes) != stored_checksum(bytes) {
        return Err(corrupt("the batch's checksum does not match"));
    }
    if header.is_control() {
        return Err(invalid("clients may not write control records"));
    }
    if header.record_count < 1 || header.last_offset_delta != header.record_count - 1 {
        return Err(invalid("record count and last offset do not fit"));
    }
    let idempotent = header.producer_id >= 0;
    if idempotent && (header.producer_epoch < 0 || header.base_sequence < 0) {
        return Err(invalid("a producer id needs an epoch and a sequence number"));
    }
    if header.is_transactional() && !idempotent {
        return Err(invalid("a transactional batch needs a producer id"));
    }
    Ok(header)
}

/// A batch in a log: offsets are final, the bytes are what consumers get.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) base: i64,
    pub(crate) last: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) producer_id: i64,
    pub(crate) transactional: bool,
    pub(crate) control: bool,
    /// From when on compaction may drop the tombstones, or the marker, of this batch; set by the first pass that keeps them.
    pub(crate) delete_horizon: Option<Millis>,
    pub(crate) data: Bytes,
}

impl Batch {
    /// Places a batch at an offset. The bytes are copied once, so that a small batch does not keep a large request alive.
    pub(crate) fn place(base: i64, bytes: &[u8], header: &BatchHeader) -> Self {
        let mut data = BytesMut::from(bytes);
        write_at(&mut data, 0, &base.to_be_bytes());
        write_at(&mut data, PREFIX, &0_i32.to_be_bytes());
        Self {
            base,
            last: base + i64::from(header.last_offset_delta),
            max_timestamp: header.max_timestamp,
            producer_id: header.producer_id,
            transactional: header.is_transactional(),
            control: header.is_control(),
            delete_horizon: None,
            data: data.freeze(),
        }
    }

    /// Replaces the batch's records by some of its own, keeping its offsets and its producer.
    pub(crate) fn keep_records<'a>(&mut self, records: impl Iterator<Item = &'a [u8]>) {
        let mut data = BytesMut::with_capacity(self.data.len());
        data.put_slice(self.data.get(..HEADER).unwrap_or_default());
        let mut count = 0_i32;
        for record in records {
            data.put_slice(record);
            count += 1;
        }
        write_at(&mut data, 57, &count.to_be_bytes());
        seal(&mut data);
        self.data = data.freeze();
    }
}

/// Stamps a batch with the broker's time (`message.timestamp.type=LogAppendTime`).
pub(crate) fn stamp(bytes: &[u8], now: Millis) -> Bytes {
    let mut data = BytesMut::from(bytes);
    if let Some(mut attributes) = bytes.get(CHECKED..CHECKED + 2) {
        write_at(&mut data, CHECKED, &(attributes.get_i16() | LOG_APPEND_TIME).to_be_bytes());
    }
    write_at(&mut data, 35, &now.0.to_be_bytes());
    seal(&mut data);
    data.freeze()
}

/// The control batch that ends a transaction in one partition.
pub(crate) fn marker(producer_id: i64, producer_epoch: i16, outcome: Outcome, now: Millis) -> Bytes {
    let mut batch = BytesMut::with_capacity(HEADER + 17);
    batch.put_bytes(0, 16);
    batch.put_i8(2);
    batch.put_u32(0);
    batch.put_i16(TRANSACTIONAL | CONTROL);
    batch.put_i32(0);
    batch.put_i64(now.0);
    batch.put_i64(now.0);
    batch.put_i64(producer_id);
    batch.put_i16(producer_epoch);
    batch.put_i32(-1);
    batch.put_i32(1);
    let kind = match outcome {
        Outcome::Abort => 0,
        Outcome::Commit => 1,
    };
    // One record, lengths as zigzag varints: 16 bytes; attributes, timestamp delta and offset delta 0;
    // key of 4 (version 0, kind), value of 6 (version 0, coordinator epoch 0), no headers.
    batch.put_slice(&[32, 0, 0, 0, 8, 0, 0, 0, kind, 12, 0, 0, 0, 0, 0, 0, 0]);
    seal(&mut batch);
    batch.freeze()
}

/// Writes length and checksum into a finished batch.
pub(crate) fn seal(batch: &mut BytesMut) {
    let length = i32::try_from(batch.len().saturating_sub(PREFIX)).unwrap_or(i32::MAX);
    write_at(batch, 8, &length.to_be_bytes());
    let checksum = checksum(batch);
    write_at(batch, 17, &checksum.to_be_bytes());
}

fn checksum(batch: &[u8]) -> u32 {
    crc32c::crc32c(batch.get(CHECKED..).unwrap_or_default())
}

fn stored_checksum(batch: &[u8]) -> u32 {
    batch.get(17..CHECKED).map(|mut bytes| bytes.get_u32()).unwrap_or_default()
}

fn write_at(buffer: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(target) = buffer.get_mut(at..at + bytes.len()) {
        target.copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::BatchBuilder;
    use super::*;

    fn error(bytes: &[u8]) -> ResponseError {
        check_produced(bytes).unwrap_err().error
    }

    /// A batch with some bytes replaced, and its checksum made right again.
    fn with(at: usize, bytes: &[u8]) -> BytesMut {
        let mut batch = BytesMut::from(&BatchBuilder::new().record("k", "v").build()[..]);
        write_at(&mut batch, at, bytes);
        let sum = checksum(&batch);
        write_at(&mut batch, 17, &sum.to_be_bytes());
        batch
    }

    #[test]
    fn accepts_a_sound_batch() {
        let batch = BatchBuilder::new().record("k", "v").record("l", "w").idempotent(7, 1, 5).build();

        let header = check_produced(&batch).unwrap();

        assert_eq!((header.size, header.record_count, header.producer_id), (batch.len(), 2, 7));
        assert_eq!((header.producer_epoch, header.base_sequence), (1, 5));
    }

    #[test]
    fn refuses_a_batch_that_is_cut_changed_or_of_another_format() {
        let batch = BatchBuilder::new().record("k", "v").build();
        for length in 0..batch.len() {
            assert_eq!(error(&batch[..length]), ResponseError::CorruptMessage, "cut to {length}");
        }
        for index in CHECKED..batch.len() {
            let mut changed = BytesMut::from(&batch[..]);
            changed[index] ^= 1;
            assert_eq!(error(&changed), ResponseError::CorruptMessage, "byte {index}");
        }
        assert_eq!(error(&with(16, &[1])), ResponseError::CorruptMessage);
    }

    #[test]
    fn refuses_more_than_one_batch() {
        let batch = BatchBuilder::new().record("k", "v").build();

        assert_eq!(error(&[&batch[..], &batch].concat()), ResponseError::InvalidRecord);
    }

    #[test]
    fn refuses_what_only_a_broker_writes_and_what_does_not_fit_together() {
        let control = with(CHECKED, &CONTROL.to_be_bytes());
        let no_records = with(57, &0_i32.to_be_bytes());
        let jump = with(23, &i32::MAX.to_be_bytes());
        let transactional_stranger = with(CHECKED, &TRANSACTIONAL.to_be_bytes());
        let no_sequence = with(43, &7_i64.to_be_bytes());

        for batch in [control, no_records, jump, transactional_stranger, no_sequence] {
            assert_eq!(error(&batch), ResponseError::InvalidRecord);
        }
    }

    #[test]
    fn stamps_a_batch_with_the_time_of_its_arrival() {
        let batch = BatchBuilder::new().at(5).record("k", "v").build();

        let stamped = stamp(&batch, Millis(1_000));

        let header = check_produced(&stamped).unwrap();
        assert_eq!((header.max_timestamp, header.attributes), (1_000, LOG_APPEND_TIME));
    }

    #[test]
    fn writes_markers_that_say_how_a_transaction_ended() {
        for (outcome, kind) in [(Outcome::Abort, 0), (Outcome::Commit, 1)] {
            let marker = marker(7, 3, outcome, Millis(1_000));

            let header = BatchHeader::parse(&marker).unwrap();
            assert!(header.is_control() && header.is_transactional());
            assert_eq!((header.producer_id, header.producer_epoch), (7, 3));
            assert_eq!(checksum(&marker), stored_checksum(&marker));
            let records = super::super::records::records(&marker).unwrap();
            assert_eq!(records[0].key, Some(&[0, 0, 0, kind][..]));
        }
    }
}
