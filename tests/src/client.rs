//! Clients of a cluster: topics, producers, consumers, and what the broker says of offsets.

use std::collections::BTreeMap;
use std::ffi::c_int;
use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::bindings::rd_kafka_flush;
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, ToBytes};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};

use crate::wait::{self, Seen};

/// The time that one request may take on a slow machine.
pub const REQUEST: Duration = Duration::from_secs(60);

/// What a reader may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isolation {
    /// Only what transactions have committed.
    Committed,
    /// All there is, aborted records too.
    Uncommitted,
}

impl Isolation {
    /// The value of the client property `isolation.level`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Committed => "read_committed",
            Self::Uncommitted => "read_uncommitted",
        }
    }
}

/// Makes clients of one cluster.
#[derive(Clone, Debug)]
pub struct Client {
    bootstrap: String,
}

/// A name that no other test of this run uses.
pub fn unique(prefix: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{prefix}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Client {
    /// A maker of clients for the brokers at `bootstrap`.
    pub fn new(bootstrap: &str) -> Self {
        Self { bootstrap: bootstrap.to_owned() }
    }

    /// The brokers' addresses.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// The properties that all clients have, and more.
    pub fn config(&self, more: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        // Loopback has one address family here; the other one only makes refused connections.
        config.set("broker.address.family", "v4");
        config.set("log_level", "2");
        for (key, value) in more {
            config.set(*key, *value);
        }
        config
    }

    /// The client that makes, alters and deletes topics.
    ///
    /// # Errors
    /// When the client cannot be made.
    pub fn admin(&self) -> Result<AdminClient<DefaultClientContext>> {
        Ok(self.config(&[]).create()?)
    }

    /// Makes a topic with a name of its own, and returns the name.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn topic(&self, prefix: &str, partitions: i32, settings: &[(&str, &str)]) -> Result<String> {
        let name = unique(prefix);
        self.create_topic(&name, partitions, settings)?;
        Ok(name)
    }

    /// Makes a topic of that name, with the cluster's default of copies.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn create_topic(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) -> Result<()> {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(-1));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let results = block_on(self.admin()?.create_topics([&topic], &options()))?;
        let result = results.into_iter().next().context("the broker did not answer for the topic")?;
        result.map(|_| ()).map_err(|(name, code)| anyhow!("cannot create topic `{name}`: {code}"))?;
        // The answer comes from the controller; the broker learns of the topic a little later.
        self.await_topic(name, partitions)
    }

    fn await_topic(&self, name: &str, partitions: i32) -> Result<()> {
        let consumer = self.consumer("metadata", &[])?;
        wait::until(&format!("a leader for each partition of `{name}`"), || {
            let metadata = consumer.fetch_metadata(Some(name), REQUEST)?;
            let led: i32 = metadata
                .topics()
                .iter()
                .filter(|topic| topic.error().is_none())
                .flat_map(|topic| topic.partitions())
                .map(|partition| i32::from(partition.leader() >= 0))
                .sum();
            Ok(if led == partitions { Seen::Yes(()) } else { Seen::NotYet(format!("{led} of {partitions}")) })
        })
    }

    /// The number of partitions of a topic.
    ///
    /// # Errors
    /// When the topic does not exist.
    pub fn partitions(&self, topic: &str) -> Result<i32> {
        let metadata = self.consumer("metadata", &[])?.fetch_metadata(Some(topic), REQUEST)?;
        let found = metadata.topics().first().filter(|t| t.error().is_none()).map(|t| t.partitions().len());
        Ok(i32::try_from(found.with_context(|| format!("topic `{topic}` does not exist"))?)?)
    }

    /// All topics whose names start with `prefix`.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub fn topics(&self, prefix: &str) -> Result<Vec<String>> {
        let metadata = self.consumer("metadata", &[])?.fetch_metadata(None, REQUEST)?;
        let names = metadata.topics().iter().map(|topic| topic.name().to_owned());
        Ok(names.filter(|name| name.starts_with(prefix)).collect())
    }

    /// The settings of a topic.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn settings(&self, topic: &str) -> Result<BTreeMap<String, String>> {
        let admin = self.admin()?;
        let results = block_on(admin.describe_configs([&ResourceSpecifier::Topic(topic)], &options()))?;
        let resource = results.into_iter().next().context("the broker did not answer for the topic")?;
        let resource = resource.map_err(|code| anyhow!("cannot describe topic `{topic}`: {code}"))?;
        Ok(resource.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect())
    }

    /// Alters one setting of a topic and waits until the broker knows of it.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn alter(&self, topic: &str, key: &str, value: &str) -> Result<()> {
        let change = AlterConfig::new(ResourceSpecifier::Topic(topic)).set(key, value);
        for result in block_on(self.admin()?.alter_configs([&change], &options()))? {
            result.map_err(|(_, code)| anyhow!("cannot alter topic `{topic}`: {code}"))?;
        }
        wait::until_equal("the altered setting", &Some(value.to_owned()), || {
            Ok(self.settings(topic)?.remove(key))
        })
    }

    /// A producer without transactions, unless a property says otherwise.
    ///
    /// # Errors
    /// When a property is refused.
    pub fn producer(&self, more: &[(&str, &str)]) -> Result<Producer> {
        let mut config = self.config(&[("linger.ms", "2"), ("message.timeout.ms", "60000"), ("acks", "all")]);
        for (key, value) in more {
            config.set(*key, *value);
        }
        Ok(Producer(config.create_with_context(Deliveries::default())?))
    }

    /// A transactional producer, initialized: it has fenced its predecessor of that id.
    ///
    /// # Errors
    /// When the coordinator refuses.
    pub fn transactional(&self, id: &str, more: &[(&str, &str)]) -> Result<Producer> {
        let mut config = vec![("transactional.id", id), ("transaction.timeout.ms", "60000")];
        config.extend(more);
        let producer = self.producer(&config)?;
        producer
            .0
            .init_transactions(REQUEST)
            .with_context(|| format!("cannot init transactions of `{id}`"))?;
        Ok(producer)
    }

    /// A consumer that commits nothing by itself.
    ///
    /// # Errors
    /// When a property is refused.
    pub fn consumer(&self, group: &str, more: &[(&str, &str)]) -> Result<BaseConsumer> {
        self.consumer_config(group, more).create().context("cannot make a consumer")
    }

    /// As [`Client::consumer`], with callbacks.
    ///
    /// # Errors
    /// When a property is refused.
    pub fn consumer_with<C: ConsumerContext + 'static>(
        &self,
        group: &str,
        more: &[(&str, &str)],
        context: C,
    ) -> Result<BaseConsumer<C>> {
        self.consumer_config(group, more).create_with_context(context).context("cannot make a consumer")
    }

    fn consumer_config(&self, group: &str, more: &[(&str, &str)]) -> ClientConfig {
        let mut config = self.config(&[
            ("group.id", group),
            ("enable.auto.commit", "false"),
            ("auto.offset.reset", "earliest"),
            ("session.timeout.ms", "10000"),
            ("heartbeat.interval.ms", "500"),
            ("fetch.wait.max.ms", "100"),
            ("partition.assignment.strategy", "range"),
        ]);
        for (key, value) in more {
            config.set(*key, *value);
        }
        config
    }

    /// The node that leads a partition.
    ///
    /// # Errors
    /// When the broker does not answer, or there is none.
    pub fn leader(&self, topic: &str, partition: i32) -> Result<i32> {
        let metadata = self.consumer("metadata", &[])?.fetch_metadata(Some(topic), REQUEST)?;
        let mut partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        let found = partitions.find(|found| found.id() == partition && found.leader() >= 0);
        Ok(found.with_context(|| format!("`{topic}/{partition}` has no leader"))?.leader())
    }

    /// The node that coordinates a group: it leads the partition of the group's offsets.
    ///
    /// # Errors
    /// As [`Client::leader`].
    pub fn coordinator(&self, group: &str) -> Result<i32> {
        let offsets = "__consumer_offsets";
        // As Java hashes a text of ASCII.
        let hash =
            group.bytes().fold(0_i32, |hash, byte| hash.wrapping_mul(31).wrapping_add(i32::from(byte)));
        self.leader(offsets, (hash & i32::MAX) % self.partitions(offsets)?)
    }

    /// The number of members of a group that is at rest; 0 while it rebalances.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub fn members(&self, group: &str) -> Result<usize> {
        let list = self.consumer("members", &[])?.fetch_group_list(Some(group), REQUEST)?;
        Ok(list.groups().iter().filter(|g| g.state() == "Stable").map(|g| g.members().len()).sum())
    }

    /// The first offset and the end of a partition, as that isolation level sees the end.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub fn watermarks(&self, topic: &str, partition: i32, isolation: Isolation) -> Result<(i64, i64)> {
        watermarks(&self.consumer("watermarks", &[("isolation.level", isolation.name())])?, topic, partition)
    }

    /// A client that is asked for ends often.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn ends(&self) -> Result<Ends> {
        let of = |isolation: Isolation| self.consumer("ends", &[("isolation.level", isolation.name())]);
        Ok(Ends { committed: of(Isolation::Committed)?, uncommitted: of(Isolation::Uncommitted)? })
    }

    /// The offsets that a group has committed, by partition; partitions without one are missing.
    /// Waits while a transaction that is under way makes them unstable.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub fn committed(&self, group: &str, topic: &str) -> Result<BTreeMap<i32, i64>> {
        let consumer = self.consumer(group, &[("isolation.level", "read_committed")])?;
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range(topic, 0, self.partitions(topic)? - 1);
        let answer = wait::until("an answer about a group's offsets", || {
            Ok(match consumer.committed_offsets(asked.clone(), REQUEST) {
                Ok(answer) => Seen::Yes(answer),
                Err(error) => Seen::NotYet(error.to_string()),
            })
        })?;
        let found = answer.elements();
        Ok(found
            .iter()
            .filter_map(|e| Some((e.partition(), e.offset().to_raw().filter(|o| *o >= 0)?)))
            .collect())
    }
}

