//! The callouts of a task that have not ended, and what memory alone knows of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::io::{Answer, Call, Permit, Response};
use crate::task::spec::CalloutSpec;
use crate::task::state::callout::CalloutRow;

/// What memory knows of the callouts that have not ended.
#[derive(Debug)]
pub(crate) struct OpenCallouts {
    /// As the open transaction has them, in the order of their intents.
    pub(in crate::task) open: BTreeMap<u64, Entry>,
    pub(in crate::task) numbers: BTreeMap<String, u64>,
    /// The state has others now, perhaps.
    pub(in crate::task) is_stale: bool,
    /// What was told, until the commit that carries it is known.
    pub(in crate::task) answers: BTreeMap<String, Answer>,
    /// The answers that are in a run.
    pub(in crate::task) handed: BTreeSet<String>,
    /// The answers that are in the open transaction.
    pub(in crate::task) carried: BTreeSet<String>,
    /// When calls that a predecessor left are in doubt.
    pub(in crate::task) left: BTreeMap<String, Duration>,
    pub(in crate::task) departures: Departures,
    /// The task is about to be given away: nothing new is begun.
    pub(in crate::task) is_draining: bool,
}

/// A callout that has not ended.
#[derive(Debug)]
pub(in crate::task) struct Entry {
    pub(in crate::task) id: String,
    pub(in crate::task) row: CalloutRow,
    pub(in crate::task) place: Where,
}

/// Where a callout is, beside its stage.
#[derive(Debug)]
pub(in crate::task) enum Where {
    /// In the queue.
    Queued,
    /// Dispatching in the open transaction.
    Leaving(Permit),
    /// Under way in this process, or its answer is here.
    Away,
    /// Dispatching, and not in this process.
    Left,
}

/// What follows from a commit.
#[derive(Debug, Default)]
pub struct Departures {
    /// Calls whose answer was carried by it.
    pub settled: Vec<String>,
    /// Calls to be made now.
    pub calls: Vec<(Call, Permit)>,
}

impl Default for OpenCallouts {
    fn default() -> Self {
        Self {
            open: BTreeMap::new(),
            numbers: BTreeMap::new(),
            is_stale: true,
            answers: BTreeMap::new(),
            handed: BTreeSet::new(),
            carried: BTreeSet::new(),
            left: BTreeMap::new(),
            departures: Departures::default(),
            is_draining: false,
        }
    }
}

impl OpenCallouts {
    /// Nothing of the open transaction counts. Answers stay.
    pub(crate) fn rewind(&mut self) {
        self.open.clear();
        self.numbers.clear();
        self.handed.clear();
        self.carried.clear();
        self.departures = Departures::default();
        self.is_stale = true;
    }

    pub(in crate::task) fn add(&mut self, id: String, row: CalloutRow, place: Where) {
        self.numbers.insert(id.clone(), row.number);
        self.open.insert(row.number, Entry { id, row, place });
    }

    pub(in crate::task) fn remove(&mut self, id: &str) {
        if let Some(number) = self.numbers.remove(id) {
            self.open.remove(&number);
        }
    }

    pub(in crate::task) fn entry(&mut self, id: &str) -> Option<&mut Entry> {
        let number = self.numbers.get(id)?;
        self.open.get_mut(number)
    }

    /// The transaction is committed.
    pub(in crate::task) fn commit(&mut self, spec: &CalloutSpec) {
        for id in std::mem::take(&mut self.carried) {
            self.answers.remove(&id);
            self.departures.settled.push(id);
        }
        self.depart(spec);
    }

    /// Calls leave whose `dispatching` is committed.
    pub(in crate::task) fn depart(&mut self, spec: &CalloutSpec) {
        for entry in self.open.values_mut().filter(|entry| matches!(entry.place, Where::Leaving(_))) {
            let Where::Leaving(permit) = std::mem::replace(&mut entry.place, Where::Away) else { continue };
            if let Some(call) = entry.call(spec) {
                self.departures.calls.push((call, permit));
            }
        }
    }
}

impl Entry {
    fn call(&self, spec: &CalloutSpec) -> Option<Call> {
        let row = &self.row;
        Some(Call {
            id: self.id.clone(),
            endpoint: spec.endpoint(&row.endpoint)?.index,
            method: row.method.clone(),
            path: row.path.clone(),
            headers: row.headers.clone(),
            body: row.body.clone(),
            attempts: row.attempts,
            intended: row.intended,
            // Known to whoever made the commit.
            committed: Duration::ZERO,
        })
    }

    pub(in crate::task) fn response(&self, answer: &Answer) -> Response {
        Response {
            id: self.id.clone(),
            endpoint: self.row.endpoint.clone(),
            mode: self.row.mode,
            ended: answer.ended.clone(),
            attempts: answer.attempts,
            key: self.row.key.clone(),
            context: self.row.context.clone(),
        }
    }
}
