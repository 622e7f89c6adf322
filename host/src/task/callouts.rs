//! The callouts of a task: from the intent of a plugin to the end that its handler is told of.
//!
//! ```text
//!             a place is free              committed            answered, given up, in doubt
//!   queued ------------------> leaving ---------------> away ------------------------------> ended
//!     ^                      (dispatching)               |  ^
//!     |                                                  |  | settled: the new owner waits
//!     +------------ certainly not sent ------------------+ left <--- found so when the task was opened
//! ```
//! `queued` and `dispatching` are in the state, and each change is committed before anything follows from it: a call leaves the
//! host only when its `dispatching` is known to be committed, and its end is committed together with what the plugin makes of
//! it. What is here beside the state is what memory alone can know: which calls are under way in this process.
//!
//! A call that a predecessor left in `dispatching` has an unknown outcome. In the mode at-most-once it is never made again; in
//! the mode idempotent it is, with the same key and the same bytes. Before that the new owner waits for as long as the
//! predecessor may take to send the answer through the inbox.

mod look;
mod open;
mod orders;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::event;
use crate::fault::{Code, Fault};
use crate::id::Timestamp;
use crate::io::{Answer, CalloutMode, Ended, Intent, Reason, Response};
use crate::record::Chunk;
use crate::sabotage::{self, Rule};
use crate::status::CalloutCounts;
pub use crate::task::callouts::open::Departures;
pub(crate) use crate::task::callouts::open::OpenCallouts;
use crate::task::callouts::open::{Entry, Where};
use crate::task::effects::Effects;
use crate::task::run::{Goal, Run};
use crate::task::spec::ANSWERS;
use crate::task::state::callout::{CalloutRow, Stage};
use crate::task::{Surroundings, Task, Turn};

/// How long ids are remembered whose endpoint is not known any more.
const REMEMBER: Duration = Duration::from_secs(30 * 24 * 3600);

/// What is known of a call that a predecessor left.
fn in_doubt(id: &str, row: &CalloutRow) -> Answer {
    let message = "the host that made the call ended or lost its partition before it knew the outcome";
    let reason = Reason { code: "host-lost".to_owned(), message: message.to_owned(), last_status: None };
    Answer { id: id.to_owned(), ended: Ended::InDoubt(reason), attempts: row.attempts.saturating_add(1) }
}

/// Callouts, seen from the worker.
impl Task {
    /// Whether it has so many callouts that it takes no more records.
    pub(super) fn is_full_of_callouts(&self) -> bool {
        self.callouts.open.len() >= self.spec.callouts.pending
    }

    /// Whether calls of it are under way, or their answers not committed.
    pub fn is_awaiting_answers(&self) -> bool {
        let is_away = |entry: &Entry| matches!(entry.place, Where::Away);
        self.is_open() && (!self.callouts.answers.is_empty() || self.callouts.open.values().any(is_away))
    }

    /// It is about to be given away: it takes in answers and begins nothing new.
    pub fn drain(&mut self) {
        self.callouts.is_draining = true;
    }

    pub(super) fn is_draining(&self) -> bool {
        self.callouts.is_draining
    }

    /// What follows from the last commit: to be settled first, then to be sent. `committed` is when that commit began.
    pub fn departures(&mut self, committed: Duration) -> Departures {
        let mut departures = std::mem::take(&mut self.callouts.departures);
        departures.calls.iter_mut().for_each(|(call, _)| call.committed = committed);
        departures
    }

    /// Breaks the rule that a call is made when its intent is committed.
    pub(crate) fn depart_unsafely(&mut self) {
        let spec = std::sync::Arc::clone(&self.spec);
        self.callouts.depart(&spec.callouts);
    }

    /// Its callouts that have not ended.
    pub fn callout_counts(&self) -> CalloutCounts {
        let waits = |entry: &&Entry| matches!(entry.place, Where::Queued);
        let waiting = self.callouts.open.values().filter(waits).count();
        CalloutCounts { waiting, under_way: self.callouts.open.len().saturating_sub(waiting) }
    }
}

