//! A member of a consumer group as [`io::Source`](crate::io::Source).
//!
//! Partitions are paused in two ways. A worker's pause only hides what was fetched; librdkafka is told when it delivers
//! more of the partition all the same, because there a pause throws away what it has prefetched. Every native resume is
//! preceded by a seek to the position that is kept here, never to librdkafka's own idea of it.

use std::time::Duration;

use rdkafka::ClientConfig;

use crate::clock::Clock;
use crate::config::pipeline::{BatchBounds, Deployment, Kafka};
use crate::event;
use crate::fault::{Code, Fault};
use crate::id::{Offset, TopicName, TopicPartition};
use crate::io::{Bounds, Committed, Input, Source};
use crate::kafka::client::{self, Isolation};
use crate::kafka::client_log;
use crate::kafka::consumer::Consumer;
pub use crate::kafka::consumer::Membership;
use crate::kafka::doubts::Doubts;
use crate::kafka::error;
use crate::kafka::fetched::{Fetched, Owned};
use crate::kafka::native::{ErrorCode, Failure, Message};
use crate::kafka::rebalance::Rebalance;

/// How long leaving the group may take.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long one poll waits while leaving.
const LEAVE_STEP: Duration = Duration::from_millis(20);

/// A group member that reads the partitioned sources of a transform.
///
/// Dropping it keeps its place in the group until its session ends, so that a restart gets the same partitions without
/// a rebalance; [`KafkaSource::leave`] gives the place up.
pub struct KafkaSource {
    place: Place,
    consumer: Consumer,
    /// Asks for the ends of partitions, on connections of its own: on those of the member a question waits for the fetch
    /// that is under way, for up to 0.1 s.
    asker: Consumer,
    fetched: Fetched,
    /// Partitions that the client does not go on with.
    doubts: Doubts,
    messages: Vec<Message>,
    /// Whether the group waits for [`Source::release`].
    is_releasing: bool,
    /// A fault that came beside records or a decision of the group; told after them.
    failed: Option<Fault>,
}

/// What makes a member: the same again after an error that ended its client.
struct Place {
    config: ClientConfig,
    group: String,
    worker: String,
    topics: Vec<TopicName>,
    /// The id that the coordinator gave to the member last.
    member: Option<String>,
}

impl Place {
    fn open(&self) -> Result<Consumer, Fault> {
        let consumer = Consumer::open(&self.config)?;
        let what = |failure| error::fault(format!("cannot join the group `{}`", self.group), failure);
        consumer.subscribe(&self.topics).map_err(what)?;
        Ok(consumer)
    }
}

impl KafkaSource {
    /// Makes a member of the deployment's group, under a name that no other worker has at this time. Joining goes on
    /// inside [`Source::poll`].
    ///
    /// # Errors
    /// `client_key_unknown`, `kafka_failed`.
    pub fn join(kafka: &Kafka, deployment: &Deployment, worker_id: &str) -> Result<Self, Fault> {
        let topics: Vec<_> = deployment.subscription().collect();
        Self::join_group(kafka, &deployment.group(), worker_id, &topics, deployment.batch)
    }

    /// [`KafkaSource::join`] in its parts, for groups that are not a transform's.
    ///
    /// # Errors
    /// `client_key_unknown`, `kafka_failed`.
    pub fn join_group(
        kafka: &Kafka,
        group: &str,
        worker_id: &str,
        topics: &[TopicName],
        batch: BatchBounds,
    ) -> Result<Self, Fault> {
        let place = Place {
            config: client::member(kafka, group, worker_id),
            group: group.to_owned(),
            worker: worker_id.to_owned(),
            topics: topics.to_vec(),
            member: None,
        };
        let consumer = place.open()?;
        let asker = Consumer::open(&client::reader(kafka, group, Isolation::Committed))?;
        let fetched = Fetched::new(batch);
        Ok(Self {
            place,
            consumer,
            asker,
            fetched,
            doubts: Doubts::default(),
            messages: Vec::new(),
            is_releasing: false,
            failed: None,
        })
    }

    /// Drops what the asking client says of itself, which would pile up: the member has the same troubles, and reports them.
    fn listen_to_asker(&mut self) {
        let mut said = Vec::new();
        self.asker.poll(Duration::ZERO, &mut said);
    }

