//! Snapshots of a worker, its tasks, and what they are busy with.

use std::time::Duration;

use crate::fault::{Code, Fault};
use crate::id::{Offset, TaskId, TopicPartition};

/// A worker as it stands.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct WorkerStatus {
    /// Whether it has a producer, without which nothing is processed.
    pub has_producer: bool,
    /// The tasks that it knows, closed ones too.
    pub tasks: Vec<TaskStatus>,
}

/// What a task is doing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TaskState {
    /// Its partitions are not here.
    Closed,
    /// Its state is rebuilt from its changelog and its tables.
    Restoring,
    /// It works, or waits for records.
    Running,
    /// It waits for an operator.
    Stopped {
        /// The code of the fault.
        code: Code,
        /// What happened.
        message: String,
        /// What the operator can do.
        hint: String,
    },
}

/// A task as it stands.
#[derive(Clone, PartialEq, Debug)]
pub struct TaskStatus {
    /// The task.
    pub id: TaskId,
    /// What it is doing.
    pub state: TaskState,
    /// Records that wait in its buffers.
    pub waiting: usize,
    /// Its partition of each source.
    pub positions: Vec<PartitionStatus>,
    /// What it reads again at the moment.
    pub restores: Vec<RestoreStatus>,
    /// Its jobs that are not done.
    pub jobs: Vec<JobStatus>,
    /// Its local stores.
    pub stores: Vec<StoreStatus>,
    /// Its callouts that have not ended.
    pub callouts: CalloutCounts,
}

/// Callouts that have not ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CalloutCounts {
    /// Those that wait for a place.
    pub waiting: usize,
    /// Those that may be with a server.
    pub under_way: usize,
}

/// How far a task is in a partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartitionStatus {
    /// The partition.
    pub place: TopicPartition,
    /// The next offset to process, committed or not.
    pub position: Offset,
    /// The same, as committed; none when nothing is.
    pub committed: Option<Offset>,
}

/// Something of a partition is read again to rebuild state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RestoreStatus {
    /// The partition of a changelog or of a table.
    pub place: TopicPartition,
    /// How far it was read.
    pub read: Offset,
    /// The position that is read to; none while it is asked for.
    pub until: Option<Offset>,
}

/// A job as it stands.
#[derive(Clone, PartialEq, Debug)]
pub struct JobStatus {
    /// A kind of the manifest.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Grows with each start under this name.
    pub generation: u64,
    /// Rows that it has looked at.
    pub visited: u64,
    /// Records that it has put out.
    pub emitted: u64,
    /// How many rows there are to look at, where that is known.
    pub total: Option<u64>,
    /// Rows a second, lately.
    pub per_second: f64,
    /// How long it will take, where that can be told.
    pub left: Option<Duration>,
    /// What it is doing.
    pub state: JobState,
}

/// What a job is doing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum JobState {
    /// It waits for its turn, or for something that it needs.
    Waiting,
    /// It makes steps.
    Running,
    /// It waits for an operator.
    Failed {
        /// The code of the fault.
        code: String,
        /// What happened.
        message: String,
    },
}

/// A local store as it stands. What is not cheap to know is not there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoreStatus {
    /// A store of the manifest, a table, or the whole local copy of a task.
    pub name: String,
    /// Its rows.
    pub rows: Option<u64>,
    /// What it takes on the disk, roughly.
    pub bytes: Option<u64>,
}

/// A fault as it is shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FaultStatus {
    /// Its code.
    pub code: Code,
    /// What happened.
    pub message: String,
    /// What the operator can do.
    pub hint: String,
}

impl From<&Fault> for TaskState {
    fn from(fault: &Fault) -> Self {
        let FaultStatus { code, message, hint } = fault.into();
        Self::Stopped { code, message, hint }
    }
}

impl From<&Fault> for FaultStatus {
    fn from(fault: &Fault) -> Self {
        Self { code: fault.code(), message: fault.to_string(), hint: fault.remedy().to_owned() }
    }
}

impl JobStatus {
    /// The part that is done, from 0 to 1, where that is known.
    pub fn progress(&self) -> Option<f64> {
        let total = self.total.filter(|total| *total > 0)?;
        Some((self.visited as f64 / total as f64).min(1.0))
    }
}