/// Callouts, seen from the task.
impl Task {
    /// The task begins anew, and nothing is known but its state.
    pub(super) fn open_callouts(&mut self) {
        self.callouts = OpenCallouts::default();
    }

    pub(super) fn commit_callouts(&mut self) {
        let spec = std::sync::Arc::clone(&self.spec);
        self.callouts.commit(&spec.callouts);
    }

    /// Takes in answers, sends what waits, hands answers to the plugin; one of the last two in a turn.
    pub(super) fn callout_turn(&mut self, around: &Surroundings<'_>) -> Result<Option<Turn>, Fault> {
        if self.spec.state.changelog.is_none() {
            return Ok(None);
        }
        self.load_callouts(around)?;
        if self.callouts.open.is_empty() && self.spec.callouts.endpoints.is_empty() {
            return Ok(None);
        }
        self.hear(around);
        if self.dispatch(around) {
            self.has_effects = true;
            return Ok(Some(Turn::Made(Box::new(Effects::of_state(self.stream_time)))));
        }
        Ok(self.hand_out())
    }

    fn load_callouts(&mut self, around: &Surroundings<'_>) -> Result<(), Fault> {
        if !self.callouts.is_stale {
            return Ok(());
        }
        for (id, row) in self.state.open_callouts()?.into_values() {
            let Some(endpoint) = self.spec.callouts.endpoint(&row.endpoint) else {
                let message = format!("task `{}` has callouts for the endpoint `{}`", self.id, row.endpoint);
                let cause = "the plugin does not have that endpoint any more";
                return Err(Fault::new(Code::EndpointGone, message).because(cause));
            };
            let place = match &row.stage {
                Stage::Queued => Where::Queued,
                Stage::Ended(ended) => {
                    let answer = Answer { id: id.clone(), ended: ended.clone(), attempts: row.attempts };
                    self.callouts.answers.entry(id.clone()).or_insert(answer);
                    Where::Away
                }
                Stage::Dispatching => {
                    let is_here = around.callouts.holds(self.id.partition, &id)
                        || self.callouts.answers.contains_key(&id);
                    if is_here { Where::Away } else { Where::Left }
                }
            };
            if matches!(place, Where::Left) {
                let patience =
                    around.callouts.longest(endpoint.index).saturating_add(self.spec.callouts.settle);
                let until = around.elapsed.saturating_add(patience);
                self.callouts.left.entry(id.clone()).or_insert(until);
            }
            self.callouts.add(id, row, place);
        }
        self.callouts.is_stale = false;
        Ok(())
    }

    /// Takes in what is known now.
    fn hear(&mut self, around: &Surroundings<'_>) {
        while let Some(answer) = around.callouts.poll(self.id.partition) {
            let is_carried = self.callouts.carried.contains(&answer.id);
            match self.callouts.entry(&answer.id) {
                Some(entry) => {
                    entry.place = Where::Away;
                    self.callouts.answers.insert(answer.id.clone(), answer);
                }
                // It has ended in another way since, or its end is in the open transaction.
                None if is_carried => {}
                None => {
                    event::AnswerIgnored { task: &self.id, id: &answer.id }.emit();
                    around.callouts.settled(self.id.partition, &answer.id);
                }
            }
        }
        if self.callouts.left.is_empty() {
            return;
        }
        let now = around.elapsed;
        let is_over = |entry: &&mut Entry| matches!(entry.place, Where::Left);
        let (left, answers) = (&mut self.callouts.left, &mut self.callouts.answers);
        for entry in self.callouts.open.values_mut().filter(is_over) {
            if left.get(&entry.id).is_some_and(|until| *until > now) {
                continue;
            }
            left.remove(&entry.id);
            if entry.row.mode == CalloutMode::Idempotent || sabotage::breaks(Rule::DoubtWhatWasLeft) {
                entry.row.attempts = entry.row.attempts.saturating_add(1);
                entry.place = Where::Queued;
            } else {
                entry.place = Where::Away;
                answers.insert(entry.id.clone(), in_doubt(&entry.id, &entry.row));
            }
        }
    }

