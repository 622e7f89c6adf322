//! The handle that owns a broker: its thread, its life, and what tests and checkers may see and do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::sync::watch;

use crate::builder::Builder;
use crate::builder::TopicSpec;
use crate::cluster::Shared;
use crate::error::BrokerError;
use crate::faults::Faults;
use crate::log::PartitionLog;
use crate::server;
use crate::topics::config::TopicConfig;
use crate::view::GroupView;
use crate::view::PartitionView;
use crate::view::TransactionView;

/// Threads of the runtime: one can serve clients while the other compacts.
const WORKERS: usize = 2;
/// How often sessions, rebalances and transactions are looked at; bounds how late a time-out is.
const TICK: Duration = Duration::from_millis(20);
/// Orders from the handle that are not carried out yet; each caller waits for its own.
const ORDERS: usize = 8;
/// Tries, a tick apart, to get the port back after going down: the old sockets may take a moment.
const REBIND_TRIES: u32 = 250;

/// A running dev broker. Dropping it stops it.
///
/// All methods may be called from any thread, with or without an async runtime; those that start and stop
/// things block for some milliseconds.
#[derive(Debug)]
pub struct Broker {
    shared: Arc<Shared>,
    kills: watch::Sender<u64>,
    /// `None` once it was stopped.
    life: Mutex<Option<LifeHandle>>,
}

/// The way to the broker's thread; the thread ends when the channel closes.
#[derive(Debug)]
struct LifeHandle {
    orders: mpsc::Sender<Order>,
    thread: JoinHandle<()>,
}

/// What the handle asks of the broker's thread, and where the answer goes.
enum Order {
    Down(std::sync::mpsc::SyncSender<()>),
    Up(std::sync::mpsc::SyncSender<Result<(), BrokerError>>),
}

impl Broker {
    /// Begins with the defaults: a free port, no topics.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn start(builder: Builder) -> Result<Self, BrokerError> {
        let (listener, address) = listen(builder.address())?;
        let shared = Arc::new(Shared::new(address, builder.settings, builder.limits, builder.clock));
        for topic in &builder.topics {
            create_topic(&shared, topic)?;
        }
        let (orders, received) = mpsc::channel(ORDERS);
        let kills = watch::Sender::new(0);
        let life = Life { shared: Arc::clone(&shared), orders: received, kills: kills.subscribe() };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .thread_name("dev-broker")
            .enable_all()
            .build()
            .map_err(BrokerError::Runtime)?;
        // Its own thread holds the runtime, so that the handle can be made and dropped where blocking is forbidden.
        let thread = std::thread::Builder::new().name("dev-broker-life".to_owned());
        let thread =
            thread.spawn(move || runtime.block_on(life.run(listener))).map_err(BrokerError::Runtime)?;
        Ok(Self { shared, kills, life: Mutex::new(Some(LifeHandle { orders, thread })) })
    }

    /// What clients put into `bootstrap.servers`.
    pub fn bootstrap(&self) -> String {
        self.shared.address.to_string()
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.shared.address.port()
    }

    /// Ends all connections and the broker's threads. Its data is gone. Calling it again does nothing.
    pub fn stop(&self) {
        let life = self.life.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(LifeHandle { orders, thread }) = life {
            drop(orders);
            // A panic of that thread was reported when it happened.
            thread.join().ok();
        }
    }

    /// Closes the port and all connections, and keeps the data. Time-outs rest until it comes back.
    ///
    /// # Errors
    /// [`BrokerError::Stopped`].
    pub fn go_down(&self) -> Result<(), BrokerError> {
        let (done, answer) = std::sync::mpsc::sync_channel(1);
        self.order(Order::Down(done))?;
        answer.recv().map_err(|_| BrokerError::Stopped)
    }

    /// Listens again on the same port, with all data. Members of groups get a whole session to come back.
    ///
    /// # Errors
    /// [`BrokerError::Listen`] when another process took the port, [`BrokerError::Stopped`].
    pub fn come_back(&self) -> Result<(), BrokerError> {
        let (done, answer) = std::sync::mpsc::sync_channel(1);
        self.order(Order::Up(done))?;
        answer.recv().map_err(|_| BrokerError::Stopped)?
    }

    /// Closes all present connections; clients may come back at once.
    pub fn kill_connections(&self) {
        self.kills.send_modify(|kills| *kills += 1);
    }

    /// The faults in force, to be added to and cleared.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// [`BrokerError::Topic`].
    pub fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        config: &[(&str, &str)],
    ) -> Result<(), BrokerError> {
        let config = config.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        create_topic(&self.shared, &TopicSpec { name: name.to_owned(), partitions, config })
    }

    /// The names of all topics, in order.
    pub fn topics(&self) -> Vec<String> {
        self.shared.lock().topics.iter().map(|(name, _)| name.clone()).collect()
    }

    /// How many partitions a topic has; `None` when there is no such topic.
    pub fn partition_count(&self, topic: &str) -> Option<usize> {
        self.shared.lock().topics.get(topic).map(|topic| topic.partitions.len())
    }

    /// Offsets of one partition.
    pub fn partition(&self, topic: &str, partition: i32) -> Option<PartitionView> {
        self.shared.lock().topics.partition(topic, partition).map(partition_view)
    }

    /// Offsets of all partitions of a topic, in order; empty when there is no such topic.
    pub fn partitions(&self, topic: &str) -> Vec<PartitionView> {
        let cluster = self.shared.lock();
        cluster
            .topics
            .get(topic)
            .map(|topic| topic.partitions.iter().map(partition_view).collect())
            .unwrap_or_default()
    }

    /// A consumer group; `None` when there is no such group.
    pub fn group(&self, name: &str) -> Option<GroupView> {
        let cluster = self.shared.lock();
        let group = cluster.groups.get(name)?;
        let offsets = group.offsets.iter();
        Some(GroupView {
            state: group.phase().name().to_owned(),
            generation: group.generation(),
            members: group.members().keys().cloned().collect(),
            offsets: offsets.map(|((topic, partition), at)| (topic.clone(), *partition, at.offset)).collect(),
            has_pending_offsets: group.offsets.has_pending(),
        })
    }

    /// All transactional ids.
    pub fn transactions(&self) -> Vec<TransactionView> {
        let view = |(id, transaction): (&String, &crate::transactions::Transaction)| TransactionView {
            id: id.clone(),
            state: transaction.phase().name().to_owned(),
            producer_id: transaction.producer().id,
            producer_epoch: transaction.producer().epoch,
        };
        self.shared.lock().transactions.iter().map(view).collect()
    }

    /// Record data that all topics hold, as the limit counts it.
    pub fn stored_bytes(&self) -> usize {
        self.shared.lock().topics.stored_bytes()
    }

    /// Compacts a topic now, up to the newest batch of each partition, which stays whole; false when there is no such topic or
    /// its `cleanup.policy` does not say so.
    pub fn compact(&self, topic: &str) -> bool {
        let now = self.shared.clock.now();
        self.shared.lock().topics.compact(topic, now)
    }

    fn order(&self, order: Order) -> Result<(), BrokerError> {
        let life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        let life = life.as_ref().ok_or(BrokerError::Stopped)?;
        life.orders.try_send(order).map_err(|_| BrokerError::Stopped)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop();
    }
}

