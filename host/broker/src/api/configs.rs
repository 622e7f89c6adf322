//! DescribeConfigs, AlterConfigs and IncrementalAlterConfigs, for topics and the one broker.

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::AlterConfigsRequest;
use kafka_protocol::messages::AlterConfigsResponse;
use kafka_protocol::messages::DescribeConfigsRequest;
use kafka_protocol::messages::DescribeConfigsResponse;
use kafka_protocol::messages::IncrementalAlterConfigsRequest;
use kafka_protocol::messages::IncrementalAlterConfigsResponse;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse as Altered;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResult;
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse as IncrementallyAltered;
use kafka_protocol::protocol::StrBytes;

use super::Api;
use super::Call;
use crate::cluster::Cluster;
use crate::cluster::NODE_ID;
use crate::cluster::Settings;
use crate::error::Refusal;
use crate::topics::Intent;
use crate::topics::config::Form;
use crate::topics::config::SETTINGS;
use crate::topics::config::Setting;
use crate::topics::config::TopicConfig;
use crate::wire::text;

/// Kafka's numbers for kinds of resources.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// Kafka's numbers for where a value comes from.
const FROM_TOPIC: i8 = 1;
const FROM_STATIC_BROKER: i8 = 4;
const FROM_DEFAULT: i8 = 5;

/// Kafka's numbers for incremental changes.
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

impl Api for DescribeConfigsRequest {
    type Response = DescribeConfigsResponse;

    async fn handle(self, call: &Call) -> DescribeConfigsResponse {
        let cluster = call.shared.lock();
        let version = call.version;
        describe_all(self, |resource| describe(&cluster, &call.shared.settings, resource, version))
    }

    fn refuse(self, error: ResponseError, _: i16) -> DescribeConfigsResponse {
        describe_all(self, |_| Err(error.into()))
    }
}

/// A resource is described once, however often it was asked for: its settings make a short request into a long answer.
fn describe_all(
    request: DescribeConfigsRequest,
    describe: impl Fn(&DescribeConfigsResource) -> Result<Vec<DescribeConfigsResourceResult>, Refusal>,
) -> DescribeConfigsResponse {
    let mut seen = BTreeSet::new();
    let resources = request.resources.into_iter();
    let results = resources
        .filter(|asked| seen.insert((asked.resource_type, asked.resource_name.to_string())))
        .map(|asked| {
            let result = match describe(&asked) {
                Ok(configs) => {
                    DescribeConfigsResult::default().with_error_message(None).with_configs(configs)
                }
                Err(refusal) => DescribeConfigsResult::default()
                    .with_error_code(refusal.error.code())
                    .with_error_message(Some(text(&refusal.message))),
            };
            result.with_resource_type(asked.resource_type).with_resource_name(asked.resource_name)
        });
    DescribeConfigsResponse::default().with_results(results.collect())
}

fn describe(
    cluster: &Cluster,
    settings: &Settings,
    asked: &DescribeConfigsResource,
    version: i16,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    let name = asked.resource_name.as_str();
    let described: Vec<DescribeConfigsResourceResult> = match asked.resource_type {
        TOPIC => {
            let topic = cluster.topics.get(name).ok_or(ResponseError::UnknownTopicOrPartition)?;
            SETTINGS.iter().map(|setting| topic_setting(&topic.config, setting, version)).collect()
        }
        BROKER if name.is_empty() || name == NODE_ID.to_string() => broker_settings(settings, version),
        BROKER => {
            return Err(Refusal::new(ResponseError::InvalidRequest, format!("there is no broker `{name}`")));
        }
        _ => return Err(ResponseError::InvalidRequest.into()),
    };
    let is_wanted = |name: &str| {
        asked
            .configuration_keys
            .as_ref()
            .is_none_or(|wanted| wanted.iter().any(|wanted| wanted.as_str() == name))
    };
    Ok(described.into_iter().filter(|setting| is_wanted(&setting.name)).collect())
}

fn topic_setting(config: &TopicConfig, setting: &Setting, version: i16) -> DescribeConfigsResourceResult {
    let source = if config.is_overridden(setting) { FROM_TOPIC } else { FROM_DEFAULT };
    described(setting.name, config.value(setting), source).with_config_type(form(setting.form, version))
}

fn described(name: &str, value: &str, source: i8) -> DescribeConfigsResourceResult {
    DescribeConfigsResourceResult::default()
        .with_name(text(name))
        .with_value(Some(text(value)))
        .with_config_source(source)
        .with_documentation(None)
}

/// Versions before 3 cannot say the form.
fn form(form: Form, version: i16) -> i8 {
    if version >= 3 { form as i8 } else { 0 }
}