    /// Writes `dispatching` for callouts that find a place, and `queued` for those that were not sent after all. Whether there
    /// were any.
    fn dispatch(&mut self, around: &Surroundings<'_>) -> bool {
        let callouts = &mut self.callouts;
        let mut full: BTreeSet<String> = BTreeSet::new();
        let mut changed: Vec<(String, CalloutRow)> = Vec::new();
        // Rare, and to look for it at each callout would cost a large queue dear.
        let has_unsent = callouts.answers.values().any(|answer| answer.ended == Ended::NotSent);
        for entry in callouts.open.values_mut() {
            let unsent = if has_unsent { callouts.answers.get(&entry.id) } else { None };
            let unsent = unsent
                .filter(|answer| answer.ended == Ended::NotSent && !callouts.carried.contains(&entry.id));
            if let Some(answer) = unsent {
                entry.row.attempts = answer.attempts;
                entry.row.stage = Stage::Queued;
                entry.place = Where::Queued;
                callouts.carried.insert(entry.id.clone());
                changed.push((entry.id.clone(), entry.row.clone()));
                // In a transaction of its own: its place here is given back when that is committed.
                continue;
            }
            let may_leave = matches!(entry.place, Where::Queued)
                && !callouts.carried.contains(&entry.id)
                && !callouts.is_draining
                && !full.contains(&entry.row.endpoint);
            if !may_leave {
                continue;
            }
            let Some(endpoint) = self.spec.callouts.endpoint(&entry.row.endpoint) else { continue };
            let Some(permit) = around.callouts.permit(endpoint.index) else {
                full.insert(entry.row.endpoint.clone());
                continue;
            };
            entry.row.stage = Stage::Dispatching;
            entry.row.mode = endpoint.mode;
            entry.place = Where::Leaving(permit);
            changed.push((entry.id.clone(), entry.row.clone()));
        }
        if changed.is_empty() {
            return false;
        }
        self.begin_call(around.now);
        changed.iter().for_each(|(id, row)| self.state.set_callout(id, row));
        self.keep_call();
        true
    }

    /// Makes a run of answers for the plugin.
    fn hand_out(&mut self) -> Option<Turn> {
        let callouts = &mut self.callouts;
        let (mut records, mut responses) = (Chunk::new(), Vec::new());
        let is_ready =
            |answer: &&Answer| answer.ended != Ended::NotSent && !callouts.handed.contains(&answer.id);
        // Those that the open transaction carries have no number any more.
        let number = |answer: &Answer| Some((*callouts.numbers.get(&answer.id)?, answer.id.clone()));
        let mut ready: Vec<_> = callouts.answers.values().filter(is_ready).filter_map(number).collect();
        // In the order of their intents.
        ready.sort_unstable();
        for (number, id) in &ready {
            let (Some(entry), Some(answer)) = (callouts.open.get(number), callouts.answers.get(id)) else {
                continue;
            };
            let body = match &answer.ended {
                Ended::Answered { body, .. } => Some(body.as_slice()),
                Ended::GaveUp(_) | Ended::InDoubt(_) | Ended::NotSent => None,
            };
            let number = i64::try_from(*number).unwrap_or(i64::MAX);
            records.push(
                entry.row.key.as_deref(),
                body,
                [],
                (entry.row.timestamp, crate::id::Offset(number)),
            );
            responses.push(entry.response(answer));
            let bounds = self.spec.batch;
            if records.len() >= bounds.records || records.size_bytes() >= bounds.bytes {
                break;
            }
        }
        if responses.is_empty() {
            return None;
        }
        callouts.handed.extend(responses.iter().map(|response| response.id.clone()));
        let until = records.last().map(|last| last.offset()).unwrap_or_default();
        let mut run = Run::new((ANSWERS, self.id.partition), records, until);
        run.goal = Goal::Answers(responses);
        self.culprits.mark(&mut run);
        self.runs.push_front(run);
        Some(Turn::Searching)
    }

