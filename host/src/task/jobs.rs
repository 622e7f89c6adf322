//! The jobs of a task: which of them is next, and what became of their steps.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::fault::Fault;
use crate::status::{JobState, JobStatus};
use crate::task::backoff::Backoff;
use crate::task::effects::JobName;
use crate::task::spec::StepBounds;
use crate::task::state::TaskState;
use crate::task::state::job::JobRow;

/// A job whose steps fail so often in a row is given up.
pub(crate) const FAILURES_MAX: u32 = 5;

/// A job that makes so many steps in a row without getting on is given up.
pub(crate) const STANDSTILLS_MAX: u32 = 100;

const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_LONGEST: Duration = Duration::from_secs(30);

/// The jobs as the open transaction has them, and when the next step may be made.
#[derive(Debug)]
pub(crate) struct Jobs {
    bounds: StepBounds,
    /// As they were when they were last read.
    rows: BTreeMap<JobName, JobRow>,
    /// Whether they have to be read again, from the state.
    is_stale: bool,
    /// What memory knows of a job's steps; gone with a restart, when a job gets another chance.
    trials: BTreeMap<JobName, Trial>,
    /// The job that made the last step.
    last: Option<JobName>,
    /// A step was made last: the next turn is for records.
    had_turn: bool,
    /// No step before this time while records wait.
    rest_until: Duration,
    /// No step before this time at all: the operator's rate.
    pace_until: Duration,
}

#[derive(Debug)]
struct Trial {
    failures: u32,
    standstills: u32,
    budget: u32,
    backoff: Backoff,
    wait_until: Duration,
    /// When the first step was made here, and how many rows the job had looked at before it.
    since: Option<(Duration, u64)>,
}

impl Jobs {
    pub(crate) fn new(bounds: StepBounds) -> Self {
        Self {
            bounds,
            rows: BTreeMap::new(),
            is_stale: true,
            trials: BTreeMap::new(),
            last: None,
            had_turn: false,
            rest_until: Duration::ZERO,
            pace_until: Duration::ZERO,
        }
    }

    /// The state has other jobs now, perhaps.
    pub(crate) fn forget(&mut self) {
        self.is_stale = true;
    }

    fn load(&mut self, state: &TaskState) -> Result<(), Fault> {
        if self.is_stale {
            self.rows = state.jobs()?;
            self.trials.retain(|name, _| self.rows.contains_key(name));
            self.is_stale = false;
        }
        Ok(())
    }

    /// The jobs, as far as they are known without asking the state.
    pub(crate) fn known(&self) -> impl Iterator<Item = &JobRow> {
        self.rows.values()
    }

    /// The job that makes the next step: the one after the last, so that all get on. None while records have their turn.
    ///
    /// # Errors
    /// The state cannot be read.
    pub(crate) fn next(
        &mut self,
        state: &TaskState,
        (elapsed, records_wait): (Duration, bool),
    ) -> Result<Option<JobRow>, Fault> {
        let had_turn = std::mem::take(&mut self.had_turn);
        if records_wait && (had_turn || elapsed < self.rest_until) || elapsed < self.pace_until {
            return Ok(None);
        }
        self.load(state)?;
        let rows = &self.rows;
        let is_ready = |row: &&JobRow| {
            let trial = self.trials.get(&name(row));
            row.failure.is_none() && trial.is_none_or(|trial| trial.wait_until <= elapsed)
        };
        let behind = rows
            .values()
            .find(|row| self.last.as_ref().is_none_or(|last| name(row) > *last) && is_ready(row));
        let next = behind.or_else(|| rows.values().find(is_ready)).cloned();
        if let Some(row) = &next {
            self.last = Some(name(row));
            self.had_turn = true;
        }
        Ok(next)
    }

    /// When a step may be made, if one waits for a time.
    pub(crate) fn wakes_at(&self) -> Option<Duration> {
        let waiting = self.known().filter(|row| row.failure.is_none());
        let times =
            waiting.map(|row| self.trials.get(&name(row)).map_or(Duration::ZERO, |trial| trial.wait_until));
        times.min().map(|time| time.max(self.pace_until))
    }

