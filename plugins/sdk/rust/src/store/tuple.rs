//! Keys of several parts, which sort as their parts do.
//!
//! The bytes are those of FoundationDB's tuple layer, as far as it goes here:
//!
//! ```text
//! bytes    0x01, the bytes with 0x00 written as 0x00 0xff, 0x00
//! text     0x02, the same
//! integer  0x14 + n, the n bytes of a positive number, the first one not 0; zero is 0x14
//!          0x14 - n, the n bytes of all ones minus what a negative number lacks to zero
//! ```

use crate::store::format::Key;
use crate::store::format::formats;

const BYTES: u8 = 0x01;
const TEXT: u8 = 0x02;
const ZERO: u8 = 0x14;
const ESCAPED: u8 = 0xff;

/// What can be a part of a key.
pub trait Element {
    /// What reading gives.
    type Got;

    /// Appends the element.
    fn pack(&self, bytes: &mut Vec<u8>);

    /// Reads the element that the bytes begin with, and moves them on.
    fn unpack(bytes: &mut &[u8]) -> Option<Self::Got>;
}

/// A tuple as it is written, for looking at any.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Packed(pub Vec<u8>);

impl Key for Packed {
    type Format = formats::Tuple;
    type Got = Packed;

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.0);
    }

    fn read(bytes: &[u8]) -> Result<Packed, String> {
        Ok(Packed(bytes.to_vec()))
    }
}

macro_rules! tuples {
    ($($(($element:ident, $position:tt)),+;)+) => {$(
        impl<$($element: Element),+> Key for ($($element,)+) {
            type Format = formats::Tuple;
            type Got = ($($element::Got,)+);

            fn write(&self, bytes: &mut Vec<u8>) {
                $(self.$position.pack(bytes);)+
            }

            fn read(mut bytes: &[u8]) -> Result<Self::Got, String> {
                let read = (|| Some(($($element::unpack(&mut bytes)?,)+)))();
                read.filter(|_| bytes.is_empty()).ok_or_else(|| "it is a tuple of other elements".to_owned())
            }
        }
    )+};
}

tuples! {
    (A, 0);
    (A, 0), (B, 1);
    (A, 0), (B, 1), (C, 2);
    (A, 0), (B, 1), (C, 2), (D, 3);
}

impl Element for &[u8] {
    type Got = Vec<u8>;

    fn pack(&self, bytes: &mut Vec<u8>) {
        pack(BYTES, self, bytes);
    }

    fn unpack(bytes: &mut &[u8]) -> Option<Vec<u8>> {
        unpack(BYTES, bytes)
    }
}

impl Element for &str {
    type Got = String;

    fn pack(&self, bytes: &mut Vec<u8>) {
        pack(TEXT, self.as_bytes(), bytes);
    }

    fn unpack(bytes: &mut &[u8]) -> Option<String> {
        String::from_utf8(unpack(TEXT, bytes)?).ok()
    }
}

impl Element for u64 {
    type Got = u64;

    fn pack(&self, bytes: &mut Vec<u8>) {
        pack_magnitude(*self, bytes);
    }

    fn unpack(bytes: &mut &[u8]) -> Option<u64> {
        match unpack_integer(bytes)? {
            (false, magnitude) => Some(magnitude),
            (true, _) => None,
        }
    }
}

impl Element for i64 {
    type Got = i64;

    fn pack(&self, bytes: &mut Vec<u8>) {
        if *self >= 0 {
            return pack_magnitude(self.unsigned_abs(), bytes);
        }
        let magnitude = self.unsigned_abs();
        let length = length(magnitude);
        bytes.push(ZERO.saturating_sub(length));
        bytes.extend((!magnitude).to_be_bytes().iter().skip(8 - usize::from(length)));
    }

    fn unpack(bytes: &mut &[u8]) -> Option<i64> {
        match unpack_integer(bytes)? {
            (false, magnitude) => i64::try_from(magnitude).ok(),
            (true, magnitude) => 0_i64.checked_sub_unsigned(magnitude),
        }
    }
}

