//! ApiVersions, Metadata, DescribeCluster, FindCoordinator: what there is and where; here, always this one node.

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ApiVersionsRequest;
use kafka_protocol::messages::ApiVersionsResponse;
use kafka_protocol::messages::BrokerId;
use kafka_protocol::messages::DescribeClusterRequest;
use kafka_protocol::messages::DescribeClusterResponse;
use kafka_protocol::messages::FindCoordinatorRequest;
use kafka_protocol::messages::FindCoordinatorResponse;
use kafka_protocol::messages::MetadataRequest;
use kafka_protocol::messages::MetadataResponse;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseBroker;
use kafka_protocol::messages::metadata_response::MetadataResponsePartition;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;

use super::Api;
use super::Call;
use crate::cluster::Cluster;
use crate::cluster::NODE_ID;
use crate::cluster::Shared;
use crate::topics::Topic;
use crate::topics::config::TopicConfig;
use crate::topics::is_legal_name;
use crate::wire::count;
use crate::wire::text;
use crate::wire::topic_name;
use crate::wire::versions::SPOKEN;

impl Api for ApiVersionsRequest {
    type Response = ApiVersionsResponse;

    async fn handle(self, _: &Call) -> ApiVersionsResponse {
        spoken()
    }

    fn refuse(self, error: ResponseError, _: i16) -> ApiVersionsResponse {
        spoken().with_error_code(error.code())
    }
}

fn spoken() -> ApiVersionsResponse {
    let entry = |spoken: &crate::wire::versions::Spoken| {
        ApiVersion::default()
            .with_api_key(spoken.key as i16)
            .with_min_version(spoken.advertised_from)
            .with_max_version(spoken.to)
    };
    ApiVersionsResponse::default().with_api_keys(SPOKEN.iter().map(entry).collect())
}

impl Api for MetadataRequest {
    type Response = MetadataResponse;

    async fn handle(self, call: &Call) -> MetadataResponse {
        let shared = &call.shared;
        let mut cluster = shared.lock();
        // Version 0 says "all" with an empty list.
        let is_all = self.topics.as_ref().is_none_or(|topics| topics.is_empty() && call.version == 0);
        let topics = if is_all {
            cluster.topics.iter().map(|(name, topic)| describe(name, topic)).collect()
        } else {
            let may_create = self.allow_auto_topic_creation && shared.settings.auto_create_topics;
            let asked = self.topics.unwrap_or_default();
            look_up(&mut cluster, shared, asked, may_create)
        };
        MetadataResponse::default()
            .with_brokers(vec![
                MetadataResponseBroker::default()
                    .with_node_id(BrokerId(NODE_ID))
                    .with_host(text(&shared.address.ip().to_string()))
                    .with_port(i32::from(shared.address.port())),
            ])
            .with_cluster_id(Some(text(&shared.settings.cluster_id)))
            .with_controller_id(BrokerId(NODE_ID))
            .with_topics(topics)
    }

    fn refuse(self, error: ResponseError, _: i16) -> MetadataResponse {
        let refused = |topic: MetadataRequestTopic| {
            // The name may not be null in older versions.
            let name = topic.name.unwrap_or_default();
            MetadataResponseTopic::default().with_error_code(error.code()).with_name(Some(name))
        };
        MetadataResponse::default()
            .with_topics(self.topics.unwrap_or_default().into_iter().map(refused).collect())
    }
}

/// Each topic is described once, however often it was asked for: its partitions make a short request into a long answer.
fn look_up(
    cluster: &mut Cluster,
    shared: &Shared,
    asked: Vec<MetadataRequestTopic>,
    may_create: bool,
) -> Vec<MetadataResponseTopic> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for topic in asked {
        let name = match topic.name {
            Some(name) => name.to_string(),
            None => match cluster.topics.name_of(topic.topic_id) {
                Some(name) => name.clone(),
                None => {
                    let unknown =
                        MetadataResponseTopic::default().with_topic_id(topic.topic_id).with_name(None);
                    found.push(unknown.with_error_code(ResponseError::UnknownTopicId.code()));
                    continue;
                }
            },
        };
        if !seen.insert(name.clone()) {
            continue;
        }
        if may_create && cluster.topics.get(&name).is_none() {
            let partitions = shared.settings.default_partitions;
            let created = cluster.topics.create(&name, partitions, TopicConfig::default(), &shared.limits);
            if let Err(refusal) = created {
                tracing::warn!(topic = %name, reason = refusal.message, "dev broker does not create a topic by itself");
            }
        }
        found.push(match cluster.topics.get(&name) {
            Some(topic) => describe(&name, topic),
            None => {
                let error = match is_legal_name(&name) {
                    true => ResponseError::UnknownTopicOrPartition,
                    false => ResponseError::InvalidTopicException,
                };
                let unknown = MetadataResponseTopic::default().with_error_code(error.code());
                unknown.with_name(Some(topic_name(&name)))
            }
        });
    }
    found
}

fn describe(name: &str, topic: &Topic) -> MetadataResponseTopic {
    let partition = |index: usize| {
        MetadataResponsePartition::default()
            .with_partition_index(count(index))
            .with_leader_id(BrokerId(NODE_ID))
            .with_leader_epoch(0)
            .with_replica_nodes(vec![BrokerId(NODE_ID)])
            .with_isr_nodes(vec![BrokerId(NODE_ID)])
    };
    MetadataResponseTopic::default()
        .with_name(Some(topic_name(name)))
        .with_topic_id(topic.id)
        .with_partitions((0..topic.partitions.len()).map(partition).collect())
}

impl Api for DescribeClusterRequest {
    type Response = DescribeClusterResponse;

    async fn handle(self, call: &Call) -> DescribeClusterResponse {
        let shared = &call.shared;
        let node = DescribeClusterBroker::default()
            .with_broker_id(BrokerId(NODE_ID))
            .with_host(text(&shared.address.ip().to_string()))
            .with_port(i32::from(shared.address.port()));
        DescribeClusterResponse::default()
            .with_cluster_id(text(&shared.settings.cluster_id))
            .with_controller_id(BrokerId(NODE_ID))
            .with_brokers(vec![node])
    }

    fn refuse(self, error: ResponseError, _: i16) -> DescribeClusterResponse {
        DescribeClusterResponse::default().with_error_code(error.code()).with_controller_id(BrokerId(-1))
    }
}

impl Api for FindCoordinatorRequest {
    type Response = FindCoordinatorResponse;

    async fn handle(self, call: &Call) -> FindCoordinatorResponse {
        let host = text(&call.shared.address.ip().to_string());
        let port = i32::from(call.shared.address.port());
        if call.version < 4 {
            return FindCoordinatorResponse::default()
                .with_node_id(BrokerId(NODE_ID))
                .with_host(host)
                .with_port(port);
        }
        let coordinator = |key| {
            Coordinator::default()
                .with_key(key)
                .with_node_id(BrokerId(NODE_ID))
                .with_host(host.clone())
                .with_port(port)
        };
        FindCoordinatorResponse::default()
            .with_coordinators(self.coordinator_keys.into_iter().map(coordinator).collect())
    }

    fn refuse(self, error: ResponseError, version: i16) -> FindCoordinatorResponse {
        if version < 4 {
            return FindCoordinatorResponse::default()
                .with_error_code(error.code())
                .with_node_id(BrokerId(-1));
        }
        let refused = |key| {
            Coordinator::default().with_key(key).with_node_id(BrokerId(-1)).with_error_code(error.code())
        };
        FindCoordinatorResponse::default()
            .with_coordinators(self.coordinator_keys.into_iter().map(refused).collect())
    }
}