fn partition_view(log: &PartitionLog) -> PartitionView {
    PartitionView {
        start_offset: log.start(),
        end_offset: log.end(),
        last_stable_offset: log.last_stable_offset(),
        stored_bytes: log.stored_bytes(),
    }
}

fn create_topic(shared: &Shared, spec: &TopicSpec) -> Result<(), BrokerError> {
    let failed = |reason: String| BrokerError::Topic { topic: spec.name.clone(), reason };
    let mut config = TopicConfig::default();
    for (name, value) in &spec.config {
        config.set(name, value).map_err(|refusal| failed(refusal.message))?;
    }
    let mut cluster = shared.lock();
    let created = cluster.topics.create(&spec.name, spec.partitions, config, &shared.limits);
    created.map(|_| ()).map_err(|refusal| failed(refusal.message))
}

/// Takes the port at once, so that the caller learns whether it is free; the runtime adopts it later.
fn listen(address: SocketAddr) -> Result<(std::net::TcpListener, SocketAddr), BrokerError> {
    let failed = |source| BrokerError::Listen { address, source };
    let listener = std::net::TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// What the broker's thread does: serve, be down, serve again, until told to stop.
struct Life {
    shared: Arc<Shared>,
    orders: mpsc::Receiver<Order>,
    kills: watch::Receiver<u64>,
}

impl Life {
    async fn run(mut self, listener: std::net::TcpListener) {
        let adopted = TcpListener::from_std(listener);
        let mut listener =
            adopted.inspect_err(|error| tracing::error!(%error, "dev broker lost its port")).ok();
        while let Some(order) = self.serve(listener.take()).await {
            match order {
                Order::Down(done) => {
                    done.send(()).ok();
                }
                Order::Up(done) => {
                    let bound = self.rebind().await;
                    let answer = bound.map(|bound| listener = Some(bound));
                    done.send(answer).ok();
                }
            }
        }
    }

    /// Serves, if there is a listener, until the next order. `None` when the handle is gone.
    async fn serve(&mut self, listener: Option<TcpListener>) -> Option<Order> {
        let Some(listener) = listener else { return self.orders.recv().await };
        let stop = watch::Sender::new(false);
        let serving = server::serve(listener, Arc::clone(&self.shared), stop.subscribe(), self.kills.clone());
        let ticking = tick(Arc::clone(&self.shared), stop.subscribe());
        let (serving, ticking) = (tokio::spawn(serving), tokio::spawn(ticking));
        let order = loop {
            match self.orders.recv().await {
                // It is up already.
                Some(Order::Up(done)) => {
                    done.send(Ok(())).ok();
                }
                order => break order,
            }
        };
        stop.send_replace(true);
        serving.await.ok();
        ticking.await.ok();
        order
    }

    async fn rebind(&self) -> Result<TcpListener, BrokerError> {
        let address = self.shared.address;
        let mut tries_left = REBIND_TRIES;
        let listener = loop {
            match TcpListener::bind(address).await {
                Ok(listener) => break listener,
                Err(source) if tries_left == 0 => return Err(BrokerError::Listen { address, source }),
                Err(_) => tries_left -= 1,
            }
            tokio::time::sleep(TICK).await;
        };
        let now = self.shared.clock.now();
        self.shared.lock().groups.values_mut().for_each(|group| group.renew_sessions(now));
        Ok(listener)
    }
}

/// Brings time to the state until told to stop.
async fn tick(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let cleaning_interval = shared.settings.cleaning_interval;
    let mut next_cleaning = shared.clock.now().plus(cleaning_interval);
    loop {
        tokio::select! {
            () = server::stopped(&mut stop) => return,
            () = tokio::time::sleep(TICK) => {}
        }
        let now = shared.clock.now();
        let has_changed = shared.lock().tick(now);
        if has_changed {
            shared.announce_change();
        }
        if now >= next_cleaning {
            shared.lock().topics.clean(now);
            next_cleaning = now.plus(cleaning_interval);
        }
    }
}
