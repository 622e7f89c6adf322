//! What a set of records has in common with another one only if they are the same: a digest that does not depend on the order.
//!
//! ```text
//! record    SHA-256 of: length of the key (8 bytes, big-endian), key, length of the value (8 bytes, big-endian), value
//! records   the sum of the numbers that these digests are (big-endian), modulo 2^256
//! ```

use std::fmt;
use std::ops::AddAssign;

use sha2::{Digest as _, Sha256};

/// The digest of a set of records.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct ContentDigest([u8; 32]);

impl ContentDigest {
    /// The digest of a single record.
    pub fn of_record(key: &[u8], value: &[u8]) -> Self {
        let mut hasher = Sha256::new();
        for part in [key, value] {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }

    /// What [`fmt::Display`] has written; none for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl AddAssign for ContentDigest {
    fn add_assign(&mut self, other: Self) {
        let mut carry = 0;
        for (sum, byte) in self.0.iter_mut().zip(other.0).rev() {
            let [high, low] = (u16::from(*sum) + u16::from(byte) + carry).to_be_bytes();
            (*sum, carry) = (low, u16::from(high));
        }
    }
}

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(records: &[(&str, &str)]) -> ContentDigest {
        let mut sum = ContentDigest::default();
        records.iter().for_each(|(key, value)| {
            sum += ContentDigest::of_record(key.as_bytes(), value.as_bytes());
        });
        sum
    }

    #[test]
    fn is_the_same_for_the_same_records_in_any_order_and_no_others() {
        let records = [("a", "1"), ("b", "2"), ("c", "3")];

        assert_eq!(sum(&records), sum(&[("c", "3"), ("a", "1"), ("b", "2")]));
        assert_ne!(sum(&records), sum(&[("a", "1"), ("b", "2")]));
        assert_ne!(sum(&records), sum(&[("a", "1"), ("b", "2"), ("c", "3"), ("c", "3")]));
        assert_ne!(sum(&[("ab", "c")]), sum(&[("a", "bc")]));
    }

    #[test]
    fn is_a_sum_modulo_two_to_the_256th() {
        let mut digest = ContentDigest([255; 32]);
        let mut one = ContentDigest::default();
        one.0[31] = 1;

        digest += one;

        assert_eq!(digest, ContentDigest::default());
    }

    #[test]
    fn is_what_the_documentation_says() {
        // echo -n '' | sha256sum over 8 zero bytes of length twice, as any tool computes it.
        let text = "374708fff7719dd5979ec875d56cd2286f6d3cf7ec317a3b25632aab28ec37bb";

        assert_eq!(sum(&[("", "")]).to_string(), text);
        assert_eq!(ContentDigest::parse(text), Some(sum(&[("", "")])));
        assert_eq!(ContentDigest::parse("37"), None);
        assert_eq!(ContentDigest::parse(&"x".repeat(64)), None);
    }
}
