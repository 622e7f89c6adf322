//! The test driver: a pipeline without a broker, in one thread, with a clock that a test moves.
//!
//! What runs is the production worker with its tasks ([`worker`](crate::worker), [`task`](crate::task)), over the ports in
//! [`memory`](crate::memory). Hosts make turns, one after the other, so a scenario is the same each time; it can look at any
//! topic, row or job between two turns, end a host at any call, take its disk away, let another one join.

mod faults;
mod host;
mod look;
mod record;
mod rest;
mod setup;
#[cfg(test)]
mod tests;
mod turns;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

pub use faults::{Crash, Disk, Failure, Moment};
pub use record::{Message, Record};
pub use rest::Stuck;
pub use setup::{Layout, Make, Setup};

use crate::clock::Clock;
use crate::config::pipeline::{Deployment, Pipeline};
use crate::driver::faults::Calls;
use crate::driver::host::{Departure, Disks, Held, Host};
use crate::driver::setup::Staged;
use crate::fault::{Code, Fault};
use crate::id::{InstanceName, Offset, Partition, Timestamp, TopicName, TopicPartition};
use crate::memory::{Cluster, MemoryServer};
use crate::task::order::Order;

/// A cluster in memory, and the hosts that run a pipeline on it.
///
/// Time stands still, except that hosts with nothing to do let as much of it pass as they would wait for, 50 ms at most a turn:
/// until a commit is due, a pause is over, a dead member is missed. [`Driver::advance`] moves it by more.
///
/// # Examples
/// A transform is whatever makes instances: a component that [`plugin`](crate::plugin) has loaded, or, as here, a plugin
/// that passes on what it gets.
/// ```
/// use std::path::Path;
///
/// use gristmill_host::config::{assembly, manifest, raw};
/// use gristmill_host::driver::{Crash, Disk, Driver, Moment};
/// use gristmill_host::fault::Fault;
/// use gristmill_host::id::{Digest, SinkIndex, TaskId};
/// use gristmill_host::io::{Answered, Batch, Instance, Outcome, OutputSlot, State, Transform};
///
/// struct PassOn;
///
/// impl Transform for PassOn {
///     fn instance(&self, _: &TaskId) -> Result<Box<dyn Instance>, Fault> {
///         Ok(Box::new(Self))
///     }
/// }
///
/// impl Instance for PassOn {
///     fn process(&mut self, batch: Batch<'_>, state: Box<dyn State>) -> Answered {
///         let records = batch.records;
///         let outputs = (0..).zip(records.slots()).map(|(index, record)| OutputSlot {
///             sink: SinkIndex(0),
///             key: record.key,
///             value: record.value,
///             headers: record.headers,
///             timestamp: None,
///             cause: Some(index),
///         });
///         let outcome = Outcome {
///             outputs: outputs.collect(),
///             headers: records.header_slots().to_vec(),
///             bytes: records.bytes().to_vec(),
///             ..Outcome::default()
///         };
///         Answered { answer: Ok(outcome), state }
///     }
/// }
///
/// let plugin = "[plugin]\nname = \"pass-on\"\nversion = \"1.0.0\"\ninterface = \"0.1\"\n\
///     [[source]]\nname = \"in\"\nkind = \"stream\"\n[[sink]]\nname = \"out\"\n";
/// let file = "[app]\nid = \"shop\"\n[kafka]\nbrokers = \"none:1\"\n[transforms.copy]\nplugin = \"pass-on.wasm\"\n\
///     sources.in = \"orders\"\nsinks.out = \"copies\"\n";
/// let raw = raw::parse(Path::new("shop.toml"), file, &|_| None)?;
/// let pipeline = assembly::assemble(&raw, &mut |_| Ok((manifest::parse(plugin)?, Digest([0; 32]))))?;
///
/// let mut driver = Driver::setup(&pipeline).partitions(2).begin(&mut |_| Ok(Box::new(PassOn)))?;
/// driver.start("a");
/// driver.produce("orders", "1", "one")?;
/// // The host dies at its fifth call to the cluster, and is started again.
/// driver.crash_at(Crash { at: 5, moment: Moment::After, disk: Disk::Kept });
/// driver.run_until_idle()?;
///
/// assert_eq!(driver.crashes(), 1);
/// let copies = driver.committed("copies");
/// assert_eq!(copies.len(), 1);
/// assert_eq!(copies[0].value_text().as_deref(), Some("one"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Driver {
    clock: Clock,
    cluster: Cluster,
    server: Option<MemoryServer>,
    transforms: Vec<Rc<Staged>>,
    calls: Rc<Calls>,
    hosts: BTreeMap<InstanceName, Host>,
    /// Why hosts ended that nobody had asked to end.
    ended: BTreeMap<InstanceName, Fault>,
    disks: BTreeMap<InstanceName, Disks>,
    held: Held,
    paused: BTreeSet<InstanceName>,
    crashes: usize,
}

