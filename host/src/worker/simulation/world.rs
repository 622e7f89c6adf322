//! The world of a schedule: a cluster, hosts that run and die on it, and the clients around them.
//!
//! It is long because it is one fixture: schedules, scenarios and checks all hold the same world.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Clock;
use crate::config::pipeline::{BatchBounds, CommitBounds, Limits, Start};
use crate::fault::{Code, Fault};
use crate::id::{Offset, Partition, Timestamp, TopicName, TopicPartition};
use crate::io::{Answer, CalloutMode, TopicFacts};
use crate::memory::{
    Call, Clients, Cluster, Content, Effect, Hook, Member, MemoryBroadcast, MemoryCallouts, MemoryServer,
    MemorySink, MemorySource, MemoryStores, Process, Reaction, Timeouts, Trouble,
};
use crate::status::{CalloutCounts, TaskState};
use crate::task::order::Order;
use crate::task::spec::Spec;
use crate::task::state::PositionRecord;
use crate::worker::simulation::deployment::deployment;
use crate::worker::simulation::plugin::{BELIEVED_BYTES, BROKER_BYTES, CLASSES, Kind, Plugin};
use crate::worker::simulation::random::Random;
use crate::worker::{Ports, Settings, Turned, Worker};

pub(super) const GROUP: &str = "sim.join";
pub(super) const CHANGELOG: &str = "sim.join.changelog";
pub(super) const INBOX: &str = "sim.join.inbox";
pub(super) const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(5);
/// Calls of a process at the same time.
const CONCURRENCY: usize = 3;
pub(super) const SESSION_TIMEOUT: Duration = Duration::from_secs(8);

/// How a world is set up.
#[derive(Clone, Copy)]
pub(super) struct Setup {
    pub(super) partitions: usize,
    pub(super) commit: CommitBounds,
    pub(super) batch: BatchBounds,
    /// Where the source `updates` begins.
    pub(super) start: Start,
    pub(super) limits: Limits,
    /// What is promised about callouts.
    pub(super) mode: CalloutMode,
    /// The age at which the coordinator gives a transaction up. Below the session time-out, a process that stood still finds
    /// that first; above it, that its offsets are those of an old generation.
    pub(super) transaction_timeout: Duration,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            partitions: 2,
            commit: CommitBounds { records: 20, ..CommitBounds::default() },
            batch: BatchBounds { records: 5, bytes: 10_000 },
            start: Start::Earliest,
            limits: Limits { traps_per_minute: u32::MAX, ..Limits::default() },
            mode: CalloutMode::AtMostOnce,
            transaction_timeout: TRANSACTION_TIMEOUT,
        }
    }
}

/// An order that was given: to hand out the row of a key again, or all rows.
pub(super) struct Ordered {
    pub(super) key: Option<String>,
    /// The keys whose rows were there for certain.
    pub(super) known: BTreeSet<String>,
}

pub(super) struct World {
    pub(super) clock: Clock,
    pub(super) cluster: Cluster,
    pub(super) random: Random,
    /// The transform with an index of one version and of another.
    specs: [Arc<Spec>; 2],
    /// Which of them a process that starts runs.
    pub(super) version: Cell<usize>,
    pub(super) setup: Setup,
    pub(super) plugin: Plugin,
    /// The server that is called.
    pub(super) server: MemoryServer,
    pub(super) hosts: RefCell<Vec<Rc<Host>>>,
    /// What was produced to the partitioned sources, visible to readers: by place, its kind and number.
    pub(super) produced: RefCell<BTreeMap<(TopicPartition, Offset), (Kind, u64)>>,
    /// The keys of what was produced.
    pub(super) keys: RefCell<BTreeMap<(TopicPartition, Offset), String>>,
    /// The orders to hand out rows again, with the partitions that they went to.
    pub(super) orders: RefCell<Vec<(Partition, Ordered)>>,
    /// What was produced as classes: key, value and offset.
    pub(super) classes: RefCell<Vec<(String, String, Offset)>>,
    next_number: Cell<u64>,
    /// A problem that some check found.
    pub(super) problem: RefCell<Option<String>>,
    /// Processes that are started again when they end.
    pub(super) supervised: RefCell<Vec<String>>,
    /// What each process has on its disk, by name.
    disks: RefCell<BTreeMap<String, MemoryStores>>,
    /// Where to interrupt a call.
    pub(super) plan: RefCell<Option<Asked>>,
}

