//! A cluster, a topic and the adapters on it, in the words of the host.

use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use gristmill_host::config::pipeline::{BatchBounds, Kafka};
use gristmill_host::fault::Fault;
use gristmill_host::id::{Offset, Partition, TopicName, TopicPartition};
use gristmill_host::io::{CauseId, Committed, Input, Outgoing, Sink as _, Source as _, TransactionError};
use gristmill_host::kafka::produce::PlainProducer;
use gristmill_host::kafka::sink::KafkaSink;
use gristmill_host::kafka::source::KafkaSource;
use gristmill_tests::client::{Client, unique};
use gristmill_tests::cluster::Cluster;
use gristmill_tests::wait::{self, Seen};

/// How long one poll waits.
const POLL: Duration = Duration::from_millis(50);

/// The largest batch that the tests' sinks make.
pub(super) const RECORD_BYTES_MAX: usize = 1_000_000;

/// A cluster, and names that nobody else uses.
pub(super) struct Bench {
    pub(super) kafka: Kafka,
    pub(super) client: Client,
    pub(super) name: String,
}

impl Bench {
    /// On the cluster that all tests share.
    pub(super) fn new(prefix: &str) -> Result<Self> {
        Ok(Self::on(super::cluster()?, prefix))
    }

    /// On a cluster.
    pub(super) fn on(cluster: &dyn Cluster, prefix: &str) -> Self {
        let kafka = Kafka { brokers: cluster.bootstrap(), client: settings().collect() };
        Self { kafka, client: cluster.client(), name: unique(prefix) }
    }

    /// A new topic.
    pub(super) fn topic(&self, partitions: i32, settings: &[(&str, &str)]) -> Result<TopicName> {
        Ok(TopicName::new(&self.client.topic(&self.name, partitions, settings)?))
    }

    /// A member of the group that is named after this bench.
    pub(super) fn member(&self, worker: &str, topics: &[&TopicName]) -> Result<KafkaSource> {
        self.member_with(worker, topics, BatchBounds::default())
    }

    /// A member with bounds of its own.
    pub(super) fn member_with(
        &self,
        worker: &str,
        topics: &[&TopicName],
        batch: BatchBounds,
    ) -> Result<KafkaSource> {
        let worker = format!("{}.{worker}", self.name);
        let topics: Vec<_> = topics.iter().copied().cloned().collect();
        Ok(KafkaSource::join_group(&self.kafka, &self.name, &worker, &topics, batch)?)
    }

    /// A sink with a first producer.
    pub(super) fn sink(&self, id: &str) -> Result<KafkaSink> {
        let mut sink = KafkaSink::new(&self.kafka, &format!("{}.{id}", self.name), RECORD_BYTES_MAX);
        sink.replace().map_err(told)?;
        Ok(sink)
    }

    /// Puts values into partition 0 of a topic.
    pub(super) fn put(&self, topic: &TopicName, values: &[&str]) -> Result<()> {
        let mut producer = PlainProducer::open(&self.kafka)?;
        for value in values {
            producer.send(&record(topic, value))?;
        }
        Ok(producer.flush()?)
    }
}

/// Rebalances that a test can wait for.
fn settings() -> impl Iterator<Item = (String, String)> {
    let settings = [
        ("broker.address.family", "v4"),
        ("heartbeat.interval.ms", "200"),
        ("session.timeout.ms", "10000"),
        ("linger.ms", "1"),
    ];
    settings.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned()))
}

/// A record with a value, in partition 0.
pub(super) fn record<'a>(topic: &'a TopicName, value: &'a str) -> Outgoing<'a> {
    Outgoing {
        topic,
        partition: Some(Partition(0)),
        key: Some(b"key"),
        value: Some(value.as_bytes()),
        headers: &[],
        timestamp: None,
        cause: CauseId(0),
    }
}

/// Partition 0 of a topic.
pub(super) fn first(topic: &TopicName) -> TopicPartition {
    TopicPartition::new(topic, Partition(0))
}

/// A position without a note.
pub(super) fn at(offset: i64) -> Committed {
    Committed { position: Offset(offset), note: String::new() }
}

/// Waits for the next input, whatever it is.
pub(super) fn next(source: &mut KafkaSource) -> Result<Input> {
    wait::until("the source's next input", || {
        Ok(source.poll(POLL)?.map_or(Seen::NotYet("nothing".to_owned()), Seen::Yes))
    })
}

/// Waits for an assignment, starts all its partitions at the given offset, and returns them in order.
pub(super) fn start(source: &mut KafkaSource, offset: i64) -> Result<Vec<TopicPartition>> {
    let mut partitions = assigned(source)?;
    let positions: Vec<_> = partitions.iter().map(|one| (one.clone(), Offset(offset))).collect();
    source.seek(&positions)?;
    source.resume(&partitions)?;
    partitions.sort();
    Ok(partitions)
}

/// Waits for an assignment.
pub(super) fn assigned(source: &mut KafkaSource) -> Result<Vec<TopicPartition>> {
    match next(source)? {
        Input::Assigned(partitions) => Ok(partitions),
        other => bail!("expected an assignment, got {other:?}"),
    }
}

/// Reads until `count` records have come: their values as text, with their offsets.
pub(super) fn take(source: &mut KafkaSource, count: usize) -> Result<Vec<(String, i64)>> {
    let mut records = Vec::new();
    while records.len() < count {
        match next(source)? {
            Input::Records(_, chunk) => records.extend(chunk.iter().map(|record| {
                let value = record.value().map_or("null".into(), String::from_utf8_lossy);
                (value.into_owned(), record.offset().0)
            })),
            Input::End(..) => {}
            other => bail!("expected records, got {other:?}"),
        }
    }
    Ok(records)
}

/// Reads until a partition ends: the position there, and the values that came before.
pub(super) fn until_end(source: &mut KafkaSource) -> Result<(i64, Vec<String>)> {
    let mut values = Vec::new();
    loop {
        match next(source)? {
            Input::Records(_, chunk) => values.extend(
                chunk
                    .iter()
                    .map(|record| String::from_utf8_lossy(record.value().unwrap_or_default()).into_owned()),
            ),
            Input::End(_, position) => return Ok((position.0, values)),
            other => bail!("expected records, got {other:?}"),
        }
    }
}

/// A transaction's error as a test's.
pub(super) fn told(error: TransactionError) -> anyhow::Error {
    anyhow!("{error:?}")
}

/// The fault of a transaction's error.
pub(super) fn fault(error: &TransactionError) -> &Fault {
    match error {
        TransactionError::Abort(fault)
        | TransactionError::Refused { fault, .. }
        | TransactionError::Replace(fault)
        | TransactionError::Fenced(fault)
        | TransactionError::Fatal(fault) => fault,
    }
}
