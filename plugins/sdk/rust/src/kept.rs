//! A record that is kept in a store, for later.
//!
//! ```text
//! version  u8, 1
//! time     i64, milliseconds since 1970, as the bits of a u64
//! key      0, or 1 and the bytes behind their length
//! value    the same
//! headers  their number as a u64; of each the name, and its value as above
//! ```

use crate::Record;
use crate::Timestamp;
use crate::Value;
use crate::store::format::formats;
use crate::wire::Reader;
use crate::wire::Writer;

/// A record that is kept: a value of stores with `value = "record"` in the manifest.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Kept {
    /// Its key; none also where the key of the row says it.
    pub key: Option<Vec<u8>>,
    /// Its value; none for a tombstone.
    pub value: Option<Vec<u8>>,
    /// Names and values, in their order.
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// As stored by the broker.
    pub timestamp: Timestamp,
}

impl Kept {
    /// A copy of a record without its key.
    #[must_use]
    pub fn without_key(record: &Record<'_>) -> Self {
        let header = |(name, value): (&[u8], Option<&[u8]>)| (name.to_vec(), value.map(<[u8]>::to_vec));
        Self {
            key: None,
            value: record.value.map(<[u8]>::to_vec),
            headers: record.headers.iter().map(header).collect(),
            timestamp: record.timestamp,
        }
    }

    /// Names and values of the headers, as [`Output::headers_of`](crate::Output::headers_of) takes them.
    pub fn headers(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.headers.iter().map(|(name, value)| (name.as_slice(), value.as_deref()))
    }
}

impl Value for Kept {
    type Format = formats::Record;
    type Given = Kept;
    type Got = Kept;

    fn write(kept: &Kept, bytes: &mut Vec<u8>) -> Result<(), String> {
        let mut writer = Writer::new()
            .number(kept.timestamp.millis().cast_unsigned())
            .option(kept.key.as_deref())
            .option(kept.value.as_deref())
            .number(kept.headers.len() as u64);
        for (name, value) in kept.headers() {
            writer = writer.bytes(name).option(value);
        }
        bytes.extend_from_slice(&writer.done());
        Ok(())
    }

    fn read(bytes: &[u8]) -> Result<Kept, String> {
        read(bytes).ok_or_else(|| "it is no record of a form that is known".to_owned())
    }
}

fn read(bytes: &[u8]) -> Option<Kept> {
    let mut reader = Reader::new(bytes)?;
    let timestamp = Timestamp::from_millis(reader.number()?.cast_signed());
    let key = reader.option()?.map(<[u8]>::to_vec);
    let value = reader.option()?.map(<[u8]>::to_vec);
    let count = reader.number()?;
    let mut headers = Vec::new();
    // Not by the count: it may be anything, and the bytes end.
    while !reader.is_empty() {
        headers.push((reader.bytes()?.to_vec(), reader.option()?.map(<[u8]>::to_vec)));
    }
    (headers.len() as u64 == count).then_some(Kept { key, value, headers, timestamp })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(kept: &Kept) -> Vec<u8> {
        let mut bytes = Vec::new();
        Kept::write(kept, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn reads_what_it_has_written() {
        let whole = Kept {
            key: Some(b"k".to_vec()),
            value: Some(Vec::new()),
            headers: vec![(b"a".to_vec(), None), (Vec::new(), Some(b"\xff".to_vec()))],
            timestamp: Timestamp::from_millis(-1),
        };

        for kept in [whole, Kept::default()] {
            assert_eq!(Kept::read(&written(&kept)), Ok(kept));
        }
    }

    #[test]
    fn refuses_other_forms_and_pieces() {
        let kept = Kept { headers: vec![(b"a".to_vec(), None)], ..Kept::default() };
        let bytes = written(&kept);

        for end in 0..bytes.len() {
            assert!(Kept::read(&bytes[..end]).is_err(), "{end}");
        }
        assert!(Kept::read(&[&bytes[..], b"x"].concat()).is_err());
        assert!(Kept::read(b"\x02").is_err());
    }
}
