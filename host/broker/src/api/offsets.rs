//! OffsetCommit, OffsetFetch and OffsetDelete.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::OffsetCommitRequest;
use kafka_protocol::messages::OffsetCommitResponse;
use kafka_protocol::messages::OffsetDeleteRequest;
use kafka_protocol::messages::OffsetDeleteResponse;
use kafka_protocol::messages::OffsetFetchRequest;
use kafka_protocol::messages::OffsetFetchResponse;
use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestPartition;
use kafka_protocol::messages::offset_commit_response::OffsetCommitResponsePartition;
use kafka_protocol::messages::offset_commit_response::OffsetCommitResponseTopic;
use kafka_protocol::messages::offset_delete_response::OffsetDeleteResponsePartition;
use kafka_protocol::messages::offset_delete_response::OffsetDeleteResponseTopic;
use kafka_protocol::messages::offset_fetch_response::OffsetFetchResponseGroup;
use kafka_protocol::messages::offset_fetch_response::OffsetFetchResponsePartition;
use kafka_protocol::messages::offset_fetch_response::OffsetFetchResponsePartitions;
use kafka_protocol::messages::offset_fetch_response::OffsetFetchResponseTopic;
use kafka_protocol::messages::offset_fetch_response::OffsetFetchResponseTopics;
use kafka_protocol::protocol::StrBytes;

use super::Api;
use super::Call;
use super::code;
use crate::cluster::Cluster;
use crate::groups::Caller;
use crate::groups::CommitPath;
use crate::groups::Group;
use crate::groups::Phase;
use crate::groups::offsets::Committed;
use crate::groups::offsets::MAX_METADATA;
use crate::limits::Limits;
use crate::wire::text;
use crate::wire::topic_name;

/// Roughly what an offset takes beside its names, for the check of the limit.
const OFFSET_SIZE: usize = 128;

impl Api for OffsetCommitRequest {
    type Response = OffsetCommitResponse;

    async fn handle(self, call: &Call) -> OffsetCommitResponse {
        let mut cluster = call.shared.lock();
        let group_id = self.group_id.to_string();
        let may_commit = check_commit(&mut cluster, &self, call);
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
            group.offsets.commit((topic.to_owned(), partition.partition_index), committed);
            Ok(())
        })
    }

    fn refuse(self, error: ResponseError, _: i16) -> OffsetCommitResponse {
        commit(self, |_, _| Err(error))
    }
}

fn check_commit(
    cluster: &mut Cluster,
    request: &OffsetCommitRequest,
    call: &Call,
) -> Result<(), ResponseError> {
    let caller = Caller {
        member_id: &request.member_id,
        instance: request.group_instance_id.as_deref(),
        generation: request.generation_id_or_member_epoch,
    };
    let sizes = request.topics.iter().flat_map(|topic| {
        let size = |partition: &OffsetCommitRequestPartition| {
            offset_size(&topic.name, &partition.committed_metadata)
        };
        topic.partitions.iter().map(size)
    });
    cluster.groups.check_offset_room(sizes.sum(), &call.shared.limits)?;
    let group = group_for_commit(cluster, &request.group_id, caller, &call.shared.limits)?;
    group.check_commit(caller, CommitPath::Plain, call.shared.clock.now())
}

/// Roughly the memory that an offset takes.
pub(super) fn offset_size(topic: &str, metadata: &Option<StrBytes>) -> usize {
    OFFSET_SIZE + topic.len() + metadata.as_ref().map_or(0, |metadata| metadata.len())
}

/// A consumer without a group protocol makes its group by committing; a member's group must be there.
pub(super) fn group_for_commit<'a>(
    cluster: &'a mut Cluster,
    name: &str,
    caller: Caller<'_>,
    limits: &Limits,
) -> Result<&'a mut Group, ResponseError> {
    if caller.generation >= 0 && cluster.groups.get(name).is_none() {
        return Err(ResponseError::IllegalGeneration);
    }
    cluster.groups.get_or_create(name, limits)
}

