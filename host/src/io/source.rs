//! The consumer side: a member of a consumer group.

use std::time::Duration;

use crate::fault::Fault;
use crate::id::{Offset, TopicPartition};
use crate::record::Chunk;

/// What a source has to tell.
#[derive(Debug)]
pub enum Input {
    /// Records of one partition, in offset order, at least one, never past [`Source::seek`]'s last word.
    Records(TopicPartition, Chunk),
    /// The partition was read to its last stable offset. The position lies behind control records and aborted records,
    /// where there is nothing to see and still something to commit.
    End(TopicPartition, Offset),
    /// The group gave these partitions to this worker, in addition to what it has. They are paused until resumed.
    Assigned(Vec<TopicPartition>),
    /// The group wants these partitions back: commit what is done, then call [`Source::release`].
    Revoked(Vec<TopicPartition>),
    /// These partitions belong to somebody else already: nothing can be committed; then call [`Source::release`].
    Lost(Vec<TopicPartition>),
}

/// A committed position, with the note that was committed with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Committed {
    /// The next offset to read.
    pub position: Offset,
    /// What the committer wrote beside it; short, empty when there is nothing to say.
    pub note: String,
}

/// The offsets that a partition holds now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// The first offset that still exists.
    pub start: Offset,
    /// The last stable offset: everything before it is decided.
    pub stable_end: Offset,
}

/// A member of a consumer group that reads the sources of a transform. One thread owns it.
pub trait Source {
    /// What the broker needs to see that offsets come from the current generation of the group.
    type Membership: Clone + PartialEq;

    /// Waits up to `wait` for something to happen. Serves the group protocol: call it often, also when all is paused.
    ///
    /// # Errors
    /// Scope worker: passing. Scope host: the group does not take this process any more (`instance_in_use`,
    /// `not_authorized`).
    fn poll(&mut self, wait: Duration) -> Result<Option<Input>, Fault>;

    /// Ends a revocation or a loss that `poll` reported; the group waits for it.
    ///
    /// # Errors
    /// Scope worker.
    fn release(&mut self, partitions: &[TopicPartition]) -> Result<(), Fault>;

    /// The current membership, fresh. Ask after the flush, for each commit.
    ///
    /// # Errors
    /// `membership_lost` when there is none.
    fn membership(&mut self) -> Result<Self::Membership, Fault>;

    /// The stable committed positions: waits for transactions that are still being decided.
    ///
    /// # Errors
    /// Scope worker.
    fn committed(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Option<Committed>>, Fault>;

    /// The offsets that a partition holds now.
    ///
    /// # Errors
    /// Scope worker.
    fn bounds(&mut self, partition: &TopicPartition) -> Result<Bounds, Fault>;

    /// Reads go on at these positions; nothing that was fetched before shows up afterwards.
    ///
    /// # Errors
    /// Scope worker.
    fn seek(&mut self, positions: &[(TopicPartition, Offset)]) -> Result<(), Fault>;

    /// Stops handing out records of these partitions; what was fetched of them may be dropped and fetched again.
    ///
    /// # Errors
    /// Scope worker.
    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), Fault>;

    /// Hands out records of these partitions again.
    ///
    /// # Errors
    /// Scope worker.
    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), Fault>;
}
