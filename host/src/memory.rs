//! A Kafka cluster in memory, with transactions, consumer groups and faults on demand: the ports of the test driver and of
//! the simulation.
//!
//! It keeps to what the commit path relies on: control records take offsets, readers see committed records below the last
//! stable offset only, a later producer with the same transactional id fences the earlier one and aborts its transaction,
//! the coordinator gives up transactions that are too old, offsets of a transaction come from the current generation of
//! the group or are refused, and a request to end a transaction may arrive late. It is single-threaded, deterministic, and
//! driven by a manual clock.

mod bad_days;
mod broadcast;
mod callouts;
mod clients;
mod coordinator;
mod group;
mod log;
mod outlet;
mod restorer;
mod sink;
mod source;
mod store;
mod trouble;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

pub use broadcast::MemoryBroadcast;
pub use callouts::{Effect, MemoryCallouts, MemoryServer, Reaction, Request};
pub use clients::{Clients, Member};
pub use group::MemoryMembership;
pub use log::{Content, Fate, Stored};
pub use outlet::{MemoryOutlet, MemoryTopics, OutletTrouble};
pub use restorer::MemoryRestorer;
pub use sink::MemorySink;
pub use source::MemorySource;
pub use store::{ApplyFailure, MemoryStore, MemoryStores};
pub use trouble::{Call, Hook, Process, Trouble};

use crate::clock::Clock;
use crate::id::{Offset, Partition, TopicName, TopicPartition};
use crate::io::{Bounds, Committed, TopicFacts, partition_of};
use crate::memory::coordinator::Transaction;
use crate::memory::group::Group;
use crate::memory::log::Log;

/// Time-outs of the cluster.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// A transaction that is older is aborted.
    pub transaction: Duration,
    /// A member that was silent for longer is removed.
    pub session: Duration,
    /// A member that does not give partitions back within this is removed.
    pub rebalance: Duration,
    /// How often a member hears from the group.
    pub heartbeat: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            transaction: Duration::from_secs(15),
            session: Duration::from_secs(45),
            rebalance: Duration::from_secs(60),
            heartbeat: Duration::from_secs(3),
        }
    }
}

/// What happened in the cluster, counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Transactions that were committed.
    pub commits: u64,
    /// Transactions that were aborted, for any reason.
    pub aborts: u64,
    /// Of these, the ones that were too old.
    pub timeouts: u64,
    /// Requests of a producer that another one had taken over from.
    pub fenced: u64,
    /// Offsets that came from an old generation or a removed member.
    pub stale_offsets: u64,
    /// Generations of groups.
    pub rebalances: u64,
    /// Members that were removed.
    pub removals: u64,
    /// Records that were refused.
    pub refusals: u64,
    /// Requests to end a transaction that arrived late and still had an effect.
    pub late_ends: u64,
}

/// A cluster. Clones are the same cluster.
#[derive(Clone)]
pub struct Cluster {
    state: Rc<RefCell<State>>,
    clock: Clock,
    hook: Rc<RefCell<Option<Rc<dyn Hook>>>>,
}

#[derive(Default)]
pub(crate) struct State {
    topics: BTreeMap<TopicName, Topic>,
    groups: BTreeMap<String, Group>,
    transactions: BTreeMap<String, Transaction>,
    late_ends: Vec<LateEnd>,
    timeouts: Timeouts,
    next_epoch: u64,
    stats: Stats,
    misuse: Vec<String>,
}

#[derive(Default)]
pub(crate) struct Topic {
    logs: Vec<Log>,
    facts: TopicFacts,
}

/// A request to commit that is still on its way.
struct LateEnd {
    id: String,
    epoch: u64,
    at: Duration,
}

impl Cluster {
    /// A cluster without topics.
    pub fn new(clock: &Clock, timeouts: Timeouts) -> Self {
        let state = State { timeouts, ..State::default() };
        Self { state: Rc::new(RefCell::new(state)), clock: clock.clone(), hook: Rc::default() }
    }

    /// Makes a topic.
    pub fn create(&self, topic: &TopicName, partitions: usize, facts: TopicFacts) {
        let logs = (0..partitions).map(|_| Log::default()).collect();
        self.state.borrow_mut().topics.insert(topic.clone(), Topic { logs, facts });
    }

    /// From now on every call of a port asks this first.
    pub fn hook(&self, hook: Rc<dyn Hook>) {
        *self.hook.borrow_mut() = Some(hook);
    }

    /// Appends a record outside of any transaction.
    pub fn append(&self, place: &TopicPartition, content: Content) -> Option<Offset> {
        self.state.borrow_mut().log(place).map(|log| log.append(content, Fate::Committed))
    }

