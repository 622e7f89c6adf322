//! The records inside an uncompressed batch, as far as compaction and look-ups by time need them.

use bytes::Buf;

use super::batch::BatchHeader;
use super::batch::HEADER;

/// One record, borrowed from its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordRef<'a> {
    pub(crate) offset_delta: i64,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) is_tombstone: bool,
    /// The record as it lies in the batch, its length included.
    pub(crate) raw: &'a [u8],
}

/// The records of a batch; `None` when it is compressed or not well formed.
pub(crate) fn records(batch: &[u8]) -> Option<Vec<RecordRef<'_>>> {
    let header = BatchHeader::parse(batch)?;
    if header.is_compressed() {
        return None;
    }
    let mut rest = batch.get(HEADER..header.size)?;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (record, after) = record(rest, header.base_timestamp)?;
        found.push(record);
        rest = after;
    }
    Some(found)
}

fn record(bytes: &[u8], base_timestamp: i64) -> Option<(RecordRef<'_>, &[u8])> {
    let mut cursor = bytes;
    let length = usize::try_from(varint(&mut cursor)?).ok()?;
    let size = (bytes.len() - cursor.len()).checked_add(length)?;
    let after = bytes.get(size..)?;
    let mut body = cursor.get(..length)?;
    body.try_get_i8().ok()?;
    let timestamp = base_timestamp.checked_add(varint(&mut body)?)?;
    let offset_delta = varint(&mut body)?;
    let key = match varint(&mut body)? {
        ..0 => None,
        length => {
            let (key, rest) = body.split_at_checked(usize::try_from(length).ok()?)?;
            body = rest;
            Some(key)
        }
    };
    let is_tombstone = varint(&mut body)? < 0;
    Some((RecordRef { offset_delta, timestamp, key, is_tombstone, raw: bytes.get(..size)? }, after))
}

/// A zigzag varint of at most ten bytes.
fn varint(bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = bytes.try_get_u8().ok()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            let magnitude = i64::try_from(value >> 1).ok()?;
            return Some(if value & 1 == 0 { magnitude } else { -magnitude - 1 });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_varints_of_either_sign() {
        let read = |mut bytes: &[u8]| varint(&mut bytes);

        assert_eq!(read(&[0]), Some(0));
        assert_eq!(read(&[1]), Some(-1));
        assert_eq!(read(&[0xac, 0x02]), Some(150));
        assert_eq!(read(&[0xff; 9]), None);
        assert_eq!(read(&[0xff; 20]), None);
    }

    #[test]
    fn refuses_a_record_that_claims_more_than_there_is() {
        let longer_than_the_batch = [0xfe, 0xff, 0xff, 0x0f, 0, 0, 0];
        // The key would fit into the bytes that follow the record.
        let key_longer_than_the_record = [8, 0, 0, 0, 4, b'a', b'b', 1, 0];

        assert_eq!(record(&longer_than_the_batch, 0), None);
        assert_eq!(record(&key_longer_than_the_record, 0), None);
    }
}
