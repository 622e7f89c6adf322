//! The shapes of the requests that the broker serves: a table of uniform entries, one an API, checked against the codec by a test.
//!
//! Tagged fields need no entry: none of those that the served versions know holds an array.

use kafka_protocol::messages::ApiKey;

use super::shape::Element;
use super::shape::Field;
use super::shape::Kind;

const LAST: i16 = i16::MAX;
const I8: Kind = Kind::Fixed(1);
const I16: Kind = Kind::Fixed(2);
const I32: Kind = Kind::Fixed(4);
const I64: Kind = Kind::Fixed(8);
const FLAG: Kind = Kind::Fixed(1);
const UUID: Kind = Kind::Fixed(16);
const TEXT: Kind = Kind::Text;
const BLOB: Kind = Kind::Blob;
const INTS: Kind = Kind::List(&Element::Fixed(4));
const TEXTS: Kind = Kind::List(&Element::Text);

const fn all(kind: Kind) -> Field {
    Field { from: 0, to: LAST, kind }
}

const fn since(from: i16, kind: Kind) -> Field {
    Field { from, to: LAST, kind }
}

const fn until(to: i16, kind: Kind) -> Field {
    Field { from: 0, to, kind }
}

const fn between(from: i16, to: i16, kind: Kind) -> Field {
    Field { from, to, kind }
}

/// A topic's name and the partitions of it.
const TOPIC_WITH_INTS: Kind = Kind::List(&Element::Struct(&[all(TEXT), all(INTS)]));

const PRODUCE: &[Field] = &[
    all(TEXT), // transactional id
    all(I16),
    all(I32),
    all(Kind::List(&Element::Struct(&[
        all(TEXT),
        all(Kind::List(&Element::Struct(&[all(I32), all(BLOB)]))),
    ]))),
];

const FETCH: &[Field] = &[
    all(I32), // replica
    all(I32),
    all(I32),
    all(I32),
    all(I8),
    since(7, I32),
    since(7, I32),
    all(Kind::List(&Element::Struct(&[
        all(TEXT),
        all(Kind::List(&Element::Struct(&[
            all(I32),
            since(9, I32),
            all(I64),
            since(12, I32),
            since(5, I64),
            all(I32),
        ]))),
    ]))),
    since(7, TOPIC_WITH_INTS),
    since(11, TEXT),
];

const LIST_OFFSETS: &[Field] = &[
    all(I32),
    since(2, I8),
    all(Kind::List(&Element::Struct(&[
        all(TEXT),
        all(Kind::List(&Element::Struct(&[all(I32), since(4, I32), all(I64)]))),
    ]))),
];

const METADATA: &[Field] = &[
    all(Kind::List(&Element::Struct(&[since(10, UUID), all(TEXT)]))),
    since(4, FLAG),
    between(8, 10, FLAG),
    since(8, FLAG),
];

const OFFSET_COMMIT: &[Field] = &[
    all(TEXT),
    all(I32),
    all(TEXT),
    since(7, TEXT),
    until(4, I64),
    all(Kind::List(&Element::Struct(&[
        all(TEXT),
        all(Kind::List(&Element::Struct(&[all(I32), all(I64), since(6, I32), all(TEXT)]))),
    ]))),
];

const OFFSET_FETCH: &[Field] = &[
    until(7, TEXT),
    until(7, TOPIC_WITH_INTS),
    since(8, Kind::List(&Element::Struct(&[all(TEXT), all(TOPIC_WITH_INTS)]))),
    since(7, FLAG),
];

const FIND_COORDINATOR: &[Field] = &[until(3, TEXT), since(1, I8), since(4, TEXTS)];

const JOIN_GROUP: &[Field] = &[
    all(TEXT),
    all(I32),
    since(1, I32),
    all(TEXT),
    since(5, TEXT),
    all(TEXT),
    all(Kind::List(&Element::Struct(&[all(TEXT), all(BLOB)]))),
    since(8, TEXT),
];

const HEARTBEAT: &[Field] = &[all(TEXT), all(I32), all(TEXT), since(3, TEXT)];

const LEAVE_GROUP: &[Field] = &[
    all(TEXT),
    until(2, TEXT),
    since(3, Kind::List(&Element::Struct(&[all(TEXT), all(TEXT), since(5, TEXT)]))),
];

const SYNC_GROUP: &[Field] = &[
    all(TEXT),
    all(I32),
    all(TEXT),
    since(3, TEXT),
    since(5, TEXT),
    since(5, TEXT),
    all(Kind::List(&Element::Struct(&[all(TEXT), all(BLOB)]))),
];

const DESCRIBE_GROUPS: &[Field] = &[all(TEXTS), since(3, FLAG)];
const LIST_GROUPS: &[Field] = &[since(4, TEXTS), since(5, TEXTS)];
const API_VERSIONS: &[Field] = &[since(3, TEXT), since(3, TEXT)];

const CREATE_TOPICS: &[Field] = &[
    all(Kind::List(&Element::Struct(&[
        all(TEXT),
        all(I32),
        all(I16),
        all(Kind::List(&Element::Struct(&[all(I32), all(INTS)]))),
        all(Kind::List(&Element::Struct(&[all(TEXT), all(TEXT)]))),
    ]))),
    all(I32),
    all(FLAG),
];