    /// Leaves the group, so that others get the partitions at once. What is not committed is dropped.
    ///
    /// # Errors
    /// `kafka_failed`.
    pub fn leave(mut self) -> Result<(), Fault> {
        self.consumer.rebalances().close();
        self.consumer.unassign();
        self.consumer.unsubscribe().map_err(|failure| error::fault("cannot leave the group", failure))?;
        // The client forgets its membership before it has said so to the coordinator, and a static member that is closed
        // too early never says it.
        let clock = Clock::system();
        while clock.elapsed() < LEAVE_TIMEOUT {
            self.consumer.poll(LEAVE_STEP, &mut self.messages);
            self.messages.clear();
            if let Ok(None) = self.consumer.static_member(&self.place.group, &self.place.worker) {
                break;
            }
        }
        Ok(())
    }

    /// Acts on a decision of the group and tells it.
    fn decided(&mut self, decision: Rebalance) -> Input {
        match decision {
            Rebalance::Assigned(partitions) => {
                self.place.member =
                    self.consumer.membership().map(|membership| membership.member().to_owned());
                self.fetched.partitions.extend(partitions.iter().cloned().map(Owned::assigned));
                Input::Assigned(partitions)
            }
            Rebalance::Revoked(partitions) => {
                self.give_up(&partitions);
                Input::Revoked(partitions)
            }
            Rebalance::Lost(partitions) => {
                self.give_up(&partitions);
                Input::Lost(partitions)
            }
        }
    }

    /// Hands out nothing more of partitions that are about to go.
    fn give_up(&mut self, partitions: &[TopicPartition]) {
        self.is_releasing = true;
        self.fetched.forget(partitions);
        for owned in self.fetched.partitions.iter_mut().filter(|owned| partitions.contains(&owned.partition))
        {
            owned.position = None;
            owned.is_wanted = false;
        }
    }

    /// Tells librdkafka about pauses of partitions that it still delivers.
    fn pause_natively(&mut self) -> Result<(), Fault> {
        let fetching = self.fetched.partitions.iter().filter(|owned| owned.is_fetching && !owned.is_wanted);
        let partitions = fetching.map(|owned| owned.partition.clone());
        let delivered: Vec<_> = partitions.filter(|partition| self.fetched.holds(partition)).collect();
        for partition in &delivered {
            self.find(partition)?.is_fetching = false;
        }
        if delivered.is_empty() {
            return Ok(());
        }
        self.consumer.pause(&delivered).map_err(|failure| error::fault("cannot pause partitions", failure))
    }

    /// What a fault of the client means. librdkafka 2.12 forgets the id of a member whose session has ended, and goes on
    /// with heartbeats until its partitions are released; the coordinator takes such a heartbeat of a static member for a
    /// second process. So it is asked whether there is one; if not, the member joins again.
    fn judge(&mut self, fault: Fault) -> Result<Option<Input>, Fault> {
        if fault.code() != Code::InstanceInUse {
            return Err(fault);
        }
        match self.consumer.static_member(&self.place.group, &self.place.worker) {
            Ok(Some(member)) if Some(&member) != self.place.member.as_ref() => return Err(fault),
            Ok(_) => {}
            // The client stays ended, so the next poll asks again.
            Err(failure) => {
                client_log::warn("group", &format!("cannot ask who is in the group: {failure}"));
                return Ok(None);
            }
        }
        event::GroupRejoined { group: &self.place.group, fault: &fault }.emit();
        self.consumer = self.place.open()?;
        // A loss that was told already needs no other word, and its release is no business of the new client.
        let was_told = std::mem::take(&mut self.is_releasing);
        let partitions: Vec<_> =
            self.fetched.partitions.iter().map(|owned| owned.partition.clone()).collect();
        self.give_up(&partitions);
        self.is_releasing = false;
        Ok((!was_told && !partitions.is_empty()).then_some(Input::Lost(partitions)))
    }

    fn find(&mut self, partition: &TopicPartition) -> Result<&mut Owned, Fault> {
        self.fetched.find(partition).ok_or_else(|| {
            Fault::new(Code::MembershipLost, format!("partition {partition} is not assigned to this worker"))
        })
    }
}

impl Source for KafkaSource {
    type Membership = Membership;

