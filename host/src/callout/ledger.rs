//! The calls of all tasks in this process: those under way, and answers that are not settled.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::callout::flight::Flight;
use crate::id::Partition;
use crate::io::{Answer, Ended};

/// Answers that are not settled take so much memory at most before nothing new is sent.
pub(super) const ANSWER_BYTES_MAX: usize = 64 << 20;

/// The calls of all tasks.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    inner: Mutex<Inner>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    tasks: HashMap<Partition, Calls>,
    answer_bytes: usize,
    /// Grows with each answer.
    sequence: u64,
}

/// The calls of a task.
#[derive(Debug, Default)]
struct Calls {
    /// Since when nobody works on the task here, by [`crate::clock::Clock::elapsed`].
    unclaimed_since: Option<Duration>,
    calls: BTreeMap<String, Known>,
    /// Answers to be told.
    untold: VecDeque<String>,
}

#[derive(Debug)]
enum Known {
    UnderWay(Arc<Flight>),
    Answered(Answer),
}

impl Ledger {
    /// A call is under way. Whether it is: a second one with an id that is held is not made.
    pub(super) fn begin(&self, task: Partition, id: &str, flight: &Arc<Flight>) -> bool {
        let mut inner = self.inner();
        let calls = &mut inner.tasks.entry(task).or_default().calls;
        if calls.contains_key(id) {
            return false;
        }
        calls.insert(id.to_owned(), Known::UnderWay(Arc::clone(flight)));
        true
    }

    /// A call has ended.
    pub(super) fn end(&self, task: Partition, answer: Answer) {
        let mut inner = self.inner();
        inner.answer_bytes = inner.answer_bytes.saturating_add(size(&answer));
        inner.sequence = inner.sequence.wrapping_add(1);
        let calls = inner.tasks.entry(task).or_default();
        calls.untold.push_back(answer.id.clone());
        calls.calls.insert(answer.id.clone(), Known::Answered(answer));
        self.news.notify_all();
    }

    /// The next answer that the task was not told.
    pub(super) fn poll(&self, task: Partition) -> Option<Answer> {
        let mut inner = self.inner();
        let calls = inner.tasks.get_mut(&task)?;
        while let Some(id) = calls.untold.pop_front() {
            if let Some(Known::Answered(answer)) = calls.calls.get(&id) {
                return Some(answer.clone());
            }
        }
        None
    }

    /// Forgets an answer.
    pub(super) fn settle(&self, task: Partition, id: &str) {
        let mut inner = self.inner();
        let Some(calls) = inner.tasks.get_mut(&task) else { return };
        if let Some(Known::Answered(answer)) = calls.calls.get(id) {
            let bytes = size(answer);
            calls.calls.remove(id);
            inner.answer_bytes = inner.answer_bytes.saturating_sub(bytes);
        }
    }

    /// Whether a call is under way, or its answer not settled.
    pub(super) fn holds(&self, task: Partition, id: &str) -> bool {
        self.inner().tasks.get(&task).is_some_and(|calls| calls.calls.contains_key(id))
    }

    /// Somebody works on the task from now on, and is told everything.
    pub(super) fn claim(&self, task: Partition) {
        let mut inner = self.inner();
        let calls = inner.tasks.entry(task).or_default();
        calls.unclaimed_since = None;
        let answered =
            |(id, known): (&String, &Known)| matches!(known, Known::Answered(_)).then(|| id.clone());
        calls.untold = calls.calls.iter().filter_map(answered).collect();
    }

    /// Nobody works on the task from now on.
    pub(super) fn withdraw(&self, task: Partition, now: Duration) {
        let mut inner = self.inner();
        let Some(calls) = inner.tasks.get_mut(&task) else { return };
        calls.unclaimed_since.get_or_insert(now);
        for known in calls.calls.values() {
            if let Known::UnderWay(flight) = known {
                flight.withdraw();
            }
        }
    }

    /// How many calls of a task are under way.
    pub(super) fn under_way(&self, task: Partition) -> usize {
        let is_under_way = |known: &&Known| matches!(known, Known::UnderWay(_));
        self.inner().tasks.get(&task).map_or(0, |calls| calls.calls.values().filter(is_under_way).count())
    }

    /// Takes the answers out that nobody has claimed for so long.
    pub(super) fn orphans(&self, now: Duration, unclaimed_for: Duration) -> Vec<(Partition, Answer)> {
        let mut inner = self.inner();
        let mut orphans = Vec::new();
        for (task, calls) in &mut inner.tasks {
            let is_orphaned = |since: Duration| now.saturating_sub(since) >= unclaimed_for;
            if calls.unclaimed_since.is_some_and(is_orphaned) {
                let taken = std::mem::take(&mut calls.calls);
                for (id, known) in taken {
                    match known {
                        Known::Answered(answer) => orphans.push((*task, answer)),
                        Known::UnderWay(_) => drop(calls.calls.insert(id, known)),
                    }
                }
                calls.untold.clear();
            }
        }
        let bytes = orphans.iter().map(|(_, answer)| size(answer)).sum();
        inner.answer_bytes = inner.answer_bytes.saturating_sub(bytes);
        inner.tasks.retain(|_, calls| calls.unclaimed_since.is_none() || !calls.calls.is_empty());
        orphans
    }

    /// Whether there is room for more answers.
    pub(super) fn has_room(&self) -> bool {
        self.inner().answer_bytes < ANSWER_BYTES_MAX
    }

    /// Waits until there is an answer that was not there before, or so long.
    pub(super) fn wait(&self, at_most: Duration) {
        let inner = self.inner();
        let sequence = inner.sequence;
        let waited = self.news.wait_timeout_while(inner, at_most, |inner| inner.sequence == sequence);
        drop(waited);
    }

    /// No code that can panic runs while it is locked.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an answer takes in memory, roughly.
fn size(answer: &Answer) -> usize {
    const FIXED: usize = 256;
    let rest = match &answer.ended {
        Ended::Answered { headers, body, .. } => {
            headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() + body.len()
        }
        Ended::GaveUp(reason) | Ended::InDoubt(reason) => reason.message.len(),
        Ended::NotSent => 0,
    };
    FIXED + answer.id.len() + rest
}