const DELETE_TOPICS: &[Field] =
    &[since(6, Kind::List(&Element::Struct(&[all(TEXT), all(UUID)]))), until(5, TEXTS), all(I32)];

const DELETE_RECORDS: &[Field] = &[
    all(Kind::List(&Element::Struct(&[all(TEXT), all(Kind::List(&Element::Struct(&[all(I32), all(I64)])))]))),
    all(I32),
];

const INIT_PRODUCER_ID: &[Field] = &[all(TEXT), all(I32), since(3, I64), since(3, I16)];

const OFFSET_FOR_LEADER_EPOCH: &[Field] = &[
    since(3, I32),
    all(Kind::List(&Element::Struct(&[
        all(TEXT),
        all(Kind::List(&Element::Struct(&[all(I32), all(I32), all(I32)]))),
    ]))),
];

const ADD_PARTITIONS_TO_TXN: &[Field] = &[all(TEXT), all(I64), all(I16), all(TOPIC_WITH_INTS)];
const ADD_OFFSETS_TO_TXN: &[Field] = &[all(TEXT), all(I64), all(I16), all(TEXT)];
const END_TXN: &[Field] = &[all(TEXT), all(I64), all(I16), all(FLAG)];

const TXN_OFFSET_COMMIT: &[Field] = &[
    all(TEXT),
    all(TEXT),
    all(I64),
    all(I16),
    since(3, I32),
    since(3, TEXT),
    since(3, TEXT),
    all(Kind::List(&Element::Struct(&[
        all(TEXT),
        all(Kind::List(&Element::Struct(&[all(I32), all(I64), since(2, I32), all(TEXT)]))),
    ]))),
];

const DESCRIBE_CONFIGS: &[Field] =
    &[all(Kind::List(&Element::Struct(&[all(I8), all(TEXT), all(TEXTS)]))), all(FLAG), since(3, FLAG)];

const ALTER_CONFIGS: &[Field] = &[
    all(Kind::List(&Element::Struct(&[
        all(I8),
        all(TEXT),
        all(Kind::List(&Element::Struct(&[all(TEXT), all(TEXT)]))),
    ]))),
    all(FLAG),
];

const INCREMENTAL_ALTER_CONFIGS: &[Field] = &[
    all(Kind::List(&Element::Struct(&[
        all(I8),
        all(TEXT),
        all(Kind::List(&Element::Struct(&[all(TEXT), all(I8), all(TEXT)]))),
    ]))),
    all(FLAG),
];

const CREATE_PARTITIONS: &[Field] = &[
    all(Kind::List(&Element::Struct(&[
        all(TEXT),
        all(I32),
        all(Kind::List(&Element::Struct(&[all(INTS)]))),
    ]))),
    all(I32),
    all(FLAG),
];

const DELETE_GROUPS: &[Field] = &[all(TEXTS)];

const OFFSET_DELETE: &[Field] = &[
    all(TEXT),
    all(Kind::List(&Element::Struct(&[all(TEXT), all(Kind::List(&Element::Struct(&[all(I32)])))]))),
];

const DESCRIBE_CLUSTER: &[Field] = &[all(FLAG), since(1, I8)];

/// The shape of an API's requests; `None` for one that is not served.
pub(crate) fn shape(key: ApiKey) -> Option<&'static [Field]> {
    Some(match key {
        ApiKey::Produce => PRODUCE,
        ApiKey::Fetch => FETCH,
        ApiKey::ListOffsets => LIST_OFFSETS,
        ApiKey::Metadata => METADATA,
        ApiKey::OffsetCommit => OFFSET_COMMIT,
        ApiKey::OffsetFetch => OFFSET_FETCH,
        ApiKey::FindCoordinator => FIND_COORDINATOR,
        ApiKey::JoinGroup => JOIN_GROUP,
        ApiKey::Heartbeat => HEARTBEAT,
        ApiKey::LeaveGroup => LEAVE_GROUP,
        ApiKey::SyncGroup => SYNC_GROUP,
        ApiKey::DescribeGroups => DESCRIBE_GROUPS,
        ApiKey::ListGroups => LIST_GROUPS,
        ApiKey::ApiVersions => API_VERSIONS,
        ApiKey::CreateTopics => CREATE_TOPICS,
        ApiKey::DeleteTopics => DELETE_TOPICS,
        ApiKey::DeleteRecords => DELETE_RECORDS,
        ApiKey::InitProducerId => INIT_PRODUCER_ID,
        ApiKey::OffsetForLeaderEpoch => OFFSET_FOR_LEADER_EPOCH,
        ApiKey::AddPartitionsToTxn => ADD_PARTITIONS_TO_TXN,
        ApiKey::AddOffsetsToTxn => ADD_OFFSETS_TO_TXN,
        ApiKey::EndTxn => END_TXN,
        ApiKey::TxnOffsetCommit => TXN_OFFSET_COMMIT,
        ApiKey::DescribeConfigs => DESCRIBE_CONFIGS,
        ApiKey::AlterConfigs => ALTER_CONFIGS,
        ApiKey::CreatePartitions => CREATE_PARTITIONS,
        ApiKey::DeleteGroups => DELETE_GROUPS,
        ApiKey::IncrementalAlterConfigs => INCREMENTAL_ALTER_CONFIGS,
        ApiKey::OffsetDelete => OFFSET_DELETE,
        ApiKey::DescribeCluster => DESCRIBE_CLUSTER,
        _ => return None,
    })
}
