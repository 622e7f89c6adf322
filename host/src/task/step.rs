//! A step of a job, and what its answer leads to.

use crate::event;
use crate::fault::{Code, Fault};
use crate::io::{CallError, Step, StepOutcome};
use crate::record::Chunk;
use crate::task::call::harm;
use crate::task::check::{Checked, Given, check};
use crate::task::effects::{Effects, JobName};
use crate::task::jobs::{self, FAILURES_MAX, STANDSTILLS_MAX};
use crate::task::repeat::REPEAT;
use crate::task::state::job::JobRow;
use crate::task::{Surroundings, Task, Turn};

impl Task {
    /// Lets a job make one step, in one call.
    pub(super) fn step(&mut self, row: JobRow, around: &Surroundings<'_>) -> Turn {
        let name = jobs::name(&row);
        if name.0 == REPEAT {
            return self.repeat_page(row, around);
        }
        if !self.spec.state.jobs.contains(&name.0) {
            let what = format!("the plugin has no job of kind `{}` any more", name.0);
            return self.end_job(row, Some(Fault::new(Code::JobUnknown, what)), around);
        }
        let mut instance = match around.instance(&mut self.instance, &self.id) {
            Ok(instance) => instance,
            Err(fault) => return self.stop_for(fault),
        };
        self.begin_call(around.now);
        let (budget, stream_time) = (self.jobs.budget(&name), self.stream_time);
        let step = Step { job: &row.job, budget, now: around.now, stream_time };
        let stepped = instance.step(step, self.lend());
        if let Err(fault) = self.take_back(stepped.state) {
            return Turn::Damaged(fault);
        }
        let none = Chunk::new();
        let given = Given { records: &none, now: around.now, stream_time };
        let checked = stepped
            .answer
            .map(|answer| check(&answer.outcome, given, &self.spec).map(|checked| (answer, checked)));
        match checked {
            Ok(Ok((answer, checked))) => {
                self.instance = Some(instance).filter(|instance| !instance.is_spent());
                self.keep_step(row, answer, checked, around)
            }
            Ok(Err(violation)) => self.step_failed(row, (violation.code, violation.message), around),
            Err(CallError::State { code, message }) => Turn::Damaged(Fault::new(code, message)),
            Err(CallError::Fatal(message)) => {
                let what = format!("task `{}` cannot go on: {message}", self.id);
                self.stop_for(Fault::new(Code::PluginFatal, what))
            }
            Err(CallError::Retry(_)) => {
                self.jobs.retry(&name, around.elapsed);
                Turn::Searching
            }
            Err(error) => self.step_failed(row, harm(&error), around),
        }
    }

    fn keep_step(
        &mut self,
        row: JobRow,
        answer: StepOutcome,
        checked: Checked,
        around: &Surroundings<'_>,
    ) -> Turn {
        let name = jobs::name(&row);
        let StepOutcome { outcome, cursor, visited, total } = answer;
        let emitted = outcome.outputs.len() as u64;
        // The step itself may have superseded or cancelled its job: then its cursor is nobody's.
        let current = match self.state.job_row(&name) {
            Ok(current) => current.filter(|current| current.job.generation == row.job.generation),
            Err(fault) => return Turn::Damaged(fault),
        };
        let got_on = cursor != row.job.cursor || emitted > 0 || self.state.has_written();
        let standstills = self.jobs.stepped(&row, got_on, outcome.outputs.len(), around.elapsed);
        if standstills >= STANDSTILLS_MAX {
            let what = format!("{standstills} steps in a row gave the same cursor and nothing else");
            return self.end_job(row, Some(Fault::new(Code::JobStuck, what)), around);
        }
        if current.is_some() {
            self.move_job_on(JobRow { total: total.or(row.total), ..row }, cursor, (visited, emitted));
        }
        let intents = outcome.callouts.iter().map(|intent| (intent, None));
        if let Err(fault) = self.index_written(around).and_then(|()| self.intend(intents, around)) {
            return Turn::Damaged(fault);
        }
        self.keep_call();
        self.has_effects = true;
        let after = self.broadcast.after(&self.spec);
        Turn::Made(Box::new(Effects::of_step(name, outcome, self.stream_time, checked.bytes).after(after)))
    }

    /// A job got on, as part of the call under way; without a cursor it is done.
    pub(super) fn move_job_on(
        &mut self,
        mut row: JobRow,
        cursor: Option<Vec<u8>>,
        (visited, emitted): (u64, u64),
    ) {
        let (task, (kind, name)) = (&self.id, jobs::name(&row));
        event::JobStepped { task, kind: &kind, visited, emitted }.emit();
        row.visited = row.visited.saturating_add(visited);
        row.emitted = row.emitted.saturating_add(emitted);
        row.job.cursor = cursor;
        let is_done = row.job.cursor.is_none();
        if is_done {
            let (visited, emitted) = (row.visited, row.emitted);
            event::JobEnded { task, kind: &kind, name: &name, visited, emitted, fault: None }.emit();
        }
        self.state.set_job((&kind, &name), (!is_done).then_some(&row));
    }

    fn step_failed(
        &mut self,
        row: JobRow,
        (code, message): (Code, String),
        around: &Surroundings<'_>,
    ) -> Turn {
        let name = jobs::name(&row);
        event::StepFailed {
            task: &self.id,
            kind: &name.0,
            name: &name.1,
            code: code.as_str(),
            message: &message,
        }
        .emit();
        if self.jobs.failed(&name, around.elapsed) < FAILURES_MAX {
            return Turn::Searching;
        }
        self.end_job(row, Some(Fault::new(code, message)), around)
    }

    /// Gives a job up; it stays in the state, for people to see.
    pub(super) fn end_job(
        &mut self,
        mut row: JobRow,
        fault: Option<Fault>,
        around: &Surroundings<'_>,
    ) -> Turn {
        let (kind, name) = jobs::name(&row);
        let (visited, emitted) = (row.visited, row.emitted);
        event::JobEnded { task: &self.id, kind: &kind, name: &name, visited, emitted, fault: fault.as_ref() }
            .emit();
        row.failure = fault.map(|fault| (fault.code().as_str().to_owned(), fault.to_string()));
        self.state.begin_call(around.now, std::iter::empty(), std::iter::empty());
        self.state.set_job((&kind, &name), Some(&row));
        self.keep_call();
        self.has_effects = true;
        let outcome = crate::io::Outcome::default();
        Turn::Made(Box::new(Effects::of_step((kind, name), outcome, self.stream_time, 0)))
    }

    /// A record that a step sent is refused for good: the job is given up when its turn comes.
    pub(super) fn step_refused(&mut self, job: JobName, fault: &Fault) {
        self.refused_jobs.insert(job, (Code::RecordRefused, fault.to_string()));
    }
}
