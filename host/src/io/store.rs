//! The local store: one for each task, ordered bytes, committed data only.

use std::ops::{Bound, ControlFlow};

use crate::fault::Fault;
use crate::id::Partition;

/// A key with its new value; none removes it.
pub type Write<'a> = (&'a [u8], Option<&'a [u8]>);

/// The longest key that every engine takes; an empty key is none.
pub const KEY_BYTES_MAX: usize = 65_535;

/// The ends of a range of keys.
pub type StoreRange<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// Whether no key can lie in a range: collections panic on ends in the wrong order, a store shows nothing.
pub fn is_empty_range((start, end): StoreRange<'_>) -> bool {
    match (start, end) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(start), Bound::Included(end)) => start > end,
        (Bound::Included(start) | Bound::Excluded(start), Bound::Excluded(end))
        | (Bound::Excluded(start), Bound::Included(end)) => start >= end,
    }
}

/// The first key behind all that begin with a prefix; none when there is no such key.
pub fn behind_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < u8::MAX)?;
    let mut end = prefix.get(..=last)?.to_vec();
    *end.last_mut()? += 1;
    Some(end)
}

/// Is shown a key with its value, and says whether to go on.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// The local store of one task. A copy of what Kafka holds: after any error it is discarded and restored.
pub trait StoreEngine: Send {
    /// The value of a key.
    ///
    /// # Errors
    /// `store_failed`.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault>;

    /// Shows the pairs of a range in the order of their keys, until `visit` breaks.
    ///
    /// # Errors
    /// `store_failed`.
    fn scan(&self, range: StoreRange<'_>, visit: &mut Visit<'_>) -> Result<(), Fault>;

    /// Writes all or nothing, also when the process dies meanwhile. The keys ascend, differ, and have 1 to
    /// [`KEY_BYTES_MAX`] bytes. It may be lost when the machine
    /// dies, but only together with everything that was written later.
    ///
    /// # Errors
    /// `store_failed`, `disk_full`.
    fn apply(&mut self, writes: &mut dyn Iterator<Item = Write<'_>>) -> Result<(), Fault>;

    /// What it takes on the disk, roughly, in bytes.
    fn size_bytes(&self) -> u64;
}

/// The local stores of a transform's tasks in this process.
pub trait Stores {
    /// Opens the store of a task as it was left, an empty one if there is none or if what is there cannot be used: foreign,
    /// of another format, damaged.
    ///
    /// # Errors
    /// `store_failed` when not even an empty one can be made, `disk_full`.
    fn open(&mut self, task: Partition) -> Result<Box<dyn StoreEngine>, Fault>;

    /// Deletes the store of a task; it is closed already.
    ///
    /// # Errors
    /// `store_failed`.
    fn discard(&mut self, task: Partition) -> Result<(), Fault>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_a_prefix_behind_its_last_key() {
        assert_eq!(behind_prefix(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(behind_prefix(b"a\xff\xff"), Some(b"b".to_vec()));
        assert_eq!(behind_prefix(b"\xff"), None);
        assert_eq!(behind_prefix(b""), None);
    }
}
