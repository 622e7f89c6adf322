//! What a worker's tasks are doing, for whoever asks.

use crate::io::{Sink, Source};
use crate::status::{Answer, Question, Refusal, TaskState, TaskStatus, WorkerStatus};
use crate::task::Task;
use crate::worker::Worker;

impl<S: Source, K: Sink<Membership = S::Membership>> Worker<S, K> {
    /// The tasks that this worker knows.
    pub fn status(&self) -> Vec<TaskStatus> {
        self.tasks.values().map(status).collect()
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
            drop(question.reply.try_send(self.answer(&question)));
        }
    }

    fn answer(&self, question: &Question) -> Answer {
        let task = self.tasks.get(&question.task.partition).filter(|task| task.id() == &question.task);
        match task {
            // Tasks have no state that could be lent yet; `status::answer` looks into one.
            Some(task) if task.is_open() => Err(Refusal::NotAvailable),
            _ => Err(Refusal::NotHere),
        }
    }
}

fn status(task: &Task) -> TaskStatus {
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
        jobs: Vec::new(),
        stores: Vec::new(),
    }
}
