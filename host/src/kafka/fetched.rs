//! What a consumer has fetched: messages sorted into chunks of one partition, and how far each partition has come.

use std::collections::VecDeque;

use crate::config::pipeline::BatchBounds;
use crate::fault::Fault;
use crate::id::{Offset, Partition, Timestamp, TopicPartition};
use crate::io::Input;
use crate::kafka::consumer::Consumer;
use crate::kafka::native::{ErrorCode, Message};
use crate::record::Chunk;

/// The partitions of a consumer, and what was fetched of them and not handed out yet.
pub(super) struct Fetched {
    /// The partitions.
    pub(super) partitions: Vec<Owned>,
    bounds: BatchBounds,
    ready: VecDeque<Input>,
}

/// A partition that a consumer reads.
pub(super) struct Owned {
    /// Which.
    pub(super) partition: TopicPartition,
    /// The next offset to take from librdkafka; none until somebody has said where to begin.
    pub(super) position: Option<Offset>,
    /// Whether its records are wanted now.
    pub(super) is_wanted: bool,
    /// Whether librdkafka fetches it.
    pub(super) is_fetching: bool,
}

impl Owned {
    /// A partition as the group assigns it: nobody has said where to begin.
    pub(super) fn assigned(partition: TopicPartition) -> Self {
        Self { partition, position: None, is_wanted: false, is_fetching: false }
    }

    /// A partition that is read from a position on.
    pub(super) fn reading(partition: TopicPartition, position: Offset) -> Self {
        Self { partition, position: Some(position), is_wanted: true, is_fetching: true }
    }
}

impl Fetched {
    /// Nothing, of no partitions.
    pub(super) fn new(bounds: BatchBounds) -> Self {
        Self { partitions: Vec::new(), bounds, ready: VecDeque::new() }
    }

    /// A partition, if it is ours.
    pub(super) fn find(&mut self, partition: &TopicPartition) -> Option<&mut Owned> {
        self.partitions.iter_mut().find(|owned| owned.partition == *partition)
    }

    /// Forgets what was fetched of these partitions.
    pub(super) fn forget(&mut self, partitions: &[TopicPartition]) {
        self.ready
            .retain(|input| !partition_of(input).is_some_and(|partition| partitions.contains(partition)));
    }

    /// Whether something of this partition waits.
    pub(super) fn holds(&self, partition: &TopicPartition) -> bool {
        self.ready.iter().any(|input| partition_of(input) == Some(partition))
    }

    /// The next input of a partition that is wanted.
    pub(super) fn next(&mut self) -> Option<Input> {
        let is_wanted = |input: &Input| {
            let partition = partition_of(input);
            self.partitions.iter().any(|owned| owned.is_wanted && Some(&owned.partition) == partition)
        };
        let index = self.ready.iter().position(is_wanted)?;
        self.ready.remove(index)
    }

    /// Sorts messages in. The fault is the last that one of them was; the records beside it are kept.
    pub(super) fn take(&mut self, messages: &mut Vec<Message>, consumer: &Consumer) -> Result<(), Fault> {
        let mut open = Open::default();
        let mut outcome = Ok(());
        for message in messages.drain(..) {
            if message.code() == ErrorCode::RD_KAFKA_RESP_ERR_NO_ERROR {
                self.take_record(&message, &mut open);
            } else if message.code() == ErrorCode::RD_KAFKA_RESP_ERR__PARTITION_EOF {
                self.close(&mut open);
                self.take_end(&message);
            } else if let Some(fault) = consumer.fault(&message) {
                outcome = Err(fault);
            }
        }
        self.close(&mut open);
        outcome
    }

    fn take_record(&mut self, message: &Message, open: &mut Open) {
        if !open.is_of(message) || open.is_full(&self.bounds) {
            self.close(open);
            open.run = self.run_of(message);
        }
        let Some(owned) = open.run.and_then(|run| self.partitions.get_mut(run.owned)) else {
            return;
        };
        // What was fetched before a seek never shows up after it.
        if owned.position.is_none_or(|position| message.offset() < position) {
            return;
        }
        let place = (Timestamp(message.timestamp_ms()), message.offset());
        if open.chunk.push(message.key(), message.payload(), message.headers(), place) {
            owned.position = Some(message.offset().next());
        }
    }

    fn take_end(&mut self, message: &Message) {
        let Some(owned) = self.run_of(message).and_then(|run| self.partitions.get_mut(run.owned)) else {
            return;
        };
        if owned.position.is_some_and(|position| message.offset() >= position) {
            owned.position = Some(message.offset());
            self.ready.push_back(Input::End(owned.partition.clone(), message.offset()));
        }
    }

    fn run_of(&self, message: &Message) -> Option<Run> {
        let partition = TopicPartition { topic: message.topic()?, partition: message.partition() };
        let owned = self.partitions.iter().position(|owned| owned.partition == partition)?;
        Some(Run { topic: message.topic_handle(), partition: message.partition(), owned })
    }

    fn close(&mut self, open: &mut Open) {
        let chunk = std::mem::take(&mut open.chunk);
        let owned = open.run.take().and_then(|run| self.partitions.get(run.owned));
        if let Some(owned) = owned.filter(|_| !chunk.is_empty()) {
            self.ready.push_back(Input::Records(owned.partition.clone(), chunk));
        }
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
    partition: Partition,
    /// Its place among the partitions.
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
