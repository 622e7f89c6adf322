//! What the answers say, where no client test sees it: errors by version, and answers that must not outgrow their request.

use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;

use super::*;
use crate::clock::Clock;
use crate::log::testing::BatchBuilder;
use crate::testing::call;
use crate::testing::shared;
use crate::topics::config::SETTINGS;

const ITEMS: TopicName = TopicName(StrBytes::from_static_str("items"));
const READERS: GroupId = GroupId(StrBytes::from_static_str("readers"));
const TRANSACTION: TransactionalId = TransactionalId(StrBytes::from_static_str("t"));

fn answer<A: Api>(shared: &Arc<Shared>, request: A, version: i16) -> A::Response {
    let call = call(shared, ApiKey::ApiVersions, version);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(request.handle(&call))
}

fn init(shared: &Arc<Shared>, producer: (i64, i16), version: i16) -> InitProducerIdResponse {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(TRANSACTION))
        .with_transaction_timeout_ms(60_000)
        .with_producer_id(ProducerId(producer.0))
        .with_producer_epoch(producer.1);
    answer(shared, request, version)
}

fn add_partitions(shared: &Arc<Shared>, producer: (i64, i16), partitions: &[i32], version: i16) -> Vec<i16> {
    let topic = add_partitions_to_txn_request::AddPartitionsToTxnTopic::default()
        .with_name(ITEMS)
        .with_partitions(partitions.to_vec());
    let request = AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(TRANSACTION)
        .with_v3_and_below_producer_id(ProducerId(producer.0))
        .with_v3_and_below_producer_epoch(producer.1)
        .with_v3_and_below_topics(vec![topic]);
    let response = answer(shared, request, version);
    let results =
        response.results_by_topic_v3_and_below.into_iter().flat_map(|topic| topic.results_by_partition);
    results.map(|result| result.partition_error_code).collect()
}

fn produce(
    shared: &Arc<Shared>,
    batch: &BatchBuilder,
    transactional_id: Option<TransactionalId>,
    acks: i16,
) -> i16 {
    let data = produce_request::PartitionProduceData::default().with_records(Some(batch.build()));
    let topic = produce_request::TopicProduceData::default().with_name(ITEMS).with_partition_data(vec![data]);
    let request = ProduceRequest::default()
        .with_transactional_id(transactional_id)
        .with_acks(acks)
        .with_topic_data(vec![topic]);
    answer(shared, request, 9).responses[0].partition_responses[0].error_code
}

fn batch() -> BatchBuilder {
    BatchBuilder::new().at(Clock::System.now().0).record("k", "v")
}

#[test]
fn calls_a_fenced_producer_what_its_client_understands() {
    let shared = shared();
    let first = init(&shared, (-1, -1), 4);
    let producer = (first.producer_id.0, first.producer_epoch);
    init(&shared, (-1, -1), 4);

    let (fenced, invalid) =
        (ResponseError::ProducerFenced.code(), ResponseError::InvalidProducerEpoch.code());
    assert_eq!(init(&shared, producer, 4).error_code, fenced);
    assert_eq!(init(&shared, producer, 3).error_code, invalid);
    assert_eq!(add_partitions(&shared, producer, &[0], 2), [fenced]);
    assert_eq!(add_partitions(&shared, producer, &[0], 1), [invalid]);
}

#[test]
fn adds_no_partition_to_a_transaction_when_one_is_unknown() {
    let shared = shared();
    let first = init(&shared, (-1, -1), 4);
    let producer = (first.producer_id.0, first.producer_epoch);

    let codes = add_partitions(&shared, producer, &[0, 7], 3);

    let expected = [ResponseError::OperationNotAttempted, ResponseError::UnknownTopicOrPartition];
    assert_eq!(codes, expected.map(|error| error.code()));
    assert!(shared.lock().transactions.expire(crate::clock::Millis(i64::MAX)).is_empty());
}

#[test]
fn takes_transactional_records_only_into_partitions_that_were_added() {
    let shared = shared();
    let first = init(&shared, (-1, -1), 4);
    let producer = (first.producer_id.0, first.producer_epoch);
    let batch = batch().transactional(producer.0, producer.1, 0);

    let before = produce(&shared, &batch, Some(TRANSACTION), -1);
    add_partitions(&shared, producer, &[0], 3);
    let anonymous = produce(&shared, &batch, None, -1);
    let after = produce(&shared, &batch, Some(TRANSACTION), -1);

    assert_eq!(before, ResponseError::InvalidTxnState.code());
    assert_eq!(anonymous, ResponseError::InvalidRequest.code());
    assert_eq!(after, 0);
}