type Asked = Box<dyn Fn(&World, &str, Call) -> Trouble>;
type SimulatedWorker = Worker<MemorySource, MemorySink>;

/// A process with one worker.
pub(super) struct Host {
    pub(super) name: String,
    /// None while it makes a turn, and when it is dead.
    worker: RefCell<Option<SimulatedWorker>>,
    pub(super) is_dead: Cell<bool>,
    pub(super) died_of: RefCell<Option<Code>>,
    classes: MemoryBroadcast,
    callouts: Arc<MemoryCallouts>,
}

struct Plan(Weak<World>);

impl Hook for Plan {
    fn before(&self, client: &str, call: Call) -> Trouble {
        let Some(world) = self.0.upgrade() else { return Trouble::None };
        // Taken out while it is asked, so that what it lets happen in between meets no further trouble.
        let Some(plan) = world.plan.borrow_mut().take() else { return Trouble::None };
        let trouble = plan(&world, client, call);
        world.plan.borrow_mut().get_or_insert(plan);
        trouble
    }
}

impl World {
    pub(super) fn new(seed: u64, setup: Setup) -> Rc<Self> {
        Self::with_server(seed, setup, server(seed))
    }

    pub(super) fn with_server(seed: u64, setup: Setup, server: MemoryServer) -> Rc<Self> {
        let clock = Clock::manual(Timestamp(1_000_000));
        let timeouts = Timeouts {
            transaction: setup.transaction_timeout,
            session: SESSION_TIMEOUT,
            rebalance: Duration::from_secs(6),
            heartbeat: Duration::from_secs(1),
        };
        let cluster = Cluster::new(&clock, timeouts);
        let truth = TopicFacts { max_bytes: BROKER_BYTES, ..TopicFacts::default() };
        let belief = TopicFacts { max_bytes: BELIEVED_BYTES, ..TopicFacts::default() };
        for topic in ["items", "updates", "dead", CHANGELOG, INBOX] {
            cluster.create(&topic.into(), setup.partitions, TopicFacts::default());
        }
        for topic in ["classes", "notes", "review"] {
            cluster.create(&topic.into(), 1, TopicFacts::default());
        }
        cluster.create(&"enriched".into(), 2, truth);
        let tasks = u32::try_from(setup.partitions).unwrap();
        let of_version = |version| {
            let deployment = deployment(setup, version);
            let mut spec = Spec::new(&deployment, tasks, |_| belief, |topic| topic.as_str() == "items");
            spec.callouts.settle = TRANSACTION_TIMEOUT;
            Arc::new(spec)
        };
        let world = Rc::new(Self {
            clock,
            cluster,
            random: Random::new(seed),
            specs: [of_version(1), of_version(2)],
            version: Cell::new(0),
            setup,
            plugin: Plugin::default(),
            server,
            hosts: RefCell::default(),
            produced: RefCell::default(),
            keys: RefCell::default(),
            orders: RefCell::default(),
            classes: RefCell::default(),
            next_number: Cell::new(0),
            problem: RefCell::default(),
            supervised: RefCell::default(),
            disks: RefCell::default(),
            plan: RefCell::default(),
        });
        world.cluster.hook(Rc::new(Plan(Rc::downgrade(&world))));
        world
    }

    /// Starts a process; whoever runs under the name is not asked.
    pub(super) fn start(&self, name: &str) -> Rc<Host> {
        let classes = MemoryBroadcast::new(&self.cluster, &"classes".into());
        if self.hosts.borrow().iter().any(|host| host.name == name) {
            // A state directory belongs to one process: whoever takes a name over while its owner lives runs elsewhere.
            self.disks.borrow_mut().remove(name);
        }
        let callouts =
            Arc::new(MemoryCallouts::new(&self.server, &self.clock, vec![self.setup.mode], CONCURRENCY));
        let process = Process::default();
        let Clients { source, sink, restorer } = self.cluster.join(
            &process,
            &Member {
                group: GROUP,
                name,
                transactional_id: &format!("sim.join.{name}"),
                topics: &["items".into(), "updates".into(), INBOX.into()],
                chunk_records: self.setup.batch.records,
            },
        );
        let ports = Ports {
            source,
            sink,
            transform: Box::new(self.plugin.clone()),
            views: BTreeMap::from([(CLASSES, Arc::clone(classes.view()))]),
            stores: Box::new(self.disk(name)),
            callouts: Arc::<MemoryCallouts>::clone(&callouts),
            restorer: Box::new(restorer),
            clock: self.clock.clone(),
        };
        let settings = Settings {
            commit: self.setup.commit,
            transaction_timeout: self.setup.transaction_timeout,
            heartbeat_interval: Duration::from_secs(1),
        };
        let host = Rc::new(Host {
            name: name.to_owned(),
            worker: RefCell::new(Some(Worker::new(
                ports,
                Arc::clone(&self.specs[self.version.get()]),
                settings,
            ))),
            is_dead: Cell::new(false),
            died_of: RefCell::default(),
            classes,
            callouts,
        });
        self.hosts.borrow_mut().push(Rc::clone(&host));
        host
    }