/// Topics and time.
impl Driver {
    /// Begins to set a driver up for a pipeline.
    pub fn setup(pipeline: &Pipeline) -> Setup<'_> {
        Setup::new(pipeline)
    }

    fn of(
        (clock, cluster, server): (Clock, Cluster, Option<MemoryServer>),
        transforms: Vec<Rc<Staged>>,
        calls: Rc<Calls>,
    ) -> Self {
        Self {
            clock,
            cluster,
            server,
            transforms,
            calls,
            hosts: BTreeMap::new(),
            ended: BTreeMap::new(),
            disks: BTreeMap::new(),
            held: Held::new(),
            paused: BTreeSet::new(),
            crashes: 0,
        }
    }

    /// Puts a record into a topic, in the partition that its key belongs to, and tells where it lies.
    ///
    /// # Errors
    /// `topic_missing`.
    pub fn produce(
        &self,
        topic: &str,
        key: impl Into<Vec<u8>>,
        value: impl Into<Vec<u8>>,
    ) -> Result<(Partition, Offset), Fault> {
        self.send(topic, Message::new(key, value))
    }

    /// Deletes a key: puts a tombstone into a topic.
    ///
    /// # Errors
    /// `topic_missing`.
    pub fn delete(&self, topic: &str, key: impl Into<Vec<u8>>) -> Result<(Partition, Offset), Fault> {
        self.send(topic, Message::tombstone(key))
    }

    /// Puts any record into a topic.
    ///
    /// # Errors
    /// `topic_missing`: there is no such topic, or no such partition in it.
    pub fn send(&self, topic: &str, message: Message) -> Result<(Partition, Offset), Fault> {
        let name = TopicName::new(topic);
        let place = match message.partition() {
            Some(partition) => TopicPartition::new(&name, partition),
            None => self.cluster.place_of(&name, message.key()),
        };
        let offset = self.cluster.append(&place, message.into_content(self.clock.now()));
        let offset =
            offset.ok_or_else(|| Fault::new(Code::TopicMissing, format!("{place} does not exist")))?;
        Ok((place.partition, offset))
    }

    /// Gives every task of a transform an order, as an operator does.
    ///
    /// # Errors
    /// `topic_missing`: there is no such transform, or it takes no orders.
    pub fn order(&self, transform: &str, order: &Order) -> Result<(), Fault> {
        let inbox = self.inbox(transform)?;
        let tell = |place: TopicPartition| {
            let message = Message::keyless(order.write()).to_partition(place.partition);
            self.send(inbox.as_str(), message).map(|_| ())
        };
        self.cluster.partitions(&inbox).into_iter().try_for_each(tell)
    }

    /// Gives the task that has a key an order about its row.
    ///
    /// # Errors
    /// As [`Driver::order`].
    pub fn order_for(&self, transform: &str, key: impl Into<Vec<u8>>, order: &Order) -> Result<(), Fault> {
        let inbox = self.inbox(transform)?;
        self.send(inbox.as_str(), Message::new(key, order.write())).map(|_| ())
    }

    fn inbox(&self, transform: &str) -> Result<TopicName, Fault> {
        let mut deployments = self.deployments();
        let deployment = deployments.find(|deployment| deployment.name.as_str() == transform);
        let missing = || Fault::new(Code::TopicMissing, format!("there is no transform `{transform}`"));
        deployment.map(Deployment::inbox).ok_or_else(missing)
    }

    /// Compacts a topic to the latest record of each key, up to its last stable offset; tombstones stay.
    pub fn compact(&self, topic: &str) {
        self.cluster.partitions(&topic.into()).iter().for_each(|place| self.cluster.compact(place));
    }

    /// The cluster, for what else can happen to topics and groups.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Lets time pass. What hosts have begun they commit in it; a host that has nothing left to commit sleeps through
    /// the rest, as a member of its groups all the while, unless it is paused.
    pub fn advance(&mut self, by: Duration) {
        let until = self.clock.elapsed().saturating_add(by);
        for _ in 0..turns::TURNS_MAX {
            if self.clock.elapsed() >= until || self.awake().all(|(_, host)| host.is_at_rest()) {
                break;
            }
            self.turn();
        }
        self.clock.advance(until.saturating_sub(self.clock.elapsed()));
        self.awake().for_each(|(_, host)| host.keep_alive(&self.cluster));
    }
}