#[test]
fn refuses_what_the_settings_forbid() {
    let shared = shared();
    let set = |name: &str, value: &str| {
        shared.lock().topics.get_mut("items").unwrap().config.set(name, value).unwrap();
    };

    assert_eq!(produce(&shared, &batch(), None, 7), ResponseError::InvalidRequiredAcks.code());
    set("min.insync.replicas", "2");
    assert_eq!(produce(&shared, &batch(), None, -1), ResponseError::NotEnoughReplicas.code());
    assert_eq!(produce(&shared, &batch(), None, 1), 0);
    set("message.timestamp.before.max.ms", "1000");
    let old = BatchBuilder::new().at(1).record("k", "v");
    assert_eq!(produce(&shared, &old, None, 1), ResponseError::InvalidTimestamp.code());
    set("message.timestamp.type", "LogAppendTime");
    assert_eq!(produce(&shared, &old, None, 1), 0);
    set("max.message.bytes", "10");
    assert_eq!(produce(&shared, &batch(), None, 1), ResponseError::MessageTooLarge.code());
}

#[test]
fn gives_the_last_stable_offset_as_the_end_to_committed_readers() {
    let shared = shared();
    let first = init(&shared, (-1, -1), 4);
    let producer = (first.producer_id.0, first.producer_epoch);
    add_partitions(&shared, producer, &[0], 3);
    produce(&shared, &batch().transactional(producer.0, producer.1, 0), Some(TRANSACTION), -1);
    let end = |isolation| {
        let partition = list_offsets_request::ListOffsetsPartition::default().with_timestamp(-1);
        let topic = list_offsets_request::ListOffsetsTopic::default()
            .with_name(ITEMS)
            .with_partitions(vec![partition]);
        let request = ListOffsetsRequest::default().with_isolation_level(isolation).with_topics(vec![topic]);
        answer(&shared, request, 7).topics[0].partitions[0].offset
    };

    assert_eq!((end(1), end(0)), (3, 4));
}

fn fetch_offsets(shared: &Arc<Shared>, partitions: &[i32], require_stable: bool) -> Vec<(i64, i16)> {
    let topic = offset_fetch_request::OffsetFetchRequestTopic::default()
        .with_name(ITEMS)
        .with_partition_indexes(partitions.to_vec());
    let request = OffsetFetchRequest::default()
        .with_group_id(READERS)
        .with_topics(Some(vec![topic]))
        .with_require_stable(require_stable);
    let partitions = answer(shared, request, 7).topics.into_iter().flat_map(|topic| topic.partitions);
    partitions.map(|partition| (partition.committed_offset, partition.error_code)).collect()
}

#[test]
fn withholds_an_offset_that_an_open_transaction_may_change_when_asked_to() {
    let shared = shared();
    let staged = crate::groups::offsets::Committed { offset: 9, leader_epoch: 0, metadata: None };
    shared.lock().groups.get_mut("readers").unwrap().offsets.stage(1, ("items".into(), 0), staged);

    assert_eq!(fetch_offsets(&shared, &[0], true), [(-1, ResponseError::UnstableOffsetCommit.code())]);
    assert_eq!(fetch_offsets(&shared, &[0], false), [(1, 0)]);
}

#[test]
fn answers_once_for_what_is_asked_many_times() {
    let shared = shared();

    let offsets = fetch_offsets(&shared, &[0; 1_000], false);
    let topic = metadata_request::MetadataRequestTopic::default().with_name(Some(ITEMS));
    let metadata = answer(&shared, MetadataRequest::default().with_topics(Some(vec![topic; 1_000])), 9);
    let groups = answer(&shared, DescribeGroupsRequest::default().with_groups(vec![READERS; 1_000]), 5);
    let resource = describe_configs_request::DescribeConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(ITEMS.0)
        .with_configuration_keys(None);
    let request = DescribeConfigsRequest::default().with_resources(vec![resource; 1_000]);
    let configs = answer(&shared, request, 4);

    assert_eq!((offsets.len(), metadata.topics.len(), groups.groups.len()), (1, 1, 1));
    assert_eq!((configs.results.len(), configs.results[0].configs.len()), (1, SETTINGS.len()));
}

