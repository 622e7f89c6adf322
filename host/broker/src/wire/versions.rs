//! The table of APIs that the broker speaks, with the versions that it advertises.

use kafka_protocol::messages::ApiKey;

/// One API. `advertised_from` and `served_from` differ for Produce alone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spoken {
    pub(crate) key: ApiKey,
    pub(crate) advertised_from: i16,
    pub(crate) served_from: i16,
    pub(crate) to: i16,
}

const fn spoken(key: ApiKey, from: i16, to: i16) -> Spoken {
    Spoken { key, advertised_from: from, served_from: from, to }
}

/// Upper bounds: topics go by name (Fetch 12, Produce 12 at most), one transaction version (Produce 11, EndTxn 3,
/// AddPartitionsToTxn 3, TxnOffsetCommit 3) and the classic group protocol (OffsetCommit 8, OffsetFetch 8).
/// Every client negotiates down to these. Lower bounds are those of Kafka 4.
pub(crate) const SPOKEN: &[Spoken] = &[
    // librdkafka looks for version 0 before it compresses, and Kafka 4 lists it for that reason without serving it.
    Spoken { key: ApiKey::Produce, advertised_from: 0, served_from: 3, to: 11 },
    spoken(ApiKey::Fetch, 4, 12),
    spoken(ApiKey::ListOffsets, 1, 7),
    spoken(ApiKey::Metadata, 0, 12),
    spoken(ApiKey::OffsetCommit, 2, 8),
    spoken(ApiKey::OffsetFetch, 1, 8),
    spoken(ApiKey::FindCoordinator, 0, 4),
    spoken(ApiKey::JoinGroup, 0, 9),
    spoken(ApiKey::Heartbeat, 0, 4),
    spoken(ApiKey::LeaveGroup, 0, 5),
    spoken(ApiKey::SyncGroup, 0, 5),
    spoken(ApiKey::DescribeGroups, 0, 5),
    spoken(ApiKey::ListGroups, 0, 5),
    spoken(ApiKey::ApiVersions, 0, 4),
    spoken(ApiKey::CreateTopics, 2, 7),
    spoken(ApiKey::DeleteTopics, 1, 6),
    spoken(ApiKey::DeleteRecords, 0, 2),
    spoken(ApiKey::InitProducerId, 0, 4),
    spoken(ApiKey::OffsetForLeaderEpoch, 2, 4),
    spoken(ApiKey::AddPartitionsToTxn, 0, 3),
    spoken(ApiKey::AddOffsetsToTxn, 0, 3),
    spoken(ApiKey::EndTxn, 0, 3),
    spoken(ApiKey::TxnOffsetCommit, 0, 3),
    spoken(ApiKey::DescribeConfigs, 1, 4),
    spoken(ApiKey::AlterConfigs, 0, 2),
    spoken(ApiKey::CreatePartitions, 0, 3),
    spoken(ApiKey::DeleteGroups, 0, 2),
    spoken(ApiKey::IncrementalAlterConfigs, 0, 1),
    spoken(ApiKey::OffsetDelete, 0, 0),
    spoken(ApiKey::DescribeCluster, 0, 1),
];

/// Whether a request of this version is served.
pub(crate) fn is_served(key: ApiKey, version: i16) -> bool {
    SPOKEN.iter().any(|spoken| spoken.key == key && (spoken.served_from..=spoken.to).contains(&version))
}