/// Hosts.
impl Driver {
    /// Starts a host that runs all transforms of the pipeline: the first one, one more beside those that run, or one that
    /// comes back under its name and finds its disk. One that runs goes on.
    pub fn start(&mut self, host: &str) {
        let name = InstanceName::new(host);
        if self.hosts.contains_key(&name) {
            return;
        }
        self.ended.remove(&name);
        let disks = self.disks.entry(name.clone()).or_default();
        let started =
            Host::start(&name, &self.transforms, (&self.cluster, &self.clock, self.server.as_ref()), disks);
        self.hosts.insert(name, started);
    }

    /// Ends a host as `kill -9` does. Its groups miss it when their session time-out has passed.
    pub fn crash(&mut self, host: &str) {
        self.take_out(&InstanceName::new(host));
    }

    fn take_out(&mut self, host: &InstanceName) -> Option<Host> {
        self.paused.remove(host);
        self.hosts.remove(host)
    }

    /// Ends a host as SIGTERM does: it commits what is done, and its partitions wait for it until the session time-out.
    pub fn stop(&mut self, host: &str) {
        self.end(host, Departure::Stay);
    }

    /// Ends a host for good: it commits what is done, and the others take over at once.
    pub fn leave(&mut self, host: &str) {
        self.end(host, Departure::Leave);
    }

    fn end(&mut self, host: &str, departure: Departure) {
        let name = InstanceName::new(host);
        let Some(host) = self.take_out(&name) else { return };
        if let Err(fault) = host.shut_down(departure) {
            match self.calls.take_crashed() {
                Some(crash) => self.crashed(&name, crash),
                None => drop(self.ended.insert(name, fault)),
            }
        }
    }

    /// Lets a host stand still as SIGSTOP does, in the middle of what it does. The others go on, and miss it when its session
    /// time-out has passed.
    pub fn pause(&mut self, host: &str) {
        self.paused.insert(InstanceName::new(host));
    }

    /// Lets a host go on that [`Driver::pause`] has stopped; it does not know that it was.
    pub fn resume(&mut self, host: &str) {
        self.paused.remove(&InstanceName::new(host));
    }

    /// The hosts that do not stand still.
    fn awake(&self) -> impl Iterator<Item = (&InstanceName, &Host)> {
        self.hosts.iter().filter(|(name, _)| !self.paused.contains(*name))
    }

    /// Loses everything that a host has on its disk. If it runs, it goes on with files that nobody will find again.
    pub fn lose_disk(&mut self, host: &str) {
        let disks = self.disks.get(&InstanceName::new(host));
        disks.into_iter().flatten().for_each(|(_, disk)| disk.lose_disk());
    }

    /// Lets a host die at a call to come. It is started again at once, unless it was about to end anyway. It replaces a crash
    /// that was ordered before.
    pub fn crash_at(&self, crash: Crash) {
        self.calls.order_crash(crash);
    }

    /// How many ordered crashes have happened.
    pub fn crashes(&self) -> usize {
        self.crashes
    }

    /// Lets a call to come fail. It replaces a failure that was ordered before.
    pub fn fail_at(&self, failure: Failure) {
        self.calls.order_failure(failure);
    }

    /// How many ordered failures have happened.
    pub fn failures(&self) -> usize {
        self.calls.failures()
    }

    /// How many calls the hosts have made to the cluster so far: the places at which things can go wrong.
    pub fn calls(&self) -> u64 {
        self.calls.count()
    }

    fn crashed(&mut self, host: &InstanceName, crash: Crash) {
        self.crashes += 1;
        if crash.disk == Disk::Lost {
            self.lose_disk(host.as_str());
        }
    }

    /// The readers of a broadcast topic stand still for the workers of a transform: they do not hear of what comes, until
    /// [`Driver::release`].
    pub fn hold(&mut self, transform: &str, topic: &str) {
        self.held.insert((transform.into(), topic.into()));
    }

    /// The readers that [`Driver::hold`] has stopped go on.
    pub fn release(&mut self, transform: &str, topic: &str) {
        self.held.remove(&(transform.into(), topic.into()));
    }
}