    /// Callouts end, as part of the call, whatever the plugin makes of their answers.
    pub(super) fn end_callouts(
        &mut self,
        responses: &[Response],
        around: &Surroundings<'_>,
    ) -> Result<(), Fault> {
        for response in responses {
            let Some(mut row) = self.state.callout(&response.id)? else { continue };
            if sabotage::breaks(Rule::EndWithAnswer) {
                continue;
            }
            let remember = self.spec.callouts.endpoint(&row.endpoint).map_or(REMEMBER, |own| own.remember);
            let remember = i64::try_from(remember.as_millis()).unwrap_or(i64::MAX);
            let forget = Timestamp(around.now.0.saturating_add(remember));
            let is_for_review = crate::task::review::reason(response).is_some();
            row.attempts = response.attempts;
            row.stage = Stage::Ended(response.ended.clone());
            self.state.end_callout(&response.id, (forget, is_for_review.then_some(&row)));
        }
        Ok(())
    }

    /// The run's outcome is part of the transaction.
    pub(super) fn keep_answers(&mut self, run: &Run) {
        for response in run.responses() {
            event::CalloutEnded { task: &self.id, response }.emit();
            self.callouts.handed.remove(&response.id);
            self.callouts.carried.insert(response.id.clone());
            self.callouts.remove(&response.id);
        }
    }

    /// Writes callouts that the plugin wants, as part of the call. One that finds a place is born `dispatching`: that saves a
    /// commit. One whose id is known is ignored.
    pub(super) fn intend<'i>(
        &mut self,
        intents: impl Iterator<Item = (&'i Intent, Option<Timestamp>)>,
        around: &Surroundings<'_>,
    ) -> Result<(), Fault> {
        let mut is_first = true;
        for (intent, timestamp) in intents {
            if std::mem::take(&mut is_first) {
                self.load_callouts(around)?;
                self.state.forget_callouts()?;
            }
            if self.state.knows_callout(&intent.id)? {
                event::CalloutIgnored { task: &self.id, endpoint: &intent.endpoint, id: &intent.id }.emit();
                continue;
            }
            let row = CalloutRow {
                number: self.state.next_number(),
                stage: Stage::Queued,
                attempts: 0,
                intended: around.now,
                timestamp: timestamp.unwrap_or(self.stream_time),
                mode: CalloutMode::AtMostOnce,
                endpoint: intent.endpoint.clone(),
                method: intent.method.clone(),
                path: intent.path.clone(),
                headers: intent.headers.clone(),
                body: intent.body.clone(),
                key: intent.key.clone(),
                context: intent.context.clone(),
                retry_of: None,
            };
            self.begin_callout(intent.id.clone(), row, around);
        }
        Ok(())
    }

    /// Writes a new callout, as part of the call.
    pub(super) fn begin_callout(&mut self, id: String, mut row: CalloutRow, around: &Surroundings<'_>) {
        let endpoint = self.spec.callouts.endpoint(&row.endpoint);
        let endpoint = endpoint.filter(|_| !self.callouts.is_draining);
        let place = match endpoint.and_then(|endpoint| around.callouts.permit(endpoint.index)) {
            Some(permit) => {
                row.stage = Stage::Dispatching;
                Where::Leaving(permit)
            }
            None => Where::Queued,
        };
        row.mode = endpoint.map_or(row.mode, |endpoint| endpoint.mode);
        self.state.set_callout(&id, &row);
        self.callouts.add(id, row, place);
    }
}