/// What a client may want to know of the broker before it trusts it with transactions.
fn broker_settings(settings: &Settings, version: i16) -> Vec<DescribeConfigsResourceResult> {
    let partitions = settings.default_partitions.to_string();
    let auto_create = settings.auto_create_topics.to_string();
    let delay = settings.initial_rebalance_delay.as_millis().to_string();
    let values = [
        ("auto.create.topics.enable", auto_create.as_str(), Form::Boolean),
        ("default.replication.factor", "1", Form::Integer),
        ("group.initial.rebalance.delay.ms", &delay, Form::Integer),
        ("min.insync.replicas", "1", Form::Integer),
        ("num.partitions", &partitions, Form::Integer),
        ("offset.metadata.max.bytes", "4096", Form::Integer),
        ("transaction.max.timeout.ms", "900000", Form::Integer),
    ];
    let entry = |(name, value, kind): (&str, &str, Form)| {
        described(name, value, FROM_STATIC_BROKER).with_read_only(true).with_config_type(form(kind, version))
    };
    values.into_iter().map(entry).collect()
}

impl Api for AlterConfigsRequest {
    type Response = AlterConfigsResponse;

    /// Replaces all of a topic's own settings.
    async fn handle(self, call: &Call) -> AlterConfigsResponse {
        let intent = Intent::from_wire(self.validate_only);
        let mut cluster = call.shared.lock();
        let responses = self.resources.into_iter().map(|resource| {
            let altered =
                alter(&mut cluster, resource.resource_type, &resource.resource_name, intent, |config| {
                    *config = TopicConfig::default();
                    resource.configs.iter().try_for_each(|setting| match &setting.value {
                        Some(value) => config.set(&setting.name, value),
                        None => config.reset(&setting.name),
                    })
                });
            altered_response(altered, resource.resource_type, resource.resource_name)
        });
        AlterConfigsResponse::default().with_responses(responses.collect())
    }

    fn refuse(self, error: ResponseError, _: i16) -> AlterConfigsResponse {
        let responses = self.resources.into_iter().map(|resource| {
            altered_response(Err(error.into()), resource.resource_type, resource.resource_name)
        });
        AlterConfigsResponse::default().with_responses(responses.collect())
    }
}

fn altered_response(altered: Result<(), Refusal>, resource_type: i8, name: StrBytes) -> Altered {
    let response = Altered::default().with_resource_type(resource_type).with_resource_name(name);
    match altered {
        Ok(()) => response.with_error_message(None),
        Err(refusal) => {
            response.with_error_code(refusal.error.code()).with_error_message(Some(text(&refusal.message)))
        }
    }
}

impl Api for IncrementalAlterConfigsRequest {
    type Response = IncrementalAlterConfigsResponse;

    async fn handle(self, call: &Call) -> IncrementalAlterConfigsResponse {
        let intent = Intent::from_wire(self.validate_only);
        let mut cluster = call.shared.lock();
        let responses = self.resources.into_iter().map(|resource| {
            let altered =
                alter(&mut cluster, resource.resource_type, &resource.resource_name, intent, |config| {
                    resource.configs.iter().try_for_each(|change| {
                        let value = change.value.as_deref().unwrap_or_default();
                        apply(config, change.config_operation, &change.name, value)
                    })
                });
            incremental_response(altered, resource.resource_type, resource.resource_name)
        });
        IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
    }

    fn refuse(self, error: ResponseError, _: i16) -> IncrementalAlterConfigsResponse {
        let responses = self.resources.into_iter().map(|resource| {
            incremental_response(Err(error.into()), resource.resource_type, resource.resource_name)
        });
        IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
    }
}

fn incremental_response(
    altered: Result<(), Refusal>,
    resource_type: i8,
    name: StrBytes,
) -> IncrementallyAltered {
    let response = IncrementallyAltered::default().with_resource_type(resource_type).with_resource_name(name);
    match altered {
        Ok(()) => response.with_error_message(None),
        Err(refusal) => {
            response.with_error_code(refusal.error.code()).with_error_message(Some(text(&refusal.message)))
        }
    }
}

/// Makes one incremental change; append and subtract are for lists.
fn apply(config: &mut TopicConfig, operation: i8, name: &str, value: &str) -> Result<(), Refusal> {
    let present = SETTINGS.iter().find(|setting| setting.name == name).map(|setting| config.value(setting));
    let mut words: Vec<&str> =
        present.unwrap_or_default().split(',').filter(|word| !word.is_empty()).collect();
    let listed = match operation {
        SET => return config.set(name, value),
        DELETE => return config.reset(name),
        APPEND => {
            words.extend(value.split(','));
            words.join(",")
        }
        SUBTRACT => {
            words.retain(|word| !value.split(',').any(|gone| gone == *word));
            words.join(",")
        }
        _ => {
            return Err(Refusal::new(
                ResponseError::InvalidRequest,
                format!("unknown operation {operation}"),
            ));
        }
    };
    config.set(name, &listed)
}

/// Changes a topic's settings as a whole or, when one change is refused, not at all.
fn alter(
    cluster: &mut Cluster,
    resource_type: i8,
    name: &str,
    intent: Intent,
    change: impl FnOnce(&mut TopicConfig) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    if resource_type != TOPIC {
        return Err(Refusal::new(ResponseError::InvalidRequest, "only settings of topics can be altered"));
    }
    let topic = cluster.topics.get_mut(name).ok_or(ResponseError::UnknownTopicOrPartition)?;
    let mut config = topic.config.clone();
    change(&mut config)?;
    if intent == Intent::Apply {
        topic.config = config;
    }
    Ok(())
}
