//! InitProducerId, AddPartitionsToTxn, AddOffsetsToTxn, TxnOffsetCommit and EndTxn.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::AddOffsetsToTxnRequest;
use kafka_protocol::messages::AddOffsetsToTxnResponse;
use kafka_protocol::messages::AddPartitionsToTxnRequest;
use kafka_protocol::messages::AddPartitionsToTxnResponse;
use kafka_protocol::messages::EndTxnRequest;
use kafka_protocol::messages::EndTxnResponse;
use kafka_protocol::messages::InitProducerIdRequest;
use kafka_protocol::messages::InitProducerIdResponse;
use kafka_protocol::messages::ProducerId;
use kafka_protocol::messages::TxnOffsetCommitRequest;
use kafka_protocol::messages::TxnOffsetCommitResponse;
use kafka_protocol::messages::add_partitions_to_txn_response::AddPartitionsToTxnPartitionResult;
use kafka_protocol::messages::add_partitions_to_txn_response::AddPartitionsToTxnTopicResult;
use kafka_protocol::messages::txn_offset_commit_request::TxnOffsetCommitRequestPartition;
use kafka_protocol::messages::txn_offset_commit_response::TxnOffsetCommitResponsePartition;
use kafka_protocol::messages::txn_offset_commit_response::TxnOffsetCommitResponseTopic;

use super::Api;
use super::Call;
use super::code;
use super::offsets::check_offset;
use super::offsets::group_for_commit;
use super::offsets::offset_size;
use crate::cluster::Cluster;
use crate::groups::Caller;
use crate::groups::CommitPath;
use crate::groups::offsets::Committed;
use crate::log::batch::Outcome;
use crate::transactions::Producer;
use crate::wire::duration;

/// Transactional ids are kept for ever, and groups as long as a transaction: their length is bounded.
const MAX_ID: usize = 1_000;

impl Api for InitProducerIdRequest {
    type Response = InitProducerIdResponse;

    async fn handle(self, call: &Call) -> InitProducerIdResponse {
        let outcome = init(&self, call);
        if self.transactional_id.is_some() {
            call.shared.announce_change();
        }
        match outcome {
            Ok(producer) => InitProducerIdResponse::default()
                .with_producer_id(ProducerId(producer.id))
                .with_producer_epoch(producer.epoch),
            Err(error) => self.refuse(for_older_clients(error, call.version >= 4), call.version),
        }
    }

    fn refuse(self, error: ResponseError, _: i16) -> InitProducerIdResponse {
        InitProducerIdResponse::default()
            .with_error_code(error.code())
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1)
    }
}

fn init(request: &InitProducerIdRequest, call: &Call) -> Result<Producer, ResponseError> {
    let expected = (request.producer_id.0 >= 0)
        .then_some(Producer { id: request.producer_id.0, epoch: request.producer_epoch });
    let mut cluster = call.shared.lock();
    let Some(id) = request.transactional_id.as_ref().map(|id| id.as_str()) else {
        // Without a transactional id there is nobody to fence: a new id is as good as a raised epoch.
        return Ok(cluster.transactions.fresh_producer());
    };
    if id.is_empty() || id.len() > MAX_ID {
        return Err(ResponseError::InvalidRequest);
    }
    let timeout = duration(request.transaction_timeout_ms);
    let (producer, ended) = cluster.transactions.init(id, timeout, expected, &call.shared.limits)?;
    if let Some(ended) = ended {
        cluster.settle(&ended, call.shared.clock.now());
    }
    Ok(producer)
}

/// Clients of older versions know a fenced producer only as one with an invalid epoch.
fn for_older_clients(error: ResponseError, knows_fenced: bool) -> ResponseError {
    match error {
        ResponseError::ProducerFenced if !knows_fenced => ResponseError::InvalidProducerEpoch,
        error => error,
    }
}

impl Api for AddPartitionsToTxnRequest {
    type Response = AddPartitionsToTxnResponse;

    async fn handle(self, call: &Call) -> AddPartitionsToTxnResponse {
        let mut cluster = call.shared.lock();
        let wanted: Vec<(String, i32)> = self
            .v3_and_below_topics
            .iter()
            .flat_map(|topic| topic.partitions.iter().map(|partition| (topic.name.to_string(), *partition)))
            .collect();
        let is_known = |topic: &str, partition: i32| cluster.topics.partition(topic, partition).is_some();
        if wanted.iter().all(|(topic, partition)| is_known(topic, *partition)) {
            let producer =
                Producer { id: self.v3_and_below_producer_id.0, epoch: self.v3_and_below_producer_epoch };
            let id = self.v3_and_below_transactional_id.as_str();
            let (now, limits) = (call.shared.clock.now(), &call.shared.limits);
            let added = cluster.transactions.add_partitions(id, producer, wanted, now, limits);
            let added = added.map_err(|error| for_older_clients(error, call.version >= 2));
            return add(self, |_, _| added);
        }
        // One unknown partition, and none is added.
        add(self, |topic, partition| match is_known(topic, partition) {
            true => Err(ResponseError::OperationNotAttempted),
            false => Err(ResponseError::UnknownTopicOrPartition),
        })
    }

    fn refuse(self, error: ResponseError, _: i16) -> AddPartitionsToTxnResponse {
        add(self, |_, _| Err(error))
    }
}

