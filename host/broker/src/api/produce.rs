//! Produce: checks what Kafka checks before it appends, and the limit on stored bytes.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ProduceRequest;
use kafka_protocol::messages::ProduceResponse;
use kafka_protocol::messages::produce_request::PartitionProduceData;
use kafka_protocol::messages::produce_request::TopicProduceData;
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::produce_response::TopicProduceResponse;

use super::Api;
use super::Call;
use crate::clock::Millis;
use crate::cluster::Cluster;
use crate::error::Refusal;
use crate::limits::Limits;
use crate::log::PartitionLog;
use crate::log::batch;
use crate::log::batch::BatchHeader;
use crate::log::records::records;
use crate::topics::config::TopicConfig;
use crate::transactions::Producer;
use crate::wire::text;

impl Api for ProduceRequest {
    type Response = ProduceResponse;

    async fn handle(self, call: &Call) -> ProduceResponse {
        if !(-1..=1).contains(&self.acks) {
            return self.refuse(ResponseError::InvalidRequiredAcks, call.version);
        }
        let now = call.shared.clock.now();
        let transactional_id = self.transactional_id.as_ref().map(|id| id.as_str());
        let mut cluster = call.shared.lock();
        let mut append = Append {
            cluster: &mut cluster,
            limits: &call.shared.limits,
            transactional_id,
            needs_all_replicas: self.acks == -1,
            now,
        };
        let responses = self.topic_data.into_iter().map(|topic| append.topic(topic)).collect();
        drop(cluster);
        call.shared.announce_change();
        ProduceResponse::default().with_responses(responses)
    }

    fn refuse(self, error: ResponseError, _: i16) -> ProduceResponse {
        let refusal = Refusal::from(error);
        let topic = |topic: TopicProduceData| {
            let partitions = topic.partition_data.iter();
            TopicProduceResponse::default()
                .with_name(topic.name.clone())
                .with_partition_responses(partitions.map(|data| refused(data.index, &refusal)).collect())
        };
        ProduceResponse::default().with_responses(self.topic_data.into_iter().map(topic).collect())
    }

    fn expects_answer(&self) -> bool {
        self.acks != 0
    }
}

fn refused(index: i32, refusal: &Refusal) -> PartitionProduceResponse {
    PartitionProduceResponse::default()
        .with_index(index)
        .with_error_code(refusal.error.code())
        .with_error_message(Some(text(&refusal.message)))
        .with_base_offset(-1)
        .with_log_append_time_ms(-1)
        .with_log_start_offset(-1)
}

/// Where a batch went.
struct Appended {
    offset: i64,
    append_time_ms: i64,
    start_offset: i64,
}

/// One produce request under way.
struct Append<'a> {
    cluster: &'a mut Cluster,
    limits: &'a Limits,
    transactional_id: Option<&'a str>,
    needs_all_replicas: bool,
    now: Millis,
}

