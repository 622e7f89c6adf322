//! The values of rows.
//!
//! ```text
//! store row      01 value
//! table row      01 partition offset timestamp headers value       numbers, but timestamp: 8 bytes, the highest first
//!                headers: how many, then a name and an optional value for each
//! local          the row, then its terms, then 4 bytes: where the terms begin
//! terms          of each index in the order of the manifest: how many, then each
//! ```
//! The first byte is the version of the format. What the changelog holds is the local value without its terms, so it is a
//! part of it and nothing is copied.

use crate::id::{Offset, Partition, Timestamp};
use crate::record::{Chunk, Header, RecordRef};
use crate::task::state::bytes::{Reader, put_bytes, put_number, put_optional};

const VERSION: u8 = 1;

/// The length of what tells where the terms begin.
const TAIL: usize = 4;

/// The row of a record of a table, without terms yet.
pub(crate) fn of_record(partition: Partition, record: &RecordRef<'_>) -> Vec<u8> {
    let value = record.value().unwrap_or_default();
    let key_len = record.key().map_or(0, <[u8]>::len);
    let mut out = Vec::with_capacity(value.len() + key_len + 32);
    out.push(VERSION);
    put_number(&mut out, u64::from(partition.0.unsigned_abs()));
    put_number(&mut out, record.offset().0.unsigned_abs());
    out.extend_from_slice(&record.timestamp().0.to_be_bytes());
    put_number(&mut out, record.headers().len() as u64);
    for header in record.headers() {
        put_bytes(&mut out, header.name);
        put_optional(&mut out, header.value);
    }
    out.extend_from_slice(value);
    out
}

/// The row of a value in a store, without terms yet.
pub(crate) fn of_value(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + 1 + TAIL + 1);
    out.push(VERSION);
    out.extend_from_slice(value);
    out
}

/// Appends the terms to a row, which makes it a local value. `terms` are those of each index.
pub(crate) fn append_terms<'t, T>(row: &mut Vec<u8>, terms: T)
where
    T: IntoIterator<Item: ExactSizeIterator<Item = &'t [u8]>>,
{
    let start = row.len();
    for of_index in terms {
        put_number(row, of_index.len() as u64);
        for term in of_index {
            put_bytes(row, term);
        }
    }
    row.extend_from_slice(&u32::try_from(start).unwrap_or(u32::MAX).to_be_bytes());
}

/// Makes a row that has no terms, or of which they are not known yet, a local value.
pub(crate) fn append_no_terms(row: &mut Vec<u8>) {
    append_terms(row, std::iter::empty::<std::iter::Empty<&[u8]>>());
}

/// A local value in its parts: the row as the changelog holds it, and the terms.
fn parts(local: &[u8]) -> Option<(&[u8], &[u8])> {
    let (rest, tail) = local.split_at_checked(local.len().checked_sub(TAIL)?)?;
    let start = u32::from_be_bytes(tail.try_into().ok()?);
    rest.split_at_checked(usize::try_from(start).ok()?)
}

/// The part of a local value that goes to the changelog.
pub(crate) fn logged(local: &[u8]) -> Option<&[u8]> {
    parts(local).map(|(row, _)| row)
}

/// Whether a row has a term in the index at this position.
pub(crate) fn has_term(local: &[u8], index: usize, wanted: &[u8]) -> bool {
    let mut is_there = false;
    each_term(local, |position, term| is_there |= position == index && term == wanted);
    is_there
}

/// Shows the terms of a row with the position of their index.
pub(crate) fn each_term(local: &[u8], mut visit: impl FnMut(usize, &[u8])) {
    let Some((_, terms)) = parts(local) else { return };
    let mut reader = Reader::new(terms);
    let mut index = 0;
    while let Some(count) = reader.number() {
        for _ in 0..count {
            let Some(term) = reader.bytes() else { return };
            visit(index, term);
        }
        index += 1;
    }
}

