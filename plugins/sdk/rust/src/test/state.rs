//! What a plugin writes during a call: stores, timers and jobs; and the callouts that it has made.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::Clock;
use crate::Timestamp;
use crate::bindings::gristmill::transform::jobs::Job;
use crate::test::Callout;
use crate::test::Timer;

/// Stores, timers, jobs and callouts. A call that is dropped leaves them as they were.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) stores: BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>>,
    /// By kind and name.
    pub(super) jobs: BTreeMap<(String, String), Job>,
    generation: u64,
    /// By clock and name: when it is due, and the payload.
    pub(super) timers: BTreeMap<(Clock, Vec<u8>), (Timestamp, Vec<u8>)>,
    /// Those that have not ended, in the order in which they were made.
    pub(super) callouts: Vec<Callout>,
    /// The ids of all callouts ever made.
    ids: BTreeSet<String>,
}

impl State {
    pub(super) fn start(&mut self, kind: &str, name: &str, payload: &[u8]) -> u64 {
        self.generation += 1;
        let superseded = self.jobs.remove(&(kind.to_owned(), name.to_owned()));
        let job = Job {
            kind: kind.to_owned(),
            name: name.to_owned(),
            generation: self.generation,
            payload: payload.to_vec(),
            cursor: None,
            superseded_cursor: superseded.and_then(|job| job.cursor.or(job.superseded_cursor)),
        };
        self.jobs.insert((kind.to_owned(), name.to_owned()), job);
        self.generation
    }

    pub(super) fn cancel(&mut self, kind: &str, name: &str) -> bool {
        self.jobs.remove(&(kind.to_owned(), name.to_owned())).is_some()
    }

    pub(super) fn find(&self, kind: &str, name: &str) -> Option<Job> {
        self.jobs.get(&(kind.to_owned(), name.to_owned())).cloned()
    }

    /// Takes over what a step answered, unless it has ended or superseded its own job.
    pub(super) fn step_done(&mut self, job: &Job, cursor: Option<Vec<u8>>) {
        let key = (job.kind.clone(), job.name.clone());
        let Some(own) = self.jobs.get_mut(&key).filter(|own| own.generation == job.generation) else {
            return;
        };
        match cursor {
            Some(cursor) => own.cursor = Some(cursor),
            None => drop(self.jobs.remove(&key)),
        }
    }

    /// The timers of a clock that are due at a time, in the order of their times.
    pub(super) fn due(&self, clock: Clock, now: Timestamp) -> Vec<Timer> {
        let mut due: Vec<Timer> =
            self.timers().filter(|timer| timer.clock == clock && timer.due <= now).collect();
        due.sort_by(|a, b| (a.due, &a.name).cmp(&(b.due, &b.name)));
        due
    }

    pub(super) fn timers(&self) -> impl Iterator<Item = Timer> {
        self.timers.iter().map(|((clock, name), (due, payload))| Timer {
            clock: *clock,
            name: name.clone(),
            due: *due,
            payload: payload.clone(),
        })
    }

    /// Takes a timer away that fires. False if it is not there any more, or was set anew.
    pub(super) fn fire(&mut self, timer: &Timer) -> bool {
        let key = (timer.clock, timer.name.clone());
        let is_there = self.timers.get(&key).is_some_and(|(due, _)| *due == timer.due);
        if is_there {
            self.timers.remove(&key);
        }
        is_there
    }

    /// Takes over the callouts of a call. One whose id is known is ignored.
    pub(super) fn call(&mut self, callouts: &[Callout]) {
        for callout in callouts {
            if self.ids.insert(callout.id.clone()) {
                self.callouts.push(Callout { cause: None, ..callout.clone() });
            }
        }
    }

    /// Takes a callout away that ends.
    pub(super) fn end(&mut self, id: &str) -> Option<Callout> {
        let position = self.callouts.iter().position(|callout| callout.id == id)?;
        Some(self.callouts.remove(position))
    }

    /// In a form that can be compared; stores that have become empty are none.
    pub(super) fn seen(&self) -> String {
        let stores: BTreeMap<_, _> = self.stores.iter().filter(|(_, rows)| !rows.is_empty()).collect();
        format!(
            "stores {stores:?}, timers {:?}, jobs {:?}, callouts {:?}",
            self.timers, self.jobs, self.callouts
        )
    }
}
