//! CreateTopics and DeleteTopics.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::CreateTopicsRequest;
use kafka_protocol::messages::CreateTopicsResponse;
use kafka_protocol::messages::DeleteTopicsRequest;
use kafka_protocol::messages::DeleteTopicsResponse;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::CreatableTopicConfigs;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use uuid::Uuid;

use super::Api;
use super::Call;
use crate::cluster::Cluster;
use crate::cluster::Shared;
use crate::error::Refusal;
use crate::topics::Intent;
use crate::topics::config::SETTINGS;
use crate::topics::config::TopicConfig;
use crate::wire::count;
use crate::wire::text;
use crate::wire::topic_name;

/// DescribeConfigs' and CreateTopics' number for a value that the topic itself has.
const FROM_TOPIC: i8 = 1;
/// The same for a default.
const FROM_DEFAULT: i8 = 5;

impl Api for CreateTopicsRequest {
    type Response = CreateTopicsResponse;

    async fn handle(self, call: &Call) -> CreateTopicsResponse {
        let intent = Intent::from_wire(self.validate_only);
        let mut cluster = call.shared.lock();
        let results =
            self.topics.into_iter().map(|topic| match create(&mut cluster, &call.shared, &topic, intent) {
                Ok(created) => created.with_name(topic.name),
                Err(refusal) => refused(topic, &refusal),
            });
        CreateTopicsResponse::default().with_topics(results.collect())
    }

    fn refuse(self, error: ResponseError, _: i16) -> CreateTopicsResponse {
        let refusal = Refusal::from(error);
        let results = self.topics.into_iter().map(|topic| refused(topic, &refusal));
        CreateTopicsResponse::default().with_topics(results.collect())
    }
}

fn refused(topic: CreatableTopic, refusal: &Refusal) -> CreatableTopicResult {
    CreatableTopicResult::default()
        .with_name(topic.name)
        .with_error_code(refusal.error.code())
        .with_error_message(Some(text(&refusal.message)))
}

fn create(
    cluster: &mut Cluster,
    shared: &Shared,
    topic: &CreatableTopic,
    intent: Intent,
) -> Result<CreatableTopicResult, Refusal> {
    let mut config = TopicConfig::default();
    for setting in &topic.configs {
        match &setting.value {
            Some(value) => config.set(&setting.name, value)?,
            None => config.reset(&setting.name)?,
        }
    }
    let partitions = partition_count(topic, shared.settings.default_partitions)?;
    cluster.topics.check_new(&topic.name, partitions, &shared.limits)?;
    let result = CreatableTopicResult::default()
        .with_num_partitions(partitions)
        .with_replication_factor(1)
        .with_error_message(None)
        .with_configs(Some(describe(&config)));
    match intent {
        Intent::ValidateOnly => Ok(result),
        Intent::Apply => {
            let created = cluster.topics.create(&topic.name, partitions, config, &shared.limits)?;
            Ok(result.with_topic_id(created.id))
        }
    }
}

/// The count that was asked for, by number or by naming replicas for each partition; -1 is the default.
fn partition_count(topic: &CreatableTopic, default: i32) -> Result<i32, Refusal> {
    if topic.assignments.is_empty() {
        if ![1, -1].contains(&topic.replication_factor) {
            let message =
                format!("replication factor {} is larger than the one broker", topic.replication_factor);
            return Err(Refusal::new(ResponseError::InvalidReplicationFactor, message));
        }
        return Ok(if topic.num_partitions == -1 { default } else { topic.num_partitions });
    }
    let is_here =
        |assignment: &kafka_protocol::messages::create_topics_request::CreatableReplicaAssignment| {
            assignment.broker_ids == [kafka_protocol::messages::BrokerId(crate::cluster::NODE_ID)]
        };
    match topic.assignments.iter().all(is_here) {
        true => Ok(count(topic.assignments.len())),
        false => Err(ResponseError::InvalidReplicaAssignment.into()),
    }
}

fn describe(config: &TopicConfig) -> Vec<CreatableTopicConfigs> {
    let entry = |setting: &crate::topics::config::Setting| {
        CreatableTopicConfigs::default()
            .with_name(text(setting.name))
            .with_value(Some(text(config.value(setting))))
            .with_config_source(if config.is_overridden(setting) { FROM_TOPIC } else { FROM_DEFAULT })
    };
    SETTINGS.iter().map(entry).collect()
}

impl Api for DeleteTopicsRequest {
    type Response = DeleteTopicsResponse;

    async fn handle(self, call: &Call) -> DeleteTopicsResponse {
        let mut cluster = call.shared.lock();
        let response = delete(self, |topic| {
            let name = match &topic.name {
                Some(name) => name.to_string(),
                None => {
                    cluster.topics.name_of(topic.topic_id).cloned().ok_or(ResponseError::UnknownTopicId)?
                }
            };
            let id = cluster.topics.get(&name).map(|topic| topic.id);
            let id = id.ok_or(ResponseError::UnknownTopicOrPartition)?;
            cluster.delete_topic(&name);
            Ok((name, id))
        });
        drop(cluster);
        call.shared.announce_change();
        response
    }

    fn refuse(self, error: ResponseError, _: i16) -> DeleteTopicsResponse {
        delete(self, |_| Err(error))
    }
}

/// Up to version 5 topics are named in a list of their own.
fn delete(
    request: DeleteTopicsRequest,
    mut delete_one: impl FnMut(&DeleteTopicState) -> Result<(String, Uuid), ResponseError>,
) -> DeleteTopicsResponse {
    let named = request.topic_names.into_iter().map(|name| DeleteTopicState::default().with_name(Some(name)));
    let results = request.topics.into_iter().chain(named).map(|topic| match delete_one(&topic) {
        Ok((name, id)) => {
            DeletableTopicResult::default().with_name(Some(topic_name(&name))).with_topic_id(id)
        }
        Err(error) => DeletableTopicResult::default()
            .with_name(topic.name)
            .with_topic_id(topic.topic_id)
            .with_error_code(error.code()),
    });
    DeleteTopicsResponse::default().with_responses(results.collect())
}