    /// Appends records in a transaction of somebody else, and ends it.
    pub fn append_transaction(&self, place: &TopicPartition, contents: Vec<Content>, fate: Fate) {
        let mut state = self.state.borrow_mut();
        if let Some(log) = state.log(place) {
            for content in contents {
                log.append(content, fate.clone());
            }
            log.append(Content::Marker, Fate::Committed);
        }
    }

    /// Everything in a partition, as it stands.
    pub fn stored(&self, place: &TopicPartition) -> Vec<Stored> {
        self.state.borrow_mut().log(place).map(|log| log.entries().to_vec()).unwrap_or_default()
    }

    /// The partitions of a topic.
    pub fn partitions(&self, topic: &TopicName) -> Vec<TopicPartition> {
        let count = self.state.borrow().topics.get(topic).map_or(0, |topic| topic.logs.len());
        (0..count)
            .filter_map(|index| i32::try_from(index).ok())
            .map(|index| TopicPartition::new(topic, Partition(index)))
            .collect()
    }

    /// Where a record with this key lies in a topic, as Kafka's own clients choose.
    pub fn place_of(&self, topic: &TopicName, key: Option<&[u8]>) -> TopicPartition {
        let count = self.state.borrow().topics.get(topic).map_or(0, |topic| topic.logs.len());
        let count = i32::try_from(count).unwrap_or(1).max(1);
        TopicPartition::new(topic, key.map_or(Partition(0), |key| partition_of(key, count)))
    }

    /// The last stable offset and the end of a partition.
    pub fn ends(&self, place: &TopicPartition) -> (Offset, Offset) {
        let mut state = self.state.borrow_mut();
        state.log(place).map_or_else(Default::default, |log| (log.stable_end(), log.end()))
    }

    /// What a partition holds.
    pub(crate) fn bounds(&self, place: &TopicPartition) -> Bounds {
        let (start, stable_end) = match self.state.borrow_mut().log(place) {
            Some(log) => (log.start(), log.stable_end()),
            None => Default::default(),
        };
        Bounds { start, stable_end }
    }

    /// The committed position of a group.
    pub fn committed(&self, group: &str, place: &TopicPartition) -> Option<Committed> {
        self.state.borrow().groups.get(group).and_then(|group| group.offsets.get(place).cloned())
    }

    /// What happened so far.
    pub fn stats(&self) -> Stats {
        self.state.borrow().stats
    }

    /// Calls of ports that the commit path must not make, such as offsets before a flush.
    pub fn misuse(&self) -> Vec<String> {
        self.state.borrow().misuse.clone()
    }

    /// The clock has jumped, and a member was alive all the time.
    pub(crate) fn keep_alive(&self, group: &str, name: &str) {
        let now = self.clock.elapsed();
        if let Some(group) = self.state.borrow_mut().groups.get_mut(group) {
            group.keep_alive(name, now);
        }
    }

    pub(crate) fn heartbeat(&self) -> Duration {
        self.state.borrow().timeouts.heartbeat
    }

    /// What becomes of a call: asks the hook, then lets time have its effect.
    pub(crate) fn call(&self, client: &str, call: Call) -> Trouble {
        let hook = self.hook.borrow().clone();
        let trouble = hook.map_or(Trouble::None, |hook| hook.before(client, call));
        self.state.borrow_mut().pass_time(self.clock.elapsed());
        trouble
    }
}

impl State {
    pub(crate) fn log(&mut self, place: &TopicPartition) -> Option<&mut Log> {
        let index = usize::try_from(place.partition.0).ok()?;
        self.topics.get_mut(&place.topic)?.logs.get_mut(index)
    }

    fn forget_topic(&mut self, topic: &TopicName) {
        self.transactions.values_mut().for_each(|transaction| transaction.forget_topic(topic));
        self.groups.values_mut().for_each(|group| group.offsets.retain(|place, _| place.topic != *topic));
    }

    fn pass_time(&mut self, now: Duration) {
        self.end_old_transactions(now);
        let (timeouts, stats) = (self.timeouts, &mut self.stats);
        self.groups.values_mut().for_each(|group| group.pass_time(now, timeouts, stats));
        let (due, waiting) = self.late_ends.drain(..).partition::<Vec<_>, _>(|late| late.at <= now);
        self.late_ends = waiting;
        for late in due {
            if self
                .end_transaction(&late.id, late.epoch, coordinator::End::Commit)
                .is_ok_and(|changed| changed)
            {
                self.stats.late_ends += 1;
            }
        }
    }
}
