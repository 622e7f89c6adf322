//! Holds the table of versions, the shapes and the codec together: every request and every response, in every version.

use std::time::Duration;

use kafka_protocol::messages::*;
use kafka_protocol::protocol::Decodable;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::*;
use crate::log::testing::BatchBuilder;
use crate::testing::call;
use crate::testing::shared;
use crate::wire::versions::SPOKEN;

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

fn topic() -> TopicName {
    TopicName(text("items"))
}

fn encode_request<R: Encodable>(request: &R, version: i16) -> Bytes {
    let mut body = BytesMut::new();
    request.encode(&mut body, version).unwrap();
    body.freeze()
}

/// A request of each API with every array filled, as a client would send it in that version.
#[allow(clippy::too_many_lines)] // One uniform entry an API.
fn request(key: ApiKey, version: i16) -> Bytes {
    let v = version;
    let since = |from: i16| v >= from;
    let name = |from: i16, value: &'static str| since(from).then(|| text(value));
    match key {
        ApiKey::Produce => {
            let records =
                BatchBuilder::new().at(crate::clock::Clock::System.now().0).record("k", "v").build();
            let data = produce_request::PartitionProduceData::default().with_records(Some(records));
            let topics = produce_request::TopicProduceData::default()
                .with_name(topic())
                .with_partition_data(vec![data]);
            encode_request(&ProduceRequest::default().with_acks(-1).with_topic_data(vec![topics]), v)
        }
        ApiKey::Fetch => {
            let partition = fetch_request::FetchPartition::default().with_partition_max_bytes(1 << 20);
            let topics =
                fetch_request::FetchTopic::default().with_topic(topic()).with_partitions(vec![partition]);
            let forgotten =
                fetch_request::ForgottenTopic::default().with_topic(topic()).with_partitions(vec![1]);
            let request = FetchRequest::default()
                .with_replica_id(BrokerId(-1))
                .with_max_bytes(1 << 20)
                .with_isolation_level(1)
                .with_topics(vec![topics])
                .with_forgotten_topics_data(if since(7) { vec![forgotten] } else { vec![] })
                .with_rack_id(name(11, "rack").unwrap_or_default())
                .with_cluster_id(name(12, "cluster"));
            encode_request(&request, v)
        }
        ApiKey::ListOffsets => {
            let partitions = [-1, -2, -3, 0].map(|timestamp| {
                list_offsets_request::ListOffsetsPartition::default().with_timestamp(timestamp)
            });
            let topics = list_offsets_request::ListOffsetsTopic::default()
                .with_name(topic())
                .with_partitions(partitions.to_vec());
            encode_request(&ListOffsetsRequest::default().with_topics(vec![topics]), v)
        }
        ApiKey::Metadata => {
            let topics = metadata_request::MetadataRequestTopic::default().with_name(Some(topic()));
            encode_request(&MetadataRequest::default().with_topics(Some(vec![topics])), v)
        }
        ApiKey::OffsetCommit => {
            let partition = offset_commit_request::OffsetCommitRequestPartition::default()
                .with_committed_offset(1)
                .with_committed_metadata(Some(text("note")));
            let topics = offset_commit_request::OffsetCommitRequestTopic::default()
                .with_name(topic())
                .with_partitions(vec![partition]);
            let request = OffsetCommitRequest::default()
                .with_group_id(GroupId(text("readers")))
                .with_generation_id_or_member_epoch(-1)
                .with_topics(vec![topics]);
            encode_request(&request, v)
        }
        ApiKey::OffsetFetch if v < 8 => {
            let topics = offset_fetch_request::OffsetFetchRequestTopic::default()
                .with_name(topic())
                .with_partition_indexes(vec![0, 1]);
            let request = OffsetFetchRequest::default()
                .with_group_id(GroupId(text("readers")))
                .with_topics(Some(vec![topics]));
            encode_request(&request, v)
        }
        ApiKey::OffsetFetch => {
            let topics = offset_fetch_request::OffsetFetchRequestTopics::default()
                .with_name(topic())
                .with_partition_indexes(vec![0, 1]);
            let group = offset_fetch_request::OffsetFetchRequestGroup::default()
                .with_group_id(GroupId(text("readers")))
                .with_topics(Some(vec![topics]));
            encode_request(&OffsetFetchRequest::default().with_groups(vec![group]), v)
        }
        ApiKey::FindCoordinator if v < 4 => {
            encode_request(&FindCoordinatorRequest::default().with_key(text("readers")), v)
        }
        ApiKey::FindCoordinator => {
            encode_request(&FindCoordinatorRequest::default().with_coordinator_keys(vec![text("readers")]), v)
        }
        ApiKey::JoinGroup => {
            let protocol = join_group_request::JoinGroupRequestProtocol::default()
                .with_name(text("range"))
                .with_metadata(Bytes::from_static(b"metadata"));
            let request = JoinGroupRequest::default()
                .with_group_id(GroupId(text("joiners")))
                .with_session_timeout_ms(6_000)
                .with_rebalance_timeout_ms(6_000)
                .with_group_instance_id(name(5, "instance"))
                .with_protocol_type(text("consumer"))
                .with_protocols(vec![protocol])
                .with_reason(name(8, "because"));
            encode_request(&request, v)
        }
        ApiKey::Heartbeat => {
            let request = HeartbeatRequest::default()
                .with_group_id(GroupId(text("readers")))
                .with_group_instance_id(name(3, "instance"));
            encode_request(&request, v)
        }
        ApiKey::LeaveGroup => {
            let member = leave_group_request::MemberIdentity::default()
                .with_member_id(text("m"))
                .with_reason(name(5, "because"));
            let request = LeaveGroupRequest::default()
                .with_group_id(GroupId(text("readers")))
                .with_members(if since(3) { vec![member] } else { vec![] });
            encode_request(&request, v)
        }
        ApiKey::SyncGroup => {
            let assignment = sync_group_request::SyncGroupRequestAssignment::default()
                .with_member_id(text("m"))
                .with_assignment(Bytes::from_static(b"assignment"));
            let request = SyncGroupRequest::default()
                .with_group_id(GroupId(text("readers")))
                .with_protocol_type(name(5, "consumer"))
                .with_protocol_name(name(5, "range"))
                .with_assignments(vec![assignment]);
            encode_request(&request, v)
        }
        ApiKey::DescribeGroups => {
            let groups = vec![GroupId(text("readers")), GroupId(text("nobody"))];
            encode_request(&DescribeGroupsRequest::default().with_groups(groups), v)
        }
        ApiKey::ListGroups => {
            let states = name(4, "Empty").into_iter().collect();
            let types = name(5, "classic").into_iter().collect();
            encode_request(
                &ListGroupsRequest::default().with_states_filter(states).with_types_filter(types),
                v,
            )
        }
        ApiKey::ApiVersions => {
            let request = ApiVersionsRequest::default()
                .with_client_software_name(text("test"))
                .with_client_software_version(text("1"));
            encode_request(&request, v)
        }
        ApiKey::CreateTopics => {
            let setting = create_topics_request::CreatableTopicConfig::default()
                .with_name(text("cleanup.policy"))
                .with_value(Some(text("compact")));
            let replicas = create_topics_request::CreatableReplicaAssignment::default()
                .with_broker_ids(vec![BrokerId(crate::cluster::NODE_ID)]);
            let topics = create_topics_request::CreatableTopic::default()
                .with_name(TopicName(text("new")))
                .with_num_partitions(-1)
                .with_replication_factor(-1)
                .with_assignments(vec![replicas])
                .with_configs(vec![setting]);
            encode_request(&CreateTopicsRequest::default().with_topics(vec![topics]), v)
        }
        ApiKey::DeleteTopics if v < 6 => {
            encode_request(&DeleteTopicsRequest::default().with_topic_names(vec![topic()]), v)
        }
        ApiKey::DeleteTopics => {
            let by_name = delete_topics_request::DeleteTopicState::default().with_name(Some(topic()));
            let by_id =
                delete_topics_request::DeleteTopicState::default().with_topic_id(Uuid::from_u64_pair(9, 9));
            encode_request(&DeleteTopicsRequest::default().with_topics(vec![by_name, by_id]), v)
        }
        ApiKey::DeleteRecords => {
            let partition = delete_records_request::DeleteRecordsPartition::default().with_offset(-1);
            let topics = delete_records_request::DeleteRecordsTopic::default()
                .with_name(topic())
                .with_partitions(vec![partition]);
            encode_request(&DeleteRecordsRequest::default().with_topics(vec![topics]), v)
        }
        ApiKey::InitProducerId => {
            let request = InitProducerIdRequest::default()
                .with_transactional_id(Some(TransactionalId(text("t"))))
                .with_transaction_timeout_ms(60_000)
                .with_producer_id(ProducerId(-1));
            encode_request(&request, v)
        }
        ApiKey::OffsetForLeaderEpoch => {
            let partition = offset_for_leader_epoch_request::OffsetForLeaderPartition::default();
            let topics = offset_for_leader_epoch_request::OffsetForLeaderTopic::default()
                .with_topic(topic())
                .with_partitions(vec![partition]);
            encode_request(&OffsetForLeaderEpochRequest::default().with_topics(vec![topics]), v)
        }
        ApiKey::AddPartitionsToTxn => {
            let topics = add_partitions_to_txn_request::AddPartitionsToTxnTopic::default()
                .with_name(topic())
                .with_partitions(vec![0, 7]);
            let request = AddPartitionsToTxnRequest::default()
                .with_v3_and_below_transactional_id(TransactionalId(text("t")))
                .with_v3_and_below_topics(vec![topics]);
            encode_request(&request, v)
        }
        ApiKey::AddOffsetsToTxn => {
            let request = AddOffsetsToTxnRequest::default().with_group_id(GroupId(text("readers")));
            encode_request(&request, v)
        }
        ApiKey::EndTxn => encode_request(&EndTxnRequest::default(), v),
        ApiKey::TxnOffsetCommit => {
            let partition = txn_offset_commit_request::TxnOffsetCommitRequestPartition::default()
                .with_committed_metadata(Some(text("note")));
            let topics = txn_offset_commit_request::TxnOffsetCommitRequestTopic::default()
                .with_name(topic())
                .with_partitions(vec![partition]);
            let request = TxnOffsetCommitRequest::default()
                .with_group_id(GroupId(text("readers")))
                .with_member_id(name(3, "m").unwrap_or_default())
                .with_group_instance_id(name(3, "instance"))
                .with_topics(vec![topics]);
            encode_request(&request, v)
        }
        ApiKey::DescribeConfigs => {
            let resource = describe_configs_request::DescribeConfigsResource::default()
                .with_resource_type(2)
                .with_resource_name(text("items"))
                .with_configuration_keys(Some(vec![text("cleanup.policy"), text("retention.ms")]));
            let broker = describe_configs_request::DescribeConfigsResource::default()
                .with_resource_type(4)
                .with_resource_name(text("1"))
                .with_configuration_keys(None);
            encode_request(&DescribeConfigsRequest::default().with_resources(vec![resource, broker]), v)
        }
        ApiKey::AlterConfigs => {
            let setting = alter_configs_request::AlterableConfig::default()
                .with_name(text("cleanup.policy"))
                .with_value(Some(text("compact")));
            let resource = alter_configs_request::AlterConfigsResource::default()
                .with_resource_type(2)
                .with_resource_name(text("items"))
                .with_configs(vec![setting]);
            encode_request(&AlterConfigsRequest::default().with_resources(vec![resource]), v)
        }
        ApiKey::CreatePartitions => {
            let assignment = create_partitions_request::CreatePartitionsAssignment::default()
                .with_broker_ids(vec![BrokerId(crate::cluster::NODE_ID)]);
            let topics = create_partitions_request::CreatePartitionsTopic::default()
                .with_name(topic())
                .with_count(3)
                .with_assignments(Some(vec![assignment]));
            encode_request(&CreatePartitionsRequest::default().with_topics(vec![topics]), v)
        }
        ApiKey::DeleteGroups => {
            let groups = vec![GroupId(text("readers")), GroupId(text("nobody"))];
            encode_request(&DeleteGroupsRequest::default().with_groups_names(groups), v)
        }
        ApiKey::IncrementalAlterConfigs => {
            let setting = incremental_alter_configs_request::AlterableConfig::default()
                .with_name(text("cleanup.policy"))
                .with_config_operation(2)
                .with_value(Some(text("compact")));
            let resource = incremental_alter_configs_request::AlterConfigsResource::default()
                .with_resource_type(2)
                .with_resource_name(text("items"))
                .with_configs(vec![setting]);
            encode_request(&IncrementalAlterConfigsRequest::default().with_resources(vec![resource]), v)
        }
        ApiKey::OffsetDelete => {
            let partition = offset_delete_request::OffsetDeleteRequestPartition::default();
            let topics = offset_delete_request::OffsetDeleteRequestTopic::default()
                .with_name(topic())
                .with_partitions(vec![partition]);
            let request = OffsetDeleteRequest::default()
                .with_group_id(GroupId(text("readers")))
                .with_topics(vec![topics]);
            encode_request(&request, v)
        }
        ApiKey::DescribeCluster => encode_request(&DescribeClusterRequest::default(), v),
        other => panic!("no request of {other:?} is written here"),
    }
}

