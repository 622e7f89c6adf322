//! A member of a consumer group as [`io::Source`](crate::io::Source).
//!
//! Partitions are paused in two ways. A worker's pause only hides what was fetched; librdkafka is told when it delivers
//! more of the partition all the same, because there a pause throws away what it has prefetched. Every native resume is
//! preceded by a seek to the position that is kept here, never to librdkafka's own idea of it.

use std::collections::VecDeque;
use std::time::Duration;

use crate::config::pipeline::{BatchBounds, Deployment, Kafka};
use crate::fault::{Code, Fault};
use crate::id::{Offset, TopicName, TopicPartition};
use crate::io::{Bounds, Committed, Input, Source};
use crate::kafka::client;
use crate::kafka::consumer::{Consumer, Membership};
use crate::kafka::error;
use crate::kafka::native::{ErrorCode, Failure, Message};
use crate::kafka::rebalance::Rebalance;
use crate::record::Chunk;

/// How long leaving the group may take.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// A group member that reads the partitioned sources of a transform.
///
/// Dropping it keeps its place in the group until its session ends, so that a restart gets the same partitions without
/// a rebalance; [`KafkaSource::leave`] gives the place up.
pub struct KafkaSource {
    consumer: Consumer,
    batch: BatchBounds,
    owned: Vec<Owned>,
    /// What was fetched and not handed out yet, in the order of arrival.
    ready: VecDeque<Input>,
    messages: Vec<Message>,
    /// Whether the group waits for [`Source::release`].
    is_releasing: bool,
    failed: Option<Fault>,
}

/// A partition that the group gave to this member.
struct Owned {
    partition: TopicPartition,
    /// The next offset to take from librdkafka; none until the worker has said where to begin.
    position: Option<Offset>,
    /// Whether the worker wants its records.
    is_wanted: bool,
    /// Whether librdkafka fetches it.
    is_fetching: bool,
}

impl KafkaSource {
    /// Makes a member of the deployment's group, under a name that no other worker has at this time. Joining goes on
    /// inside [`Source::poll`].
    ///
    /// # Errors
    /// `client_key_unknown`, `kafka_failed`.
    pub fn join(kafka: &Kafka, deployment: &Deployment, worker_id: &str) -> Result<Self, Fault> {
        let topics: Vec<_> = deployment.partitioned_sources().map(|source| source.topic.clone()).collect();
        Self::join_group(kafka, &deployment.group(), worker_id, &topics, deployment.batch)
    }

