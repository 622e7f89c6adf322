//! What a worker's tasks are doing, for whoever asks.

use std::time::Duration;

use crate::id::TaskId;
use crate::io::{Sink, Source};
use crate::status::{
    self, Answer, Ask, CalloutCounts, Question, Refusal, RestoreStatus, StoreStatus, TaskState, TaskStatus,
    WorkerStatus,
};
use crate::task::Task;
use crate::task::restore::Restoration;
use crate::worker::Worker;

/// The name of the whole local copy of a task's state.
const COPY: &str = "copy";

impl<S: Source, K: Sink<Membership = S::Membership>> Worker<S, K> {
    /// The tasks that this worker knows.
    pub fn status(&self) -> Vec<TaskStatus> {
        let elapsed = self.ports.clock.elapsed();
        let known = self.tasks.values().filter(|task| !self.restoring.contains_key(&task.id().partition));
        let restoring = self.restoring.iter().map(|(partition, restoration)| {
            restoring(self.task_id(*partition), restoration, self.tasks.get(partition))
        });
        known.map(|task| status(task, elapsed)).chain(restoring).collect()
    }

    /// Whether all that its tasks have done is committed, and nothing of theirs waits for a producer or a restore.
    pub fn is_at_rest(&self) -> bool {
        let is_committed = self.transaction.since.is_none() && self.dirty_tasks().next().is_none();
        is_committed && self.restoring.is_empty() && (self.is_ready() || self.assigned.is_empty())
    }

    /// Publishes a snapshot when it is time, and answers one question.
    pub(super) fn show(&mut self) {
        let elapsed = self.ports.clock.elapsed();
        if self.slot.is_due(elapsed) {
            let status = WorkerStatus { has_producer: self.is_ready(), tasks: self.status() };
            self.slot.show(elapsed, status);
        }
        if let Some(question) = self.slot.question() {
            // Whoever asked may have gone.
            let Question { task, store, ask, reply } = question;
            drop(reply.try_send(self.answer(&task, &store, &ask)));
        }
    }

    /// Answers a question about the rows of a task: those that are not committed yet are among them.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn answer(&self, task: &TaskId, store: &str, ask: &Ask) -> Answer {
        match self.tasks.get(&task.partition).filter(|known| known.id() == task) {
            Some(task) if task.is_open() => match ask {
                Ask::Callouts { which, after, limit } => task.callouts(*which, after.as_deref(), *limit),
                Ask::Get(_) | Ask::Scan { .. } => status::answer(task.state(), store, ask),
            },
            _ => Err(Refusal::NotHere),
        }
    }
}

fn status(task: &Task, elapsed: Duration) -> TaskStatus {
    let bytes = task.store_bytes();
    let store = bytes.map(|_| StoreStatus { name: COPY.to_owned(), rows: None, bytes });
    TaskStatus {
        id: task.id().clone(),
        state: match task.fault() {
            Some(fault) => TaskState::from(fault),
            None if task.is_open() => TaskState::Running,
            None => TaskState::Closed,
        },
        waiting: task.waiting(),
        positions: task.progress(),
        restores: Vec::new(),
        jobs: task.jobs(elapsed),
        stores: store.into_iter().collect(),
        callouts: task.callout_counts(),
    }
}

/// A task on its way.
fn restoring(id: TaskId, restoration: &Restoration, task: Option<&Task>) -> TaskStatus {
    let restores = restoration.progress().map(|(place, progress)| RestoreStatus {
        place: place.clone(),
        read: progress.position,
        until: (progress.until > progress.position).then_some(progress.until),
    });
    TaskStatus {
        id,
        state: TaskState::Restoring,
        waiting: 0,
        positions: task.map(Task::progress).unwrap_or_default(),
        restores: restores.collect(),
        jobs: Vec::new(),
        stores: Vec::new(),
        callouts: CalloutCounts::default(),
    }
}