/// Every API in every version that is served.
fn served() -> impl Iterator<Item = (ApiKey, i16)> {
    SPOKEN.iter().flat_map(|spoken| (spoken.served_from..=spoken.to).map(|version| (spoken.key, version)))
}

/// Decodes a response and gives what is left of it behind header and body.
fn decode_response(key: ApiKey, version: i16, mut frame: Bytes) -> usize {
    let length = bytes::Buf::get_i32(&mut frame);
    assert_eq!(usize::try_from(length).unwrap(), frame.len(), "{key:?} {version}");
    let header = ResponseHeader::decode(&mut frame, key.response_header_version(version)).unwrap();
    assert_eq!(header.correlation_id, 77);
    let decoded = ResponseKind::decode(key, &mut frame, version);
    decoded.unwrap_or_else(|error| panic!("{key:?} {version}: {error}"));
    frame.len()
}

fn dispatch_now(call: &Call, body: Bytes, forced: Forced) -> Result<Option<Answer>, Unanswerable> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let share = call.shared.budget.share(body.len()).await;
        dispatch(call, 77, body, share, forced).await
    })
}

#[test]
fn walks_every_request_to_its_last_byte_in_every_version() {
    for (key, version) in served() {
        let body = request(key, version);
        let encoding =
            if key.request_header_version(version) >= 2 { Encoding::Flexible } else { Encoding::Plain };

        let rest = shape::check(&body, shapes::shape(key).unwrap(), version, encoding, 100);

        assert_eq!(rest, Ok([].as_slice()), "{key:?} {version}");
    }
}

