//! What the pages under `/api/v1` look like: JSON objects, written by the host and read by its own commands.
//!
//! Keys are only ever added. Times are whole milliseconds; what is not known is `null`. The reference with examples is
//! `docs/reference/api.md`.

use serde::{Deserialize, Serialize};

/// `/api/v1/transforms`
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Transforms {
    /// The application.
    pub app: String,
    /// The name of the host process.
    pub instance: String,
    /// The version of the host.
    pub version: String,
    /// The transforms, in the order of the pipeline file.
    pub transforms: Vec<Transform>,
}

/// A transform.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Transform {
    /// Its name.
    pub name: String,
    /// `starting`, `running` or `stopped`.
    pub state: String,
    /// Why it stopped.
    pub fault: Option<Fault>,
    /// Its plugin.
    pub plugin: Plugin,
    /// Its consumer group.
    pub group: String,
    /// Its sources that are bound.
    pub sources: Vec<Binding>,
    /// Its sinks.
    pub sinks: Vec<Binding>,
    /// The topic of its dead letters.
    pub dead_letters: String,
    /// Its workers in this process.
    pub workers: Vec<Worker>,
}

/// A plugin.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Plugin {
    /// The name in its manifest.
    pub name: String,
    /// The version in its manifest.
    pub version: String,
    /// The digest of its component.
    pub digest: String,
}

/// A source or a sink with its topic.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Binding {
    /// The name in the manifest.
    pub name: String,
    /// `stream`, `table` or `broadcast`; nothing for a sink.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The topic.
    pub topic: String,
}

/// A worker.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Worker {
    /// Its name in the group and in transactions.
    pub name: String,
    /// `absent`, `without-producer`, `working` or `silent`.
    pub state: String,
    /// How long ago it was seen.
    pub age_ms: u64,
}

/// A fault.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Fault {
    /// Its code, for `gristmill explain`.
    pub code: String,
    /// What happened.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// `/api/v1/tasks`
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Tasks {
    /// The application.
    pub app: String,
    /// The name of the host process.
    pub instance: String,
    /// The tasks of this process, by transform and partition.
    pub tasks: Vec<Task>,
}

/// A task.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Task {
    /// Its name, such as `delivery-time/3`.
    pub task: String,
    /// The transform.
    pub transform: String,
    /// The partition number.
    pub partition: i32,
    /// The worker that has it.
    pub worker: String,
    /// `restoring`, `running` or `stopped`.
    pub state: String,
    /// Why it stopped.
    pub fault: Option<Fault>,
    /// Records that wait in its buffers.
    pub waiting: usize,
    /// The sum of the lags of its partitions.
    pub lag: Option<i64>,
    /// Its partition of each source.
    pub positions: Vec<Position>,
    /// What it reads again at the moment.
    pub restores: Vec<Restore>,
    /// How long ago it was seen.
    pub age_ms: u64,
}

/// How far a task is in a partition.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Position {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The next offset to process, committed or not.
    pub position: i64,
    /// The same, as committed.
    pub committed: Option<i64>,
    /// Up to where the partition can be read.
    pub end: Option<i64>,
    /// Offsets between what is committed and the end, those of markers counted.
    pub lag: Option<i64>,
}

/// A partition that is read again to rebuild state.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Restore {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// How far it was read.
    pub read: i64,
    /// The position that is read to.
    pub until: Option<i64>,
}

/// `/api/v1/jobs`
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Jobs {
    /// The application.
    pub app: String,
    /// The name of the host process.
    pub instance: String,
    /// The jobs of this process that are not done, by task.
    pub jobs: Vec<Job>,
}

/// A job.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Job {
    /// Its task.
    pub task: String,
    /// The transform of the task.
    pub transform: String,
    /// A kind of the manifest.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Grows with each start under this name.
    pub generation: u64,
    /// `waiting`, `running` or `failed`.
    pub state: String,
    /// Why it failed.
    pub fault: Option<Fault>,
    /// Rows that it has looked at.
    pub visited: u64,
    /// Records that it has put out.
    pub emitted: u64,
    /// How many rows there are to look at.
    pub total: Option<u64>,
    /// The part that is done, from 0 to 1.
    pub progress: Option<f64>,
    /// Rows a second, lately.
    pub per_second: f64,
    /// How long it will take.
    pub left_ms: Option<u64>,
}

/// `/api/v1/callouts`
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Callouts {
    /// The application.
    pub app: String,
    /// The name of the host process.
    pub instance: String,
    /// The callouts of this process, by task: first those that somebody has to look at, then those that have not ended.
    pub callouts: Vec<Callout>,
    /// Whether a task has more than the page was asked for.
    pub more: bool,
}

