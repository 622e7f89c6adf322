//! What becomes of answers whose task has moved.

use crate::event::registry;
use crate::fault::Fault;
use crate::id::TaskId;

/// An answer was written into the inbox, for the new owner of its task.
#[derive(Debug)]
pub struct AnswerForwarded<'a> {
    /// The task.
    pub task: &'a TaskId,
    /// The id of the callout.
    pub id: &'a str,
}

impl AnswerForwarded<'_> {
    /// Logs and counts it.
    pub fn emit(self) {
        tracing::info!(task = %self.task, id = self.id, "forwarded the answer of a callout to the new owner of its task");
        count(self.task, "forwarded");
    }
}

/// The inbox does not take an answer, for its size perhaps; the new owner of its task will not know of it.
#[derive(Debug)]
pub struct AnswerLost<'a> {
    /// The task.
    pub task: &'a TaskId,
    /// The id of the callout.
    pub id: &'a str,
    /// Why.
    pub fault: &'a Fault,
}

impl AnswerLost<'_> {
    /// Logs and counts it.
    pub fn emit(self) {
        let code = self.fault.code().as_str();
        tracing::warn!(task = %self.task, id = self.id, code, cause = self.fault.cause(),
            "the answer of a callout cannot be forwarded, as if its host had died: {}", self.fault);
        count(self.task, "lost");
    }
}

fn count(task: &TaskId, fate: &'static str) {
    let labels = [("transform", task.transform.as_str()), ("fate", fate)];
    registry().add("gristmill_orphaned_answers_total", &labels, 1);
}