/// Whether an offset may be kept: its partition exists and its note is short.
pub(super) fn check_offset(
    cluster: &Cluster,
    topic: &str,
    partition: i32,
    metadata: Option<&str>,
) -> Result<(), ResponseError> {
    if cluster.topics.partition(topic, partition).is_none() {
        return Err(ResponseError::UnknownTopicOrPartition);
    }
    match metadata.map_or(0, str::len) > MAX_METADATA {
        true => Err(ResponseError::OffsetMetadataTooLarge),
        false => Ok(()),
    }
}

fn commit(
    request: OffsetCommitRequest,
    mut commit_one: impl FnMut(&str, &OffsetCommitRequestPartition) -> Result<(), ResponseError>,
) -> OffsetCommitResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let outcome = commit_one(&topic.name, partition);
            OffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code(&outcome))
        });
        OffsetCommitResponseTopic::default()
            .with_partitions(partitions.collect())
            .with_name(topic.name.clone())
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}

/// Topics and partitions that are asked for; `None` asks for all that have an offset.
type Asked = Option<Vec<(String, Vec<i32>)>>;
/// What is found, in the same form.
type Found = Vec<(String, Vec<(i32, Result<Option<Committed>, ResponseError>)>)>;

impl Api for OffsetFetchRequest {
    type Response = OffsetFetchResponse;

    async fn handle(self, call: &Call) -> OffsetFetchResponse {
        let cluster = call.shared.lock();
        let require_stable = self.require_stable;
        fetch(self, call.version, |group, asked| look_up(cluster.groups.get(group), asked, require_stable))
    }

    fn refuse(self, error: ResponseError, version: i16) -> OffsetFetchResponse {
        let failed = |_: &str, asked: Asked| {
            let topics = asked.unwrap_or_default().into_iter();
            topics
                .map(|(topic, partitions)| (topic, partitions.into_iter().map(|p| (p, Err(error))).collect()))
                .collect()
        };
        let mut response = fetch(self, version, failed);
        response.groups.iter_mut().for_each(|group| group.error_code = error.code());
        // Version 1 has errors for partitions only, from version 8 on groups have them.
        if (2..8).contains(&version) { response.with_error_code(error.code()) } else { response }
    }
}

fn look_up(group: Option<&Group>, asked: Asked, require_stable: bool) -> Found {
    let asked = asked.unwrap_or_else(|| all_offsets(group));
    // Once each: notes make a short request into a long answer.
    let mut seen = BTreeSet::new();
    let find = |topic: &str, partition: i32| {
        let Some(group) = group else { return Ok(None) };
        let key = (topic.to_owned(), partition);
        if require_stable && group.offsets.is_unstable(&key) {
            return Err(ResponseError::UnstableOffsetCommit);
        }
        Ok(group.offsets.get(&key).cloned())
    };
    let topics = asked.into_iter().map(|(topic, partitions)| {
        let partitions = partitions.into_iter().filter(|partition| seen.insert((topic.clone(), *partition)));
        let found = partitions.map(|partition| (partition, find(&topic, partition))).collect();
        (topic, found)
    });
    topics.collect()
}

fn all_offsets(group: Option<&Group>) -> Vec<(String, Vec<i32>)> {
    let mut topics: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for ((topic, partition), _) in group.into_iter().flat_map(|group| group.offsets.iter()) {
        topics.entry(topic.clone()).or_default().push(*partition);
    }
    topics.into_iter().collect()
}

