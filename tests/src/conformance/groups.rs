//! Consumer groups: who gets which partitions, and when they move.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use rdkafka::admin::NewPartitions;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use crate::client::{Client, REQUEST, block_on, options, position, unique};
use crate::read;
use crate::wait;

/// What a member has seen so far.
#[derive(Debug, Default)]
struct Seen {
    owned: BTreeSet<(String, i32)>,
    assignments: usize,
    revocations: usize,
    fatal: Option<RDKafkaErrorCode>,
}

#[derive(Clone, Debug, Default)]
struct Watch(Arc<Mutex<Seen>>);

impl Watch {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Watch {}

impl ConsumerContext for Watch {
    /// Keeps books of its own: a client that is being closed never answers what its assignment is.
    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let named = |list: &TopicPartitionList| -> BTreeSet<_> {
            list.elements().iter().map(|e| (e.topic().to_owned(), e.partition())).collect()
        };
        let mut seen = self.lock();
        match rebalance {
            Rebalance::Assign(list) => {
                seen.owned.extend(named(list));
                seen.assignments += 1;
            }
            Rebalance::Revoke(list) => {
                let revoked = named(list);
                seen.owned.retain(|partition| !revoked.contains(partition));
                seen.revocations += 1;
            }
            Rebalance::Error(_) => {}
        }
    }
}

/// A member of a group that polls on a thread of its own. Dropping it closes its consumer.
pub(super) struct Member {
    watch: Watch,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Member {
    pub(super) fn join(client: &Client, group: &str, topics: &[&str], more: &[(&str, &str)]) -> Result<Self> {
        let mut settings = vec![("session.timeout.ms", "6000"), ("heartbeat.interval.ms", "300")];
        settings.extend(more);
        let (watch, stop) = (Watch::default(), Arc::new(AtomicBool::new(false)));
        let consumer = client.consumer_with(group, &settings, watch.clone())?;
        consumer.subscribe(topics)?;
        let (seen, stopped) = (watch.clone(), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if let Some(Err(KafkaError::MessageConsumptionFatal(code))) =
                    consumer.poll(Duration::from_millis(50))
                {
                    seen.lock().fatal = Some(code);
                }
            }
        });
        Ok(Self { watch, stop, thread: Some(thread) })
    }

    pub(super) fn owned(&self) -> BTreeSet<(String, i32)> {
        self.watch.lock().owned.clone()
    }

    pub(super) fn assignments(&self) -> usize {
        self.watch.lock().assignments
    }

    pub(super) fn fatal(&self) -> Option<RDKafkaErrorCode> {
        self.watch.lock().fatal
    }

    pub(super) fn await_partitions(&self, count: usize) -> Result<()> {
        wait::until_equal("the member's partitions", &count, || Ok(self.owned().len()))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // A panic of the thread has been printed; there is nothing to add.
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// Waits until both members own that many partitions each, and no partition twice.
fn await_split(left: &Member, right: &Member, counts: (usize, usize)) -> Result<()> {
    wait::until_equal("the partitions to be shared", &counts, || {
        Ok((left.owned().len(), right.owned().len()))
    })?;
    ensure!(left.owned().is_disjoint(&right.owned()), "{:?} and {:?}", left.owned(), right.owned());
    Ok(())
}

pub fn balances_when_members_join_and_leave(client: &Client) -> Result<()> {
    let topic = client.topic("balance", 4, &[])?;
    let group = unique("group");

    let first = Member::join(client, &group, &[&topic], &[])?;
    first.await_partitions(4)?;
    let second = Member::join(client, &group, &[&topic], &[])?;
    await_split(&first, &second, (2, 2))?;
    drop(second);

    first.await_partitions(4)
}

pub fn gives_the_same_partitions_of_two_topics_to_a_member(client: &Client) -> Result<()> {
    let (items, orders) = (client.topic("items", 4, &[])?, client.topic("orders", 4, &[])?);
    let group = unique("group");
    let topics = [items.as_str(), orders.as_str()];

    let first = Member::join(client, &group, &topics, &[])?;
    let second = Member::join(client, &group, &topics, &[])?;
    await_split(&first, &second, (4, 4))?;

    for member in [&first, &second] {
        let of = |topic: &str| -> Vec<_> {
            member
                .owned()
                .into_iter()
                .filter(|(name, _)| name == topic)
                .map(|(_, partition)| partition)
                .collect()
        };
        ensure!(of(&items) == of(&orders), "{:?}", member.owned());
    }
    Ok(())
}

pub fn moves_partitions_one_by_one_when_cooperative(client: &Client) -> Result<()> {
    let topic = client.topic("cooperative", 4, &[])?;
    let group = unique("group");
    let strategy = [("partition.assignment.strategy", "cooperative-sticky")];

    let first = Member::join(client, &group, &[&topic], &strategy)?;
    first.await_partitions(4)?;
    let second = Member::join(client, &group, &[&topic], &strategy)?;
    await_split(&first, &second, (2, 2))?;
    drop(second);

    first.await_partitions(4)
}

pub fn gives_a_static_member_its_partitions_back_without_a_rebalance(client: &Client) -> Result<()> {
    let topic = client.topic("static", 4, &[])?;
    let group = unique("group");
    let join = |instance: &str| Member::join(client, &group, &[&topic], &[("group.instance.id", instance)]);
    let (first, second) = (join("a")?, join("b")?);
    await_split(&first, &second, (2, 2))?;
    let (before, revocations) = (second.owned(), first.watch.lock().revocations);

    drop(second);
    let second = join("b")?;
    second.await_partitions(2)?;

    ensure!(second.owned() == before, "{:?}, before {before:?}", second.owned());
    ensure!(first.watch.lock().revocations == revocations, "the other member was disturbed");
    Ok(())
}

pub fn takes_partitions_from_a_static_member_that_stays_away(client: &Client) -> Result<()> {
    let topic = client.topic("away", 4, &[])?;
    let group = unique("group");
    let join = |instance: &str| Member::join(client, &group, &[&topic], &[("group.instance.id", instance)]);
    let (first, second) = (join("a")?, join("b")?);
    await_split(&first, &second, (2, 2))?;

    // A static member does not say that it leaves: only its silence tells, after the session time-out of 6 s.
    let start = Instant::now();
    drop(second);
    first.await_partitions(4)?;

    ensure!(start.elapsed() > Duration::from_secs(4), "its partitions moved after {:?}", start.elapsed());
    Ok(())
}

/// Takes partitions at offset 0, paused, as the host does while it restores.
struct Paused;

impl ClientContext for Paused {}

impl ConsumerContext for Paused {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let result = match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => list
                .set_all_offsets(Offset::Offset(0))
                .and_then(|()| consumer.assign(list))
                .and_then(|()| consumer.pause(list)),
            _ => consumer.unassign(),
        };
        if let Err(error) = result {
            eprintln!("cannot follow the rebalance: {error}");
        }
    }
}