#[test]
fn answers_every_request_in_every_version_with_what_a_client_can_decode() {
    for (key, version) in served() {
        let shared = shared();

        let answer = dispatch_now(&call(&shared, key, version), request(key, version), None);

        let frame = answer.unwrap_or_else(|error| panic!("{key:?} {version}: {error}")).unwrap().frame;
        assert_eq!(decode_response(key, version, frame), 0, "{key:?} {version}");
    }
}

#[test]
fn refuses_every_request_in_every_version_with_what_a_client_can_decode() {
    for (key, version) in served() {
        let shared = shared();
        let before = format!("{:?}", shared.lock());
        let forced = Some(ResponseError::CoordinatorNotAvailable);

        let answer = dispatch_now(&call(&shared, key, version), request(key, version), forced);

        let frame = answer.unwrap_or_else(|error| panic!("{key:?} {version}: {error}")).unwrap().frame;
        let code = ResponseError::CoordinatorNotAvailable.code().to_be_bytes();
        assert!(frame.windows(2).any(|window| window == code), "{key:?} {version} does not carry the error");
        assert_eq!(decode_response(key, version, frame), 0, "{key:?} {version}");
        assert_eq!(format!("{:?}", shared.lock()), before, "{key:?} {version} changed something");
    }
}

#[test]
fn refuses_every_request_that_is_cut_short_without_an_answer() {
    for (key, version) in served() {
        let shared = shared();
        let body = request(key, version);
        for length in 0..body.len() {
            let cut = body.slice(..length);

            let answer = dispatch_now(&call(&shared, key, version), cut, None);

            assert!(answer.is_err(), "{key:?} {version} cut to {length} of {} bytes", body.len());
        }
    }
}

