//! What happens inside the host: one struct for each event, which makes its log line and its metric.
//!
//! Log and metric share their labels, and nothing else in the host writes either of them. Events are counted once for a
//! batch or a transaction, never once for a record. ERROR means that data is lost or an operator must act, WARN that
//! something odd was recovered from, INFO is the life of the process; a healthy hour logs nothing new.

mod api;
mod bar;
mod callout;
mod help;
mod http;
mod ingest;
mod orphans;
mod plugin;
mod registry;
mod start;
mod state;

use std::path::Path;
use std::time::Duration;

pub use api::{ApiFailed, ApiStarted};
pub use bar::bar;
pub use callout::{AttemptFailed, CalloutLanded, CalloutSent, CircuitClosed, CircuitOpened};
pub use help::help;
pub use http::{
    HttpConnectionRefused, HttpKeysForgotten, HttpQueued, HttpRequestAnswered, HttpRequestsCommitted,
    HttpStarted, HttpTroubled, IngestClosed, IngestOpened,
};
pub use ingest::{IngestRan, IngestRunFailed, IngestStopped};
pub use orphans::{AnswerForwarded, AnswerLost};
pub use plugin::{CompileCacheUnusable, PluginLevel, PluginLogCut, PluginSaid};
pub use registry::{Metric, Registry, Sample, registry};
pub use start::KeysUnchecked;
pub use state::{
    AnswerIgnored, CalloutEnded, CalloutIgnored, CalloutRetried, CausalHeaderBogus, DeletionsFound, JobEnded,
    JobStepped, OrderTaken, RestoreBegan, RestoreEnded, RestoreMoved, RowNotIndexed, StepFailed,
    StoreAwaited, StoreDiscarded,
};

use crate::fault::Fault;
use crate::id::{Offset, SourceIndex, TaskId, TopicPartition, TransformName};
use crate::io::{Measured, Measurement};

/// A call of a plugin was kept.
#[derive(Debug)]
pub struct BatchProcessed<'a> {
    /// The task.
    pub task: &'a TaskId,
    /// The source of the records.
    pub source: &'a str,
    /// How many records went in.
    pub records: usize,
    /// How many records came out.
    pub outputs: usize,
    /// Records left without effect on purpose: code, how many.
    pub skipped: &'a [(String, u32)],
    /// What the plugin measured.
    pub measurements: &'a [Measurement],
}

impl BatchProcessed<'_> {
    /// Counts it.
    pub fn emit(self) {
        let transform = self.task.transform.as_str();
        let registry = registry();
        registry.add(
            "gristmill_records_in_total",
            &[("transform", transform), ("source", self.source)],
            self.records,
        );
        registry.add("gristmill_records_out_total", &[("transform", transform)], self.outputs);
        for (code, count) in self.skipped {
            let labels = [("transform", transform), ("code", code.as_str())];
            registry.add("gristmill_records_skipped_total", &labels, *count as usize);
        }
        self.measurements.iter().for_each(|measurement| measured(transform, measurement));
    }
}

/// Keeps a plugin's measurement; its name gets a prefix, so that it cannot pass for one of the host's.
fn measured(transform: &str, measurement: &Measurement) {
    let name = format!("gristmill_plugin_{}", measurement.name);
    let own = measurement.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let labels: Vec<_> = std::iter::once(("transform", transform)).chain(own).collect();
    match measurement.value {
        Measured::Count(delta) => {
            registry().add(&name, &labels, usize::try_from(delta).unwrap_or(usize::MAX))
        }
        Measured::Gauge(value) => registry().set(&name, &labels, value),
        Measured::Observe(value) => registry().observe(&name, &labels, value),
    }
}

/// A record goes to the dead-letter topic.
#[derive(Debug)]
pub struct RecordDeadLettered<'a> {
    /// The task.
    pub task: &'a TaskId,
    /// Where the record lies.
    pub place: &'a TopicPartition,
    /// Its offset.
    pub offset: Offset,
    /// Why.
    pub code: &'a str,
    /// For a person.
    pub message: &'a str,
}