/// Tells the ends of partitions, for as long as it lives.
pub struct Ends {
    committed: BaseConsumer,
    uncommitted: BaseConsumer,
}

impl fmt::Debug for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ends")
    }
}

impl Ends {
    /// The end of a partition, as that isolation level sees it.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub fn end(&self, topic: &str, partition: i32, isolation: Isolation) -> Result<i64> {
        let consumer = match isolation {
            Isolation::Committed => &self.committed,
            Isolation::Uncommitted => &self.uncommitted,
        };
        Ok(watermarks(consumer, topic, partition)?.1)
    }
}

/// Asks for watermarks until there is an answer: while a broker restarts there is none.
fn watermarks(consumer: &BaseConsumer, topic: &str, partition: i32) -> Result<(i64, i64)> {
    wait::until("an answer about a partition's ends", || {
        Ok(match consumer.fetch_watermarks(topic, partition, REQUEST) {
            Ok(ends) => Seen::Yes(ends),
            Err(error) => Seen::NotYet(error.to_string()),
        })
    })
}

/// Options of an admin request.
pub fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(REQUEST)).operation_timeout(Some(REQUEST))
}

/// Waits for the answer of an admin request; the admin client has a thread of its own that wakes us.
pub fn block_on<T>(request: impl Future<Output = T>) -> T {
    let mut request = pin!(request);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = std::task::Context::from_waker(&waker);
    loop {
        if let Poll::Ready(answer) = request.as_mut().poll(&mut context) {
            return answer;
        }
        thread::park();
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// A list that names one position.
///
/// # Errors
/// When the offset is out of range.
pub fn position(topic: &str, partition: i32, offset: i64) -> Result<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(offset))?;
    Ok(list)
}

