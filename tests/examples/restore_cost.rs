//! Prints what a restore costs beside a raw consume of the same records: rows a second, CPU a row.
//!
//! `cargo run --workspace --example restore_cost -- 127.0.0.1:9092 [ROWS]`

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use gristmill_host::clock::Clock;
use gristmill_host::config::pipeline::Kafka;
use gristmill_host::id::{Partition, TopicName, TopicPartition};
use gristmill_host::io::{CauseId, Outgoing, Restored, Restorer as _, Until};
use gristmill_host::kafka::produce::PlainProducer;
use gristmill_host::kafka::restorer::KafkaRestorer;
use gristmill_tests::client::{Client, Isolation};
use rand::{RngCore as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

const PARTITIONS: i32 = 4;
const ROUNDS: usize = 3;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let brokers = arguments.next().context("usage: restore_cost BROKERS [ROWS]")?;
    let rows = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let client = Client::new(&brokers);
    let topic = client.topic("restore-cost", PARTITIONS, &[("cleanup.policy", "compact")])?;
    let kafka = Kafka { brokers, client: Default::default() };
    fill(&kafka, &topic, rows)?;
    for round in 0..ROUNDS {
        report(round, "raw consume", rows, || raw(&client, &topic))?;
        report(round, "restore", rows, || restore(&kafka, &topic))?;
    }
    Ok(())
}

/// Rows of 300 bytes that compress to about a half, as JSON does.
fn fill(kafka: &Kafka, topic: &str, rows: u64) -> Result<()> {
    let topic = TopicName::new(topic);
    let mut producer = PlainProducer::open(kafka)?;
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut value = [0; 300];
    for number in 0..rows {
        random.fill_bytes(&mut value);
        value.iter_mut().for_each(|byte| *byte = b'a' + (*byte & 15));
        let partition = Partition(i32::try_from(number % 4)?);
        producer.send(&Outgoing {
            topic: &topic,
            partition: Some(partition),
            key: Some(format!("SKU-{number:012}").as_bytes()),
            value: Some(&value),
            headers: &[],
            timestamp: None,
            cause: CauseId(0),
        })?;
    }
    Ok(producer.flush()?)
}

fn report(round: usize, what: &str, rows: u64, run: impl FnOnce() -> Result<(u64, u64)>) -> Result<()> {
    let (clock, before) = (Clock::system(), cpu()?);
    let (read, bytes) = run()?;
    let (wall, cpu) = (clock.elapsed(), cpu()? - before);
    ensure!(read == rows, "{what} read {read} of {rows}");
    let count = f64::from(u32::try_from(read)?);
    let (rate, each) = (count / wall.as_secs_f64(), cpu.as_secs_f64() * 1e6 / count);
    println!("{round} {what:<12} {rate:>9.0} rows/s {each:>6.2} us CPU a row, {bytes} bytes");
    Ok(())
}

/// What librdkafka and its ordinary client can do: nothing is kept.
fn raw(client: &Client, topic: &str) -> Result<(u64, u64)> {
    let settings = [
        ("isolation.level", Isolation::Committed.name()),
        ("enable.partition.eof", "true"),
        ("fetch.queue.backoff.ms", "20"),
        ("queued.min.messages", "50000"),
        ("queued.max.messages.kbytes", "32768"),
    ];
    let consumer: BaseConsumer = client.consumer("restore-cost", &settings)?;
    let mut places = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        places.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&places)?;
    let (mut rows, mut bytes, mut open) = (0, 0, PARTITIONS);
    while open > 0 {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                rows += 1;
                bytes += message.payload_len() as u64;
            }
            Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
            Some(Err(error)) => return Err(error.into()),
            None => {}
        }
    }
    Ok((rows, bytes))
}

fn restore(kafka: &Kafka, topic: &str) -> Result<(u64, u64)> {
    let topic = TopicName::new(topic);
    let mut places: Vec<_> =
        (0..PARTITIONS).map(|number| TopicPartition::new(&topic, Partition(number))).collect();
    let mut restorer = KafkaRestorer::new(kafka, "restore-cost");
    places.iter().for_each(|place| restorer.begin(place, None, Until::End));
    let (mut rows, mut bytes) = (0, 0);
    while !places.is_empty() {
        let mut done = None;
        let mut is_idle = true;
        for place in &places {
            match restorer.poll(place) {
                Some(Restored::Records(chunk)) => {
                    rows += chunk.len() as u64;
                    bytes += chunk
                        .iter()
                        .filter_map(|record| record.value())
                        .map(|value| value.len() as u64)
                        .sum::<u64>();
                }
                Some(Restored::Done(_)) => done = Some(place.clone()),
                Some(Restored::Began { .. }) => {}
                Some(Restored::OutOfRange(bounds)) => bail!("{bounds:?}"),
                Some(Restored::Failed(fault)) => bail!("{fault}"),
                None => continue,
            }
            is_idle = false;
        }
        places.retain(|place| Some(place) != done.as_ref());
        if is_idle {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    Ok((rows, bytes))
}

/// Processor time of this process.
fn cpu() -> Result<Duration> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<_> = text.rsplit(')').next().context("no fields")?.split_whitespace().collect();
    let ticks = |index: usize| -> Result<u64> { Ok(fields.get(index).context("no field")?.parse()?) };
    Ok(Duration::from_millis((ticks(11)? + ticks(12)?) * 10))
}