fn pack(tag: u8, data: &[u8], bytes: &mut Vec<u8>) {
    bytes.push(tag);
    for byte in data {
        bytes.push(*byte);
        if *byte == 0 {
            bytes.push(ESCAPED);
        }
    }
    bytes.push(0);
}

fn unpack(tag: u8, bytes: &mut &[u8]) -> Option<Vec<u8>> {
    let (first, mut rest) = bytes.split_first()?;
    if *first != tag {
        return None;
    }
    let mut data = Vec::new();
    loop {
        let (byte, behind) = rest.split_first()?;
        rest = behind;
        if *byte == 0 {
            match rest.split_first() {
                Some((&ESCAPED, behind)) => rest = behind,
                _ => break,
            }
        }
        data.push(*byte);
    }
    *bytes = rest;
    Some(data)
}

/// The bytes that a number needs.
fn length(number: u64) -> u8 {
    u8::try_from((u64::BITS - number.leading_zeros()).div_ceil(8)).unwrap_or(8)
}

fn pack_magnitude(number: u64, bytes: &mut Vec<u8>) {
    let length = length(number);
    bytes.push(ZERO.saturating_add(length));
    bytes.extend(number.to_be_bytes().iter().skip(8 - usize::from(length)));
}

/// Whether it is negative, and its magnitude.
fn unpack_integer(bytes: &mut &[u8]) -> Option<(bool, u64)> {
    let (tag, rest) = bytes.split_first()?;
    let negative = *tag < ZERO;
    let length = usize::from(tag.abs_diff(ZERO));
    if length > 8 {
        return None;
    }
    let (digits, behind) = rest.split_at_checked(length)?;
    let read = |mask: u8| digits.iter().fold(0_u64, |number, byte| number << 8 | u64::from(byte ^ mask));
    *bytes = behind;
    Some((negative, read(if negative { 0xff } else { 0 })))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packed(key: &impl Key) -> Vec<u8> {
        let mut bytes = Vec::new();
        key.write(&mut bytes);
        bytes
    }

    proptest! {
        #[test]
        fn sorts_as_its_parts_do(a: (Vec<u8>, i64, String), b: (Vec<u8>, i64, String)) {
            let [x, y] = [&a, &b].map(|key| packed(&(key.0.as_slice(), key.1, key.2.as_str())));

            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
            prop_assert_eq!(<(&[u8], i64, &str)>::read(&x), Ok(a));
        }

        #[test]
        fn sorts_numbers(a: u64, b: u64, shift in 0..64_u32) {
            let (a, b) = (a >> shift, b >> shift);

            prop_assert_eq!(packed(&(a,)).cmp(&packed(&(b,))), a.cmp(&b));
            prop_assert_eq!(<(u64,)>::read(&packed(&(a,))), Ok((a,)));
        }

        #[test]
        fn never_reads_beyond_strange_bytes(bytes: Vec<u8>) {
            drop(<(&[u8], u64)>::read(&bytes));
            drop(<(i64, &str)>::read(&bytes));
        }
    }

    #[test]
    fn writes_what_others_can_read() {
        // From the specification of FoundationDB's tuple layer.
        assert_eq!(packed(&(b"foo\0bar".as_slice(),)), b"\x01foo\0\xffbar\0");
        assert_eq!(packed(&("F\u{d4}O\0bar",)), b"\x02F\xc3\x94O\0\xffbar\0");
        assert_eq!(packed(&(-5_551_212_i64,)), b"\x11\xab\x4b\x93");
        assert_eq!(packed(&(0_u64,)), b"\x14");
    }

    #[test]
    fn tells_tuples_of_other_elements() {
        assert!(<(&str,)>::read(&packed(&(b"x".as_slice(),))).is_err());
        assert!(<(u64,)>::read(&packed(&(-1_i64,))).is_err());
        assert!(<(u64,)>::read(&packed(&(1_u64, 2_u64))).is_err());
        assert!(<(i64,)>::read(&packed(&(u64::MAX,))).is_err());
    }

    #[test]
    fn keeps_the_least_number() {
        assert_eq!(<(i64,)>::read(&packed(&(i64::MIN,))), Ok((i64::MIN,)));
    }
}
