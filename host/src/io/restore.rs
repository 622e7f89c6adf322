//! Reading partitions again to rebuild state: changelogs, and the topics of tables.

use crate::fault::Fault;
use crate::id::{Offset, TopicPartition};
use crate::io::source::Bounds;
use crate::record::Chunk;

/// How far a partition is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// To the end that it has now, open transactions included: what a predecessor may still commit lies below it.
    End,
    /// To this position.
    Position(Offset),
}

/// What became of reading a partition.
#[derive(Debug)]
pub enum Restored {
    /// It has begun: what the partition holds, and where reading ends. Comes first.
    Began {
        /// What the partition holds.
        bounds: Bounds,
        /// The position that is read to.
        until: Offset,
    },
    /// Committed records, in offset order, all before the position that is read to.
    Records(Chunk),
    /// Everything was read; the position to go on from, which is the one that was told in the beginning.
    Done(Offset),
    /// `from` lies before the first record or beyond the end, or the position to read to does: the partition is not the one
    /// that was read before, or it was cut. Nothing more comes.
    OutOfRange(Bounds),
    /// It cannot be read. Nothing more comes.
    Failed(Fault),
}

/// Reads committed records of many partitions in the background. One worker owns it.
pub trait Restorer {
    /// Begins to read a partition, from the first record if `from` is none. One that is being read begins anew.
    fn begin(&mut self, place: &TopicPartition, from: Option<Offset>, until: Until);

    /// The next piece of news of a partition, if there is one. Never waits.
    fn poll(&mut self, place: &TopicPartition) -> Option<Restored>;

    /// Nothing more of the partition is wanted.
    fn end(&mut self, place: &TopicPartition);
}