/// Appends the row of a store to a page.
pub(crate) fn push_value(page: &mut Chunk, key: &[u8], local: &[u8]) -> Option<()> {
    let mut reader = Reader::new(logged(local)?);
    (reader.byte()? == VERSION).then_some(())?;
    page.push(Some(key), Some(reader.rest()), [], (Timestamp(0), Offset(-1))).then_some(())
}

/// Where a row of a table came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Origin {
    pub(crate) partition: Partition,
    pub(crate) offset: Offset,
    pub(crate) timestamp: Timestamp,
}

/// Appends the row of a table to a page, with the headers of its record.
pub(crate) fn push_record(page: &mut Chunk, key: &[u8], local: &[u8]) -> Option<Origin> {
    let mut reader = Reader::new(logged(local)?);
    let origin = read_origin(&mut reader)?;
    let count = reader.number()?;
    let mut headers = Vec::new();
    for _ in 0..count {
        headers.push(Header { name: reader.bytes()?, value: reader.optional()? });
    }
    let place = (origin.timestamp, origin.offset);
    page.push(Some(key), Some(reader.rest()), headers, place).then_some(origin)
}

/// Where a row of a table came from, without looking at the rest.
pub(crate) fn origin(local: &[u8]) -> Option<Origin> {
    read_origin(&mut Reader::new(logged(local)?))
}

fn read_origin(reader: &mut Reader<'_>) -> Option<Origin> {
    (reader.byte()? == VERSION).then_some(())?;
    let partition = Partition(i32::try_from(reader.number()?).ok()?);
    let offset = Offset(i64::try_from(reader.number()?).ok()?);
    let mut timestamp = [0u8; 8];
    for byte in &mut timestamp {
        *byte = reader.byte()?;
    }
    Some(Origin { partition, offset, timestamp: Timestamp(i64::from_be_bytes(timestamp)) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(value: &[u8], headers: &[(Vec<u8>, Option<Vec<u8>>)]) -> Chunk {
        let mut chunk = Chunk::new();
        let headers = headers.iter().map(|(name, value)| Header { name, value: value.as_deref() });
        assert!(chunk.push(Some(b"k"), Some(value), headers, (Timestamp(-7), Offset(9))));
        chunk
    }

    proptest! {
        #[test]
        fn gives_back_records_and_terms(
            value: Vec<u8>,
            headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
            terms: Vec<Vec<Vec<u8>>>,
        ) {
            let chunk = record(&value, &headers);
            let mut local = of_record(Partition(3), &chunk.first().unwrap());
            let row = local.clone();
            append_terms(&mut local, terms.iter().map(|terms| terms.iter().map(Vec::as_slice)));

            let mut page = Chunk::new();
            let origin = push_record(&mut page, b"k", &local).unwrap();
            prop_assert_eq!(&page, &chunk);
            prop_assert_eq!((origin.partition, origin.offset), (Partition(3), Offset(9)));
            prop_assert_eq!(logged(&local).unwrap(), row.as_slice());
            let mut seen = Vec::new();
            each_term(&local, |index, term| seen.push((index, term.to_vec())));
            let all = terms.iter().enumerate();
            let all: Vec<_> = all.flat_map(|(index, terms)| terms.iter().map(move |term| (index, term.clone()))).collect();
            prop_assert_eq!(seen, all);
        }

        #[test]
        fn never_fails_on_any_bytes(bytes: Vec<u8>) {
            let mut page = Chunk::new();
            push_record(&mut page, b"k", &bytes);
            push_value(&mut page, b"k", &bytes);
            each_term(&bytes, |_, _| {});
        }
    }

    #[test]
    fn tells_the_terms_of_one_index_from_those_of_another() {
        let mut local = of_value(b"v");
        append_terms(&mut local, [vec![&b"a"[..]], vec![&b"b"[..]]].map(Vec::into_iter));

        assert!(has_term(&local, 0, b"a") && has_term(&local, 1, b"b"));
        assert!(!has_term(&local, 0, b"b") && !has_term(&local, 2, b"a"));
    }
}
