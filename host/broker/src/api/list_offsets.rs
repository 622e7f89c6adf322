//! ListOffsets and OffsetForLeaderEpoch: where a partition begins and ends, and what lies at a time.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ListOffsetsRequest;
use kafka_protocol::messages::ListOffsetsResponse;
use kafka_protocol::messages::OffsetForLeaderEpochRequest;
use kafka_protocol::messages::OffsetForLeaderEpochResponse;
use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::ListOffsetsPartitionResponse;
use kafka_protocol::messages::list_offsets_response::ListOffsetsTopicResponse;
use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_protocol::messages::offset_for_leader_epoch_response::EpochEndOffset;
use kafka_protocol::messages::offset_for_leader_epoch_response::OffsetForLeaderTopicResult;

use super::Api;
use super::Call;
use crate::log::Isolation;
use crate::log::PartitionLog;
use crate::log::TimedOffset;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const NEWEST_TIMESTAMP: i64 = -3;

impl Api for ListOffsetsRequest {
    type Response = ListOffsetsResponse;

    async fn handle(self, call: &Call) -> ListOffsetsResponse {
        let isolation = Isolation::from_wire(self.isolation_level);
        // Locked for each partition anew: a look-up by time reads batches, and others must get their turn.
        let find = |topic: &str, asked: &ListOffsetsPartition| {
            let cluster = call.shared.lock();
            let log = cluster.topics.partition(topic, asked.partition_index);
            log.ok_or(ResponseError::UnknownTopicOrPartition).and_then(|log| find(log, asked, isolation))
        };
        answer(self, call.version, find)
    }

    fn refuse(self, error: ResponseError, version: i16) -> ListOffsetsResponse {
        answer(self, version, |_, _| Err(error))
    }
}

fn answer(
    request: ListOffsetsRequest,
    version: i16,
    find: impl Fn(&str, &ListOffsetsPartition) -> Result<TimedOffset, ResponseError>,
) -> ListOffsetsResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let response =
                ListOffsetsPartitionResponse::default().with_partition_index(asked.partition_index);
            match find(&topic.name, asked) {
                // Older versions cannot say the epoch.
                Ok(found) => response
                    .with_timestamp(found.timestamp)
                    .with_offset(found.offset)
                    .with_leader_epoch(if version >= 4 { 0 } else { -1 }),
                Err(error) => response.with_error_code(error.code()).with_timestamp(-1).with_offset(-1),
            }
        });
        ListOffsetsTopicResponse::default()
            .with_partitions(partitions.collect())
            .with_name(topic.name.clone())
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}

fn find(
    log: &PartitionLog,
    asked: &ListOffsetsPartition,
    isolation: Isolation,
) -> Result<TimedOffset, ResponseError> {
    if asked.current_leader_epoch > 0 {
        return Err(ResponseError::UnknownLeaderEpoch);
    }
    let end = match isolation {
        Isolation::ReadCommitted => log.last_stable_offset(),
        Isolation::ReadUncommitted => log.end(),
    };
    let nothing = TimedOffset { timestamp: -1, offset: -1 };
    let visible = |found: Option<TimedOffset>| found.filter(|found| found.offset < end).unwrap_or(nothing);
    Ok(match asked.timestamp {
        LATEST => TimedOffset { timestamp: -1, offset: end },
        EARLIEST => TimedOffset { timestamp: -1, offset: log.start() },
        NEWEST_TIMESTAMP => visible(log.offset_of_newest()),
        ..0 => return Err(ResponseError::UnsupportedVersion),
        timestamp => visible(log.offset_at(timestamp)),
    })
}

impl Api for OffsetForLeaderEpochRequest {
    type Response = OffsetForLeaderEpochResponse;

    async fn handle(self, call: &Call) -> OffsetForLeaderEpochResponse {
        let cluster = call.shared.lock();
        epoch_ends(self, |topic, asked| {
            let log = cluster.topics.partition(topic, asked.partition);
            let log = log.ok_or(ResponseError::UnknownTopicOrPartition)?;
            if asked.current_leader_epoch > 0 {
                Err(ResponseError::UnknownLeaderEpoch)
            } else {
                Ok(log.end())
            }
        })
    }

    fn refuse(self, error: ResponseError, _: i16) -> OffsetForLeaderEpochResponse {
        epoch_ends(self, |_, _| Err(error))
    }
}

/// There is one epoch, 0, which lasts to the end of the log; a later one is not known.
fn epoch_ends(
    request: OffsetForLeaderEpochRequest,
    end: impl Fn(&str, &OffsetForLeaderPartition) -> Result<i64, ResponseError>,
) -> OffsetForLeaderEpochResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let response = EpochEndOffset::default().with_partition(asked.partition);
            match end(&topic.topic, asked) {
                Ok(end) if asked.leader_epoch == 0 => response.with_leader_epoch(0).with_end_offset(end),
                Ok(_) => response.with_leader_epoch(-1).with_end_offset(-1),
                Err(error) => {
                    response.with_error_code(error.code()).with_leader_epoch(-1).with_end_offset(-1)
                }
            }
        });
        OffsetForLeaderTopicResult::default()
            .with_partitions(partitions.collect())
            .with_topic(topic.topic.clone())
    });
    OffsetForLeaderEpochResponse::default().with_topics(topics.collect())
}
