//! The ports: what the heart of the host needs from the outside world, as traits.
//!
//! `kafka` and `plugin` implement them for real, `memory` implements them for the test driver and the simulation. The
//! commit path that ties them together is in `worker` and exists once.

use std::time::Duration;

use crate::fault::Fault;
use crate::id::{Offset, Partition, SinkIndex, SourceIndex, TaskId, Timestamp, TopicName, TopicPartition};
use crate::record::{Chunk, Header, HeaderSlot, Range, RecordRef, Span};

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
    /// What [`Source::membership`] gives.
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

/// A plugin deployed under a name: makes instances.
pub trait Transform {
    /// A new instance for a task. It knows nothing of what earlier instances did.
    ///
    /// # Errors
    /// `plugin_init_failed`.
    fn instance(&self, task: &TaskId) -> Result<Box<dyn Instance>, Fault>;
}

/// One running copy of a plugin. Its memory is a cache: it may be dropped between any two calls, and it is dropped
/// after any call that failed.
pub trait Instance {
    /// One call with records of one source. The state goes in and comes back.
    fn process(&mut self, batch: Batch<'_>, state: Box<dyn State>) -> Answered;

    /// Whether it has grown so much that a fresh one is better.
    fn is_spent(&self) -> bool {
        false
    }
}

/// The answer to a call, and the state that was lent to it.
pub struct Answered {
    /// What the plugin wants done, unchecked, or why the call failed.
    pub answer: Result<Outcome, CallError>,
    /// The state, with what the call wrote to it.
    pub state: Box<dyn State>,
}

/// Records for one call.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Where they come from.
    pub source: SourceIndex,
    /// The partition that they lie in.
    pub partition: Partition,
    /// The records.
    pub records: &'a Chunk,
    /// Wall clock when the call began.
    pub now: Timestamp,
    /// The highest timestamp that the task has seen.
    pub stream_time: Timestamp,
}

/// Why a call gave no outcome. Nothing of it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CallError {
    /// The guest panicked or trapped.
    Trap {
        /// The guest's last words, or the engine's name for the trap.
        message: String,
        /// File and line, when the guest told them.
        location: Option<String>,
    },
    /// The guest computed longer than its limit, in CPU time.
    Timeout {
        /// The limit.
        limit: Duration,
    },
    /// A limit other than time was hit.
    Limit {
        /// Which one: `memory_limit` or `output_limit`.
        code: crate::fault::Code,
        /// What was asked for and what is granted.
        message: String,
    },
    /// The plugin asks for the same batch again, later.
    Retry(String),
    /// The plugin cannot go on.
    Fatal(String),
}

/// What a plugin wants done, as it was lifted: spans and numbers are not checked yet.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Outcome {
    /// The records to produce.
    pub outputs: Vec<OutputSlot>,
    /// Their headers.
    pub headers: Vec<HeaderSlot>,
    /// The arena of outputs and headers.
    pub bytes: Vec<u8>,
    /// The records that it will never be able to process.
    pub rejected: Vec<Rejection>,
    /// The records left without effect on purpose: code, how many.
    pub skipped: Vec<(String, u32)>,
    /// What the plugin measured during the call; counts only if the call is kept.
    pub measurements: Vec<Measurement>,
}

/// A value of a plugin's own metric.
#[derive(Clone, PartialEq, Debug)]
pub struct Measurement {
    /// The metric, as the plugin names it.
    pub name: String,
    /// What happened to it.
    pub value: Measured,
    /// Names and values; the order does not matter.
    pub labels: Vec<(String, String)>,
}

/// What happened to a metric.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Measured {
    /// A counter grew by this.
    Count(u64),
    /// A gauge was set to this.
    Gauge(f64),
    /// A histogram got this value.
    Observe(f64),
}

/// Where the parts of an output lie in an outcome.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutputSlot {
    /// Which sink.
    pub sink: SinkIndex,
    /// The key.
    pub key: Option<Span>,
    /// The value; none is a tombstone.
    pub value: Option<Span>,
    /// The headers.
    pub headers: Range,
    /// None takes the timestamp of the cause, or stream time.
    pub timestamp: Option<Timestamp>,
    /// Position in the batch of the record that caused it.
    pub cause: Option<u32>,
}

/// A record that a plugin rejects.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rejection {
    /// Position in the batch.
    pub index: u32,
    /// Stable, kebab-case.
    pub code: String,
    /// For a person.
    pub message: String,
}

/// What a plugin can reach of its task's state during a call. Tables only, for now; stores come with the local engine.
pub trait State: Send {
    /// The table with this name, if the manifest declares it as a source of kind table or broadcast that is kept. The
    /// answer is the same in all calls of a task: an instance asks once.
    fn table(&self, name: &str) -> Option<TableIndex>;

    /// The row of a key.
    fn row(&self, table: TableIndex, key: &[u8]) -> Option<RecordRef<'_>>;

    /// Rows in the order of their keys as unsigned bytes, from `range`, `limit` at most.
    fn scan(&self, table: TableIndex, range: KeyRange<'_>, limit: usize) -> Vec<RecordRef<'_>>;
}

/// Which of a task's tables: what [`State::table`] gave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TableIndex(pub u32);

/// Keys with `start <= key < end`, and beyond `after` when a page goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct KeyRange<'a> {
    /// The first key; none from the beginning.
    pub start: Option<&'a [u8]>,
    /// The key that ends the range, not part of it; none to the end.
    pub end: Option<&'a [u8]>,
    /// The last key of the page before.
    pub after: Option<&'a [u8]>,
}