pub fn delivers_nothing_of_a_partition_that_was_assigned_paused(client: &Client) -> Result<()> {
    let topic = client.topic("paused", 1, &[])?;
    let group = unique("group");
    let producer = client.producer(&[])?;
    for n in 0..10 {
        producer.put(&topic, 0, "k", &n.to_string())?;
    }
    producer.drain()?;
    client.consumer(&group, &[])?.commit(&position(&topic, 0, 4)?, CommitMode::Sync)?;
    let consumer = client.consumer_with(&group, &[("isolation.level", "read_committed")], Paused)?;
    consumer.subscribe(&[&topic])?;
    wait::until_equal("an assignment", &1, || {
        ensure!(consumer.poll(Duration::from_millis(20)).is_none(), "a record of a paused partition");
        Ok(consumer.assignment()?.count())
    })?;

    // Nothing can be awaited here: that nothing comes is what is looked at, for as long as a fetch takes at most.
    let stray = consumer.poll(Duration::from_secs(1));
    ensure!(stray.is_none(), "{stray:?}");

    let committed = consumer.committed(REQUEST)?;
    let offset = committed.find_partition(&topic, 0).context("no committed offset")?.offset();
    consumer.seek(&topic, 0, offset, REQUEST)?;
    consumer.resume(&committed)?;
    let offsets: Vec<_> = read::take(&consumer, 6)?.iter().map(|r| r.offset).collect();
    ensure!(offsets == [4, 5, 6, 7, 8, 9], "{offsets:?}");
    Ok(())
}

pub fn follows_a_topic_that_grows(client: &Client) -> Result<()> {
    let topic = client.topic("grows", 1, &[])?;
    let refresh = [("topic.metadata.refresh.interval.ms", "500")];
    let member = Member::join(client, &unique("group"), &[&topic], &refresh)?;
    member.await_partitions(1)?;

    block_on(client.admin()?.create_partitions([&NewPartitions::new(&topic, 3)], &options()))?
        .into_iter()
        .try_for_each(|result| result.map(|_| ()).map_err(|(name, code)| anyhow!("{name}: {code}")))?;

    member.await_partitions(3)
}
