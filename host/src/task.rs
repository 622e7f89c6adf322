//! The heart: a task takes records in and gives effects out, and knows nothing of Kafka, WebAssembly, clocks or threads.
//!
//! ```text
//!              open                    settled                    stop
//!   Closed ------------> Fresh ---------------------> Running ------------> Stopped
//!     ^  \                 |    its positions are       |  ^
//!     |   \----------------+--- committed already ------+  |  turn, rewind
//!     +------------------- close --------------------------+
//! ```
//! Before it is opened, `restore` brings its local store up to date. The worker feeds it (`records`, `end`), lets it work (`turn`), sends what comes out, and tells it what became of the
//! transaction: `commit`, or `rewind` after an abort, or `close` and `open` when only Kafka knows. A stopped task keeps
//! its positions and its partitions until somebody acts.

pub mod backoff;
pub mod broadcast;
mod buffer;
mod call;
mod callouts;
mod causal;
mod check;
mod commit;
mod culprits;
mod dead_letter;
pub mod effects;
mod inbox;
mod jobs;
mod notice;
pub mod order;
pub mod rebuild;
pub mod repeat;
pub mod restore;
mod review;
mod rows;
mod run;
pub mod spec;
pub mod state;
mod step;
mod timers;
mod turn;

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::event;
use crate::fault::{Code, Fault};
use crate::id::{Offset, TaskId, Timestamp, TopicPartition};
use crate::io::{Callouts, Instance, State, StoreEngine, Transform};
use crate::record::Chunk;
use crate::status::JobStatus;
use crate::status::PartitionStatus;
use crate::task::backoff::Backoff;
use crate::task::broadcast::{Broadcast, Views};
use crate::task::buffer::Buffer;
pub use crate::task::callouts::Departures;
use crate::task::callouts::OpenCallouts;
use crate::task::causal::Causal;
use crate::task::culprits::{Breaker, Culprits};
use crate::task::effects::{Cause, Effects, JobName};
use crate::task::jobs::Jobs;
use crate::task::rebuild::Rebuild;
use crate::task::run::{Care, Run};
use crate::task::spec::Spec;
use crate::task::state::layout::Layout;
use crate::task::state::{PositionRecord, TaskState};
use crate::task::timers::Gate;

/// Pauses after a plugin asked to be called again later.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LONGEST: Duration = Duration::from_secs(30);

/// Where a task begins.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Opening {
    /// The next offset to read of each source's partition.
    pub positions: BTreeMap<TopicPartition, Offset>,
    /// Those of them that are committed.
    pub committed: BTreeMap<TopicPartition, Offset>,
    /// The last position record; an empty one when there is none.
    pub record: PositionRecord,
    /// How far the changelog is applied: the next offset.
    pub changelog: Offset,
    /// A table whose rows may be older than what was sent last, until its topic is handled up to here: until then nothing
    /// else runs.
    pub catch_up: BTreeMap<TopicPartition, Offset>,
    /// The key up to which the local copy has the terms of the indexes, when it was made for other ones.
    pub rebuild: Option<Vec<u8>>,
}

/// What a task needs of the world for a turn.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// Makes instances.
    pub transform: &'a dyn Transform,
    /// The broadcast topics.
    pub views: &'a Views,
    /// Makes HTTP requests.
    pub callouts: &'a dyn Callouts,
    /// Wall clock.
    pub now: Timestamp,
    /// Time that never goes back.
    pub elapsed: Duration,
}

impl Surroundings<'_> {
    /// Takes the instance that there is, or makes a new one.
    fn instance(
        &self,
        slot: &mut Option<Box<dyn Instance>>,
        task: &TaskId,
    ) -> Result<Box<dyn Instance>, Fault> {
        slot.take().map_or_else(|| self.transform.instance(task), Ok)
    }
}

/// What a turn of a task came to.
#[derive(Debug)]
pub enum Turn {
    /// There was nothing to do, or it has to wait.
    Idle,
    /// Something was found out about records; there are no effects yet.
    Searching,
    /// Effects, to be sent in the open transaction.
    Made(Box<Effects>),
    /// The task has just stopped.
    Stopped,
    /// The local store has failed: it is of no use any more, and nothing of the task can be committed.
    Damaged(Fault),
}