impl RecordDeadLettered<'_> {
    /// Counts it; the line is for whoever looks for one record.
    pub fn emit(self) {
        tracing::debug!(task = %self.task, topic = %self.place.topic, partition = %self.place.partition,
            offset = %self.offset, code = self.code, message = self.message, "dead-lettered a record");
        let labels = [("transform", self.task.transform.as_str()), ("code", self.code)];
        registry().add("gristmill_dead_letters_total", &labels, 1);
    }
}

/// A call of a plugin failed; its records are tried again in smaller batches.
#[derive(Debug)]
pub struct CallFailed<'a> {
    /// The task.
    pub task: &'a TaskId,
    /// The source of the records.
    pub source: SourceIndex,
    /// How many records the batch had.
    pub records: usize,
    /// The code of the failure.
    pub code: &'a str,
    /// The plugin's or the engine's words.
    pub message: &'a str,
}

impl CallFailed<'_> {
    /// Logs and counts it.
    pub fn emit(self) {
        tracing::warn!(task = %self.task, source = %self.source, records = self.records, code = self.code,
            message = self.message, "a call of the plugin failed");
        let labels = [("transform", self.task.transform.as_str()), ("code", self.code)];
        registry().add("gristmill_calls_failed_total", &labels, 1);
    }
}

/// A task was opened: its positions are known.
#[derive(Debug)]
pub struct TaskOpened<'a> {
    /// The task.
    pub task: &'a TaskId,
    /// Whether nothing was committed for it before.
    pub fresh: bool,
}

impl TaskOpened<'_> {
    /// Logs and counts it.
    pub fn emit(self) {
        tracing::info!(task = %self.task, fresh = self.fresh, "opened a task");
        registry().add("gristmill_tasks_opened_total", &[("transform", self.task.transform.as_str())], 1);
    }
}

/// A task was closed: its partitions are somebody else's now.
#[derive(Debug)]
pub struct TaskClosed<'a> {
    /// The task.
    pub task: &'a TaskId,
}

impl TaskClosed<'_> {
    /// Logs and counts it.
    pub fn emit(self) {
        tracing::info!(task = %self.task, "closed a task");
        registry().add("gristmill_tasks_closed_total", &[("transform", self.task.transform.as_str())], 1);
    }
}

/// A task stopped: what it has not committed stays where it is until somebody acts.
#[derive(Debug)]
pub struct TaskStopped<'a> {
    /// The task.
    pub task: &'a TaskId,
    /// Why.
    pub fault: &'a Fault,
}

impl TaskStopped<'_> {
    /// Logs and counts it.
    pub fn emit(self) {
        let code = self.fault.code().as_str();
        tracing::error!(task = %self.task, code, hint = self.fault.remedy(), "stopped a task: {}", self.fault.line());
        let labels = [("transform", self.task.transform.as_str()), ("code", code)];
        registry().add("gristmill_tasks_stopped_total", &labels, 1);
    }
}

/// A Kafka client says what it does; for whoever looks into the client itself.
#[derive(Debug)]
pub struct ClientSaid<'a> {
    /// The part of the client that speaks.
    pub facility: &'a str,
    /// Its words.
    pub line: &'a str,
}

impl ClientSaid<'_> {
    /// Logs it.
    pub fn emit(self) {
        tracing::debug!(facility = self.facility, "librdkafka: {}", self.line);
    }
}

/// A worker's consumer had to be made anew, and joins its group again.
#[derive(Debug)]
pub struct GroupRejoined<'a> {
    /// The group.
    pub group: &'a str,
    /// What the old consumer ended with.
    pub fault: &'a Fault,
}

