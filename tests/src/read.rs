//! Reads topics whole, and subscribed consumers until a condition holds.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Result, bail};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use std::time::Duration;

use crate::client::{Client, Isolation, unique};
use crate::record::Record;
use crate::wait::PATIENCE;

/// How long one poll waits.
const POLL: Duration = Duration::from_millis(100);

/// Reads all partitions of a topic from their starts to the end that the isolation level sees when it gets there.
/// Records of one partition are in the order of their offsets.
///
/// # Errors
/// When the broker answers with an error, or a partition makes no progress before the deadline.
pub fn whole(client: &Client, topic: &str, isolation: Isolation) -> Result<Vec<Record>> {
    let settings = [
        ("isolation.level", isolation.name()),
        ("enable.partition.eof", "true"),
        ("auto.offset.reset", "error"),
        ("queued.max.messages.kbytes", "65536"),
    ];
    let consumer = client.consumer(&unique("reader"), &settings)?;
    let partitions = client.partitions(topic)?;
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&list)?;

    let mut records = Vec::new();
    let mut open: BTreeSet<i32> = (0..partitions).collect();
    let mut progress = Instant::now();
    while !open.is_empty() {
        match consumer.poll(POLL) {
            Some(Ok(message)) => records.push(Record::of(&message)),
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            Some(Err(error)) => tolerate(&error)?,
            None if progress.elapsed() > PATIENCE => {
                bail!(
                    "partitions {open:?} of `{topic}` do not come to their end; {} records read",
                    records.len()
                )
            }
            None => continue,
        }
        progress = Instant::now();
    }
    records.sort_by_key(|record| (record.partition, record.offset));
    Ok(records)
}

/// The values of a whole topic as text, in order of partition and offset; a tombstone reads `null`.
///
/// # Errors
/// As [`whole`].
pub fn values(client: &Client, topic: &str, isolation: Isolation) -> Result<Vec<String>> {
    Ok(whole(client, topic, isolation)?.iter().map(Record::text).collect())
}

/// Polls a consumer until it has given `count` records.
///
/// # Errors
/// When the deadline passes, with the number that came; when the broker answers with an error.
pub fn take<C: ConsumerContext>(consumer: &BaseConsumer<C>, count: usize) -> Result<Vec<Record>> {
    let start = Instant::now();
    let mut records = Vec::new();
    while records.len() < count {
        match consumer.poll(POLL) {
            Some(Ok(message)) => records.push(Record::of(&message)),
            Some(Err(error)) => tolerate(&error)?,
            None => {}
        }
        if start.elapsed() > PATIENCE {
            bail!("{} of {count} records came within {} s", records.len(), PATIENCE.as_secs());
        }
    }
    Ok(records)
}

/// Lets pass what a client reports while a broker restarts: the client connects again by itself.
pub(crate) fn tolerate(error: &KafkaError) -> Result<()> {
    use rdkafka::types::RDKafkaErrorCode::{
        AllBrokersDown, BrokerTransportFailure, OperationTimedOut, Resolve,
    };
    match error.rdkafka_error_code() {
        Some(AllBrokersDown | BrokerTransportFailure | OperationTimedOut | Resolve) => Ok(()),
        _ => bail!("cannot read: {error}"),
    }
}
