//! A turn of a task: one call of the plugin at most, with records, timers or answers, or for a job.

use crate::fault::Fault;
use crate::record::RecordRef;
use crate::task::run::Run;
use crate::task::spec::INBOX;
use crate::task::{Phase, Surroundings, Task, Turn};

/// Why there is no run.
enum Nothing {
    /// Nothing waits.
    Empty,
    /// The run wants quiet: the worker has to close the transaction first.
    Quiet,
}

impl Task {
    /// Makes one call of the plugin at most.
    pub fn turn(&mut self, around: &Surroundings<'_>) -> Turn {
        let turn = self.make_turn(around);
        // Of a call that was not kept, nothing may be seen by whoever looks into the state between two turns.
        self.state.drop_call();
        turn
    }

    fn make_turn(&mut self, around: &Surroundings<'_>) -> Turn {
        if !matches!(self.phase, Phase::Running) {
            return Turn::Idle;
        }
        match self.rebuild_turn(around) {
            Ok(None) => {}
            Ok(Some(turn)) => return turn,
            Err(fault) if fault.code().is_of_a_store() => return Turn::Damaged(fault),
            Err(fault) => return self.stop_for(fault),
        }
        if self.wait_until.is_some_and(|time| time > around.elapsed) {
            return Turn::Idle;
        }
        self.wait_until = None;
        match self.broadcast.begin(around.views, &self.state, self.spec.batch) {
            Ok(true) => {}
            Ok(false) => return Turn::Idle,
            Err(fault) => return Turn::Damaged(fault),
        }
        match self.own_turn(around) {
            Ok(None) => {}
            Ok(Some(turn)) => return turn,
            Err(fault) if fault.code().is_of_a_store() => return Turn::Damaged(fault),
            Err(fault) => return self.stop_for(fault),
        }
        if self.runs.is_empty() && (self.is_draining() || self.is_full_of_callouts() && !self.is_behind()) {
            return Turn::Idle;
        }
        match self.job_turn(around) {
            Ok(None) => {}
            Ok(Some(turn)) => return turn,
            Err(fault) => return Turn::Damaged(fault),
        }
        match self.next_run(around) {
            Ok(run) if run.source == INBOX => self.obey(run, around),
            Ok(run) => self.process(run, around),
            Err(Nothing::Quiet) => Turn::Searching,
            Err(Nothing::Empty) => Turn::Idle,
        }
    }

    /// Answers to callouts and timers, when it is their turn: one that records had before, if some wait.
    fn own_turn(&mut self, around: &Surroundings<'_>) -> Result<Option<Turn>, Fault> {
        if !self.runs.is_empty() || self.is_behind() {
            return Ok(None);
        }
        let records_wait = self.buffer.len() > 0 && !self.is_draining() && !self.is_full_of_callouts();
        if std::mem::take(&mut self.had_own_turn) && records_wait {
            return Ok(None);
        }
        let mut turn = self.callout_turn(around)?;
        if turn.is_none() && !self.is_draining() && !self.is_full_of_callouts() {
            turn = self.timer_turn(around)?;
        }
        self.had_own_turn = turn.is_some();
        Ok(turn)
    }

    /// A step of a job, when it is a job's turn.
    fn job_turn(&mut self, around: &Surroundings<'_>) -> Result<Option<Turn>, Fault> {
        if !self.runs.is_empty() || self.is_behind() || self.rebuild.is_some() {
            return Ok(None);
        }
        let records_wait = self.buffer.len() > 0;
        let Some(row) = self.jobs.next(&self.state, (around.elapsed, records_wait))? else { return Ok(None) };
        if let Some((code, message)) = self.refused_jobs.remove(&crate::task::jobs::name(&row)) {
            return Ok(Some(self.end_job(row, Some(Fault::new(code, message)), around)));
        }
        Ok(Some(self.step(row, around)))
    }

    fn next_run(&mut self, around: &Surroundings<'_>) -> Result<Run, Nothing> {
        if self.runs.is_empty() {
            let bounds = self.spec.batch;
            let only = self.catching_up();
            let change = if only.is_none() { self.broadcast.next(around.views, bounds) } else { None };
            let (causal, broadcast, views) = (&mut self.causal, &self.broadcast, around.views);
            let mut is_ready = |record: &RecordRef<'_>| causal.is_ready(record, broadcast, views);
            let run = change.or_else(|| match only {
                // What was restored of a table may be older than what was sent last: nothing else until it is not.
                Some(source) => self.buffer.next_of(source, &mut is_ready),
                None => self.buffer.next(&mut is_ready),
            });
            // A record of the table that waits for a change would wait for ever.
            let may_change = only.is_none_or(|source| self.buffer.has(source));
            let run = run.or_else(|| may_change.then(|| self.broadcast.next(around.views, bounds)).flatten());
            let mut run = run.ok_or(Nothing::Empty)?;
            self.culprits.mark(&mut run);
            self.condemn_long_keys(&mut run);
            self.runs.push_back(run);
            if self.wants_quiet() {
                return Err(Nothing::Quiet);
            }
        }
        self.isolate_suspects();
        self.runs.pop_front().ok_or(Nothing::Empty)
    }

    /// Whether something has to be applied before anything else may run: changes that were there before the start, what a
    /// restored table lacks. It waits for nothing, not for callouts either.
    fn is_behind(&self) -> bool {
        self.broadcast.is_behind() || self.catching_up().is_some()
    }

    /// The table that has to be handled before anything else.
    fn catching_up(&self) -> Option<crate::id::SourceIndex> {
        let is_behind = |input: &&crate::task::buffer::Input| {
            self.catch_up.get(input.place()).is_some_and(|until| input.position() < *until)
        };
        self.buffer.inputs().iter().find(is_behind).map(|input| input.source())
    }

    pub(super) fn stop_for(&mut self, fault: Fault) -> Turn {
        self.stop(fault);
        Turn::Stopped
    }
}