impl Append<'_> {
    fn topic(&mut self, topic: TopicProduceData) -> TopicProduceResponse {
        let name = topic.name.as_str();
        let partitions = topic.partition_data.into_iter().map(|data| {
            let index = data.index;
            match self.partition(name, data) {
                Ok(appended) => PartitionProduceResponse::default()
                    .with_index(index)
                    .with_base_offset(appended.offset)
                    .with_log_append_time_ms(appended.append_time_ms)
                    .with_log_start_offset(appended.start_offset),
                Err(refusal) => refused(index, &refusal),
            }
        });
        TopicProduceResponse::default()
            .with_partition_responses(partitions.collect())
            .with_name(topic.name.clone())
    }

    fn partition(&mut self, topic: &str, data: PartitionProduceData) -> Result<Appended, Refusal> {
        if self.cluster.topics.partition(topic, data.index).is_none() {
            return Err(ResponseError::UnknownTopicOrPartition.into());
        }
        let mut bytes: Bytes = data.records.unwrap_or_default();
        let header = batch::check_produced(&bytes)?;
        if header.is_transactional() {
            self.check_transaction(topic, data.index, &header)?;
        }
        let config = self.cluster.topics.get(topic).map(|topic| &topic.config);
        let config = config.ok_or(ResponseError::UnknownTopicOrPartition)?;
        check_config(config, &bytes, &header, self.now)?;
        if self.needs_all_replicas && config.min_insync_replicas() > 1 {
            return Err(ResponseError::NotEnoughReplicas.into());
        }
        let stamps = config.stamps_on_append();
        if stamps {
            bytes = batch::stamp(&bytes, self.now);
        }
        let header = BatchHeader::parse(&bytes).ok_or(ResponseError::CorruptMessage)?;
        self.check_room(PartitionLog::cost(bytes.len()))?;
        let log = self.cluster.topics.partition_mut(topic, data.index);
        let log = log.ok_or(ResponseError::UnknownTopicOrPartition)?;
        let before = log.stored_bytes();
        let offset = log.append(&bytes, &header)?;
        let (added, start_offset) = (log.stored_bytes() - before, log.start());
        self.cluster.topics.count_appended(added);
        Ok(Appended { offset, append_time_ms: if stamps { self.now.0 } else { -1 }, start_offset })
    }

    /// A transactional batch needs an open transaction of its producer that has the partition.
    fn check_transaction(&self, topic: &str, partition: i32, header: &BatchHeader) -> Result<(), Refusal> {
        let id = self.transactional_id.ok_or(ResponseError::InvalidRequest)?;
        let producer = Producer { id: header.producer_id, epoch: header.producer_epoch };
        let checked = self.cluster.transactions.check(id, producer).map_err(|error| match error {
            ResponseError::ProducerFenced => ResponseError::InvalidProducerEpoch,
            other => other,
        });
        match checked?.has_partition(topic, partition) {
            true => Ok(()),
            false => {
                let message = format!("partition {partition} of `{topic}` was not added to the transaction");
                Err(Refusal::new(ResponseError::InvalidTxnState, message))
            }
        }
    }

    fn check_room(&mut self, bytes: usize) -> Result<(), Refusal> {
        let (stored, limit) = (self.cluster.topics.stored_bytes(), self.limits.stored_bytes);
        if stored.saturating_add(bytes) <= limit {
            self.cluster.is_full = false;
            return Ok(());
        }
        if !self.cluster.is_full {
            tracing::error!(stored, limit, "dev broker refuses records: its memory limit is reached");
        }
        self.cluster.is_full = true;
        let message =
            format!("the dev broker keeps at most {limit} bytes of records in memory and holds {stored}");
        Err(Refusal::new(ResponseError::PolicyViolation, message))
    }
}

/// What the topic's settings demand of a batch.
fn check_config(
    config: &TopicConfig,
    bytes: &Bytes,
    header: &BatchHeader,
    now: Millis,
) -> Result<(), Refusal> {
    let max = config.max_message_bytes();
    if bytes.len() > max {
        let message = format!("the batch has {} bytes, `max.message.bytes` is {max}", bytes.len());
        return Err(Refusal::new(ResponseError::MessageTooLarge, message));
    }
    let (before_ms, after_ms) = config.timestamp_bounds_ms();
    let is_late = header.base_timestamp < now.0.saturating_sub(before_ms);
    if !config.stamps_on_append() && (is_late || header.max_timestamp > now.0.saturating_add(after_ms)) {
        let message = "a timestamp is farther from the broker's time than the topic allows";
        return Err(Refusal::new(ResponseError::InvalidTimestamp, message));
    }
    // What is compressed cannot be looked into here.
    if config.compacts() && !header.is_compressed() {
        let records = records(bytes).ok_or(ResponseError::CorruptMessage)?;
        if records.iter().any(|record| record.key.is_none()) {
            let message = "a compacted topic needs a key in every record";
            return Err(Refusal::new(ResponseError::InvalidRecord, message));
        }
    }
    Ok(())
}
