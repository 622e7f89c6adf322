//! The clients of a restorer's thread, and what they say of partitions that cannot be read.

use crate::config::pipeline::Kafka;
use crate::fault::{Code, Fault};
use crate::id::{Offset, TopicPartition};
use crate::io::Bounds;
use crate::kafka::client::{self, Isolation};
use crate::kafka::consumer::Consumer;
use crate::kafka::error;
use crate::kafka::native::{ErrorCode, Message};

/// One reads; the other one sees ends as they are, open transactions included.
pub(super) struct Clients {
    pub(super) committed: Consumer,
    uncommitted: Consumer,
}

impl Clients {
    pub(super) fn open(kafka: &Kafka, group: &str) -> Result<Self, Fault> {
        let open = |isolation| Consumer::open(&client::reader(kafka, group, isolation));
        Ok(Self { committed: open(Isolation::Committed)?, uncommitted: open(Isolation::Uncommitted)? })
    }

    /// What a partition holds, and where it ends for those who see everything.
    pub(super) fn ask(&self, place: &TopicPartition) -> Result<(Bounds, Offset), Fault> {
        let what = |failure| error::fault(format!("cannot read {place}"), failure);
        if !self.uncommitted.partitions(&place.topic).map_err(what)?.contains(place) {
            return Err(Fault::new(Code::TopicMissing, format!("there is no partition {place}")));
        }
        // The end last: what is open when it is asked lies before it.
        let bounds = self.committed.bounds(place).map_err(what)?;
        let end = self.uncommitted.bounds(place).map_err(what)?.stable_end;
        Ok((bounds, end))
    }
}

/// What a client says of one partition in place of a record.
pub(super) enum PlaceFailure {
    /// There is no such offset.
    Lost,
    /// The broker does not know the partition.
    Unknown,
    /// It may not be read.
    Fault(Fault),
}

/// Takes the messages out that are failures of one partition.
pub(super) fn take_failures(
    messages: &mut Vec<Message>,
    consumer: &Consumer,
) -> Vec<(TopicPartition, PlaceFailure)> {
    let mut failures = Vec::new();
    messages.retain(|message| {
        let failure = match message.code() {
            ErrorCode::RD_KAFKA_RESP_ERR_NO_ERROR | ErrorCode::RD_KAFKA_RESP_ERR__PARTITION_EOF => {
                return true;
            }
            ErrorCode::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET
            | ErrorCode::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE => PlaceFailure::Lost,
            code if is_unknown(code) => PlaceFailure::Unknown,
            _ => match consumer.fault(message) {
                Some(fault) => PlaceFailure::Fault(fault),
                None => return false,
            },
        };
        let Some(topic) = message.topic() else { return true };
        failures.push((TopicPartition { topic, partition: message.partition() }, failure));
        false
    });
    failures
}

/// Whether the broker does not know a partition; after its start that passes.
pub(super) fn is_unknown(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
            | ErrorCode::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_ID
            | ErrorCode::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC
            | ErrorCode::RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION
    )
}