#[test]
fn changes_settings_one_by_one_and_all_or_none() {
    let shared = shared();
    let alter = |changes: &[(&'static str, i8, &'static str)]| {
        let change = |(name, operation, value): &(&'static str, i8, &'static str)| {
            incremental_alter_configs_request::AlterableConfig::default()
                .with_name(StrBytes::from_static_str(name))
                .with_config_operation(*operation)
                .with_value(Some(StrBytes::from_static_str(value)))
        };
        let resource = incremental_alter_configs_request::AlterConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(ITEMS.0)
            .with_configs(changes.iter().map(change).collect());
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        answer(&shared, request, 1).responses[0].error_code
    };
    let policies = || {
        let cluster = shared.lock();
        let config = &cluster.topics.get("items").unwrap().config;
        (config.compacts(), config.deletes())
    };

    assert_eq!(alter(&[("cleanup.policy", 2, "compact")]), 0);
    assert_eq!(policies(), (true, true));
    assert_eq!(alter(&[("cleanup.policy", 3, "delete")]), 0);
    assert_eq!(policies(), (true, false));
    let half_wrong = alter(&[("cleanup.policy", 0, "delete"), ("retention.ms", 0, "soon")]);
    assert_eq!(half_wrong, ResponseError::InvalidConfig.code());
    assert_eq!(policies(), (true, false));
    assert_eq!(alter(&[("cleanup.policy", 1, "")]), 0);
    assert_eq!(policies(), (false, true));
}

#[test]
fn keeps_records_of_a_topic_that_is_only_compacted() {
    let shared = shared();
    shared.lock().topics.get_mut("items").unwrap().config.set("cleanup.policy", "compact").unwrap();
    let partition = delete_records_request::DeleteRecordsPartition::default().with_offset(-1);
    let topic = delete_records_request::DeleteRecordsTopic::default()
        .with_name(ITEMS)
        .with_partitions(vec![partition]);

    let response = answer(&shared, DeleteRecordsRequest::default().with_topics(vec![topic]), 2);

    assert_eq!(response.topics[0].partitions[0].error_code, ResponseError::PolicyViolation.code());
    assert_eq!(shared.lock().topics.partition("items", 0).unwrap().start(), 0);
}

#[test]
fn refuses_offsets_of_unknown_partitions_long_notes_and_beyond_its_memory() {
    let mut shared = shared();
    Arc::get_mut(&mut shared).unwrap().limits.offset_bytes = 5_000;
    let commit = |partition, note: usize| {
        let partition = offset_commit_request::OffsetCommitRequestPartition::default()
            .with_partition_index(partition)
            .with_committed_metadata(Some(StrBytes::from_string("x".repeat(note))));
        let topic = offset_commit_request::OffsetCommitRequestTopic::default()
            .with_name(ITEMS)
            .with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(READERS)
            .with_generation_id_or_member_epoch(-1)
            .with_topics(vec![topic]);
        answer(&shared, request, 7).topics[0].partitions[0].error_code
    };

    assert_eq!(commit(7, 0), ResponseError::UnknownTopicOrPartition.code());
    assert_eq!(commit(0, 4_097), ResponseError::OffsetMetadataTooLarge.code());
    assert_eq!(commit(0, 4_000), 0);
    assert_eq!(commit(1, 4_000), ResponseError::PolicyViolation.code());
}

#[test]
fn forgets_offsets_with_their_topic() {
    let shared = shared();

    answer(&shared, DeleteTopicsRequest::default().with_topic_names(vec![ITEMS]), 5);

    assert_eq!(fetch_offsets(&shared, &[0], false), [(-1, 0)]);
}

#[test]
fn takes_ids_and_names_of_bounded_length_only() {
    let shared = shared();
    let long = StrBytes::from_string("x".repeat(2_000));
    let join = JoinGroupRequest::default()
        .with_group_id(GroupId(long.clone()))
        .with_session_timeout_ms(1_000)
        .with_protocol_type(StrBytes::from_static_str("consumer"));
    let init = InitProducerIdRequest::default()
        .with_transactional_id(Some(TransactionalId(long)))
        .with_transaction_timeout_ms(1_000);

    assert_eq!(answer(&shared, join, 5).error_code, ResponseError::InvalidGroupId.code());
    assert_eq!(answer(&shared, init, 4).error_code, ResponseError::InvalidRequest.code());
}

#[test]
fn refuses_sessions_that_are_none_or_never_end() {
    let shared = shared();
    for session in [0, -1, i32::MAX] {
        let join = JoinGroupRequest::default().with_group_id(READERS).with_session_timeout_ms(session);

        let code = answer(&shared, join, 5).error_code;

        assert_eq!(code, ResponseError::InvalidSessionTimeout.code(), "{session}");
    }
}