    /// [`KafkaSource::join`] in its parts, for tests and for groups that are not a transform's.
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
        let consumer = Consumer::open(&client::member(kafka, group, worker_id))?;
        consumer
            .subscribe(topics)
            .map_err(|failure| error::fault(format!("cannot join the group `{group}`"), failure))?;
        Ok(Self {
            consumer,
            batch,
            owned: Vec::new(),
            ready: VecDeque::new(),
            messages: Vec::new(),
            is_releasing: false,
            failed: None,
        })
    }

    /// Leaves the group, so that others get the partitions at once. What is not committed is dropped.
    ///
    /// # Errors
    /// `kafka_failed`.
    pub fn leave(mut self) -> Result<(), Fault> {
        self.consumer.rebalances().close();
        self.consumer.unassign();
        self.consumer.unsubscribe().map_err(|failure| error::fault("cannot leave the group", failure))?;
        let step = Duration::from_millis(50);
        let mut waited = Duration::ZERO;
        while self.consumer.membership().is_some() && waited < LEAVE_TIMEOUT {
            self.consumer.poll(step, &mut self.messages);
            self.messages.clear();
            waited += step;
        }
        Ok(())
    }

    /// Acts on a decision of the group and tells it.
    fn decided(&mut self, decision: Rebalance) -> Input {
        match decision {
            Rebalance::Assigned(partitions) => {
                self.owned.extend(partitions.iter().cloned().map(Owned::new));
                Input::Assigned(partitions)
            }
            Rebalance::Revoked(partitions) => {
                self.hide(&partitions);
                Input::Revoked(partitions)
            }
            Rebalance::Lost(partitions) => {
                self.hide(&partitions);
                Input::Lost(partitions)
            }
        }
    }

    /// Hands out nothing more of partitions that are about to go.
    fn hide(&mut self, partitions: &[TopicPartition]) {
        self.drop_ready(partitions);
        self.is_releasing = true;
        for owned in self.owned.iter_mut().filter(|owned| partitions.contains(&owned.partition)) {
            owned.position = None;
            owned.is_wanted = false;
        }
    }

    fn drop_ready(&mut self, partitions: &[TopicPartition]) {
        self.ready
            .retain(|input| !partition_of(input).is_some_and(|partition| partitions.contains(partition)));
    }

    /// The next input of a partition that the worker wants.
    fn next_ready(&mut self) -> Option<Input> {
        let is_wanted = |input: &Input| {
            let partition = partition_of(input);
            self.owned.iter().any(|owned| owned.is_wanted && Some(&owned.partition) == partition)
        };
        let index = self.ready.iter().position(is_wanted)?;
        self.ready.remove(index)
    }

    /// Turns what librdkafka delivered into inputs.
    fn sort_messages(&mut self) {
        let mut open = Open::default();
        for message in std::mem::take(&mut self.messages) {
            if message.code() == ErrorCode::RD_KAFKA_RESP_ERR_NO_ERROR {
                self.take_record(&message, &mut open);
            } else if message.code() == ErrorCode::RD_KAFKA_RESP_ERR__PARTITION_EOF {
                self.close_chunk(&mut open);
                self.take_end(&message);
            } else if let Some(fault) = self.consumer.fault(&message) {
                self.failed = Some(fault);
            }
        }
        self.close_chunk(&mut open);
    }

    fn take_record(&mut self, message: &Message, open: &mut Open) {
        if !open.is_of(message) || open.is_full(&self.batch) {
            self.close_chunk(open);
            open.run = self.run_of(message);
        }
        let Some(owned) = open.run.and_then(|run| self.owned.get_mut(run.owned)) else {
            return;
        };
        // What was fetched before a seek never shows up after it.
        let Some(position) = owned.position.filter(|position| message.offset() >= *position) else {
            return;
        };
        let place = (crate::id::Timestamp(message.timestamp_ms()), message.offset());
        if open.chunk.push(message.key(), message.payload(), message.headers(), place) {
            owned.position = Some(position.max(message.offset().next()));
        }
    }

    fn take_end(&mut self, message: &Message) {
        let Some(run) = self.run_of(message) else {
            return;
        };
        let Some(owned) = self.owned.get_mut(run.owned) else {
            return;
        };
        if owned.position.is_some_and(|position| message.offset() >= position) {
            owned.position = Some(message.offset());
            self.ready.push_back(Input::End(owned.partition.clone(), message.offset()));
        }
    }

    fn run_of(&self, message: &Message) -> Option<Run> {
        let partition = TopicPartition { topic: message.topic()?, partition: message.partition() };
        let owned = self.owned.iter().position(|owned| owned.partition == partition)?;
        Some(Run { topic: message.topic_handle(), partition: message.partition(), owned })
    }

    fn close_chunk(&mut self, open: &mut Open) {
        let chunk = std::mem::take(&mut open.chunk);
        let owned = open.run.take().and_then(|run| self.owned.get(run.owned));
        if let Some(owned) = owned.filter(|_| !chunk.is_empty()) {
            self.ready.push_back(Input::Records(owned.partition.clone(), chunk));
        }
    }

    /// Tells librdkafka about pauses of partitions that it still delivers.
    fn pause_natively(&mut self) -> Result<(), Fault> {
        let ready = &self.ready;
        let paused: Vec<_> = (self.owned.iter_mut())
            .filter(|owned| owned.is_fetching && !owned.is_wanted)
            .filter(|owned| ready.iter().any(|input| partition_of(input) == Some(&owned.partition)))
            .map(|owned| {
                owned.is_fetching = false;
                owned.partition.clone()
            })
            .collect();
        if paused.is_empty() {
            return Ok(());
        }
        self.consumer.pause(&paused).map_err(|failure| error::fault("cannot pause partitions", failure))
    }

    fn find(&mut self, partition: &TopicPartition) -> Result<&mut Owned, Fault> {
        let found = self.owned.iter_mut().find(|owned| owned.partition == *partition);
        found.ok_or_else(|| {
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
        if let Some(input) = self.next_ready() {
            return Ok(Some(input));
        }
        self.consumer.poll(wait, &mut self.messages);
        self.sort_messages();
        self.pause_natively()?;
        if let Some(decision) = self.consumer.rebalances().take() {
            return Ok(Some(self.decided(decision)));
        }
        match self.failed.take() {
            Some(fault) => Err(fault),
            None => Ok(self.next_ready()),
        }
    }

    fn release(&mut self, partitions: &[TopicPartition]) -> Result<(), Fault> {
        self.drop_ready(partitions);
        self.owned.retain(|owned| !partitions.contains(&owned.partition));
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
        let list = self.consumer.committed(partitions).map_err(what)?;
        let no_error = ErrorCode::RD_KAFKA_RESP_ERR_NO_ERROR;
        let entries = list.entries();
        if let Some(entry) = entries.iter().find(|entry| entry.error != no_error) {
            return Err(what(Failure::of(entry.error)));
        }
        let committed = entries.into_iter().map(|entry| {
            (entry.offset >= Offset(0)).then_some(Committed { position: entry.offset, note: entry.note })
        });
        Ok(committed.collect())
    }

    fn bounds(&mut self, partition: &TopicPartition) -> Result<Bounds, Fault> {
        let bounds = self.consumer.bounds(partition);
        bounds.map_err(|failure| error::fault(format!("cannot read the offsets of {partition}"), failure))
    }

    fn seek(&mut self, positions: &[(TopicPartition, Offset)]) -> Result<(), Fault> {
        for (partition, offset) in positions {
            self.find(partition)?.position = Some(*offset);
        }
        let partitions: Vec<_> = positions.iter().map(|(partition, _)| partition.clone()).collect();
        self.drop_ready(&partitions);
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
                return Err(Fault::new(
                    Code::Internal,
                    format!("partition {partition} was resumed without a seek"),
                ));
            };
            owned.is_wanted = true;
            if !owned.is_fetching {
                owned.is_fetching = true;
                positions.push((partition.clone(), position));
            }
        }
        let resumed: Vec<_> = positions.iter().map(|(partition, _)| partition.clone()).collect();
        self.consumer
            .seek(&positions)
            .and_then(|()| if resumed.is_empty() { Ok(()) } else { self.consumer.resume(&resumed) })
            .map_err(|failure| error::fault("cannot resume partitions", failure))
    }
}

impl Owned {
    fn new(partition: TopicPartition) -> Self {
        Self { partition, position: None, is_wanted: false, is_fetching: false }
    }
}

/// The chunk that is being filled, and where its records come from.
#[derive(Default)]
struct Open {
    run: Option<Run>,
    chunk: Chunk,
}

/// Consecutive messages of one partition.
#[derive(Clone, Copy)]
struct Run {
    topic: usize,
    partition: crate::id::Partition,
    /// Its place among the owned partitions.
    owned: usize,
}

impl Open {
    fn is_of(&self, message: &Message) -> bool {
        self.run
            .is_some_and(|run| (run.topic, run.partition) == (message.topic_handle(), message.partition()))
    }

    fn is_full(&self, bounds: &BatchBounds) -> bool {
        self.chunk.len() >= bounds.records || self.chunk.size_bytes() >= bounds.bytes
    }
}

fn partition_of(input: &Input) -> Option<&TopicPartition> {
    match input {
        Input::Records(partition, _) | Input::End(partition, _) => Some(partition),
        Input::Assigned(_) | Input::Revoked(_) | Input::Lost(_) => None,
    }
}
