//! A run through the plugin, and what its answer leads to.

use std::time::Duration;

use crate::event;
use crate::fault::{Code, Fault};
use crate::id::Timestamp;
use crate::io::{Answered, Batch, CallError, Instance, Intent, Outcome, Responses, State, Timer, TimersDue};
use crate::record::{Chunk, RecordRef};
use crate::task::check::{Checked, Given, check};
use crate::task::culprits::Form;
use crate::task::effects::{Effects, Parts};
use crate::task::rebuild::PATIENCE;
use crate::task::review;
use crate::task::run::{Care, Condemned, Goal, Run};
use crate::task::spec::{INBOX, Place};
use crate::task::{Surroundings, Task, Turn};

/// Stream time is at most so far ahead of the wall clock.
const AHEAD_MAX: Duration = Duration::from_secs(3600);

/// A record is dead-lettered for time only after this many runs alone: the machine may have been busy.
const TIMEOUTS_MAX: u32 = 2;

/// A failure of a call that concerns one of its records.
struct Harm {
    code: Code,
    message: String,
}

impl Task {
    /// Splits the first run until its first record is alone, when it is known that one of its records makes an output
    /// that is refused.
    pub(super) fn isolate_suspects(&mut self) {
        while let Some(run) = self.runs.pop_front() {
            let has_suspect = run.records.iter().any(|record| self.culprits.is_suspect(run.place(&record)));
            if run.living() < 2 || !has_suspect {
                self.runs.push_front(run);
                return;
            }
            let [left, right] = run.split(Care::Suspect);
            self.runs.push_front(right);
            self.runs.push_front(left);
        }
    }

    /// Tells the state that a call begins, and how far the sources were handled before it.
    pub(super) fn begin_call(&mut self, now: Timestamp) {
        let reached = self.buffer.inputs().iter().map(|input| (input.source(), input.position()));
        self.state.begin_call(now, reached, self.broadcast.places());
    }

    /// Gives a run to the plugin, in one call.
    pub(super) fn process(&mut self, run: Run, around: &Surroundings<'_>) -> Turn {
        let kept = run.kept();
        if run.care != Care::Ordinary {
            self.instance = None;
        }
        let is_new = self.instance.is_none();
        self.begin_call(around.now);
        let selected = kept.as_ref().map(|kept| select(&run.records, kept));
        let records = selected.as_ref().unwrap_or(&run.records);
        let before = self.rows_before(&run, records);
        let previous = match before.and_then(|before| self.write_given(&run, around).map(|()| before)) {
            Ok(previous) => previous,
            Err(fault) => return self.broken(run, fault),
        };
        if kept.as_ref().is_some_and(Vec::is_empty) {
            return self.finish((run, kept), (Outcome::default(), Checked::default()), around);
        }
        let stream_time = self.stream_time_with(&run, records, around);
        let mut instance = match around.instance(&mut self.instance, &self.id) {
            Ok(instance) => instance,
            Err(fault) => return self.broken(run, fault),
        };
        let batch = Batch {
            source: run.source,
            partition: run.partition,
            records,
            previous: previous.as_ref(),
            now: around.now,
            stream_time,
        };
        let answered = ask(&mut *instance, (&run.goal, kept.as_deref()), batch, self.lend());
        if let Err(fault) = self.take_back(answered.state) {
            return Turn::Damaged(fault);
        }
        let given = Given { records, now: around.now, stream_time };
        let checked = answered
            .answer
            .map(|outcome| check(&outcome, given, &self.spec).map(|checked| (outcome, checked)));
        match checked {
            Ok(Ok((outcome, checked))) => {
                self.instance = Some(instance).filter(|instance| !instance.is_spent());
                self.backoff.succeeded();
                self.judge((run, kept), (outcome, checked), around)
            }
            Ok(Err(violation)) => {
                self.harmed(run, is_new, Harm { code: violation.code, message: violation.message }, around)
            }
            Err(error) => self.failed(run, is_new, error, around),
        }
    }

