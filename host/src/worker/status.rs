//! What a worker's tasks are doing, for whoever asks.

use crate::fault::Code;
use crate::id::{Offset, TaskId, TopicPartition};
use crate::io::{Sink, Source};
use crate::worker::Worker;

/// What a task is doing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TaskState {
    /// Its partitions are not here.
    Closed,
    /// It works, or waits for records.
    Running,
    /// It waits for an operator.
    Stopped {
        /// The code of the fault.
        code: Code,
        /// What happened.
        message: String,
    },
}

/// A task as it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TaskStatus {
    /// The task.
    pub id: TaskId,
    /// What it is doing.
    pub state: TaskState,
    /// Records that wait in its buffers.
    pub waiting: usize,
    /// The next offset of each of its partitions, committed or not.
    pub positions: Vec<(TopicPartition, Offset)>,
}

impl<S: Source, K: Sink<Membership = S::Membership>> Worker<S, K> {
    /// The tasks that this worker knows.
    pub fn status(&self) -> Vec<TaskStatus> {
        let statuses = self.tasks.values().map(|task| TaskStatus {
            id: task.id().clone(),
            state: match task.fault() {
                Some(fault) => TaskState::Stopped { code: fault.code(), message: fault.to_string() },
                None if task.is_open() => TaskState::Running,
                None => TaskState::Closed,
            },
            waiting: task.waiting(),
            positions: task.reached(),
        });
        statuses.collect()
    }
}
