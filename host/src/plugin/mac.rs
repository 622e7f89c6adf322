//! HMAC-SHA256 (RFC 2104): tells whether bytes are what the holder of a key wrote.
//!
//! Written out here because the crate for it turns on a feature of `digest`, and with it everything that hashes,
//! the compiler of the guests included, is built twice.

use sha2::{Digest, Sha256};

/// Bytes of a key; shorter than SHA-256's block, so that it is padded and never hashed.
pub(crate) const KEY_BYTES: usize = 32;

/// Bytes of a code.
pub(crate) const MAC_BYTES: usize = 32;

const BLOCK_BYTES: usize = 64;

/// The authentication code of the parts, one after the other.
pub(crate) fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; MAC_BYTES] {
    let mut inner = Sha256::new_with_prefix(padded(key, 0x36));
    parts.iter().for_each(|part| inner.update(part));
    Sha256::new_with_prefix(padded(key, 0x5c)).chain_update(inner.finalize()).finalize().into()
}

/// The key filled up to a block, with `mask` over it. What goes beyond a block is left out: our keys never do.
fn padded(key: &[u8], mask: u8) -> [u8; BLOCK_BYTES] {
    let mut block = [mask; BLOCK_BYTES];
    block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
    block
}

/// Whether two codes are the same, in a time that does not tell where they differ.
pub(crate) fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |seen, (a, b)| seen | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// RFC 4231, test cases 1 and 2.
    #[test]
    fn gives_the_codes_of_the_standard() {
        let first = hmac(&[0x0b; 20], &[b"Hi There"]);
        let second = hmac(b"Jefe", &[b"what do ya want ", b"for nothing?"]);

        assert_eq!(hex(&first), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
        assert_eq!(hex(&second), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn compares_every_byte() {
        assert!(is_same(b"abc", b"abc"));
        assert!(!is_same(b"abc", b"abd"));
        assert!(!is_same(b"abc", b"ab"));
    }
}