impl GroupRejoined<'_> {
    /// Logs and counts it.
    pub fn emit(self) {
        let code = self.fault.code().as_str();
        tracing::warn!(group = self.group, code, "joining the group again: {}", self.fault);
        registry().add("gristmill_groups_rejoined_total", &[("group", self.group)], 1);
    }
}

/// A Kafka client met trouble that it gets over by itself.
#[derive(Debug)]
pub struct ClientWarned<'a> {
    /// What such lines have in common.
    pub kind: &'a str,
    /// The client's words.
    pub line: &'a str,
    /// How many lines of this kind were held back since the last one.
    pub held_back: usize,
}

impl ClientWarned<'_> {
    /// Logs and counts it.
    pub fn emit(self) {
        tracing::warn!(kind = self.kind, held_back = self.held_back, "librdkafka: {}", self.line);
        registry().add("gristmill_client_warnings_total", &[("kind", self.kind)], 1 + self.held_back);
    }
}

/// A transform runs: its workers join their group.
#[derive(Debug)]
pub struct TransformStarted<'a> {
    /// The transform.
    pub transform: &'a TransformName,
    /// How many workers this process runs for it.
    pub workers: usize,
}

impl TransformStarted<'_> {
    /// Logs it.
    pub fn emit(self) {
        tracing::info!(transform = %self.transform, workers = self.workers, "started a transform");
    }
}

/// A transform stopped; the others go on.
#[derive(Debug)]
pub struct TransformStopped<'a> {
    /// The transform.
    pub transform: &'a TransformName,
    /// Why.
    pub fault: &'a Fault,
}

impl TransformStopped<'_> {
    /// Logs and counts it.
    pub fn emit(self) {
        let code = self.fault.code().as_str();
        tracing::error!(transform = %self.transform, code, hint = self.fault.remedy(), "stopped a transform: {}",
            self.fault.line());
        let labels = [("transform", self.transform.as_str()), ("code", code)];
        registry().add("gristmill_transforms_stopped_total", &labels, 1);
    }
}

/// The topic of a broadcast source ends before the position that a task had reached in it: it was made anew.
#[derive(Debug)]
pub struct BroadcastRestarted<'a> {
    /// The task.
    pub task: &'a TaskId,
    /// The partition of the broadcast topic.
    pub place: &'a TopicPartition,
    /// The position that means nothing any more.
    pub position: Offset,
}

impl BroadcastRestarted<'_> {
    /// Logs and counts it.
    pub fn emit(self) {
        tracing::warn!(task = %self.task, topic = %self.place.topic, partition = %self.place.partition,
            offset = %self.position, "a broadcast topic ends before the task's position; reading it from its start");
        let labels = [("transform", self.task.transform.as_str())];
        registry().add("gristmill_broadcasts_restarted_total", &labels, 1);
    }
}

/// A transaction was committed.
#[derive(Debug)]
pub struct TransactionCommitted<'a> {
    /// The transform.
    pub transform: &'a TransformName,
    /// Source records in it.
    pub records: usize,
    /// How long the commit path took.
    pub took: Duration,
}

impl TransactionCommitted<'_> {
    /// Counts it.
    pub fn emit(self) {
        let labels = [("transform", self.transform.as_str())];
        registry().add("gristmill_transactions_committed_total", &labels, 1);
        registry().observe("gristmill_commit_seconds", &labels, self.took.as_secs_f64());
    }
}

/// A transaction did not commit, or nobody knows; its records are processed again from what is committed.
#[derive(Debug)]
pub struct TransactionFailed<'a> {
    /// The transform.
    pub transform: &'a TransformName,
    /// What happens next: `abort`, `replace`, `fenced`, `timeout`, `lost`.
    pub next: &'static str,
    /// Why.
    pub fault: &'a Fault,
}

