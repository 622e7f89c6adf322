//! Events of state: restores, local stores, jobs, indexes and callouts.

use std::time::Duration;

use crate::event::registry;
use crate::fault::Fault;
use crate::id::{Offset, TaskId, TopicPartition, TransformName};
use crate::io::{Ended, Response};

/// A task's state is brought up to date from a topic.
#[derive(Debug)]
pub struct RestoreBegan<'a> {
    /// The task.
    pub task: &'a TaskId,
    /// What is read.
    pub place: &'a TopicPartition,
    /// The first offset.
    pub from: Offset,
    /// The position that is read to.
    pub until: Offset,
}

impl RestoreBegan<'_> {
    /// Logs it.
    pub fn emit(self) {
        tracing::debug!(task = %self.task, topic = %self.place.topic, from = %self.from, until = %self.until,
            "brings state up to date");
    }
}

/// Restores take long; how far they are is said from time to time.
#[derive(Debug)]
pub struct RestoreMoved<'a> {
    /// The transform.
    pub transform: &'a TransformName,
    /// How many of its tasks this worker brings up to date.
    pub tasks: usize,
    /// From 0 to 1.
    pub progress: f64,
}

impl RestoreMoved<'_> {
    /// Logs it.
    pub fn emit(self) {
        let Self { transform, tasks, progress } = self;
        tracing::info!(%transform, tasks, "brings state up to date {}", crate::event::bar(progress));
    }
}

/// A task's state is up to date.
#[derive(Debug)]
pub struct RestoreEnded<'a> {
    /// The task.
    pub task: &'a TaskId,
    /// How many records were applied.
    pub records: u64,
    /// How long it took.
    pub took: Duration,
}

impl RestoreEnded<'_> {
    /// Logs and counts it.
    pub fn emit(self) {
        let millis = u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(task = %self.task, records = self.records, took_ms = millis, "state is up to date");
        let labels = [("transform", self.task.transform.as_str())];
        let records = usize::try_from(self.records).unwrap_or(usize::MAX);
        registry().add("gristmill_restored_records_total", &labels, records);
        registry().observe("gristmill_restore_seconds", &labels, self.took.as_secs_f64());
    }
}

/// A local store is of no use to its task any more: it is restored from Kafka.
#[derive(Debug)]
pub struct StoreDiscarded<'a> {
    /// The task.
    pub task: &'a TaskId,
    /// Why.
    pub reason: &'a str,
}

impl StoreDiscarded<'_> {
    /// Logs and counts it.
    pub fn emit(self) {
        tracing::warn!(task = %self.task, reason = self.reason, "discarded a local store; it is restored from Kafka");
        registry().add("gristmill_stores_discarded_total", &[("transform", self.task.transform.as_str())], 1);
    }
}

/// A local store could not be made or written: the task waits before it tries again.
#[derive(Debug)]
pub struct StoreAwaited<'a> {
    /// The task.
    pub task: &'a TaskId,
    /// Why.
    pub reason: &'a str,
    /// How long it waits.
    pub pause: Duration,
}

impl StoreAwaited<'_> {
    /// Logs and counts it.
    pub fn emit(self) {
        let millis = u64::try_from(self.pause.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(task = %self.task, reason = self.reason, pause_ms = millis,
            "a local store cannot be used; the task waits and tries again");
        registry().add("gristmill_stores_awaited_total", &[("transform", self.task.transform.as_str())], 1);
    }
}

/// Rows of a broadcast table were deleted while nobody looked, and compaction has hidden the tombstones.
#[derive(Debug)]
pub struct DeletionsFound<'a> {
    /// The topic.
    pub place: &'a TopicPartition,
    /// How many rows.
    pub rows: usize,
}

impl DeletionsFound<'_> {
    /// Logs it.
    pub fn emit(self) {
        tracing::info!(topic = %self.place.topic, rows = self.rows, "found deletions that compaction has hidden");
    }
}

/// A record names a position that its topic does not hold: it is not waited for.
#[derive(Debug)]
pub struct CausalHeaderBogus<'a> {
    /// The task.
    pub task: &'a TaskId,
    /// The broadcast topic.
    pub place: &'a TopicPartition,
    /// The offset.
    pub offset: Offset,
}

impl CausalHeaderBogus<'_> {
    /// Logs and counts it.
    pub fn emit(self) {
        tracing::warn!(task = %self.task, topic = %self.place.topic, partition = %self.place.partition,
            offset = %self.offset, "a record waits for what its topic does not hold; it is not waited for");
        let labels = [("transform", self.task.transform.as_str())];
        registry().add("gristmill_bogus_causal_headers_total", &labels, 1);
    }
}

/// The index function of a plugin failed on a row alone: the row has no terms.
#[derive(Debug)]
pub struct RowNotIndexed<'a> {
    /// The task.
    pub task: &'a TaskId,
    /// The index.
    pub index: &'a str,
    /// Why.
    pub message: &'a str,
}

impl RowNotIndexed<'_> {
    /// Logs and counts it.
    pub fn emit(self) {
        tracing::warn!(task = %self.task, index = self.index, message = self.message, "a row has no terms");
        let labels = [("transform", self.task.transform.as_str()), ("index", self.index)];
        registry().add("gristmill_rows_not_indexed_total", &labels, 1);
    }
}

/// A step of a job was done.
#[derive(Debug)]
pub struct JobStepped<'a> {
    /// The task.
    pub task: &'a TaskId,
    /// The kind of job.
    pub kind: &'a str,
    /// Rows that the step looked at.
    pub visited: u64,
    /// Records that it sent.
    pub emitted: u64,
}