/// A callout.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Callout {
    /// Its task.
    pub task: String,
    /// The transform of the task.
    pub transform: String,
    /// Its id.
    pub id: String,
    /// `queued`, `dispatching`, `answered`, `in-doubt` or `gave-up`.
    pub state: String,
    /// The endpoint's name in the manifest.
    pub endpoint: String,
    /// `at-most-once` or `idempotent`.
    pub mode: String,
    /// The HTTP method.
    pub method: String,
    /// Path and query below the base URL.
    pub path: String,
    /// Requests that were made for it.
    pub attempts: u32,
    /// When the plugin asked for it, in milliseconds since 1970.
    pub intended_ms: i64,
    /// Why it has no answer.
    pub reason: Option<CalloutReason>,
    /// As the plugin gave it, when it is text.
    pub key: Option<String>,
    /// The callout that an operator retried with this one.
    pub retry_of: Option<String>,
}

/// Why a callout has no answer.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct CalloutReason {
    /// Stable.
    pub code: String,
    /// For a person.
    pub message: String,
    /// The last HTTP status, if there was an answer.
    pub last_status: Option<u16>,
}

/// `/api/v1/stores`
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Stores {
    /// The application.
    pub app: String,
    /// The name of the host process.
    pub instance: String,
    /// The local stores of this process, by task.
    pub stores: Vec<Store>,
}

/// A local store.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Store {
    /// Its task.
    pub task: String,
    /// The transform of the task.
    pub transform: String,
    /// Its name.
    pub name: String,
    /// Its rows.
    pub rows: Option<u64>,
    /// What it takes on the disk, roughly.
    pub bytes: Option<u64>,
}

/// `/api/v1/state/TRANSFORM/PARTITION/STORE`
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Rows {
    /// The task.
    pub task: String,
    /// The store.
    pub store: String,
    /// The rows, in the order of their keys.
    pub rows: Vec<Row>,
    /// The key to go on behind, if there are more.
    pub next: Option<Text>,
}

/// A row of a store.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Its key.
    pub key: Text,
    /// Its value.
    pub value: Text,
}

/// Bytes: as text when they are text, else `{"hex": "00ff"}`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Text {
    /// They are UTF-8.
    Text(String),
    /// They are not.
    Hex {
        /// Two digits a byte.
        hex: String,
    },
}

/// `/readyz`
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Readiness {
    /// Whether everything works.
    pub ready: bool,
    /// What does not.
    pub reasons: Vec<Reason>,
}

/// Something that does not work.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Reason {
    /// `worker_absent`, `worker_without_producer`, `worker_silent`, `task_restoring`, or the code of a fault.
    pub code: String,
    /// For a person.
    pub message: String,
}

/// `/api/v1/ingests`
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Ingests {
    /// The application.
    pub app: String,
    /// The name of the host process.
    pub instance: String,
    /// The ingests, in the order of the pipeline file.
    pub ingests: Vec<Ingest>,
}

/// An ingest.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Ingest {
    /// Its name.
    pub name: String,
    /// `sql`, `http` or `dynamodb`.
    pub kind: String,
    /// The topic that it writes.
    pub topic: String,
    /// `starting`, `waiting`, `running`, `serving`, `by-hand` or `stopped`.
    pub state: String,
    /// Why it stopped.
    pub fault: Option<Fault>,
    /// When it runs: an interval or a cron expression.
    pub schedule: Option<String>,
    /// Where it takes requests.
    pub address: Option<String>,
    /// What a run is at: `topic`, `table` or `publish`.
    pub stage: Option<String>,
    /// Records of that stage so far.
    pub done: Option<u64>,
    /// When it runs next by itself.
    pub next_at: Option<i64>,
    /// How many runs of this process have ended.
    pub runs: u64,
    /// The last of them.
    pub last: Option<IngestRun>,
    /// The highest ticket of a request that a run has served.
    pub served: u64,
}

/// A run of an ingest that has ended. Of one that failed nothing was published.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct IngestRun {
    /// When.
    pub ended_at: i64,
    /// How long it took.
    pub took_ms: u64,
    /// Keys that are new.
    pub inserts: Option<u64>,
    /// Keys whose value changed.
    pub updates: Option<u64>,
    /// Keys that are deleted.
    pub deletes: Option<u64>,
    /// Keys that are as they were.
    pub unchanged: Option<u64>,
    /// Why it failed.
    pub fault: Option<Fault>,
}

/// The answer to `POST /api/v1/ingests/NAME/run`: the run comes, soon.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Asked {
    /// The ingest.
    pub ingest: String,
    /// Served when a run has ended that began later: when `served` on the page of ingests is not below it.
    pub ticket: u64,
}

/// Every answer that is not the page that was asked for.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Refused {
    /// Why.
    pub error: Fault,
}

impl From<Vec<u8>> for Text {
    fn from(bytes: Vec<u8>) -> Self {
        String::from_utf8(bytes).map_or_else(|error| Self::Hex { hex: hex(error.as_bytes()) }, Self::Text)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
