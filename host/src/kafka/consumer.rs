//! A thin consumer over librdkafka: batches, positions and the group, a few calls, one owner.

use std::ffi::c_int;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::bindings::*;
use rdkafka::client::Client;
use rdkafka::types::RDKafkaType;

use crate::fault::{Code, Fault};
use crate::id::{Offset, Partition, TopicName, TopicPartition};
use crate::io::Bounds;
use crate::kafka::client::native;
use crate::kafka::client_log;
use crate::kafka::error;
use crate::kafka::members;
use crate::kafka::native::{ErrorCode, Failure, Message, PartitionList, c_string, fatal, text};
use crate::kafka::rebalance::{Rebalances, on_rebalance, unassign};

/// How many messages one call to librdkafka takes from its queue.
const MESSAGES_PER_CALL: usize = 1_000;

/// How long a question to a broker may take.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long committed offsets may stay undecided: the transaction time-out, and the coordinator's round after it.
const STABLE_TIMEOUT: Duration = Duration::from_secs(30);

/// A consumer. Dropping it closes it; a static member stays in its group until its session ends.
pub(super) struct Consumer {
    queue: *mut rd_kafka_queue_t,
    buffer: Vec<*mut rd_kafka_message_t>,
    client: Client<Rebalances>,
}

// SAFETY: librdkafka's objects may be used from any thread; the pointers are to its queue and to nothing of a thread's.
unsafe impl Send for Consumer {}

impl Consumer {
    /// Makes a consumer; nothing is sent yet.
    pub(super) fn open(config: &ClientConfig) -> Result<Self, Fault> {
        let native = native(config)?;
        // SAFETY: the configuration is alive, and the callback's opaque is the context that `Client::new` sets.
        unsafe { rd_kafka_conf_set_rebalance_cb(native.ptr(), Some(on_rebalance)) };
        let client = Client::new(config, native, RDKafkaType::RD_KAFKA_CONSUMER, Rebalances::default())
            .map_err(|error| Fault::new(Code::KafkaFailed, "cannot make a Kafka consumer").because(error))?;
        // SAFETY: the client is alive. Its main queue is served with the consumer's, and the queue is given back in
        // `drop`, before the client.
        let queue = unsafe {
            rd_kafka_poll_set_consumer(client.native_ptr());
            rd_kafka_queue_get_consumer(client.native_ptr())
        };
        Ok(Self { queue, buffer: vec![ptr::null_mut(); MESSAGES_PER_CALL], client })
    }

    /// What the group decided.
    pub(super) fn rebalances(&self) -> &Arc<Rebalances> {
        self.client.context()
    }

    /// Joins the group for these topics.
    pub(super) fn subscribe(&self, topics: &[TopicName]) -> Result<(), Failure> {
        let mut list = PartitionList::new();
        for topic in topics {
            list.push(&TopicPartition::new(topic, Partition(-1)), Offset(-1), "");
        }
        // SAFETY: client and list are alive.
        Failure::check_code(unsafe { rd_kafka_subscribe(self.client.native_ptr(), list.as_ptr()) })
    }

    /// Leaves the group, also as a static member.
    pub(super) fn unsubscribe(&self) -> Result<(), Failure> {
        // SAFETY: the client is alive.
        Failure::check_code(unsafe { rd_kafka_unsubscribe(self.client.native_ptr()) })
    }

    /// Takes what is there, about [`MESSAGES_PER_CALL`] messages; waits for the first one if there is none. Returns early
    /// when the group decides something.
    pub(super) fn poll(&mut self, wait: Duration, messages: &mut Vec<Message>) {
        self.take(messages);
        if messages.is_empty() && !wait.is_zero() && !self.rebalances().is_waiting() {
            self.rebalances().yield_polls(true);
            // SAFETY: the client is alive; the message is ours and dropped before the consumer by its owner.
            messages.extend(unsafe {
                Message::take(rd_kafka_consumer_poll(self.client.native_ptr(), millis(wait)))
            });
            self.rebalances().yield_polls(false);
            if !messages.is_empty() {
                self.take(messages);
            }
        }
    }

    /// Takes a batch without waiting: a waiting call would wait until the batch is full.
    fn take(&mut self, messages: &mut Vec<Message>) {
        // SAFETY: the queue is alive, and the buffer has as many places as the call is told.
        let count = unsafe {
            rd_kafka_consume_batch_queue(self.queue, 0, self.buffer.as_mut_ptr(), self.buffer.len())
        };
        let count = usize::try_from(count).unwrap_or(0);
        // SAFETY: the call has put that many messages there, and they are ours.
        messages
            .extend(self.buffer.iter().take(count).filter_map(|message| unsafe { Message::take(*message) }));
    }