impl JobStepped<'_> {
    /// Counts it.
    pub fn emit(self) {
        let labels = [("transform", self.task.transform.as_str()), ("kind", self.kind)];
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        registry().add("gristmill_job_steps_total", &labels, 1);
        registry().add("gristmill_job_rows_total", &labels, count(self.visited));
        registry().add("gristmill_job_records_total", &labels, count(self.emitted));
    }
}

/// A task carries out an order of the operator.
#[derive(Debug)]
pub struct OrderTaken<'a> {
    /// The task.
    pub task: &'a TaskId,
    /// Where the order lies in the inbox.
    pub offset: Offset,
    /// The order.
    pub order: &'a str,
}

impl OrderTaken<'_> {
    /// Logs and counts it.
    pub fn emit(self) {
        let Self { task, offset, order } = self;
        tracing::info!(%task, %offset, order, "takes an order from its inbox");
        registry().add("gristmill_orders_total", &[("transform", task.transform.as_str())], 1);
    }
}

/// A step of a job failed; it is tried again, later and smaller.
#[derive(Debug)]
pub struct StepFailed<'a> {
    /// The task.
    pub task: &'a TaskId,
    /// The kind of job.
    pub kind: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The code of the failure.
    pub code: &'a str,
    /// The plugin's or the engine's words.
    pub message: &'a str,
}

impl StepFailed<'_> {
    /// Logs and counts it.
    pub fn emit(self) {
        let Self { task, kind, name, code, message } = self;
        tracing::warn!(%task, kind, name, code, message, "a step of a job failed");
        let labels = [("transform", task.transform.as_str()), ("kind", kind), ("code", code)];
        registry().add("gristmill_job_steps_failed_total", &labels, 1);
    }
}

/// A job came to its end, or was given up.
#[derive(Debug)]
pub struct JobEnded<'a> {
    /// The task.
    pub task: &'a TaskId,
    /// The kind of job.
    pub kind: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Rows that it looked at.
    pub visited: u64,
    /// Records that it sent.
    pub emitted: u64,
    /// Why it was given up.
    pub fault: Option<&'a Fault>,
}

impl JobEnded<'_> {
    /// Logs and counts it.
    pub fn emit(self) {
        let Self { task, kind, name, visited, emitted, fault } = self;
        let state = match fault {
            None => {
                tracing::info!(%task, kind, name, visited, emitted, "a job is done");
                "done"
            }
            Some(fault) => {
                let code = fault.code().as_str();
                tracing::error!(%task, kind, name, code, hint = fault.remedy(), "gave a job up: {}", fault.line());
                "failed"
            }
        };
        let labels = [("transform", task.transform.as_str()), ("kind", kind), ("state", state)];
        registry().add("gristmill_jobs_ended_total", &labels, 1);
    }
}

/// A plugin asked for a callout with an id that is known: nothing follows.
#[derive(Debug)]
pub struct CalloutIgnored<'a> {
    /// The task.
    pub task: &'a TaskId,
    /// The endpoint.
    pub endpoint: &'a str,
    /// The id.
    pub id: &'a str,
}

impl CalloutIgnored<'_> {
    /// Logs and counts it.
    pub fn emit(self) {
        tracing::debug!(task = %self.task, endpoint = self.endpoint, id = self.id, "ignored a callout whose id is known");
        let labels = [("transform", self.task.transform.as_str()), ("endpoint", self.endpoint)];
        registry().add("gristmill_callouts_ignored_total", &labels, 1);
    }
}

/// A callout has ended, and the plugin was told.
#[derive(Debug)]
pub struct CalloutEnded<'a> {
    /// The task.
    pub task: &'a TaskId,
    /// What became of it.
    pub response: &'a Response,
}

impl CalloutEnded<'_> {
    /// Logs what a person has to look at, and counts it.
    pub fn emit(self) {
        let Response { id, endpoint, ended, attempts, .. } = self.response;
        let outcome = match ended {
            Ended::Answered { .. } | Ended::NotSent => "answered",
            Ended::GaveUp(reason) | Ended::InDoubt(reason) => {
                let outcome = if matches!(ended, Ended::GaveUp(_)) { "gave-up" } else { "in-doubt" };
                tracing::warn!(task = %self.task, endpoint, id, attempts, outcome, code = reason.code,
                    "a callout has no answer and went to the review topic: {}", reason.message);
                outcome
            }
        };
        let transform = self.task.transform.as_str();
        let labels = [("transform", transform), ("endpoint", endpoint.as_str()), ("outcome", outcome)];
        registry().add("gristmill_callouts_ended_total", &labels, 1);
    }
}

/// An answer came for a callout that has ended in another way.
#[derive(Debug)]
pub struct AnswerIgnored<'a> {
    /// The task.
    pub task: &'a TaskId,
    /// The id of the callout.
    pub id: &'a str,
}

impl AnswerIgnored<'_> {
    /// Logs and counts it.
    pub fn emit(self) {
        tracing::warn!(task = %self.task, id = self.id, "an answer came for a callout that has ended already");
        let labels = [("transform", self.task.transform.as_str())];
        registry().add("gristmill_callout_answers_ignored_total", &labels, 1);
    }
}

/// An operator has a callout made again.
#[derive(Debug)]
pub struct CalloutRetried<'a> {
    /// The task.
    pub task: &'a TaskId,
    /// The id of the callout that was given up or in doubt.
    pub id: &'a str,
    /// The id of the new one.
    pub new_id: &'a str,
}

impl CalloutRetried<'_> {
    /// Logs it.
    pub fn emit(self) {
        tracing::info!(task = %self.task, id = self.id, new_id = self.new_id,
            "an operator has a callout made again: it is a new call with a new id");
    }
}
