//! The baselines of a fan-out and of a restore: a raw transactional produce, and a raw consume.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rdkafka::consumer::Consumer;
use rdkafka::{Offset, TopicPartitionList};

use super::load::{self, await_items};
use super::meter;
use super::stage::{PARTITIONS, Pass};
use super::watch::Watch;
use crate::client::{Client, REQUEST, unique};
use crate::read::tolerate;

/// Produces the bytes of a fan-out of so many items, in a process of its own.
pub(super) fn produce(client: &Client, broker: u32, items: u64, maximum: u64) -> Result<Pass> {
    let topic = client.topic("bench-raw", PARTITIONS, &[])?;
    let watch = Watch::start(client, &topic, PARTITIONS)?;
    watch.expect(&load::ending(maximum), items)?;
    let mut child = Guard(
        Command::new(std::env::current_exe()?)
            .args(["raw", client.bootstrap(), &topic, &items.to_string(), &maximum.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the raw producer")?,
    );
    let mut output = BufReader::new(child.0.stdout.take().context("no output")?).lines();
    let mut line = || -> Result<String> { Ok(output.next().context("the raw producer has ended")??) };
    ensure!(line()? == "ready", "the raw producer is not ready");
    let (start, broker_before) = (Instant::now(), meter::cpu(broker)?);
    let mut input = child.0.stdin.take().context("no input")?;
    input.write_all(b"\n")?;
    let last = await_items(&watch, items, || Ok(()))?;
    let broker_cpu = meter::cpu(broker)?.saturating_sub(broker_before);
    let used: f64 = line()?.strip_prefix("used ").context("an odd line")?.parse()?;
    Ok(Pass {
        items,
        took: last - start,
        cpu: Duration::from_secs_f64(used),
        broker: broker_cpu,
        resident_mib: meter::resident(child.0.id())?,
    })
}

struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // Both fail only for a process that has ended.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Reads a topic from its start to its end at `read_committed`, one record after the other: how many there are, and how
/// long that took from the first one on.
pub(super) fn consume(client: &Client, topic: &str) -> Result<(u64, Duration)> {
    let settings = [
        ("isolation.level", "read_committed"),
        ("enable.partition.eof", "true"),
        ("fetch.queue.backoff.ms", "20"),
        ("queued.min.messages", "50000"),
        ("queued.max.messages.kbytes", "32768"),
    ];
    let consumer = client.consumer(&unique("raw"), &settings)?;
    let partitions = client.partitions(topic)?;
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&list)?;
    let (mut first, mut records, mut open) = (None, 0_u64, partitions);
    while open > 0 {
        match consumer.poll(REQUEST).context("the topic does not come to its end")? {
            Ok(_) => {
                first.get_or_insert_with(Instant::now);
                records += 1;
            }
            Err(rdkafka::error::KafkaError::PartitionEOF(_)) => open -= 1,
            Err(error) => tolerate(&error)?,
        }
    }
    Ok((records, first.context("the topic is empty")?.elapsed()))
}
