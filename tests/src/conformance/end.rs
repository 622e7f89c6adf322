//! The ends of a partition: high watermark, last stable offset, and the event that says it was reached.

use anyhow::{Result, ensure};
use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;

use crate::client::{Client, Isolation, position, unique};
use crate::read;
use crate::wait::{self, Seen};

/// A consumer at the start of partition 0 that reports its end.
pub(super) fn consumer(client: &Client, topic: &str, isolation: Isolation) -> Result<BaseConsumer> {
    let settings = [("isolation.level", isolation.name()), ("enable.partition.eof", "true")];
    let consumer = client.consumer(&unique("end"), &settings)?;
    consumer.assign(&position(topic, 0, 0)?)?;
    Ok(consumer)
}

/// Polls up to the next end of the partition, and returns the values before it.
pub(super) fn up_to_the_end(consumer: &BaseConsumer) -> Result<Vec<String>> {
    let mut values = Vec::new();
    wait::until("the end of the partition", || match consumer.poll(std::time::Duration::from_millis(50)) {
        Some(Ok(message)) => {
            values.push(crate::record::Record::of(&message).text());
            Ok(Seen::NotYet(format!("{values:?}")))
        }
        Some(Err(KafkaError::PartitionEOF(0))) => Ok(Seen::Yes(())),
        Some(Err(error)) => Err(error.into()),
        None => Ok(Seen::NotYet(format!("nothing after {values:?}"))),
    })?;
    Ok(values)
}

pub fn reports_the_end_at_the_last_stable_offset(client: &Client) -> Result<()> {
    let topic = client.topic("stable", 1, &[])?;
    let (plain, producer) = (client.producer(&[])?, client.transactional(&unique("tx"), &[])?);
    plain.put(&topic, 0, "k", "before")?;
    plain.drain()?;
    producer.begin()?;
    producer.put(&topic, 0, "k", "open")?;
    producer.drain()?;
    let reader = consumer(client, &topic, Isolation::Committed)?;

    ensure!(up_to_the_end(&reader)? == ["before"]);
    producer.commit()?;

    ensure!(up_to_the_end(&reader)? == ["open"]);
    Ok(())
}

pub fn reports_the_end_behind_control_records(client: &Client) -> Result<()> {
    let topic = client.topic("behind", 1, &[])?;
    let producer = client.transactional(&unique("tx"), &[])?;
    for commit in [true, false] {
        producer.begin()?;
        producer.put(&topic, 0, "k", "v")?;
        if commit { producer.commit()? } else { producer.abort()? }
    }
    let reader = consumer(client, &topic, Isolation::Committed)?;

    let values = up_to_the_end(&reader)?;

    // Two records and two control records: the position at the end is behind them all.
    ensure!(values == ["v"], "{values:?}");
    let place = reader.position()?.find_partition(&topic, 0).map(|p| p.offset());
    ensure!(place == Some(Offset::Offset(4)), "{place:?}");
    ensure!(client.watermarks(&topic, 0, Isolation::Committed)? == (0, 4));
    Ok(())
}

pub fn shows_both_ends_while_a_transaction_is_open(client: &Client) -> Result<()> {
    let topic = client.topic("ends", 1, &[])?;
    let (plain, producer) = (client.producer(&[])?, client.transactional(&unique("tx"), &[])?);
    plain.put(&topic, 0, "k", "before")?;
    plain.drain()?;
    producer.begin()?;
    producer.put(&topic, 0, "k", "open")?;
    producer.put(&topic, 0, "k", "open")?;
    producer.drain()?;

    ensure!(client.watermarks(&topic, 0, Isolation::Committed)? == (0, 1));
    ensure!(client.watermarks(&topic, 0, Isolation::Uncommitted)? == (0, 3));
    producer.commit()?;

    wait::until_equal("the stable end to follow", &(0, 4), || {
        client.watermarks(&topic, 0, Isolation::Committed)
    })
}

pub fn reports_the_end_again_after_more_records(client: &Client) -> Result<()> {
    let topic = client.topic("again", 1, &[])?;
    let plain = client.producer(&[])?;
    let reader = consumer(client, &topic, Isolation::Committed)?;

    for n in 0..3 {
        ensure!(up_to_the_end(&reader)?.len() == usize::from(n > 0));
        plain.put(&topic, 0, "k", "v")?;
        plain.drain()?;
    }

    ensure!(read::values(client, &topic, Isolation::Committed)?.len() == 3);
    Ok(())
}
