//! A worker: one consumer, one transactional producer, and the tasks of the partitions that the group gave it.
//!
//! It is driven one turn at a time: poll, open tasks, let each of them make one call, commit when it is time. It decides
//! nothing about records; that is the tasks' matter.
//!
//! ```text
//!                fails (unknown, fatal)                   replaced
//!   working --------------------------> without producer ----------> working
//!      |  fenced: two heartbeat intervals of polling first ^
//!      |  time-out: smaller transactions                   |
//!      +---------------------------------------------------+
//! ```

mod assignment;
mod bounds;
mod callouts;
mod causes;
mod commit;
mod recovery;
mod restoring;
#[cfg(test)]
mod simulation;
mod status;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::clock::Clock;
use crate::config::pipeline::CommitBounds;
use crate::event;
use crate::fault::{Fault, Scope};
use crate::id::{Offset, Partition, TaskId, TopicPartition};
use crate::io::{Callouts, Input, Restorer, Sink, Source, Stores, TransactionError, Transform};
use crate::sabotage::{self, Rule};
use crate::status::Slot;
use crate::task::backoff::Backoff;
use crate::task::broadcast::Views;
use crate::task::effects::Effects;
use crate::task::restore::Restoration;
use crate::task::spec::Spec;
use crate::task::{Surroundings, Task, Turn};
use crate::worker::bounds::Bounds;
use crate::worker::causes::Causes;
use crate::worker::recovery::Recovery;

/// The longest time that a worker with nothing to do stays in a poll: changes of broadcast topics come without a wake-up.
const POLL_LONGEST: Duration = Duration::from_millis(50);

/// How many inputs a turn takes at most before the tasks get their turn.
const POLLS_MAX: usize = 64;

/// Positions behind which nothing lies are committed this late: only the lag that is shown depends on them.
const IDLE_COMMIT: Duration = Duration::from_secs(1);

/// Pauses after a local store could not be made or written.
const STORE_RETRY_FIRST: Duration = Duration::from_millis(100);
const STORE_RETRY_LONGEST: Duration = Duration::from_secs(30);

/// What a worker works with.
pub struct Ports<S, K> {
    /// The consumer.
    pub source: S,
    /// The producer. The worker replaces it before its first transaction.
    pub sink: K,
    /// Makes instances of the plugin.
    pub transform: Box<dyn Transform>,
    /// The broadcast topics of the transform.
    pub views: Views,
    /// The local stores of its tasks.
    pub stores: Box<dyn Stores>,
    /// Reads changelogs.
    pub restorer: Box<dyn Restorer>,
    /// Makes HTTP requests.
    pub callouts: Arc<dyn Callouts>,
    /// The time.
    pub clock: Clock,
}

/// How a worker commits, and what the cluster is told about it.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// When transactions end.
    pub commit: CommitBounds,
    /// The broker aborts a transaction that is older (`transaction.timeout.ms`).
    pub transaction_timeout: Duration,
    /// The consumer's heartbeat interval: within two of them it learns that it has been replaced.
    pub heartbeat_interval: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            commit: CommitBounds::default(),
            transaction_timeout: Duration::from_secs(15),
            heartbeat_interval: Duration::from_secs(3),
        }
    }
}

/// What tasks see of the ports.
fn surroundings<S, K>(ports: &Ports<S, K>) -> Surroundings<'_> {
    Surroundings {
        transform: ports.transform.as_ref(),
        views: &ports.views,
        callouts: ports.callouts.as_ref(),
        now: ports.clock.now(),
        elapsed: ports.clock.elapsed(),
    }
}

/// What a turn of a worker came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turned {
    /// There may be more to do at once.
    Busy,
    /// There was nothing to do; the next turn waits for something to happen.
    Idle,
}

/// One worker of a transform.
pub struct Worker<S: Source, K: Sink<Membership = S::Membership>> {
    ports: Ports<S, K>,
    spec: Arc<Spec>,
    settings: Settings,
    tasks: BTreeMap<Partition, Task>,
    /// The tasks whose local store is being brought up to date; they are closed meanwhile.
    restoring: BTreeMap<Partition, Restoration>,
    assigned: BTreeSet<TopicPartition>,
    /// As it was when the partitions were assigned: a commit under another one would be a zombie's.
    membership: Option<S::Membership>,
    /// Opening tasks failed: not before this time again.
    open_at: Duration,
    /// Pauses after a local store could not be made or written.
    store_backoff: Backoff,
    /// When the log said last how far restores are.
    restores_shown: Duration,
    /// Since when a committed position lies beyond the end of its partition.
    beyond_since: Option<Duration>,
    transaction: Open,
    bounds: Bounds,
    recovery: Recovery,
    turned: Turned,
    slot: Slot,
}