    /// Keeps an outcome, or runs the records again without the rejected ones when their traces cannot be told apart.
    fn judge(
        &mut self,
        (mut run, kept): (Run, Option<Vec<u32>>),
        (outcome, checked): (Outcome, Checked),
        around: &Surroundings<'_>,
    ) -> Turn {
        // What was written to stores and jobs has no causes.
        if checked.rejected.is_empty() || checked.causes_known && !self.state.has_written() {
            return self.finish((run, kept), (outcome, checked), around);
        }
        for rejection in checked.rejected {
            let index = original(kept.as_deref(), rejection.index);
            run.condemn(Condemned { index, code: rejection.code, message: rejection.message });
        }
        run.care = run.care.max(Care::Again);
        self.runs.push_front(run);
        Turn::Searching
    }

    /// Writes what follows from a run whatever the plugin makes of it: rows of tables, the end of timers and callouts.
    fn write_given(&mut self, run: &Run, around: &Surroundings<'_>) -> Result<(), Fault> {
        match &run.goal {
            Goal::Timers(clock) => {
                self.state.take_timers(*clock, &run.records);
                Ok(())
            }
            Goal::Answers(responses) => self.end_callouts(responses, around),
            Goal::Source | Goal::Orders(_) | Goal::Job { .. } => self.set_rows(run, around),
        }
    }

    /// The stream time of a call. One record from the future must not make everything expire.
    fn stream_time_with(&self, run: &Run, records: &Chunk, around: &Surroundings<'_>) -> Timestamp {
        let ahead_max = i64::try_from(AHEAD_MAX.as_millis()).unwrap_or(i64::MAX);
        let latest = latest(records).min(Timestamp(around.now.0.saturating_add(ahead_max)));
        if run.is_of_stream() { latest.max(self.stream_time) } else { self.stream_time }
    }

    fn move_job(&mut self, run: &Run, outcome: &Outcome, around: &Surroundings<'_>) {
        if let Goal::Job { name, cursor } = &run.goal {
            let counts = (run.records.len() as u64, outcome.outputs.len() as u64);
            self.move_repeat(name, cursor.clone(), counts, around);
        }
    }

    pub(super) fn finish(
        &mut self,
        (mut run, kept): (Run, Option<Vec<u32>>),
        (outcome, checked): (Outcome, Checked),
        around: &Surroundings<'_>,
    ) -> Turn {
        if let Err(fault) = self.index_written(around) {
            return self.broken(run, fault);
        }
        self.move_job(&run, &outcome, around);
        let dropped: Vec<u32> = checked.rejected.iter().map(|rejection| rejection.index).collect();
        let is_dropped = |intent: &Intent| intent.cause.is_some_and(|cause| dropped.contains(&cause));
        let intents = outcome.callouts.iter().filter(|intent| !is_dropped(intent));
        let caused = |intent: &Intent| cause_of(&run, kept.as_deref(), intent);
        if let Err(fault) = self.intend(intents.map(|intent| (intent, caused(intent))), around) {
            return self.broken(run, fault);
        }
        self.keep_call();
        self.keep_answers(&run);
        if !checked.rejected.is_empty() {
            // The guest's caches have seen the records that leave no trace.
            self.instance = None;
        }
        for rejection in checked.rejected {
            let index = original(kept.as_deref(), rejection.index);
            run.condemn(Condemned { index, code: rejection.code, message: rejection.message });
        }
        self.stream_time = self.stream_time_with(&run, &run.records, around);
        self.has_effects = true;
        match &run.goal {
            Goal::Source if self.broadcast.is_source(run.source) => {
                self.broadcast.advance(run.source, run.partition, run.until);
            }
            Goal::Source => self.buffer.advance(run.source, run.until),
            Goal::Orders(_) => self.buffer.advance(INBOX, run.until),
            Goal::Job { .. } | Goal::Timers(_) | Goal::Answers(_) => {}
        }
        if run.is_apart() && !self.culprits.is_empty() {
            run.records.iter().for_each(|record| self.culprits.apart(run.place(&record)));
        }
        let dead = self.dead_letters(&run);
        self.report(&run, &outcome, &dead);
        let (stream_time, bytes) = (self.stream_time, checked.bytes);
        let reviews = self.reviews(&run);
        let effects = Effects::new(Parts { run, kept, outcome, dropped, dead, reviews, stream_time, bytes });
        Turn::Made(Box::new(effects.after(self.broadcast.after(&self.spec))))
    }