    /// The disk of a process.
    pub(super) fn disk(&self, name: &str) -> MemoryStores {
        self.disks.borrow_mut().entry(name.to_owned()).or_default().clone()
    }

    /// Starts a process, unless one runs under the name.
    pub(super) fn start_missing(&self, name: &str) {
        let is_running = self.hosts.borrow().iter().any(|host| host.name == name);
        if !is_running {
            self.start(name);
        }
    }

    /// One turn of a host, unless it is in the middle of one. Its view moves too, sometimes.
    pub(super) fn turn(&self, host: &Host) -> Option<Turned> {
        if self.random.permille(300) {
            self.read_classes(host);
        }
        if self.random.permille(200) {
            self.send_orphans(host);
        }
        let mut worker = host.worker.borrow_mut().take()?;
        match worker.turn() {
            Ok(turned) => {
                *host.worker.borrow_mut() = Some(worker);
                Some(turned)
            }
            Err(fault) => {
                self.died(host, &fault);
                None
            }
        }
    }

    fn died(&self, host: &Host, fault: &Fault) {
        host.is_dead.set(true);
        *host.died_of.borrow_mut() = Some(fault.code());
        self.hosts.borrow_mut().retain(|other| !std::ptr::eq(other.as_ref(), host));
        if !super::plugin::is_expected(fault) {
            self.report(format!("host `{}` ended: {}", host.name, fault.report()));
        }
    }

    pub(super) fn report(&self, problem: String) {
        self.problem.borrow_mut().get_or_insert(problem);
    }

    /// Ends a process without a word.
    pub(super) fn kill(&self, host: &Host) {
        drop(host.worker.borrow_mut().take());
        host.is_dead.set(true);
        self.hosts.borrow_mut().retain(|other| !std::ptr::eq(other.as_ref(), host));
    }

    /// Ends a process as SIGTERM does.
    pub(super) fn shut_down(&self, host: &Host) {
        let worker = host.worker.borrow_mut().take();
        if let Some(worker) = worker
            && let Err(fault) = worker.shutdown()
        {
            self.died(host, &fault);
        }
        self.kill(host);
    }

    /// What the worker of a host says of itself.
    pub(super) fn status(&self, host: &Host) -> Vec<crate::status::TaskStatus> {
        host.worker.borrow().as_ref().map(Worker::status).unwrap_or_default()
    }

    /// Answers whose tasks have left the host go to their inbox.
    fn send_orphans(&self, host: &Host) {
        for (task, answer) in host.callouts.orphans() {
            let Answer { id, ended, attempts } = answer;
            self.give(task, None, &Order::CalloutAnswer { id, attempts, end: (&ended).into() });
        }
    }

    /// The host's reader of the broadcast topic goes on, to the end.
    pub(super) fn read_classes(&self, host: &Host) {
        host.classes.read();
    }

    pub(super) fn number(&self) -> u64 {
        self.next_number.set(self.next_number.get() + 1);
        self.next_number.get()
    }

    fn item(&self, place: &TopicPartition, kind: Kind, key: u64, class: u64) -> (Content, u64) {
        let number = self.number();
        let key = format!("{}-{}-{key}", place.topic, place.partition);
        let value = format!("{}|c{class}|{number}", kind.letter());
        (record(&key, &value, self.clock.now()), number)
    }

    /// Produces an item that readers see at once.
    pub(super) fn produce(&self, place: &TopicPartition, kind: Kind, class: u64) -> Offset {
        let (content, number) = self.item(place, kind, self.random.below(4), class);
        let key = key_of(&content);
        let offset = self.cluster.append(place, content).unwrap();
        self.keys.borrow_mut().insert((place.clone(), offset), key);
        self.produced.borrow_mut().insert((place.clone(), offset), (kind, number));
        offset
    }

