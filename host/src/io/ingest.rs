//! What an ingest needs of Kafka: a name that only one owner has, topics read whole, and transactions.
//!
//! ```text
//! claim ── read ── (rows of the outside world) ── publish
//!   |                                               |
//!   |   nobody else who had the name can publish    |   all of it or nothing, and only while the name is ours
//! ```
//! Whoever claims a name ends the runs of all earlier owners. What the new owner reads of Kafka and of the outside world it reads
//! later than they did; so of two runs at the same time, the older view never replaces the newer one.

use crate::fault::Fault;
use crate::id::TopicName;

/// A record as a topic holds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Published<'a> {
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; none is a tombstone.
    pub value: Option<&'a [u8]>,
}

/// A record to be written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// Where it goes; the key decides about the partition, as with Java producers.
    pub topic: TopicName,
    /// The key.
    pub key: Vec<u8>,
    /// The value; none deletes the key.
    pub value: Option<Vec<u8>>,
}

/// What became of a transaction that did not simply succeed.
#[derive(Debug)]
pub enum PublishError {
    /// Nothing of it is visible, nor ever will be. The name may have to be claimed again before the next transaction.
    Aborted(Fault),
    /// Whether it was committed is not known: [`Outlet::claim`] decides it, and [`Outlet::read`] tells.
    Unknown(Fault),
    /// Another owner has claimed the name; nothing of it is visible.
    Superseded(Fault),
}

impl PublishError {
    /// Why.
    pub fn into_fault(self) -> Fault {
        match self {
            Self::Aborted(fault) | Self::Unknown(fault) | Self::Superseded(fault) => fault,
        }
    }
}

/// How far [`Outlet::follow`] goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UpTo {
    /// To the stable end: what is committed behind a transaction that is still open comes later.
    Committed,
    /// To the very end: it waits for transactions that are open.
    Written,
}

/// Kafka, as an ingest sees it. One thread owns it; its calls block.
pub trait Outlet {
    /// Takes the name: what an earlier owner has not committed by now never will be.
    ///
    /// # Errors
    /// `broker_unreachable`, `not_authorized`, `kafka_failed`, `producer_replaced` when a third one was quicker.
    fn claim(&mut self) -> Result<(), Fault>;

    /// Gives every committed record of a topic, up to the stable end that the topic has now; those of a key in their order.
    ///
    /// # Errors
    /// What `visit` answers; `topic_missing`, `broker_unreachable`, `not_authorized`, `kafka_failed`.
    fn read(
        &mut self,
        topic: &TopicName,
        visit: &mut dyn FnMut(Published<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault>;

    /// Gives the committed records of a topic that no earlier call has given, those of a key in their order. The topic is one
    /// that only outlets write, and the same at each call. After an error the next call may begin at the topic's start.
    ///
    /// # Errors
    /// As [`Outlet::read`]; `kafka_failed` when a transaction stays open that has to end first.
    fn follow(
        &mut self,
        topic: &TopicName,
        up_to: UpTo,
        visit: &mut dyn FnMut(Published<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault>;

    /// Writes records in one transaction, in their order. An error among `changes` aborts it. Without a record there is no
    /// transaction.
    ///
    /// # Errors
    /// What became of it.
    fn publish(
        &mut self,
        changes: &mut dyn Iterator<Item = Result<Change, Fault>>,
    ) -> Result<(), PublishError>;
}