#[test]
fn survives_every_single_byte_of_a_request_being_another() {
    for (key, version) in served() {
        let shared = shared();
        let body = request(key, version);
        for index in 0..body.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut changed = BytesMut::from(&body[..]);
                changed[index] = value;
                // A wait that the changed byte asks for must not hold the test up.
                let call = call(&shared, key, version);
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let share = call.shared.budget.share(1).await;
                    let answer = dispatch(&call, 77, changed.freeze(), share, None);
                    tokio::time::timeout(Duration::ZERO, answer).await.ok();
                });
            }
        }
    }
}

#[test]
fn takes_no_memory_for_elements_that_a_request_only_claims_to_have() {
    let shared = shared();
    let claims = [
        (ApiKey::Metadata, 1, vec![0x7f, 0xff, 0xff, 0xff]),
        (ApiKey::Metadata, 12, vec![0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0]),
        (ApiKey::DeleteGroups, 0, vec![0x7f, 0xff, 0xff, 0xff]),
    ];

    for (key, version, body) in claims {
        let answer = dispatch_now(&call(&shared, key, version), Bytes::from(body), None);

        assert!(matches!(answer, Err(Unanswerable::Unsound { .. })), "{key:?} {version}");
    }
}

#[test]
fn lists_every_api_that_it_serves_once() {
    let keys: std::collections::BTreeSet<i16> = SPOKEN.iter().map(|spoken| spoken.key as i16).collect();

    assert_eq!(keys.len(), SPOKEN.len());
}