    /// Produces an item with this key, that readers see at once.
    pub(super) fn produce_of(&self, place: &TopicPartition, key: u64, class: u64) -> Offset {
        let (content, number) = self.item(place, Kind::Plain, key, class);
        let name = key_of(&content);
        let offset = self.cluster.append(place, content).unwrap();
        self.keys.borrow_mut().insert((place.clone(), offset), name);
        self.produced.borrow_mut().insert((place.clone(), offset), (Kind::Plain, number));
        offset
    }

    pub(super) fn produce_many(&self, place: &TopicPartition, kind: Kind, count: usize) {
        for _ in 0..count {
            self.produce(place, kind, 0);
        }
    }

    /// Produces items in a transaction, which takes an offset more, and which readers see if it is committed.
    pub(super) fn produce_transaction(
        &self,
        place: &TopicPartition,
        kinds: &[Kind],
        fate: crate::memory::Fate,
    ) {
        let (_, end) = self.cluster.ends(place);
        let items: Vec<_> =
            kinds.iter().map(|kind| self.item(place, *kind, self.random.below(4), 0)).collect();
        if fate == crate::memory::Fate::Committed {
            let offsets = (end.0..).map(Offset);
            for ((offset, kind), (content, number)) in offsets.zip(kinds).zip(&items) {
                self.keys.borrow_mut().insert((place.clone(), offset), key_of(content));
                self.produced.borrow_mut().insert((place.clone(), offset), (*kind, *number));
            }
        }
        let contents = items.into_iter().map(|(content, _)| content).collect();
        self.cluster.append_transaction(place, contents, fate);
    }

    /// Produces a class; `bad` ones are rejected.
    pub(super) fn produce_class(&self, class: u64, is_bad: bool) {
        let place = TopicPartition::new(&"classes".into(), Partition(0));
        let (key, number) = (format!("c{class}"), self.number());
        let value = if is_bad { format!("bad{number}") } else { number.to_string() };
        let offset = self.cluster.append(&place, record(&key, &value, self.clock.now())).unwrap();
        self.classes.borrow_mut().push((key, value, offset));
    }

    /// Orders the row of a key to be handed to the plugin again, or all rows of a partition.
    pub(super) fn order(&self, partition: Partition, key: Option<u64>) {
        let items = TopicPartition::new(&"items".into(), partition);
        let committed =
            self.cluster.committed(GROUP, &items).map_or(Offset(0), |committed| committed.position);
        let keys = self.keys.borrow();
        let handled = keys.iter().filter(|((place, offset), _)| *place == items && *offset < committed);
        let known = handled.map(|(_, key)| key.clone()).collect();
        let source = "items".to_owned();
        let (key, order) = match key {
            Some(key) => (Some(format!("items-{partition}-{key}")), Order::RepeatRow { source }),
            None => (None, Order::RepeatAll { source }),
        };
        self.orders.borrow_mut().push((partition, Ordered { key: key.clone(), known }));
        self.give(partition, key, &order);
    }

    /// Gives an order to a task.
    pub(super) fn give(&self, partition: Partition, key: Option<String>, order: &Order) {
        let place = TopicPartition::new(&INBOX.into(), partition);
        let (key, value) = (key.map(String::into_bytes), Some(order.write()));
        let (headers, timestamp) = (Vec::new(), self.clock.now());
        self.cluster.append(&place, Content::Record { key, value, headers, timestamp }).unwrap();
    }

    /// Deletes a class.
    pub(super) fn delete_class(&self, class: u64) {
        let place = TopicPartition::new(&"classes".into(), Partition(0));
        let key = Some(format!("c{class}").into_bytes());
        let (value, headers, timestamp) = (None, Vec::new(), self.clock.now());
        self.cluster.append(&place, Content::Record { key, value, headers, timestamp }).unwrap();
    }

    pub(super) fn sources(&self) -> Vec<TopicPartition> {
        let topics: [TopicName; 2] = ["items".into(), "updates".into()];
        topics.iter().flat_map(|topic| self.cluster.partitions(topic)).collect()
    }