    /// Reads these partitions from these offsets, without a group.
    pub(super) fn assign(&self, positions: &[(TopicPartition, Offset)]) -> Result<(), Failure> {
        let list = PartitionList::with_offsets(positions);
        // SAFETY: client and list are alive.
        Failure::check_code(unsafe { rd_kafka_assign(self.client.native_ptr(), list.as_ptr()) })
    }

    /// Reads these partitions too, from these offsets, without a group.
    pub(super) fn assign_more(&self, positions: &[(TopicPartition, Offset)]) -> Result<(), Failure> {
        let list = PartitionList::with_offsets(positions);
        // SAFETY: client and list are alive; the error is taken over.
        unsafe { Failure::check(rd_kafka_incremental_assign(self.client.native_ptr(), list.as_ptr())) }
    }

    /// Does not read these partitions any more. What was fetched of them is not given out.
    pub(super) fn unassign_some(&self, partitions: &[TopicPartition]) -> Result<(), Failure> {
        let list = PartitionList::at(partitions, Offset(0));
        // SAFETY: as above.
        unsafe { Failure::check(rd_kafka_incremental_unassign(self.client.native_ptr(), list.as_ptr())) }
    }

    /// Gives all partitions back.
    pub(super) fn unassign(&self) {
        unassign(self.client.native_ptr());
    }

    /// Goes on at these positions. What was fetched before is not given out any more.
    pub(super) fn seek(&self, positions: &[(TopicPartition, Offset)]) -> Result<(), Failure> {
        if positions.is_empty() {
            return Ok(());
        }
        let list = PartitionList::with_offsets(positions);
        // SAFETY: client and list are alive; the error that it returns is taken over.
        unsafe {
            let timeout = millis(REQUEST_TIMEOUT);
            Failure::check(rd_kafka_seek_partitions(self.client.native_ptr(), list.as_ptr(), timeout))?;
        }
        list.first_error().map_err(|(_, failure)| failure)
    }

    /// Stops fetching these partitions.
    pub(super) fn pause(&self, partitions: &[TopicPartition]) -> Result<(), Failure> {
        let list = PartitionList::at(partitions, Offset(0));
        // SAFETY: client and list are alive.
        Failure::check_code(unsafe { rd_kafka_pause_partitions(self.client.native_ptr(), list.as_ptr()) })
    }

    /// Fetches paused partitions again, from these positions. librdkafka 2.12 alone would resume one offset too far
    /// after an end of partition that came in a batch, and skip a record.
    pub(super) fn restart(&self, positions: &[(TopicPartition, Offset)]) -> Result<(), Failure> {
        if positions.is_empty() {
            return Ok(());
        }
        self.seek(positions)?;
        let list = PartitionList::with_offsets(positions);
        // SAFETY: client and list are alive.
        Failure::check_code(unsafe { rd_kafka_resume_partitions(self.client.native_ptr(), list.as_ptr()) })
    }

    /// The partitions of a topic; none when it does not exist.
    pub(super) fn partitions(&self, topic: &TopicName) -> Result<Vec<TopicPartition>, Failure> {
        let metadata = self.client.fetch_metadata(Some(topic.as_str()), REQUEST_TIMEOUT);
        let metadata = metadata.map_err(|error| Failure::of(error::native_code(&error)))?;
        let topics = metadata.topics().iter().filter(|found| found.name() == topic.as_str());
        let partitions = topics.flat_map(|found| found.partitions());
        Ok(partitions.map(|partition| TopicPartition::new(topic, Partition(partition.id()))).collect())
    }

    /// What the group has committed; waits for transactions that are being decided.
    pub(super) fn committed(&self, partitions: &[TopicPartition]) -> Result<PartitionList, Failure> {
        let list = PartitionList::at(partitions, Offset(i64::from(RD_KAFKA_OFFSET_INVALID)));
        // SAFETY: client and list are alive.
        Failure::check_code(unsafe {
            rd_kafka_committed(self.client.native_ptr(), list.as_ptr(), millis(STABLE_TIMEOUT))
        })?;
        Ok(list)
    }