/// Up to version 7 one group is asked for, from version 8 on several; each is answered once.
fn fetch(
    request: OffsetFetchRequest,
    version: i16,
    look_up: impl Fn(&str, Asked) -> Found,
) -> OffsetFetchResponse {
    if version < 8 {
        let asked = request.topics.map(|topics| {
            topics.into_iter().map(|topic| (topic.name.to_string(), topic.partition_indexes)).collect()
        });
        let topics = look_up(&request.group_id, asked).into_iter().map(|(topic, partitions)| {
            OffsetFetchResponseTopic::default()
                .with_name(topic_name(&topic))
                .with_partitions(partitions.into_iter().map(|found| old_partition(found, version)).collect())
        });
        return OffsetFetchResponse::default().with_topics(topics.collect());
    }
    let mut seen = BTreeSet::new();
    let groups = request.groups.into_iter().filter(|group| seen.insert(group.group_id.to_string()));
    let groups = groups.map(|group| {
        let asked = group.topics.map(|topics| {
            topics.into_iter().map(|topic| (topic.name.to_string(), topic.partition_indexes)).collect()
        });
        let topics = look_up(&group.group_id, asked).into_iter().map(|(topic, partitions)| {
            OffsetFetchResponseTopics::default()
                .with_name(topic_name(&topic))
                .with_partitions(partitions.into_iter().map(new_partition).collect())
        });
        OffsetFetchResponseGroup::default().with_topics(topics.collect()).with_group_id(group.group_id)
    });
    OffsetFetchResponse::default().with_groups(groups.collect())
}

fn old_partition(
    (partition, found): (i32, Result<Option<Committed>, ResponseError>),
    version: i16,
) -> OffsetFetchResponsePartition {
    let error_code = code(&found);
    let committed = found.ok().flatten().unwrap_or_else(nothing);
    OffsetFetchResponsePartition::default()
        .with_partition_index(partition)
        .with_committed_offset(committed.offset)
        .with_committed_leader_epoch(if version >= 5 { committed.leader_epoch } else { -1 })
        .with_metadata(Some(note(&committed)))
        .with_error_code(error_code)
}

fn new_partition(
    (partition, found): (i32, Result<Option<Committed>, ResponseError>),
) -> OffsetFetchResponsePartitions {
    let error_code = code(&found);
    let committed = found.ok().flatten().unwrap_or_else(nothing);
    OffsetFetchResponsePartitions::default()
        .with_partition_index(partition)
        .with_committed_offset(committed.offset)
        .with_committed_leader_epoch(committed.leader_epoch)
        .with_metadata(Some(note(&committed)))
        .with_error_code(error_code)
}

/// How the wire says that nothing was committed.
fn nothing() -> Committed {
    Committed { offset: -1, leader_epoch: -1, metadata: None }
}

fn note(committed: &Committed) -> StrBytes {
    committed.metadata.as_deref().map(text).unwrap_or_default()
}

impl Api for OffsetDeleteRequest {
    type Response = OffsetDeleteResponse;

    async fn handle(self, call: &Call) -> OffsetDeleteResponse {
        let mut cluster = call.shared.lock();
        let name = self.group_id.to_string();
        // Which topics a member reads is its own business here, so a group with members keeps all its offsets.
        let may_delete = match cluster.groups.get(&name).map(Group::phase) {
            None => return self.refuse(ResponseError::GroupIdNotFound, call.version),
            Some(Phase::Empty) => Ok(()),
            Some(_) => Err(ResponseError::GroupSubscribedToTopic),
        };
        delete(self, |topic, partition| {
            may_delete?;
            let group = cluster.groups.get_mut(&name).ok_or(ResponseError::GroupIdNotFound)?;
            match group.offsets.delete(&(topic.to_owned(), partition)) {
                true => Ok(()),
                false => Err(ResponseError::UnknownTopicOrPartition),
            }
        })
    }

    fn refuse(self, error: ResponseError, _: i16) -> OffsetDeleteResponse {
        OffsetDeleteResponse::default().with_error_code(error.code())
    }
}

fn delete(
    request: OffsetDeleteRequest,
    mut delete_one: impl FnMut(&str, i32) -> Result<(), ResponseError>,
) -> OffsetDeleteResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let outcome = delete_one(&topic.name, asked.partition_index);
            OffsetDeleteResponsePartition::default()
                .with_partition_index(asked.partition_index)
                .with_error_code(code(&outcome))
        });
        OffsetDeleteResponseTopic::default()
            .with_partitions(partitions.collect())
            .with_name(topic.name.clone())
    });
    OffsetDeleteResponse::default().with_topics(topics.collect())
}