    /// The dead letters of a run. A broadcast record reaches every task, and one of them writes its dead letter.
    fn dead_letters(&self, run: &Run) -> Vec<(Condemned, Form)> {
        let is_broadcast = self.broadcast.is_source(run.source);
        let mine = |place: &Place| {
            !is_broadcast
                || place.offset.0.rem_euclid(i64::from(self.spec.tasks)) == i64::from(self.id.partition.0)
        };
        let letters = run.condemned.iter().filter_map(|condemned| {
            let record = run.records.get(condemned.index as usize)?;
            let place = run.place(&record);
            mine(&place).then(|| (condemned.clone(), self.culprits.form(place)))
        });
        letters.collect()
    }

    /// The answers of a run that a person has to look at.
    fn reviews(&self, run: &Run) -> Vec<(u32, Form)> {
        let responses = (0u32..).zip(run.responses());
        let awkward = responses.filter(|(_, response)| review::reason(response).is_some());
        let form = |index: u32| {
            let record = run.records.get(index as usize);
            record.map_or_else(Form::default, |record| self.culprits.form(run.place(&record)))
        };
        awkward.map(|(index, _)| (index, form(index))).collect()
    }

    fn failed(&mut self, run: Run, is_new: bool, error: CallError, around: &Surroundings<'_>) -> Turn {
        match error {
            CallError::Trap { .. } | CallError::Timeout { .. } | CallError::Limit { .. } => {
                let (code, message) = harm(&error);
                self.harmed(run, is_new, Harm { code, message }, around)
            }
            CallError::State { code: Code::IndexBuilding, .. } => {
                self.wait_until = Some(around.elapsed.saturating_add(PATIENCE));
                self.runs.push_front(run);
                Turn::Searching
            }
            CallError::State { code, message } => Turn::Damaged(Fault::new(code, message)),
            CallError::Retry(message) => {
                self.report_failure(&run, Code::PluginRetry, &message);
                self.wait_until = Some(around.elapsed.saturating_add(self.backoff.failed()));
                self.runs.push_front(run);
                Turn::Searching
            }
            CallError::Fatal(message) => {
                let fault =
                    Fault::new(Code::PluginFatal, format!("task `{}` cannot go on: {message}", self.id));
                self.give_up(run, fault)
            }
        }
    }

    /// Finds the record that does the harm: by halves, then alone in a new instance.
    fn harmed(&mut self, run: Run, is_new: bool, harm: Harm, around: &Surroundings<'_>) -> Turn {
        self.report_failure(&run, harm.code, &harm.message);
        if run.living() > 1 {
            let [left, right] = run.split(Care::Suspect);
            self.runs.push_front(right);
            self.runs.push_front(left);
            return Turn::Searching;
        }
        let Some(index) = run.kept().map_or(Some(0), |kept| kept.first().copied()) else {
            return Turn::Searching;
        };
        let Some(place) = run.records.get(index as usize).map(|record| run.place(&record)) else {
            return Turn::Searching;
        };
        let is_proven = match harm.code {
            Code::Timeout => self.culprits.timed_out(place) >= TIMEOUTS_MAX,
            // What earlier records left behind in the instance may be to blame.
            _ => is_new,
        };
        let mut run = Run { care: Care::Suspect, ..run };
        if is_proven {
            if self.breaker.is_tripped_by(around.elapsed, self.spec.limits.traps_per_minute) {
                let message = format!("task `{}` failed on too many records within a minute", self.id);
                return self.give_up(run, Fault::new(Code::TooManyTraps, message).because(harm.message));
            }
            self.culprits.condemn(place, harm.code.as_str(), &harm.message);
            run.condemn(Condemned { index, code: harm.code.as_str().to_owned(), message: harm.message });
        }
        self.runs.push_front(run);
        Turn::Searching
    }

    /// There is no instance, or the state has failed.
    pub(super) fn broken(&mut self, run: Run, fault: Fault) -> Turn {
        if fault.code().is_of_a_store() {
            return Turn::Damaged(fault);
        }
        self.give_up(run, fault)
    }

    /// Stops the task; the run stays where it is.
    fn give_up(&mut self, run: Run, fault: Fault) -> Turn {
        self.runs.push_front(run);
        self.stop(fault);
        Turn::Stopped
    }

