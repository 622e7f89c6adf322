//! Where keys lie: the partition that Java clients, and `partitioner=murmur2_random` of librdkafka, choose for a key.
//!
//! What the host writes lies there, and what it joins must: the same key in the same partition number of every source.

use crate::id::Partition;

/// The partition of a key in a topic with so many partitions.
pub fn partition_of(key: &[u8], partitions: i32) -> Partition {
    Partition((murmur2(key) & 0x7fff_ffff) % partitions.max(1))
}

/// The hash that Kafka's Java client takes of a key.
fn murmur2(key: &[u8]) -> i32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ u32::try_from(key.len()).unwrap_or(u32::MAX);
    let mut words = key.chunks_exact(4);
    for word in &mut words {
        let word = word.iter().rev().fold(0u32, |sum, byte| (sum << 8) | u32::from(*byte)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ (word ^ (word >> 24)).wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0u32, |sum, byte| (sum << 8) | u32::from(*byte));
        hash = (hash ^ tail).wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    (hash ^ (hash >> 15)).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_keys_as_java_clients_do() {
        // From Kafka's own UtilsTest.
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()), hash, "{key}");
        }
    }

    #[test]
    fn puts_keys_where_java_clients_put_them() {
        // What `Utils.toPositive(Utils.murmur2(key)) % 4` gives: the sign is cut off, not turned.
        for (key, partition) in [("a", 0), ("bulky", 2), ("21", 0), ("foobar", 2), ("", 1)] {
            assert_eq!(partition_of(key.as_bytes(), 4), Partition(partition), "{key}");
        }
    }
}