    /// The first offset, and the end as the client's isolation level sees it.
    pub(super) fn bounds(&self, partition: &TopicPartition) -> Result<Bounds, Failure> {
        let topic = c_string(partition.topic.as_str());
        let (mut start, mut end) = (0, 0);
        // SAFETY: client and name are alive; the two places are written on success.
        Failure::check_code(unsafe {
            rd_kafka_query_watermark_offsets(
                self.client.native_ptr(),
                topic.as_ptr(),
                partition.partition.0,
                &raw mut start,
                &raw mut end,
                millis(REQUEST_TIMEOUT),
            )
        })?;
        Ok(Bounds { start: Offset(start), stable_end: Offset(end) })
    }

    /// The membership at this moment.
    pub(super) fn membership(&self) -> Option<Membership> {
        // SAFETY: the client is alive; the object is ours from here on.
        Membership::take(unsafe { rd_kafka_consumer_group_metadata(self.client.native_ptr()) })
    }

    /// The fault that ended the client, if one did.
    pub(super) fn fatal_fault(&self) -> Option<Fault> {
        let what = "the group does not take this process any more";
        fatal(&self.client).map(|failure| error::fault(what, failure))
    }

    /// The id of the static member of this name in a group; none when there is none.
    pub(super) fn static_member(&self, group: &str, name: &str) -> Result<Option<String>, Failure> {
        members::static_member(&self.client, group, name)
    }

    /// The fault of a message that is an error; none when the client gets over it.
    pub(super) fn fault(&self, message: &Message) -> Option<Fault> {
        if let Some(fault) = self.fatal_fault() {
            return Some(fault);
        }
        let failure = Failure { message: message.error_text(), ..Failure::of(message.code()) };
        if error::is_passing(failure.code) {
            client_log::warn("consumer", &failure.to_string());
            return None;
        }
        let what = match message.topic() {
            Some(topic) => format!("cannot read partition {}/{}", topic, message.partition()),
            None => "cannot read from Kafka".to_owned(),
        };
        Some(error::fault(what, failure))
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.rebalances().close();
        // A revocation that was told and not answered yet would keep the close waiting for ever.
        self.unassign();
        // SAFETY: the queue and the client are alive, and nobody uses the queue any more. Closing serves the callbacks
        // that remain; it does not leave the group when the member is static.
        let code = unsafe {
            rd_kafka_queue_destroy(self.queue);
            rd_kafka_consumer_close(self.client.native_ptr())
        };
        if code != ErrorCode::RD_KAFKA_RESP_ERR_NO_ERROR {
            client_log::warn("close", &format!("a consumer closed with an error: {}", Failure::of(code)));
        }
    }
}

/// A place in a generation of a consumer group.
#[derive(Clone)]
pub struct Membership {
    metadata: Arc<Metadata>,
    generation: i32,
    member: String,
}

impl PartialEq for Membership {
    fn eq(&self, other: &Self) -> bool {
        (self.generation, &self.member) == (other.generation, &other.member)
    }
}

impl std::fmt::Debug for Membership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Membership")
            .field("generation", &self.generation)
            .field("member", &self.member)
            .finish()
    }
}

struct Metadata(*mut rd_kafka_consumer_group_metadata_t);

// SAFETY: the object is immutable and belongs to no thread.
unsafe impl Send for Metadata {}
// SAFETY: as above.
unsafe impl Sync for Metadata {}

impl Membership {
    /// Takes the object over; none when the consumer is in no generation.
    fn take(metadata: *mut rd_kafka_consumer_group_metadata_t) -> Option<Self> {
        if metadata.is_null() {
            return None;
        }
        let owner = Arc::new(Metadata(metadata));
        // SAFETY: alive as long as `owner`; the member id is copied.
        let (generation, member) = unsafe {
            let generation = rd_kafka_consumer_group_metadata_generation_id(owner.0);
            (generation, text(rd_kafka_consumer_group_metadata_member_id(owner.0)))
        };
        (generation >= 0 && !member.is_empty()).then_some(Self { metadata: owner, generation, member })
    }

    /// The member id that the coordinator gave.
    pub(super) fn member(&self) -> &str {
        &self.member
    }

    pub(super) fn as_ptr(&self) -> *const rd_kafka_consumer_group_metadata_t {
        self.metadata.0
    }
}

impl Drop for Metadata {
    fn drop(&mut self) {
        // SAFETY: this is the only owner.
        unsafe { rd_kafka_consumer_group_metadata_destroy(self.0) }
    }
}

/// A duration as librdkafka takes it.
pub(super) fn millis(duration: Duration) -> c_int {
    c_int::try_from(duration.as_millis()).unwrap_or(c_int::MAX)
}
