//! Fetch: reads of whole batches, and the wait for more when there is not enough.
//!
//! Sessions are not offered: the answer to every request says session 0, and clients then always name all their partitions.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::BrokerId;
use kafka_protocol::messages::FetchRequest;
use kafka_protocol::messages::FetchResponse;
use kafka_protocol::messages::ProducerId;
use kafka_protocol::messages::fetch_request::FetchPartition;
use kafka_protocol::messages::fetch_response::AbortedTransaction;
use kafka_protocol::messages::fetch_response::FetchableTopicResponse;
use kafka_protocol::messages::fetch_response::PartitionData;

use super::Api;
use super::Call;
use crate::log::Aborted;
use crate::log::Isolation;
use crate::log::PartitionLog;
use crate::log::ReadBudget;
use crate::wire::duration;

impl Api for FetchRequest {
    type Response = FetchResponse;

    async fn handle(self, call: &Call) -> FetchResponse {
        if self.session_id != 0 {
            return self.refuse(ResponseError::FetchSessionIdNotFound, call.version);
        }
        let mut changes = call.shared.changes();
        let deadline = tokio::time::Instant::now() + duration(self.max_wait_ms);
        loop {
            changes.mark_unchanged();
            let reading = Reading::all(&self, call);
            if reading.is_enough || self.topics.is_empty() {
                return reading.response;
            }
            tokio::select! {
                () = tokio::time::sleep_until(deadline) => return Reading::all(&self, call).response,
                // The sender lives in the same state as this call.
                _ = changes.changed() => {}
            }
        }
    }

    fn refuse(self, error: ResponseError, version: i16) -> FetchResponse {
        let topics = self.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.iter();
            FetchableTopicResponse::default()
                .with_topic(topic.topic.clone())
                .with_partitions(partitions.map(|asked| failed(asked.partition, error)).collect())
        });
        let response = FetchResponse::default().with_responses(topics.collect());
        // From version 7 on the whole answer can carry an error.
        if version >= 7 { response.with_error_code(error.code()) } else { response }
    }
}

fn failed(partition: i32, error: ResponseError) -> PartitionData {
    PartitionData::default()
        .with_partition_index(partition)
        .with_error_code(error.code())
        .with_high_watermark(-1)
        .with_records(Some(Bytes::new()))
}

/// One pass over the partitions of a request.
struct Reading {
    response: FetchResponse,
    /// Enough bytes, or something that the client should know at once.
    is_enough: bool,
}

impl Reading {
    fn all(request: &FetchRequest, call: &Call) -> Self {
        let max_bytes = usize::try_from(request.max_bytes).unwrap_or(0).min(call.shared.limits.fetch_bytes);
        let min_bytes = usize::try_from(request.min_bytes).unwrap_or(0);
        let isolation = Isolation::from_wire(request.isolation_level);
        let cluster = call.shared.lock();
        let mut size = 0;
        let mut has_failed = false;
        let responses = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|asked| {
                let log = cluster.topics.partition(&topic.topic, asked.partition);
                let budget = ReadBudget {
                    bytes: usize::try_from(asked.partition_max_bytes)
                        .unwrap_or(0)
                        .min(max_bytes.saturating_sub(size)),
                    oversized_first: size == 0,
                };
                let data = log
                    .ok_or(ResponseError::UnknownTopicOrPartition)
                    .and_then(|log| read(log, asked, isolation, budget))
                    .unwrap_or_else(|error| failed(asked.partition, error));
                has_failed |= data.error_code != 0;
                size += data.records.as_ref().map_or(0, Bytes::len);
                data
            });
            FetchableTopicResponse::default()
                .with_partitions(partitions.collect())
                .with_topic(topic.topic.clone())
        });
        let response = FetchResponse::default().with_responses(responses.collect());
        Self { response, is_enough: has_failed || size >= min_bytes }
    }
}

fn read(
    log: &PartitionLog,
    asked: &FetchPartition,
    isolation: Isolation,
    budget: ReadBudget,
) -> Result<PartitionData, ResponseError> {
    if asked.current_leader_epoch > 0 {
        return Err(ResponseError::UnknownLeaderEpoch);
    }
    let data = PartitionData::default()
        .with_partition_index(asked.partition)
        .with_high_watermark(log.end())
        .with_last_stable_offset(log.last_stable_offset())
        .with_log_start_offset(log.start())
        .with_preferred_read_replica(BrokerId(-1));
    if !(log.start()..=log.end()).contains(&asked.fetch_offset) {
        let code = ResponseError::OffsetOutOfRange.code();
        return Ok(data.with_error_code(code).with_records(Some(Bytes::new())));
    }
    let read = log.read(asked.fetch_offset, isolation, budget);
    let aborted = |aborted: Aborted| {
        AbortedTransaction::default()
            .with_producer_id(ProducerId(aborted.producer_id))
            .with_first_offset(aborted.first)
    };
    let aborted = match isolation {
        Isolation::ReadCommitted => Some(read.aborted.into_iter().map(aborted).collect()),
        Isolation::ReadUncommitted => None,
    };
    Ok(data.with_aborted_transactions(aborted).with_records(Some(read.records)))
}