    /// Lets everything go on without faults until there is nothing left to do, within a bound.
    pub(super) fn settle(&self) -> Result<(), String> {
        for _ in 0..3_000 {
            self.supervised.borrow().iter().for_each(|name| self.start_missing(name));
            let hosts: Vec<_> = self.hosts.borrow().clone();
            for host in &hosts {
                self.read_classes(host);
                self.turn(host);
            }
            if self.is_settled() {
                return Ok(());
            }
        }
        Err(format!("the lag does not fall (I11): {}", self.lag()))
    }

    /// Nothing is left to do, and every name is one process's: a zombie has learnt that it was replaced.
    fn is_settled(&self) -> bool {
        let hosts = self.hosts.borrow();
        let names: BTreeSet<_> = hosts.iter().map(|host| host.name.as_str()).collect();
        if names.len() < hosts.len() {
            return false;
        }
        let known = hosts.iter().flat_map(|host| self.status(host));
        let is_known = |task: &crate::status::TaskStatus| {
            !matches!(task.state, TaskState::Closed | TaskState::Restoring)
        };
        let known: BTreeSet<_> = known.filter(is_known).map(|task| task.id.partition).collect();
        if known.len() < self.setup.partitions {
            return false;
        }
        let is_calling =
            |host: &Rc<Host>| self.status(host).iter().any(|task| task.callouts != CalloutCounts::default());
        let is_at_rest = |host: &Rc<Host>| host.worker.borrow().as_ref().is_some_and(Worker::is_at_rest);
        if hosts.iter().any(is_calling) || !hosts.iter().all(is_at_rest) {
            return false;
        }
        let inboxes = self.cluster.partitions(&INBOX.into());
        self.sources().iter().chain(&inboxes).all(|place| {
            let committed = self.cluster.committed(GROUP, place).map(|committed| committed.position);
            committed == Some(self.cluster.ends(place).0)
        })
    }

    /// Lets everything that is known reach every task.
    pub(super) fn idle(&self) {
        for _ in 0..4 {
            let hosts: Vec<_> = self.hosts.borrow().clone();
            for host in &hosts {
                self.read_classes(host);
                self.turn(host);
            }
        }
    }

    /// How far a task has applied the classes, by its last position record.
    pub(super) fn applied_classes(&self, task: Partition) -> Option<Offset> {
        let changelog = TopicPartition::new(&CHANGELOG.into(), task);
        let last =
            self.cluster.stored(&changelog).into_iter().rev().find_map(|stored| match &stored.content {
                Content::Record { key: Some(key), value: Some(value), .. }
                    if stored.is_visible() && *key == [0] =>
                {
                    PositionRecord::read(value)
                }
                Content::Record { .. } | Content::Marker => None,
            });
        let classes = TopicPartition::new(&"classes".into(), Partition(0));
        last.and_then(|record| record.broadcasts.get(&classes).copied())
    }

    fn lag(&self) -> String {
        let lags = self.sources().into_iter().map(|place| {
            let committed = self.cluster.committed(GROUP, &place);
            format!("{place} at {committed:?} of {:?}", self.cluster.ends(&place))
        });
        let statuses =
            self.hosts.borrow().iter().map(|host| format!("{:?}", self.status(host))).collect::<Vec<_>>();
        format!("{}\n{}", lags.collect::<Vec<_>>().join(", "), statuses.join("\n"))
    }
}

/// A server that takes its time, breaks connections, refuses them and fails, as the seed wants it.
fn server(seed: u64) -> MemoryServer {
    let state = AtomicU64::new(seed);
    MemoryServer::new(move |_| {
        let random = Random::new(state.fetch_add(1, Ordering::SeqCst).wrapping_mul(0x9e37_79b9));
        let effect = match random.below(20) {
            0 | 1 => Effect::Breaks,
            2 => Effect::Refuses,
            3 => Effect::Answers(500, Vec::new()),
            _ => Effect::Answers(200, b"{}".to_vec()),
        };
        let millis = |most| Duration::from_millis(random.below(most));
        Reaction { before: millis(300), after: millis(1_500), effect }
    })
}

fn key_of(content: &Content) -> String {
    match content {
        Content::Record { key: Some(key), .. } => String::from_utf8(key.clone()).unwrap(),
        Content::Record { key: None, .. } | Content::Marker => String::new(),
    }
}

fn record(key: &str, value: &str, timestamp: Timestamp) -> Content {
    let bytes = |text: &str| Some(text.as_bytes().to_vec());
    Content::Record { key: bytes(key), value: bytes(value), headers: Vec::new(), timestamp }
}