fn add(
    request: AddPartitionsToTxnRequest,
    outcome: impl Fn(&str, i32) -> Result<(), ResponseError>,
) -> AddPartitionsToTxnResponse {
    let topics = request.v3_and_below_topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*partition)
                .with_partition_error_code(code(&outcome(&topic.name, *partition)))
        });
        AddPartitionsToTxnTopicResult::default()
            .with_results_by_partition(partitions.collect())
            .with_name(topic.name.clone())
    });
    AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(topics.collect())
}

impl Api for AddOffsetsToTxnRequest {
    type Response = AddOffsetsToTxnResponse;

    async fn handle(self, call: &Call) -> AddOffsetsToTxnResponse {
        let producer = Producer { id: self.producer_id.0, epoch: self.producer_epoch };
        let (now, limits) = (call.shared.clock.now(), &call.shared.limits);
        let mut cluster = call.shared.lock();
        let is_illegal = self.group_id.is_empty() || self.group_id.len() > MAX_ID;
        let added = match is_illegal {
            true => Err(ResponseError::InvalidGroupId),
            false => {
                cluster.transactions.add_group(&self.transactional_id, producer, &self.group_id, now, limits)
            }
        };
        let added = added.map_err(|error| for_older_clients(error, call.version >= 2));
        AddOffsetsToTxnResponse::default().with_error_code(code(&added))
    }

    fn refuse(self, error: ResponseError, _: i16) -> AddOffsetsToTxnResponse {
        AddOffsetsToTxnResponse::default().with_error_code(error.code())
    }
}

impl Api for TxnOffsetCommitRequest {
    type Response = TxnOffsetCommitResponse;

    async fn handle(self, call: &Call) -> TxnOffsetCommitResponse {
        let mut cluster = call.shared.lock();
        let may_commit = check_commit(&mut cluster, &self, call);
        let group_id = self.group_id.to_string();
        let producer_id = self.producer_id.0;
        commit(self, |topic, partition| {
            may_commit?;
            let metadata = partition.committed_metadata.as_deref();
            check_offset(&cluster, topic, partition.partition_index, metadata)?;
            let group = cluster.groups.get_mut(&group_id).ok_or(ResponseError::UnknownMemberId)?;
            let committed = Committed {
                offset: partition.committed_offset,
                leader_epoch: partition.committed_leader_epoch,
                metadata: metadata.map(str::to_owned),
            };
            group.offsets.stage(producer_id, (topic.to_owned(), partition.partition_index), committed);
            Ok(())
        })
    }

    fn refuse(self, error: ResponseError, _: i16) -> TxnOffsetCommitResponse {
        commit(self, |_, _| Err(error))
    }
}

/// Both the producer and the group member must be current: a zombie of an older generation is refused.
fn check_commit(
    cluster: &mut Cluster,
    request: &TxnOffsetCommitRequest,
    call: &Call,
) -> Result<(), ResponseError> {
    let producer = Producer { id: request.producer_id.0, epoch: request.producer_epoch };
    // The offsets are a write to a log in Kafka, and a log answers a fenced producer like this.
    let checked = cluster
        .transactions
        .check(&request.transactional_id, producer)
        .map_err(|error| for_older_clients(error, false))?;
    if !checked.has_group(&request.group_id) {
        return Err(ResponseError::InvalidTxnState);
    }
    let caller = Caller {
        member_id: &request.member_id,
        instance: request.group_instance_id.as_deref(),
        generation: request.generation_id,
    };
    let sizes = request.topics.iter().flat_map(|topic| {
        let size = |partition: &TxnOffsetCommitRequestPartition| {
            offset_size(&topic.name, &partition.committed_metadata)
        };
        topic.partitions.iter().map(size)
    });
    cluster.groups.check_offset_room(sizes.sum(), &call.shared.limits)?;
    let group = group_for_commit(cluster, &request.group_id, caller, &call.shared.limits)?;
    group.check_commit(caller, CommitPath::Transactional, call.shared.clock.now())
}

fn commit(
    request: TxnOffsetCommitRequest,
    mut commit_one: impl FnMut(&str, &TxnOffsetCommitRequestPartition) -> Result<(), ResponseError>,
) -> TxnOffsetCommitResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let outcome = commit_one(&topic.name, partition);
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code(&outcome))
        });
        TxnOffsetCommitResponseTopic::default()
            .with_partitions(partitions.collect())
            .with_name(topic.name.clone())
    });
    TxnOffsetCommitResponse::default().with_topics(topics.collect())
}

impl Api for EndTxnRequest {
    type Response = EndTxnResponse;

    async fn handle(self, call: &Call) -> EndTxnResponse {
        let producer = Producer { id: self.producer_id.0, epoch: self.producer_epoch };
        let outcome = if self.committed { Outcome::Commit } else { Outcome::Abort };
        let mut cluster = call.shared.lock();
        let ended = cluster.transactions.end(&self.transactional_id, producer, outcome);
        if let Ok(Some(ended)) = &ended {
            cluster.settle(ended, call.shared.clock.now());
        }
        drop(cluster);
        call.shared.announce_change();
        let ended = ended.map_err(|error| for_older_clients(error, call.version >= 2));
        EndTxnResponse::default().with_error_code(code(&ended))
    }

    fn refuse(self, error: ResponseError, _: i16) -> EndTxnResponse {
        EndTxnResponse::default().with_error_code(error.code())
    }
}
