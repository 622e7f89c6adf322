//! The ids of callouts.

use gristmill::Record;

/// The id of the call for a notification: `partition-offset-timestamp-hash`.
///
/// Place and time make it the same whenever the record is processed again, so that it is called once, and another one for
/// every other record. When the topic is made anew its offsets come again: then time, key and value tell the records apart.
pub(crate) fn of(record: &Record<'_>) -> String {
    let mut hash = Hash::default();
    for part in [record.key, record.value] {
        let part = part.unwrap_or_default();
        hash.add(&(part.len() as u64).to_be_bytes());
        hash.add(part);
    }
    format!("{}-{}-{}-{:016x}", record.partition, record.offset, record.timestamp.millis(), hash.0)
}

/// FNV-1a, 64 bits: it has to tell records apart that share everything else, not to withstand anybody.
struct Hash(u64);

impl Default for Hash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hash {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