    fn poll(&mut self, wait: Duration) -> Result<Option<Input>, Fault> {
        if let Some(decision) = self.consumer.rebalances().take() {
            return Ok(Some(self.decided(decision)));
        }
        if let Some(input) = self.fetched.next() {
            return Ok(Some(input));
        }
        if let Some(fault) = self.failed.take().or_else(|| self.consumer.fatal_fault()) {
            return self.judge(fault);
        }
        self.consumer.poll(wait, &mut self.messages);
        if self.messages.is_empty() {
            self.listen_to_asker();
        }
        self.doubts.take(&mut self.messages);
        let (asker, consumer) = (&self.asker, &self.consumer);
        self.doubts
            .settle(&mut self.fetched, consumer, |partition| bounds(asker, consumer, partition).ok())?;
        self.failed = self.fetched.take(&mut self.messages, &self.consumer).err();
        self.pause_natively()?;
        if let Some(decision) = self.consumer.rebalances().take() {
            return Ok(Some(self.decided(decision)));
        }
        match (self.fetched.next(), self.failed.take()) {
            (None, Some(fault)) => self.judge(fault),
            (input, failed) => {
                self.failed = failed;
                Ok(input)
            }
        }
    }

    fn release(&mut self, partitions: &[TopicPartition]) -> Result<(), Fault> {
        self.fetched.forget(partitions);
        self.fetched.partitions.retain(|owned| !partitions.contains(&owned.partition));
        // The `range` assignor gives and takes everything at once. Whoever releases twice must not give back what the
        // group has assigned since.
        if std::mem::take(&mut self.is_releasing) {
            self.consumer.unassign();
        }
        Ok(())
    }

    fn membership(&mut self) -> Result<Membership, Fault> {
        let membership = self.consumer.membership();
        membership.ok_or_else(|| {
            Fault::new(Code::MembershipLost, "this worker is in no generation of its consumer group")
        })
    }

    fn committed(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Option<Committed>>, Fault> {
        let what = |failure| error::fault("cannot read the committed positions", failure);
        let entries = self.consumer.committed(partitions).map_err(what)?.entries();
        let no_error = ErrorCode::RD_KAFKA_RESP_ERR_NO_ERROR;
        if let Some(entry) = entries.iter().find(|entry| entry.error != no_error) {
            return Err(what(Failure::of(entry.error)));
        }
        let committed = entries.into_iter().map(|entry| {
            (entry.offset >= Offset(0)).then_some(Committed { position: entry.offset, note: entry.note })
        });
        Ok(committed.collect())
    }

    fn bounds(&mut self, partition: &TopicPartition) -> Result<Bounds, Fault> {
        let bounds = bounds(&self.asker, &self.consumer, partition);
        self.listen_to_asker();
        bounds.map_err(|failure| error::fault(format!("cannot read the offsets of {partition}"), failure))
    }

    fn seek(&mut self, positions: &[(TopicPartition, Offset)]) -> Result<(), Fault> {
        for (partition, offset) in positions {
            self.find(partition)?.position = Some(*offset);
        }
        let partitions: Vec<_> = positions.iter().map(|(partition, _)| partition.clone()).collect();
        self.fetched.forget(&partitions);
        self.consumer.seek(positions).map_err(|failure| error::fault("cannot seek", failure))
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), Fault> {
        for partition in partitions {
            self.find(partition)?.is_wanted = false;
        }
        Ok(())
    }

    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), Fault> {
        let mut positions = Vec::new();
        for partition in partitions {
            let owned = self.find(partition)?;
            let Some(position) = owned.position else {
                let what = format!("partition {partition} was resumed without a seek");
                return Err(Fault::new(Code::Internal, what));
            };
            owned.is_wanted = true;
            if !std::mem::replace(&mut owned.is_fetching, true) {
                positions.push((partition.clone(), position));
            }
        }
        self.consumer.restart(&positions).map_err(|failure| error::fault("cannot resume partitions", failure))
    }
}

/// What a partition holds. A client that reads nothing hears late of a partition's new leader: then the member knows more.
fn bounds(asker: &Consumer, member: &Consumer, partition: &TopicPartition) -> Result<Bounds, Failure> {
    asker.bounds(partition).or_else(|_| member.bounds(partition))
}
