//! All of it together: consume, transform and produce, exactly once, through aborts and a crash.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::Producer as _;
use rdkafka::{Offset, TopicPartitionList};

use crate::client::{Client, Isolation, Producer, REQUEST, unique};
use crate::read;
use crate::wait::{self, Seen};

const RECORDS: i32 = 4_000;
const PARTITIONS: i32 = 4;

/// What the workers of one run share.
struct Job {
    client: Client,
    source: String,
    sink: String,
    group: String,
    stop: AtomicBool,
    commits: AtomicU64,
    aborts: AtomicU64,
}

/// How a worker ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// When the job is done.
    Stops,
    /// In the middle of a transaction, which nobody aborts.
    CrashesInTransaction(u64),
}

pub fn processes_each_record_once_through_aborts_and_a_crash(client: &Client) -> Result<()> {
    let job = Arc::new(Job {
        client: client.clone(),
        source: client.topic("in", PARTITIONS, &[])?,
        sink: client.topic("out", PARTITIONS, &[])?,
        group: unique("group"),
        stop: AtomicBool::new(false),
        commits: AtomicU64::new(0),
        aborts: AtomicU64::new(0),
    });
    let plain = client.producer(&[])?;
    for n in 0..RECORDS {
        plain.put(&job.source, n % PARTITIONS, "k", &n.to_string())?;
    }
    plain.drain()?;

    let ids = [unique("tx"), unique("tx")];
    let [first, second] = ids;
    let survivor = spawn(&job, &first, 1, End::Stops);
    let crashed = spawn(&job, &second, 2, End::CrashesInTransaction(3));
    crashed.join().map_err(|_| anyhow!("the worker panicked"))??;
    let replacement = spawn(&job, &second, 3, End::Stops);
    let all = wait::until_within(Duration::from_secs(180), "all records in the sink", || {
        let records = read::whole(client, &job.sink, Isolation::Committed)?;
        let enough = records.len() >= usize::try_from(RECORDS)?;
        Ok(if enough { Seen::Yes(records) } else { Seen::NotYet(format!("{} records", records.len())) })
    });
    job.stop.store(true, Ordering::Relaxed);
    for worker in [survivor, replacement] {
        worker.join().map_err(|_| anyhow!("a worker panicked"))??;
    }

    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for record in all? {
        *counts.entry(record.text()).or_default() += 1;
    }
    let doubled: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).take(5).collect();
    ensure!(doubled.is_empty(), "doubled: {doubled:?}");
    ensure!(counts.len() == usize::try_from(RECORDS)?, "{} of {RECORDS} records came out", counts.len());
    ensure!(job.commits.load(Ordering::Relaxed) > 0 && job.aborts.load(Ordering::Relaxed) > 0);
    Ok(())
}

fn spawn(job: &Arc<Job>, id: &str, seed: u64, end: End) -> JoinHandle<Result<()>> {
    let (job, id) = (Arc::clone(job), id.to_owned());
    std::thread::spawn(move || Worker::new(&job, &id, seed)?.run(end))
}

struct Worker<'a> {
    job: &'a Job,
    consumer: BaseConsumer,
    producer: Producer,
    random: ChaCha8Rng,
}

impl<'a> Worker<'a> {
    fn new(job: &'a Job, id: &str, seed: u64) -> Result<Self> {
        let settings = [("isolation.level", "read_committed"), ("session.timeout.ms", "6000")];
        let consumer = job.client.consumer(&job.group, &settings)?;
        let times = [("transaction.timeout.ms", "10000"), ("message.timeout.ms", "9000")];
        let producer = job.client.transactional(id, &times)?;
        consumer.subscribe(&[&job.source])?;
        Ok(Self { job, consumer, producer, random: ChaCha8Rng::seed_from_u64(seed) })
    }

    fn run(mut self, end: End) -> Result<()> {
        let mut transactions = 0;
        while !self.job.stop.load(Ordering::Relaxed) {
            let batch = self.batch()?;
            if batch.is_empty() {
                continue;
            }
            transactions += 1;
            let sent = self.process(&batch);
            if end == End::CrashesInTransaction(transactions) {
                // A crashed process says no goodbye: no abort, no leaving of the group.
                std::mem::forget(self.producer);
                std::mem::drop(self.consumer);
                return sent;
            }
            // One transaction in four is aborted for no reason.
            let committed = sent.and_then(|()| {
                ensure!(self.random.random_ratio(3, 4), "aborted on purpose");
                self.producer.commit()
            });
            match committed {
                Ok(()) => self.job.commits.fetch_add(1, Ordering::Relaxed),
                Err(_) => {
                    self.producer.abort()?;
                    self.rewind(&batch)?;
                    self.job.aborts.fetch_add(1, Ordering::Relaxed)
                }
            };
        }
        Ok(())
    }

    fn batch(&self) -> Result<Vec<(i32, i64, String)>> {
        let start = Instant::now();
        let mut batch = Vec::new();
        while batch.len() < 100 && start.elapsed() < Duration::from_millis(100) {
            if let Some(message) = self.consumer.poll(Duration::from_millis(10)) {
                let record = crate::record::Record::of(&message?);
                batch.push((record.partition, record.offset, record.text()));
            }
        }
        Ok(batch)
    }

    fn process(&self, batch: &[(i32, i64, String)]) -> Result<()> {
        self.producer.begin()?;
        let mut next: HashMap<i32, i64> = HashMap::new();
        for (partition, offset, value) in batch {
            self.producer.put(&self.job.sink, *partition, "k", value)?;
            let position = next.entry(*partition).or_default();
            *position = (*position).max(offset + 1);
        }
        self.producer.drain()?;
        let mut list = TopicPartitionList::new();
        for (partition, offset) in next {
            list.add_partition_offset(&self.job.source, partition, Offset::Offset(offset))?;
        }
        let metadata = self.consumer.group_metadata().context("no group metadata")?;
        Ok(self.producer.0.send_offsets_to_transaction(&list, &metadata, REQUEST)?)
    }

    /// Goes back to the start of an aborted batch: an abort moves no consumer. Partitions that were given away since are
    /// their new owner's matter.
    fn rewind(&self, batch: &[(i32, i64, String)]) -> Result<()> {
        let owned = self.consumer.assignment()?;
        let mut seen = std::collections::HashSet::new();
        for (partition, offset, _) in batch {
            if seen.insert(*partition) && owned.find_partition(&self.job.source, *partition).is_some() {
                self.consumer.seek(&self.job.source, *partition, Offset::Offset(*offset), REQUEST)?;
            }
        }
        Ok(())
    }
}
