//! Offsets of a group, committed alone and with a transaction.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::Producer as _;
use rdkafka::{Offset, TopicPartitionList};

use crate::client::{Client, Producer, REQUEST, position, unique};
use crate::read;

/// A topic with ten records, a member of a group that has read them, and a transactional producer.
pub(super) struct Reader {
    pub(super) topic: String,
    pub(super) group: String,
    pub(super) consumer: BaseConsumer,
    pub(super) producer: Producer,
}

impl Reader {
    pub(super) fn new(client: &Client) -> Result<Self> {
        let topic = client.topic("offsets", 1, &[])?;
        let group = unique("group");
        let plain = client.producer(&[])?;
        for n in 0..10 {
            plain.put(&topic, 0, "k", &n.to_string())?;
        }
        plain.drain()?;
        let consumer = client.consumer(&group, &[("isolation.level", "read_committed")])?;
        consumer.subscribe(&[&topic])?;
        read::take(&consumer, 10)?;
        Ok(Self { topic, group, consumer, producer: client.transactional(&unique("tx"), &[])? })
    }

    /// Puts a position of the source into the open transaction.
    pub(super) fn send_offset(&self, offset: i64) -> Result<()> {
        let metadata = self.consumer.group_metadata().context("no group metadata")?;
        let list = position(&self.topic, 0, offset)?;
        Ok(self.producer.0.send_offsets_to_transaction(&list, &metadata, REQUEST)?)
    }

    pub(super) fn committed(&self, client: &Client) -> Result<Option<i64>> {
        Ok(client.committed(&self.group, &self.topic)?.get(&0).copied())
    }
}

pub fn commits_and_resumes(client: &Client) -> Result<()> {
    let topic = client.topic("resume", 2, &[])?;
    let group = unique("group");
    let producer = client.producer(&[])?;
    for n in 0..20 {
        producer.put(&topic, n % 2, "k", &n.to_string())?;
    }
    producer.drain()?;
    let consumer = client.consumer(&group, &[])?;
    consumer.subscribe(&[&topic])?;
    read::take(&consumer, 20)?;

    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&topic, 0, Offset::Offset(4))?;
    list.add_partition_offset(&topic, 1, Offset::Offset(7))?;
    list.find_partition(&topic, 0).context("no entry")?.set_metadata("a note");
    consumer.commit(&list, CommitMode::Sync)?;
    drop(consumer);

    let successor = client.consumer(&group, &[])?;
    let mut asked = TopicPartitionList::new();
    asked.add_partition(&topic, 0);
    let found = successor.committed_offsets(asked, REQUEST)?;
    let entry = found.find_partition(&topic, 0).context("no answer")?;
    ensure!(entry.metadata() == "a note", "{:?}", entry.metadata());
    successor.subscribe(&[&topic])?;
    let mut places: Vec<_> = read::take(&successor, 9)?.iter().map(|r| (r.partition, r.offset)).collect();
    places.sort_unstable();
    let want: Vec<_> = (4..10).map(|o| (0, o)).chain((7..10).map(|o| (1, o))).collect();
    ensure!(places == want, "{places:?}");
    Ok(())
}

pub fn moves_offsets_with_the_commit(client: &Client) -> Result<()> {
    let reader = Reader::new(client)?;

    reader.producer.begin()?;
    reader.send_offset(3)?;
    reader.producer.commit()?;

    let committed = reader.committed(client)?;
    ensure!(committed == Some(3), "{committed:?}");
    Ok(())
}

pub fn keeps_offsets_after_an_abort(client: &Client) -> Result<()> {
    let reader = Reader::new(client)?;
    reader.producer.begin()?;
    reader.send_offset(3)?;
    reader.producer.commit()?;

    reader.producer.begin()?;
    reader.send_offset(9)?;
    reader.producer.abort()?;

    let committed = reader.committed(client)?;
    ensure!(committed == Some(3), "{committed:?}");
    Ok(())
}

pub fn makes_a_stable_reader_wait_for_pending_offsets(client: &Client) -> Result<()> {
    let reader = Reader::new(client)?;
    reader.producer.begin()?;
    reader.send_offset(5)?;

    // The client asks again while the answer is UNSTABLE_OFFSET_COMMIT, until its time is over.
    let stable = client.consumer(&reader.group, &[("isolation.level", "read_committed")])?;
    let start = Instant::now();
    let pending = stable.committed_offsets(asked(&reader.topic), Duration::from_secs(2));
    ensure!(pending.is_err(), "a stable reader was given {pending:?} while a transaction was under way");
    ensure!(start.elapsed() < Duration::from_secs(60), "the answer took {:?}", start.elapsed());
    reader.producer.commit()?;

    ensure!(reader.committed(client)? == Some(5));
    Ok(())
}

pub fn gives_an_unstable_reader_the_old_offset(client: &Client) -> Result<()> {
    let reader = Reader::new(client)?;
    reader.producer.begin()?;
    reader.send_offset(2)?;
    reader.producer.commit()?;
    reader.producer.begin()?;
    reader.send_offset(8)?;

    let unstable = client.consumer(&reader.group, &[("isolation.level", "read_uncommitted")])?;
    let found = unstable.committed_offsets(asked(&reader.topic), REQUEST)?;

    let offset = found.find_partition(&reader.topic, 0).context("no answer")?.offset();
    ensure!(offset == Offset::Offset(2), "{offset:?}");
    reader.producer.abort()
}

fn asked(topic: &str) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, 0);
    list
}
