//! CreatePartitions and DeleteRecords: a topic grows, a partition forgets its beginning.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::CreatePartitionsRequest;
use kafka_protocol::messages::CreatePartitionsResponse;
use kafka_protocol::messages::DeleteRecordsRequest;
use kafka_protocol::messages::DeleteRecordsResponse;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::delete_records_response::DeleteRecordsPartitionResult;
use kafka_protocol::messages::delete_records_response::DeleteRecordsTopicResult;

use super::Api;
use super::Call;
use crate::cluster::Cluster;
use crate::error::Refusal;
use crate::topics::Intent;
use crate::wire::text;

impl Api for CreatePartitionsRequest {
    type Response = CreatePartitionsResponse;

    async fn handle(self, call: &Call) -> CreatePartitionsResponse {
        let intent = Intent::from_wire(self.validate_only);
        let mut cluster = call.shared.lock();
        grow(self, |topic, wanted| cluster.topics.grow(topic, wanted, intent, &call.shared.limits))
    }

    fn refuse(self, error: ResponseError, _: i16) -> CreatePartitionsResponse {
        grow(self, |_, _| Err(error.into()))
    }
}

fn grow(
    request: CreatePartitionsRequest,
    mut grow_one: impl FnMut(&str, i32) -> Result<(), Refusal>,
) -> CreatePartitionsResponse {
    let results = request.topics.into_iter().map(|topic| {
        let result = CreatePartitionsTopicResult::default();
        let result = match grow_one(&topic.name, topic.count) {
            Ok(()) => result.with_error_message(None),
            Err(refusal) => {
                result.with_error_code(refusal.error.code()).with_error_message(Some(text(&refusal.message)))
            }
        };
        result.with_name(topic.name)
    });
    CreatePartitionsResponse::default().with_results(results.collect())
}

impl Api for DeleteRecordsRequest {
    type Response = DeleteRecordsResponse;

    async fn handle(self, call: &Call) -> DeleteRecordsResponse {
        let mut cluster = call.shared.lock();
        let response =
            delete(self, |topic, partition, offset| delete_before(&mut cluster, topic, partition, offset));
        cluster.topics.recount();
        response
    }

    fn refuse(self, error: ResponseError, _: i16) -> DeleteRecordsResponse {
        delete(self, |_, _, _| Err(error))
    }
}

fn delete(
    request: DeleteRecordsRequest,
    mut delete_one: impl FnMut(&str, i32, i64) -> Result<i64, ResponseError>,
) -> DeleteRecordsResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let result = DeleteRecordsPartitionResult::default().with_partition_index(asked.partition_index);
            match delete_one(&topic.name, asked.partition_index, asked.offset) {
                Ok(start) => result.with_low_watermark(start),
                Err(error) => result.with_low_watermark(-1).with_error_code(error.code()),
            }
        });
        DeleteRecordsTopicResult::default()
            .with_partitions(partitions.collect())
            .with_name(topic.name.clone())
    });
    DeleteRecordsResponse::default().with_topics(topics.collect())
}

/// Deletes up to an offset, or everything for -1. A topic that is only compacted refuses, as in Kafka.
fn delete_before(
    cluster: &mut Cluster,
    topic: &str,
    partition: i32,
    offset: i64,
) -> Result<i64, ResponseError> {
    let config = cluster.topics.get(topic).map(|topic| &topic.config);
    let may_delete = config.ok_or(ResponseError::UnknownTopicOrPartition)?.deletes();
    let log = cluster.topics.partition_mut(topic, partition);
    let log = log.ok_or(ResponseError::UnknownTopicOrPartition)?;
    if !may_delete {
        return Err(ResponseError::PolicyViolation);
    }
    let offset = match offset {
        -1 => log.end(),
        ..-1 => return Err(ResponseError::OffsetOutOfRange),
        offset => offset,
    };
    log.delete_before(offset)?;
    Ok(log.start())
}
