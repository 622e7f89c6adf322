//! Clients for the tests: librdkafka with settings that suit a test, and raw frames.

use std::io::ErrorKind;
use std::io::Read;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;
use std::time::Instant;

use gristmill_broker::ApiKey;
use gristmill_broker::Broker;
use rdkafka::ClientConfig;
use rdkafka::Message;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::BaseConsumer;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::producer::BaseRecord;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::producer::Producer;
use rdkafka::producer::ThreadedProducer;

/// Long enough for a slow machine; a test that waits this long has failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) type TestProducer = ThreadedProducer<DefaultProducerContext>;

pub(super) fn config(broker: &Broker) -> ClientConfig {
    let mut config = ClientConfig::new();
    // Addresses are tried one after the other with a pause; there is only this one.
    config.set("bootstrap.servers", broker.bootstrap()).set("reconnect.backoff.ms", "10");
    config.set("reconnect.backoff.max.ms", "100").set("retry.backoff.ms", "10");
    config
}

pub(super) fn producer(broker: &Broker, extra: &[(&str, &str)]) -> TestProducer {
    let mut config = config(broker);
    config.set("linger.ms", "1");
    extra.iter().for_each(|(name, value)| {
        config.set(*name, *value);
    });
    config.create().unwrap()
}

pub(super) fn transactional(broker: &Broker, id: &str) -> TestProducer {
    let producer = producer(broker, &[("transactional.id", id), ("transaction.timeout.ms", "10000")]);
    producer.init_transactions(PATIENCE).unwrap();
    producer
}

pub(super) fn consumer(broker: &Broker, group: &str, extra: &[(&str, &str)]) -> BaseConsumer {
    let mut config = config(broker);
    config.set("group.id", group).set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
    config.set("session.timeout.ms", "6000").set("heartbeat.interval.ms", "100");
    config.set("fetch.wait.max.ms", "50");
    extra.iter().for_each(|(name, value)| {
        config.set(*name, *value);
    });
    config.create().unwrap()
}

/// Queues a record to partition 0 of a topic.
pub(super) fn send(producer: &TestProducer, topic: &str, key: &str, value: &str) {
    producer.send(BaseRecord::to(topic).partition(0).key(key).payload(value)).unwrap();
}

/// Waits until everything that was sent is acknowledged or has failed.
pub(super) fn drain(producer: &TestProducer) {
    until("all records are acknowledged", || producer.in_flight_count() == 0);
}

/// Waits for a condition.
pub(super) fn until(what: &str, mut is_met: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_met() {
        assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The next record or error of a consumer; a poll that only served a rebalance brings neither.
pub(super) fn next_result(consumer: &BaseConsumer) -> Result<BorrowedMessage<'_>, KafkaError> {
    let start = Instant::now();
    loop {
        match consumer.poll(Duration::from_millis(100)) {
            Some(found) => return found,
            None => assert!(start.elapsed() < PATIENCE, "waited in vain for a record"),
        }
    }
}

/// The next record of a consumer.
pub(super) fn next(consumer: &BaseConsumer) -> BorrowedMessage<'_> {
    next_result(consumer).unwrap()
}

/// A record as (key, value).
pub(super) type Pair = (String, Option<String>);

/// Reads partition 0 of a topic from the start to its present end, at an isolation level.
pub(super) fn read_all(broker: &Broker, topic: &str, isolation: &str) -> Vec<Pair> {
    let extra = [("isolation.level", isolation), ("enable.partition.eof", "true")];
    let consumer = consumer(broker, "read-all", &extra);
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, 0, rdkafka::Offset::Beginning).unwrap();
    consumer.assign(&assignment).unwrap();
    let mut found = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    loop {
        match next_result(&consumer) {
            Ok(message) => {
                let key = message.key().map(text).unwrap_or_default();
                found.push((key, message.payload().map(text)));
            }
            Err(KafkaError::PartitionEOF(_)) => return found,
            Err(error) => panic!("cannot read {topic}: {error}"),
        }
    }
}

/// The values of `read_all`.
pub(super) fn values(broker: &Broker, topic: &str, isolation: &str) -> Vec<String> {
    read_all(broker, topic, isolation).into_iter().filter_map(|(_, value)| value).collect()
}

/// A connection that sends whatever it is told to.
pub(super) struct Raw(TcpStream);

impl Raw {
    pub(super) fn connect(broker: &Broker) -> Self {
        let stream = TcpStream::connect(broker.bootstrap()).unwrap();
        stream.set_read_timeout(Some(PATIENCE / 2)).unwrap();
        Self(stream)
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        // The broker may have closed it already; what it answers tells.
        self.0.write_all(bytes).ok();
    }

    pub(super) fn half_close(&mut self) {
        self.0.shutdown(std::net::Shutdown::Write).ok();
    }

    /// Sends one request with a plain header (version 1) and this body.
    pub(super) fn request(&mut self, key: i16, version: i16, body: &[u8]) {
        self.write(&frame(key, version, body));
    }

    /// The next answer without its length; `None` when the broker closed the connection.
    pub(super) fn answer(&mut self) -> Option<Vec<u8>> {
        let length: [u8; 4] = self.read(4)?.try_into().unwrap();
        self.read(usize::try_from(i32::from_be_bytes(length)).unwrap())
    }

    fn read(&mut self, size: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; size];
        match self.0.read_exact(&mut bytes) {
            Ok(()) => Some(bytes),
            // Neither an answer nor an end: that is what these tests look for.
            Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => {
                panic!("the broker neither answers nor closes the connection")
            }
            Err(_) => None,
        }
    }
}

/// A request with length, header (version 1: correlation id 7, client `raw`) and body.
pub(super) fn frame(key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let mut request = Vec::new();
    request.extend(key.to_be_bytes());
    request.extend(version.to_be_bytes());
    request.extend(7_i32.to_be_bytes());
    request.extend([0, 3]);
    request.extend(b"raw");
    request.extend(body);
    let length = i32::try_from(request.len()).unwrap();
    [&length.to_be_bytes()[..], &request].concat()
}

/// ApiVersions, version 0: the shortest request there is.
pub(super) const PING: (i16, i16) = (ApiKey::ApiVersions as i16, 0);

/// Whether a new client gets an answer.
pub(super) fn is_alive(broker: &Broker) -> bool {
    let mut raw = Raw::connect(broker);
    raw.request(PING.0, PING.1, &[]);
    raw.answer().is_some()
}