    /// How many outputs the next step of a job should make at most.
    pub(crate) fn budget(&self, job: &JobName) -> u32 {
        self.trials.get(job).map_or(self.bounds.outputs, |trial| trial.budget).max(1)
    }

    /// A step was made. Tells how many in a row have not got on.
    pub(crate) fn stepped(&mut self, row: &JobRow, got_on: bool, outputs: usize, elapsed: Duration) -> u32 {
        let rate = self.bounds.outputs_per_second.filter(|rate| *rate > 0);
        if let Some(rate) = rate {
            self.pace_until =
                elapsed.saturating_add(Duration::from_secs_f64(outputs as f64 / f64::from(rate)));
        }
        let trial = self.trial(&name(row));
        trial.since.get_or_insert((elapsed, row.visited));
        (trial.failures, trial.wait_until) = (0, Duration::ZERO);
        trial.backoff.succeeded();
        trial.standstills = if got_on { 0 } else { trial.standstills.saturating_add(1) };
        trial.standstills
    }

    /// The jobs as they are shown: those that have made no step here wait.
    pub(crate) fn status(&self, elapsed: Duration) -> Vec<JobStatus> {
        self.rows.values().map(|row| self.status_of(row, elapsed)).collect()
    }

    fn status_of(&self, row: &JobRow, elapsed: Duration) -> JobStatus {
        let since = self.trials.get(&name(row)).and_then(|trial| trial.since);
        let per_second = since.map_or(0.0, |(start, before)| {
            let seconds = elapsed.saturating_sub(start).as_secs_f64().max(0.001);
            row.visited.saturating_sub(before) as f64 / seconds
        });
        let left = row.total.filter(|_| per_second > 0.0).map(|total| {
            let rows = total.saturating_sub(row.visited) as f64;
            Duration::from_secs_f64((rows / per_second).min(1e9))
        });
        JobStatus {
            kind: row.job.kind.clone(),
            name: row.job.name.clone(),
            generation: row.job.generation,
            visited: row.visited,
            emitted: row.emitted,
            total: row.total,
            per_second,
            left,
            state: match (&row.failure, since) {
                (Some((code, message)), _) => {
                    JobState::Failed { code: code.clone(), message: message.clone() }
                }
                (None, Some(_)) => JobState::Running,
                (None, None) => JobState::Waiting,
            },
        }
    }

    /// A step took so long, until now.
    pub(crate) fn rest(&mut self, took: Duration, now: Duration) {
        let share = self.bounds.share.clamp(0.01, 0.99);
        self.rest_until = now.saturating_add(took.mul_f64((1.0 - share) / share));
    }

    /// A step failed: the next one comes later and is smaller. Tells how often it has failed in a row.
    pub(crate) fn failed(&mut self, job: &JobName, elapsed: Duration) -> u32 {
        let trial = self.trial(job);
        trial.failures = trial.failures.saturating_add(1);
        trial.budget = (trial.budget / 2).max(1);
        trial.wait_until = elapsed.saturating_add(trial.backoff.failed());
        trial.failures
    }

    /// Gives a job another chance.
    pub(crate) fn forgive(&mut self, job: &JobName) {
        self.trials.remove(job);
    }

    /// The plugin asks for the same step again, later; as often as it likes.
    pub(crate) fn retry(&mut self, job: &JobName, elapsed: Duration) {
        let trial = self.trial(job);
        trial.wait_until = elapsed.saturating_add(trial.backoff.failed());
    }

    fn trial(&mut self, job: &JobName) -> &mut Trial {
        let budget = self.bounds.outputs;
        self.trials.entry(job.clone()).or_insert_with(|| Trial {
            failures: 0,
            standstills: 0,
            budget,
            backoff: Backoff::new(RETRY_FIRST, RETRY_LONGEST),
            wait_until: Duration::ZERO,
            since: None,
        })
    }
}

/// The name of a job.
pub(crate) fn name(row: &JobRow) -> JobName {
    (row.job.kind.clone(), row.job.name.clone())
}