#[derive(Debug)]
enum Phase {
    Closed,
    Fresh,
    Running,
    Stopped(Fault),
}

/// One task of a transform.
pub struct Task {
    id: TaskId,
    spec: Arc<Spec>,
    phase: Phase,
    buffer: Buffer,
    broadcast: Broadcast,
    /// Runs that come before anything new: what is left of a run that failed or is run again.
    runs: VecDeque<Run>,
    instance: Option<Box<dyn Instance>>,
    culprits: Culprits,
    breaker: Breaker,
    backoff: Backoff,
    wait_until: Option<Duration>,
    stream_time: Timestamp,
    has_effects: bool,
    /// Lent to calls.
    state: Box<TaskState>,
    /// The last committed position record.
    record: PositionRecord,
    /// The next offset of the changelog to apply.
    changelog: Offset,
    jobs: Jobs,
    /// Jobs of which a record was refused, and why; given up at their next turn.
    refused_jobs: BTreeMap<JobName, (Code, String)>,
    causal: Causal,
    /// Tables that have to be handled up to here before anything else runs. It stays when that is done: an abort takes it back.
    catch_up: BTreeMap<TopicPartition, Offset>,
    /// Indexes that are being built.
    rebuild: Option<Rebuild>,
    callouts: OpenCallouts,
    /// What timers wait for.
    gate: Gate,
    /// Timers or callouts had the last turn: the next one is for records.
    had_own_turn: bool,
}

impl Task {
    /// A closed task.
    pub fn new(spec: &Arc<Spec>, id: TaskId) -> Self {
        let layout = Arc::new(Layout::new(spec));
        Self {
            state: Box::new(TaskState::new(&layout)),
            record: PositionRecord::default(),
            changelog: Offset(0),
            jobs: Jobs::new(spec.state.steps),
            refused_jobs: BTreeMap::new(),
            causal: Causal::default(),
            catch_up: BTreeMap::new(),
            rebuild: None,
            callouts: OpenCallouts::default(),
            gate: Gate::default(),
            had_own_turn: false,
            phase: Phase::Closed,
            buffer: Buffer::new(spec, id.partition),
            broadcast: Broadcast::new(spec),
            runs: VecDeque::new(),
            instance: None,
            culprits: Culprits::default(),
            breaker: Breaker::default(),
            backoff: Backoff::new(RETRY_FIRST, RETRY_LONGEST),
            wait_until: None,
            stream_time: Timestamp(0),
            has_effects: false,
            id,
            spec: Arc::clone(spec),
        }
    }

    /// Its name.
    pub fn id(&self) -> &TaskId {
        &self.id
    }