    fn report_failure(&self, run: &Run, code: Code, message: &str) {
        let (source, records) = (run.source, run.living());
        event::CallFailed { task: &self.id, source, records, code: code.as_str(), message }.emit();
    }

    fn report(&self, run: &Run, outcome: &Outcome, dead: &[(Condemned, Form)]) {
        // Rows that are handed out again are no records that came in, but the orders for them are.
        let (source, records) = match run.goal {
            Goal::Source => (run.source, run.records.len()),
            Goal::Orders(_) => (INBOX, run.records.len()),
            Goal::Job { .. } => (run.source, 0),
            Goal::Timers(_) | Goal::Answers(_) => (run.source, run.records.len()),
        };
        event::BatchProcessed {
            task: &self.id,
            source: self.spec.source_name(source),
            records,
            outputs: outcome.outputs.len(),
            skipped: &outcome.skipped,
            measurements: &outcome.measurements,
        }
        .emit();
        for (condemned, _) in dead {
            let Some(record) = run.records.get(condemned.index as usize) else { continue };
            let Some(place) = self.spec.topic_partition(&run.place(&record)) else { continue };
            let (offset, code, message) =
                (record.offset(), condemned.code.as_str(), condemned.message.as_str());
            event::RecordDeadLettered { task: &self.id, place: &place, offset, code, message }.emit();
        }
    }
}

/// The code and the message of a failure that somebody is to blame for.
pub(super) fn harm(error: &CallError) -> (Code, String) {
    match error {
        CallError::Trap { message, location: Some(location) } => {
            (Code::Trap, format!("{message} at {location}"))
        }
        CallError::Trap { message, location: None } => (Code::Trap, message.clone()),
        CallError::Timeout { limit } => (Code::Timeout, format!("computed longer than {limit:?}")),
        CallError::Limit { code, message } | CallError::State { code, message } => (*code, message.clone()),
        CallError::Retry(message) => (Code::PluginRetry, message.clone()),
        CallError::Fatal(message) => (Code::PluginFatal, message.clone()),
    }
}

/// Makes the call that a run is for.
fn ask(
    instance: &mut dyn Instance,
    (goal, kept): (&Goal, Option<&[u32]>),
    batch: Batch<'_>,
    state: Box<dyn State>,
) -> Answered {
    let Batch { records, now, stream_time, .. } = batch;
    match goal {
        Goal::Timers(clock) => {
            let timer = |record: RecordRef<'_>| Timer {
                clock: *clock,
                name: record.key().unwrap_or_default().to_vec(),
                due: record.timestamp(),
                payload: record.value().unwrap_or_default().to_vec(),
            };
            let due: Vec<_> = records.iter().map(timer).collect();
            instance.timers(TimersDue { due: &due, now, stream_time }, state)
        }
        Goal::Answers(responses) => {
            let chosen = kept.map(|kept| {
                let chosen = kept.iter().filter_map(|index| responses.get(*index as usize));
                chosen.cloned().collect::<Vec<_>>()
            });
            let responses = chosen.as_ref().unwrap_or(responses);
            instance.responses(Responses { responses, now, stream_time }, state)
        }
        Goal::Source | Goal::Orders(_) | Goal::Job { .. } => instance.process(batch, state),
    }
}

/// The timestamp of the record that caused a callout.
fn cause_of(run: &Run, kept: Option<&[u32]>, intent: &Intent) -> Option<Timestamp> {
    let index = intent.cause.map(|cause| original(kept, cause));
    let record = match index {
        Some(index) => run.records.get(index as usize),
        None if run.records.len() == 1 => run.records.first(),
        None => None,
    };
    record.map(|record| record.timestamp())
}

/// The records at these positions, which grow.
fn select(records: &Chunk, kept: &[u32]) -> Chunk {
    let mut kept = kept.iter().map(|index| *index as usize).peekable();
    records.select(|index| kept.next_if_eq(&index).is_some())
}

/// The position in all records of a run of one that the plugin got.
fn original(kept: Option<&[u32]>, index: u32) -> u32 {
    kept.map_or(index, |kept| kept.get(index as usize).copied().unwrap_or(index))
}

/// The highest timestamp of some records.
fn latest(records: &Chunk) -> Timestamp {
    records.slots().iter().map(|slot| slot.timestamp).max().unwrap_or_default()
}