/// What is in the transaction that is being filled.
#[derive(Debug, Default)]
struct Open {
    /// When the producer's transaction was begun, if something was sent already.
    begun: Option<Duration>,
    /// When the first effects came.
    since: Option<Duration>,
    /// When positions without effects were seen to wait.
    idle_since: Option<Duration>,
    records: usize,
    bytes: usize,
    /// What the tasks have written to their state.
    state_bytes: usize,
    /// The highest changelog offset of each task, once everything is flushed.
    acknowledged: BTreeMap<Partition, Offset>,
    causes: Causes,
}

impl Open {
    fn clear(&mut self) {
        (self.begun, self.since, self.idle_since) = (None, None, None);
        (self.records, self.bytes, self.state_bytes) = (0, 0, 0);
        self.acknowledged.clear();
        self.causes.clear();
    }
}

impl Turned {
    fn or(self, other: Self) -> Self {
        if self == Self::Busy { self } else { other }
    }
}

impl<S: Source, K: Sink<Membership = S::Membership>> Worker<S, K> {
    /// A worker that has no partitions yet.
    pub fn new(ports: Ports<S, K>, spec: Arc<Spec>, settings: Settings) -> Self {
        Self {
            bounds: Bounds::new(settings.commit),
            recovery: Recovery::default(),
            ports,
            spec,
            settings,
            tasks: BTreeMap::new(),
            restoring: BTreeMap::new(),
            assigned: BTreeSet::new(),
            membership: None,
            open_at: Duration::ZERO,
            store_backoff: Backoff::new(STORE_RETRY_FIRST, STORE_RETRY_LONGEST),
            restores_shown: Duration::ZERO,
            beyond_since: None,
            transaction: Open::default(),
            turned: Turned::Busy,
            slot: Slot::default(),
        }
    }

    /// Shows what it does on a board, and answers questions that come from there.
    #[must_use]
    pub fn shown_in(mut self, slot: Slot) -> Self {
        self.slot = slot;
        self
    }

    /// Works until `stop` is set, then commits what is done and gives the consumer back. It does not leave the group: a
    /// worker that comes back under its name within the session time-out takes its partitions up again.
    ///
    /// # Errors
    /// Scope host: the process has to end.
    pub fn run(mut self, stop: &AtomicBool) -> Result<S, Fault> {
        while !stop.load(Ordering::Relaxed) {
            self.turn()?;
        }
        self.shutdown()
    }

    /// One turn of the loop.
    ///
    /// # Errors
    /// Scope host: the process has to end. What was not committed is aborted.
    pub fn turn(&mut self) -> Result<Turned, Fault> {
        let turned = self.try_turn();
        if turned.is_err() {
            self.abandon();
        }
        self.turned = *turned.as_ref().unwrap_or(&Turned::Idle);
        turned
    }

    /// Commits what is done and stops; gives the consumer back, which is still a member of the group.
    ///
    /// # Errors
    /// Scope host. Nothing is lost in any case: what is not committed is processed again.
    pub fn shutdown(mut self) -> Result<S, Fault> {
        if self.is_ready() {
            let partitions = self.tasks.keys().copied().collect();
            self.drain(&partitions)?;
        }
        if self.is_ready() {
            self.commit()?;
        }
        self.close_all();
        Ok(self.ports.source)
    }

    fn try_turn(&mut self) -> Result<Turned, Fault> {
        self.show();
        self.poll()?;
        if !self.ensure_producer()? {
            return Ok(Turned::Idle);
        }
        self.open_tasks()?;
        let restored = self.restore()?;
        self.answer_tasks()?;
        let turned = self.work()?.or(restored);
        if self.is_ready() && self.is_due(turned) {
            self.commit()?;
        }
        self.direct_flow()?;
        Ok(turned)
    }

    fn poll(&mut self) -> Result<(), Fault> {
        let mut wait = match self.turned {
            Turned::Busy => Duration::ZERO,
            Turned::Idle => self.pause(),
        };
        for _ in 0..POLLS_MAX {
            match self.ports.source.poll(wait) {
                Ok(Some(input)) => self.take(input)?,
                Ok(None) => break,
                Err(fault) if fault.code().scope() == Scope::Host => return Err(fault),
                Err(fault) => {
                    event::KafkaTroubled { transform: &self.spec.transform, fault: &fault }.emit();
                    break;
                }
            }
            wait = Duration::ZERO;
            if self.waiting() >= self.room() {
                break;
            }
        }
        Ok(())
    }