    /// The partitions that it reads.
    pub fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.buffer.inputs().iter().map(buffer::Input::place)
    }

    /// Whether it may be given records.
    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Fresh | Phase::Running)
    }

    /// Why it has stopped.
    pub fn fault(&self) -> Option<&Fault> {
        match &self.phase {
            Phase::Stopped(fault) => Some(fault),
            Phase::Closed | Phase::Fresh | Phase::Running => None,
        }
    }

    /// Begins at these positions, with its local store as restored. What the task had in memory is kept when it has not moved
    /// since it was closed.
    pub fn open(&mut self, opening: Opening, store: Option<Box<dyn StoreEngine>>) {
        if !matches!(self.phase, Phase::Closed) {
            return;
        }
        if self.instance.is_some() && !self.stands_at(&opening) {
            self.instance = None;
        }
        let Opening { positions, committed, record, changelog, catch_up, rebuild } = opening;
        self.state.set_indexed(rebuild.is_none());
        self.rebuild = rebuild.map(Rebuild::new);
        if let Some(store) = store {
            self.state.attach(store);
        }
        self.state.set_generation(record.generation);
        self.jobs.forget();
        self.open_callouts();
        self.gate = Gate::default();
        self.broadcast.open(&record.broadcasts);
        self.stream_time = record.stream_time;
        (self.record, self.changelog, self.catch_up) = (record, changelog, catch_up);
        self.buffer.open(|place| {
            let committed = committed.get(place).copied();
            positions.get(place).map(|position| (*position, committed))
        });
        let is_fresh = self.buffer.inputs().iter().any(|input| input.committed().is_none());
        self.phase = if is_fresh { Phase::Fresh } else { Phase::Running };
        event::TaskOpened { task: &self.id, fresh: is_fresh }.emit();
    }

    /// The task cannot be opened: it waits for an operator.
    pub fn refuse(&mut self, fault: Fault) {
        self.stop(fault);
    }

    fn stands_at(&self, opening: &Opening) -> bool {
        let stands = |input: &buffer::Input| {
            input.committed() == Some(input.position())
                && opening.committed.get(input.place()) == Some(&input.position())
        };
        opening.record == self.record && self.buffer.inputs().iter().all(stands)
    }

    /// Lets go of its partitions and of its local store. The instance stays, for the case that they come back unchanged,
    /// unless something of it is not committed.
    pub fn close(&mut self) {
        if self.is_dirty() || !self.runs.is_empty() {
            self.drop_uncommitted();
        }
        self.buffer.rewind();
        drop(self.state.detach());
        self.wait_until = None;
        if self.is_open() {
            self.phase = Phase::Closed;
            event::TaskClosed { task: &self.id }.emit();
        }
    }

    /// Takes in records of one of its partitions.
    pub fn records(&mut self, place: &TopicPartition, chunk: Chunk) {
        if self.is_open() {
            self.buffer.push(place, chunk);
        }
    }

    /// One of its partitions was read up to here, and there may be nothing to see before it.
    pub fn end(&mut self, place: &TopicPartition, position: Offset) {
        if self.is_open() {
            self.buffer.end(place, position);
        }
    }

    /// How many records wait for it.
    pub fn waiting(&self) -> usize {
        self.buffer.len() + self.runs.iter().map(|run| run.records.len()).sum::<usize>()
    }

    /// Partitions whose flow has to change: those to pause, then those to resume.
    pub fn flow(&mut self) -> (Vec<TopicPartition>, Vec<TopicPartition>) {
        self.buffer.flow()
    }

    /// Whether its positions must be committed before it takes its first record, or they would be resolved again, later.
    pub fn is_fresh(&self) -> bool {
        matches!(self.phase, Phase::Fresh)
    }

    /// Whether its next turn may take long, so that no transaction must be open during it.
    pub fn wants_quiet(&self) -> bool {
        self.is_open() && self.runs.front().is_some_and(|run| run.care == Care::Suspect)
    }

    /// When it wants another turn, if it is waiting for a time.
    pub fn wakes_at(&self) -> Option<Duration> {
        // A job that has to wait for callouts wakes with their answers.
        let may_step = !self.is_draining() && !self.is_full_of_callouts();
        let job = self.jobs.wakes_at().filter(|_| may_step);
        self.wait_until.into_iter().chain(job).min().filter(|_| self.is_open())
    }

    /// Whether something of it is not committed. A task that has just stopped still has to commit what it did before.
    pub fn is_dirty(&self) -> bool {
        let moved = |input: &buffer::Input| input.committed() != Some(input.position());
        !self.is_closed() && (self.has_effects || self.buffer.inputs().iter().any(moved))
    }

    fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// Whether effects of it wait for a commit, and not only positions behind which nothing lies.
    pub fn has_effects(&self) -> bool {
        self.has_effects || self.is_fresh()
    }

    /// Drops what is not committed, and tells where its partitions have to be read again.
    pub fn rewind(&mut self) -> Vec<(TopicPartition, Offset)> {
        if self.is_closed() {
            return Vec::new();
        }
        self.drop_uncommitted();
        self.buffer.inputs().iter().map(|input| (input.place().clone(), input.position())).collect()
    }

    fn drop_uncommitted(&mut self) {
        self.runs.clear();
        self.instance = None;
        self.buffer.rewind();
        self.broadcast.rewind();
        self.causal.rewind();
        self.culprits.rewind();
        self.state.rewind();
        self.jobs.forget();
        self.callouts.rewind();
        self.stream_time = self.record.stream_time;
        self.has_effects = false;
    }

    fn keep_call(&mut self) {
        if self.state.has_touched_jobs() {
            self.jobs.forget();
        }
        self.state.keep_call();
    }

    fn lend(&mut self) -> Box<dyn State> {
        let empty = Box::new(TaskState::new(self.state.layout()));
        let lent: Box<TaskState> = std::mem::replace(&mut self.state, empty);
        lent
    }

    fn take_back(&mut self, state: Box<dyn State>) -> Result<(), Fault> {
        let any: Box<dyn Any> = state;
        match any.downcast() {
            Ok(state) => {
                self.state = state;
                Ok(())
            }
            Err(_) => Err(Fault::new(Code::StoreFailed, "a call gave another state back than it was lent")),
        }
    }

    /// A position of a broadcast topic that a record names and nobody has seen yet: does the topic hold it at all?
    pub fn unsure(&self) -> Option<&(TopicPartition, Offset)> {
        self.causal.unsure().filter(|_| self.is_open())
    }

    /// The last stable offset of the partition that [`Task::unsure`] gave.
    pub fn answered(&mut self, stable_end: Offset) {
        self.causal.answered(&self.id, stable_end);
    }

    /// Its jobs, as far as they are known without asking the state.
    pub fn jobs(&self, elapsed: Duration) -> Vec<JobStatus> {
        let own = self.rebuild.as_ref().map(|rebuild| rebuild.status(&self.index_names(), elapsed));
        self.jobs.status(elapsed).into_iter().chain(own).collect()
    }

    /// Its state, with what is not committed yet.
    pub fn state(&self) -> &dyn State {
        &*self.state
    }

    /// What its local store takes on the disk, roughly, in bytes.
    pub fn store_bytes(&self) -> Option<u64> {
        self.state.size_bytes()
    }

    /// A step took so long, until now.
    pub fn rest_after_step(&mut self, took: Duration, now: Duration) {
        self.jobs.rest(took, now);
    }

    /// The next offset of each of its partitions, committed or not.
    pub fn reached(&self) -> Vec<(TopicPartition, Offset)> {
        self.buffer.inputs().iter().map(|input| (input.place().clone(), input.position())).collect()
    }

    /// How far it is in each of its partitions.
    pub fn progress(&self) -> Vec<PartitionStatus> {
        let status = |input: &buffer::Input| PartitionStatus {
            place: input.place().clone(),
            position: input.position(),
            committed: input.committed(),
        };
        self.buffer.inputs().iter().map(status).collect()
    }

    /// Breaks the rule that a task begins only when its positions are committed.
    pub(crate) fn settle_unsafely(&mut self) {
        self.phase = Phase::Running;
    }

    /// The broker refused a record that was made for this.
    pub fn refused(&mut self, cause: Cause, fault: &Fault) {
        let code = Code::RecordRefused.as_str();
        match cause {
            Cause::Output(place) => self.culprits.condemn(place, code, &fault.to_string()),
            Cause::Among(first, last) => self.culprits.suspect(first, last),
            Cause::Step(job) => self.step_refused(job, fault),
            Cause::State => {
                let message = format!("the changelog of task `{}` refuses a record", self.id);
                self.stop(Fault::new(Code::ChangelogRefused, message).because(fault.to_string()));
            }
            Cause::DeadLetter(place) => {
                if !self.culprits.refuse_dead_letter(place) {
                    let message = "the dead-letter topic refuses even a dead letter without content";
                    let cause = fault.to_string();
                    self.stop(Fault::new(Code::DeadLetterRefused, message).because(cause));
                }
            }
        }
    }

    fn stop(&mut self, fault: Fault) {
        event::TaskStopped { task: &self.id, fault: &fault }.emit();
        self.phase = Phase::Stopped(fault);
    }
}

#[cfg(test)]
mod tests;
