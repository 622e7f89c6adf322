//! The local store: one for each task, ordered bytes, committed data only.

use std::ops::{Bound, ControlFlow};

use crate::fault::Fault;
use crate::id::Partition;

/// A key with its new value; none removes it.
pub type Write<'a> = (&'a [u8], Option<&'a [u8]>);

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
    fn scan(
        &self,
        range: (Bound<&[u8]>, Bound<&[u8]>),
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), Fault>;

    /// Writes all or nothing, also when the process dies meanwhile. The keys ascend and differ. It may be lost when the machine
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