/// Remembers the first record that could not be delivered.
#[derive(Default)]
pub struct Deliveries(Mutex<Option<KafkaError>>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let (Err((error, _)), Ok(mut first)) = (result, self.0.lock()) else { return };
        first.get_or_insert_with(|| error.clone());
    }
}

/// A producer whose deliveries are checked.
pub struct Producer(pub ThreadedProducer<Deliveries>);

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Producer")
    }
}

impl Producer {
    /// Hands a record to the client, waiting while its queue is full.
    ///
    /// # Errors
    /// When the client refuses it.
    pub fn send<K: ToBytes + ?Sized, V: ToBytes + ?Sized>(&self, record: BaseRecord<'_, K, V>) -> Result<()> {
        let Some(refused) = self.offer(record)? else { return Ok(()) };
        let mut record = Some(refused);
        wait::until("room in the producer's queue", || {
            let Some(offered) = record.take() else { return Ok(Seen::Yes(())) };
            record = self.offer(offered)?;
            Ok(if record.is_none() { Seen::Yes(()) } else { Seen::NotYet("a full queue".into()) })
        })
    }

    /// Gives the record back when the queue is full.
    fn offer<'a, K: ToBytes + ?Sized, V: ToBytes + ?Sized>(
        &self,
        record: BaseRecord<'a, K, V>,
    ) -> Result<Option<BaseRecord<'a, K, V>>> {
        match self.0.send(record) {
            Ok(()) => Ok(None),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => Ok(Some(refused)),
            Err((error, _)) => Err(error.into()),
        }
    }

    /// Sends one record with a text key and a text value.
    ///
    /// # Errors
    /// As [`Producer::send`].
    pub fn put(&self, topic: &str, partition: i32, key: &str, value: &str) -> Result<()> {
        self.send(BaseRecord::to(topic).partition(partition).key(key).payload(value))
    }

    /// Sends what waits for company, and waits until the broker has acknowledged everything.
    ///
    /// # Errors
    /// When a record was refused or the deadline passes.
    pub fn drain(&self) -> Result<()> {
        let limit_ms = c_int::try_from(wait::PATIENCE.as_millis())?;
        // rdkafka's own `flush` waits 100 ms and more for nothing; librdkafka's returns when the last report was served,
        // which this producer's thread does.
        // SAFETY: the client lives as long as `self`, and librdkafka may be called from any thread.
        let code = unsafe { rd_kafka_flush(self.0.client().native_ptr(), limit_ms) };
        ensure!(
            code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR,
            "waited {limit_ms} ms for acknowledgements; {} records are in flight",
            self.0.in_flight_count()
        );
        let first = self.0.context().0.lock().map_err(|_| anyhow!("a delivery callback panicked"))?.take();
        first.map_or(Ok(()), |error| Err(anyhow!("a record was not delivered: {error}")))
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// When the client is in the wrong state or fenced.
    pub fn begin(&self) -> Result<()> {
        self.0.begin_transaction().context("cannot begin a transaction")
    }

    /// Commits the transaction. Everything is acknowledged before, or the client would wait 100 ms for nothing.
    ///
    /// # Errors
    /// When the transaction cannot be committed.
    pub fn commit(&self) -> Result<()> {
        self.drain()?;
        self.0.commit_transaction(REQUEST).context("cannot commit the transaction")
    }

    /// Aborts the transaction, after everything was acknowledged.
    ///
    /// # Errors
    /// When the transaction cannot be aborted.
    pub fn abort(&self) -> Result<()> {
        self.drain()?;
        self.0.abort_transaction(REQUEST).context("cannot abort the transaction")
    }
}
