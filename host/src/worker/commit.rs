//! The one commit path.
//!
//! ```text
//! changelog             the overlay of each task, and its position record
//! flush                 everything is acknowledged: what a fenced predecessor can still commit lies below the ends
//! membership            fresh, and still the one under which the partitions were assigned; else: lost
//! send_offsets          the positions of every task that the transaction touches, or the broker cannot fence it
//! commit
//! apply                 only now do the tasks take their work for done, and write it to their local stores
//! depart                only now do calls leave whose intents are in it
//! ```

use std::borrow::Cow;
use std::time::Duration;

use crate::event;
use crate::fault::{Code, Fault};
use crate::id::{Offset, TopicPartition};
use crate::io::{CauseId, Committed, Outgoing, Sink, Source, TransactionError};
use crate::sabotage::{self, Rule};
use crate::task::Task;
use crate::worker::recovery::Step;
use crate::worker::{IDLE_COMMIT, Turned, Worker};

/// Why a commit did not happen.
enum Failure {
    Transaction(TransactionError, Step),
    Lost(Fault),
}

impl<S: Source, K: Sink<Membership = S::Membership>> Worker<S, K> {
    /// Commits everything that is done. Failures that can be recovered from are, before it returns.
    ///
    /// # Errors
    /// Scope host.
    pub(super) fn commit(&mut self) -> Result<(), Fault> {
        let positions: Vec<_> = self.dirty_tasks().flat_map(Task::positions).collect();
        if positions.is_empty() {
            return Ok(());
        }
        let started = self.ports.clock.elapsed();
        match self.transact(&positions) {
            Ok(()) => self.apply(started),
            Err(Failure::Transaction(error, step)) => self.failed(error, step),
            Err(Failure::Lost(fault)) => self.membership_lost(fault),
        }
    }

    fn transact(&mut self, positions: &[(TopicPartition, Committed)]) -> Result<(), Failure> {
        let before = |error| Failure::Transaction(error, Step::Before);
        self.begin().map_err(before)?;
        self.log().map_err(before)?;
        if !sabotage::breaks(Rule::FlushFirst) {
            self.ports.sink.flush().map_err(before)?;
        }
        self.note_acknowledged();
        let membership = self.ports.source.membership().map_err(Failure::Lost)?;
        if self.membership.as_ref() != Some(&membership) && !sabotage::breaks(Rule::CompareMembership) {
            let message = "the group has a newer generation than the one that assigned the partitions";
            return Err(Failure::Lost(Fault::new(Code::MembershipLost, message)));
        }
        if sabotage::breaks(Rule::OffsetsInside) {
            self.ports.sink.commit().map_err(|error| Failure::Transaction(error, Step::Commit))?;
            self.ports.sink.begin().map_err(before)?;
        }
        self.ports.sink.send_offsets(&shifted(positions), &membership).map_err(before)?;
        self.ports.sink.commit().map_err(|error| Failure::Transaction(error, Step::Commit))
    }

    fn begin(&mut self) -> Result<(), TransactionError> {
        if self.transaction.begun.is_none() {
            self.ports.sink.begin()?;
            self.transaction.begun = Some(self.ports.clock.elapsed());
        }
        Ok(())
    }

    /// Sends what the tasks have written to their state.
    fn log(&mut self) -> Result<(), TransactionError> {
        let Some(changelog) = &self.spec.state.changelog else { return Ok(()) };
        for (partition, task) in self.tasks.iter_mut().filter(|(_, task)| task.is_dirty()) {
            task.seal();
            if sabotage::breaks(Rule::StoreAfterCommit) {
                task.store_unsafely(self.ports.clock.now());
            }
            if sabotage::breaks(Rule::BroadcastPosition) {
                task.seal_without_broadcasts();
            }
            if sabotage::breaks(Rule::LogState) {
                continue;
            }
            let cause = CauseId(self.transaction.causes.add_state(*partition));
            for (key, value) in task.logged() {
                self.ports.sink.send(&Outgoing {
                    topic: changelog,
                    partition: Some(*partition),
                    key: Some(key),
                    value,
                    headers: &[],
                    // The client's wall clock: retention must not count from the time of some old record.
                    timestamp: None,
                    cause,
                })?;
            }
        }
        Ok(())
    }

    /// Keeps how far each task's changelog is with this transaction; the sink forgets it with the commit.
    fn note_acknowledged(&mut self) {
        let Some(changelog) = &self.spec.state.changelog else { return };
        for partition in
            self.tasks.iter().filter(|(_, task)| task.is_dirty()).map(|(partition, _)| *partition)
        {
            if let Some(last) = self.ports.sink.acknowledged(&TopicPartition::new(changelog, partition)) {
                self.transaction.acknowledged.insert(partition, last);
            }
        }
    }

    fn apply(&mut self, started: Duration) -> Result<(), Fault> {
        let records = self.transaction.records;
        let now = self.ports.clock.now();
        let (mut committed, mut failed) = (Vec::new(), Vec::new());
        for (partition, task) in self.tasks.iter_mut().filter(|(_, task)| task.is_dirty()) {
            let acknowledged = self.transaction.acknowledged.get(partition).copied();
            match task.commit(acknowledged, now) {
                Ok(()) => committed.push(*partition),
                Err(fault) => failed.push((*partition, fault)),
            }
        }
        committed.into_iter().for_each(|partition| self.depart(partition, started));
        self.transaction.clear();
        let ended = self.ports.clock.elapsed();
        self.bounds.committed(started, ended);
        self.recovery.succeeded();
        let took = ended.saturating_sub(started);
        event::TransactionCommitted { transform: &self.spec.transform, records, took }.emit();
        failed.into_iter().try_for_each(|(partition, fault)| self.damaged(partition, &fault))
    }

    /// Whether there is enough in the transaction, or it has waited long enough.
    pub(super) fn is_full(&self) -> bool {
        let open = &self.transaction;
        let waited = |since| self.ports.clock.elapsed().saturating_sub(since) >= self.bounds.interval();
        open.since.is_some_and(waited)
            || self.bounds.are_reached(open.records, open.bytes)
            || open.state_bytes as u64 >= self.spec.state.transaction_bytes
    }

    /// Whether it is time to commit, seen from the end of a turn.
    pub(super) fn is_due(&mut self, turned: Turned) -> bool {
        let now = self.ports.clock.elapsed();
        if self.transaction.since.is_some() {
            // Records may wait for something else, an answer say: then there is nothing to do all the same.
            let is_done = self.waiting() == 0 || turned == Turned::Idle;
            let is_eager = self.bounds.eager_at().is_some_and(|at| now >= at) && is_done;
            return is_eager || self.is_full();
        }
        if self.dirty_tasks().next().is_none() {
            self.transaction.idle_since = None;
            return false;
        }
        let since = *self.transaction.idle_since.get_or_insert(now);
        now.saturating_sub(since) >= IDLE_COMMIT.max(self.bounds.interval())
    }

    pub(super) fn dirty_tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.values().filter(|task| task.is_dirty())
    }
}

/// The positions, or those of the last records instead of the next ones.
fn shifted(positions: &[(TopicPartition, Committed)]) -> Cow<'_, [(TopicPartition, Committed)]> {
    if !sabotage::breaks(Rule::NextRecord) {
        return Cow::Borrowed(positions);
    }
    let shift = |(place, committed): &(TopicPartition, Committed)| {
        let position = Offset(committed.position.0.saturating_sub(1).max(0));
        (place.clone(), Committed { position, note: committed.note.clone() })
    };
    positions.iter().map(shift).collect()
}