impl TransactionFailed<'_> {
    /// Logs and counts it.
    pub fn emit(self) {
        let code = self.fault.code().as_str();
        tracing::warn!(transform = %self.transform, code, next = self.next, cause = self.fault.cause(),
            "a transaction failed: {}", self.fault);
        let labels = [("transform", self.transform.as_str()), ("next", self.next)];
        registry().add("gristmill_transactions_failed_total", &labels, 1);
    }
}

/// A worker has a new producer; whoever had its transactional id before is fenced.
#[derive(Debug)]
pub struct ProducerReplaced<'a> {
    /// The transform.
    pub transform: &'a TransformName,
}

impl ProducerReplaced<'_> {
    /// Logs and counts it.
    pub fn emit(self) {
        tracing::info!(transform = %self.transform, "made a producer");
        registry().add("gristmill_producers_replaced_total", &[("transform", self.transform.as_str())], 1);
    }
}

/// A request to Kafka outside a transaction failed and is tried again.
#[derive(Debug)]
pub struct KafkaTroubled<'a> {
    /// The transform.
    pub transform: &'a TransformName,
    /// Why.
    pub fault: &'a Fault,
}

impl KafkaTroubled<'_> {
    /// Logs and counts it.
    pub fn emit(self) {
        let code = self.fault.code().as_str();
        tracing::warn!(transform = %self.transform, code, cause = self.fault.cause(), "trying again: {}", self.fault);
        let labels = [("transform", self.transform.as_str()), ("code", code)];
        registry().add("gristmill_kafka_troubles_total", &labels, 1);
    }
}

/// The group gave partitions to a worker or took them.
#[derive(Debug)]
pub struct AssignmentChanged<'a> {
    /// The transform.
    pub transform: &'a TransformName,
    /// `assigned`, `revoked` or `lost`.
    pub change: &'static str,
    /// How many partitions.
    pub partitions: usize,
}

impl AssignmentChanged<'_> {
    /// Logs and counts it.
    pub fn emit(self) {
        tracing::info!(transform = %self.transform, change = self.change, partitions = self.partitions,
            "the group's assignment changed");
        let labels = [("transform", self.transform.as_str()), ("change", self.change)];
        registry().add("gristmill_assignments_total", &labels, 1);
    }
}

/// Reading a changelog does not get on.
#[derive(Debug)]
pub struct RestoreStandsStill<'a> {
    /// The partition.
    pub place: &'a TopicPartition,
    /// How far it was read.
    pub position: Offset,
    /// How far it must be read.
    pub until: Offset,
    /// Whether a transaction before that is open. Else the broker gives no records.
    pub is_open: bool,
    /// For how long.
    pub waited: Duration,
}

impl RestoreStandsStill<'_> {
    /// Logs and counts it.
    pub fn emit(self) {
        let cause = if self.is_open { "a transaction is open" } else { "no records come" };
        tracing::warn!(topic = %self.place.topic, partition = self.place.partition.0, position = self.position.0,
            until = self.until.0, seconds = self.waited.as_secs(), "a restore stands still: {cause}");
        let labels = [("topic", self.place.topic.as_str()), ("cause", cause)];
        registry().add("gristmill_restore_stills_total", &labels, 1);
    }
}

/// A local store cannot be used; it is dropped, and restored from Kafka.
#[derive(Debug)]
pub struct StoreDropped<'a> {
    /// The task.
    pub task: &'a TaskId,
    /// Where it was.
    pub path: &'a Path,
    /// What is wrong: `foreign`, `format` or `damaged`.
    pub kind: &'static str,
    /// The same for a person.
    pub reason: &'a str,
}

impl StoreDropped<'_> {
    /// Logs and counts it.
    pub fn emit(self) {
        tracing::warn!(task = %self.task, path = %self.path.display(), kind = self.kind, reason = self.reason,
            "dropped a local store that cannot be used");
        let labels = [("transform", self.task.transform.as_str()), ("kind", self.kind)];
        registry().add("gristmill_stores_dropped_total", &labels, 1);
    }
}
