//! Numbers and byte strings in cursors, and in rows that the SDK itself keeps.
//!
//! Each text begins with the version of its form. Numbers are little-endian; bytes follow their length, a
//! `u32`; what may be absent follows a byte, 0 or 1.

use crate::arena;

/// The version that is written, and the only one that is read.
const VERSION: u8 = 1;

/// What has been written.
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn new() -> Self {
        Self(vec![VERSION])
    }

    pub(crate) fn flag(mut self, flag: bool) -> Self {
        self.0.push(u8::from(flag));
        self
    }

    pub(crate) fn number(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(&arena::number(bytes.len()).to_le_bytes());
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn option(self, bytes: Option<&[u8]>) -> Self {
        let this = self.flag(bytes.is_some());
        match bytes {
            Some(bytes) => this.bytes(bytes),
            None => this,
        }
    }

    pub(crate) fn done(self) -> Vec<u8> {
        self.0
    }
}

/// What is still to be read. Everything is none when the bytes are of another form.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        (*version == VERSION).then_some(Self(rest))
    }

    pub(crate) fn flag(&mut self) -> Option<bool> {
        match self.array::<1>()? {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_le_bytes(self.array()?);
        let (bytes, rest) = self.0.split_at_checked(length as usize)?;
        self.0 = rest;
        Some(bytes)
    }

    /// The outer option is whether it could be read.
    #[expect(clippy::option_option, reason = "absent and unreadable are different")]
    pub(crate) fn option(&mut self) -> Option<Option<&'a [u8]>> {
        if self.flag()? { self.bytes().map(Some) } else { Some(None) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }
}