    fn take(&mut self, input: Input) -> Result<(), Fault> {
        match input {
            // Records of a task that is not open are read again from its position when it is opened.
            Input::Records(place, chunk) => {
                if let Some(task) = self.tasks.get_mut(&place.partition) {
                    task.records(&place, chunk);
                }
            }
            Input::End(place, position) => {
                if let Some(task) = self.tasks.get_mut(&place.partition)
                    && !sabotage::breaks(Rule::PassTheEnd)
                {
                    task.end(&place, position);
                }
            }
            Input::Assigned(places) => self.assigned(places),
            Input::Revoked(places) => self.revoked(&places)?,
            Input::Lost(places) => self.lost(&places)?,
        }
        Ok(())
    }

    /// Lets every task make one call.
    fn work(&mut self) -> Result<Turned, Fault> {
        let mut turned = Turned::Idle;
        let partitions: Vec<_> = self.tasks.keys().copied().collect();
        for partition in partitions {
            let wants_quiet = self.tasks.get(&partition).is_some_and(Task::wants_quiet);
            if wants_quiet && self.transaction.since.is_some() && !sabotage::breaks(Rule::SearchInQuiet) {
                self.commit()?;
            }
            if !self.is_ready() {
                break;
            }
            turned = self.let_work(partition)?.or(turned);
        }
        Ok(turned)
    }

    /// Lets a task make one call, and sends what comes of it.
    fn let_work(&mut self, partition: Partition) -> Result<Turned, Fault> {
        match self.turn_of(partition) {
            Turn::Idle => return Ok(Turned::Idle),
            Turn::Searching => {}
            Turn::Stopped => self.stop_flow(partition)?,
            Turn::Made(effects) => {
                self.send(partition, &effects)?;
                if sabotage::breaks(Rule::CallAfterCommit) {
                    self.depart_unsafely(partition);
                }
            }
            Turn::Damaged(fault) => self.damaged(partition, &fault)?,
        }
        if self.is_ready() && self.is_full() {
            self.commit()?;
        }
        Ok(Turned::Busy)
    }

    fn turn_of(&mut self, partition: Partition) -> Turn {
        let around = surroundings(&self.ports);
        let Some(task) = self.tasks.get_mut(&partition) else { return Turn::Idle };
        let turn = task.turn(&around);
        if matches!(&turn, Turn::Made(effects) if effects.is_step()) {
            let now = self.ports.clock.elapsed();
            task.rest_after_step(now.saturating_sub(around.elapsed), now);
        }
        turn
    }

    /// Puts the effects of a task into the transaction, and begins it when there is something to send.
    fn send(&mut self, partition: Partition, effects: &Effects) -> Result<(), Fault> {
        let (now, elapsed) = (self.ports.clock.now(), self.ports.clock.elapsed());
        let open = &mut self.transaction;
        open.since.get_or_insert(elapsed);
        open.records = open.records.saturating_add(effects.records());
        open.bytes = open.bytes.saturating_add(effects.bytes());
        open.state_bytes = self.tasks.values().map(Task::written_bytes).sum();
        let base = open.causes.add(partition, effects);
        let (begun, sink) = (&mut open.begun, &mut self.ports.sink);
        let sent = effects.send(&self.spec, (base, now), |record| {
            if begun.is_none() {
                sink.begin()?;
                *begun = Some(elapsed);
            }
            sink.send(record)
        });
        sent.or_else(|error: TransactionError| self.failed(error, recovery::Step::Before))
    }

    fn waiting(&self) -> usize {
        self.tasks.values().map(Task::waiting).sum()
    }

    /// How many records may wait before the worker stops polling: two batches for each task. The client's own queue
    /// holds the rest, and no partition needs to be paused while the tasks keep pace.
    fn room(&self) -> usize {
        self.spec.batch.records.saturating_mul(2).saturating_mul(self.tasks.len().max(1))
    }

    /// How long there is nothing to do, unless something happens.
    fn pause(&self) -> Duration {
        let elapsed = self.ports.clock.elapsed();
        let commit = self.transaction.since.map(|since| {
            let at = since.saturating_add(self.bounds.interval());
            self.bounds.eager_at().map_or(at, |eager| at.min(eager))
        });
        let wakes = self.tasks.values().filter_map(Task::wakes_at).chain(commit);
        let next = wakes.min().map_or(POLL_LONGEST, |time| time.saturating_sub(elapsed));
        next.min(POLL_LONGEST)
    }

    fn task_id(&self, partition: Partition) -> TaskId {
        TaskId { transform: self.spec.transform.clone(), partition }
    }
}
