//! The producer side: transactions.

use std::time::Duration;

use crate::fault::Fault;
use crate::id::{Offset, Partition, Timestamp, TopicName, TopicPartition};
use crate::io::source::Committed;
use crate::record::Header;

/// What a produced record was made for: found again when the broker refuses the record. Given by the worker, unique
/// within a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CauseId(pub u32);

/// A record on its way to Kafka.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Where it goes.
    pub topic: &'a TopicName,
    /// The partition; none lets the key decide (murmur2, as Java producers do).
    pub partition: Option<Partition>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; none writes a tombstone.
    pub value: Option<&'a [u8]>,
    /// The headers, in this order.
    pub headers: &'a [Header<'a>],
    /// The timestamp; none lets the client take the wall clock.
    pub timestamp: Option<Timestamp>,
    /// What it was made for.
    pub cause: CauseId,
}

/// What a topic takes; what it would refuse is found before it is sent, because a refusal aborts the whole transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TopicFacts {
    /// The largest batch of one record that broker and client accept, in bytes (`max.message.bytes`).
    pub max_bytes: usize,
    /// Whether it is compacted: then a record without a key is refused.
    pub compacted: bool,
    /// How far ahead of the broker's clock a timestamp may be; none when the broker does not look.
    pub ahead_max: Option<Duration>,
}

impl Default for TopicFacts {
    /// What a broker does with a topic that nobody configured.
    fn default() -> Self {
        Self { max_bytes: 1_048_588, compacted: false, ahead_max: Some(Duration::from_secs(3600)) }
    }
}

/// How a step of a transaction failed, by what must happen next.
#[derive(Debug)]
pub enum TransactionError {
    /// Abort the transaction; the producer stays.
    Abort(Fault),
    /// Records were refused for good: abort, and do not send the same again.
    Refused {
        /// What the refused records were made for.
        causes: Vec<CauseId>,
        /// Why, of the first one.
        fault: Fault,
    },
    /// The outcome is unknown, or the producer cannot be used any more: replace it ([`Sink::replace`]).
    Replace(Fault),
    /// A later producer with the same transactional id has taken over, or the coordinator gave the transaction up.
    Fenced(Fault),
    /// The process must end: another one has its place.
    Fatal(Fault),
}

/// A transactional producer. One thread owns it.
///
/// The order of calls is `begin`, `send`..., `flush`, `send_offsets`, `commit`; `abort` at any time after `begin`.
pub trait Sink {
    /// What [`Source::membership`](crate::io::Source::membership) gives.
    type Membership;

    /// Opens a transaction.
    ///
    /// # Errors
    /// What must happen next; never `Abort`, because there is nothing to abort yet.
    fn begin(&mut self) -> Result<(), TransactionError>;

    /// Hands a record to the open transaction. May wait while the producer's queue is full.
    ///
    /// # Errors
    /// What must happen next.
    fn send(&mut self, record: &Outgoing<'_>) -> Result<(), TransactionError>;

    /// Waits until all records are acknowledged.
    ///
    /// # Errors
    /// What must happen next.
    fn flush(&mut self) -> Result<(), TransactionError>;

    /// The highest offset that a record of the open transaction has in this partition of the transform's changelog; none
    /// when nothing was sent there. Asked after [`Sink::flush`].
    fn acknowledged(&self, changelog: &TopicPartition) -> Option<Offset> {
        let _ = changelog;
        None
    }

    /// Puts consumed positions, with their notes, into the transaction. Never empty for a task that it touches: this is
    /// what fences a zombie.
    ///
    /// # Errors
    /// What must happen next.
    fn send_offsets(
        &mut self,
        positions: &[(TopicPartition, Committed)],
        membership: &Self::Membership,
    ) -> Result<(), TransactionError>;

    /// Commits. After an error the outcome may be either: only a replaced producer and the committed positions tell.
    ///
    /// # Errors
    /// What must happen next.
    fn commit(&mut self) -> Result<(), TransactionError>;

    /// Aborts the open transaction.
    ///
    /// # Errors
    /// What must happen next.
    fn abort(&mut self) -> Result<(), TransactionError>;

    /// Drops the producer and makes a new one with the same transactional id, which fences the old one and decides its
    /// transaction.
    ///
    /// # Errors
    /// What must happen next; `Replace` means: try again later.
    fn replace(&mut self) -> Result<(), TransactionError>;
}
