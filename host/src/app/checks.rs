//! What is checked before the first record: by `gristmill check`, and by `gristmill run` before it starts.

use std::time::Duration;

use crate::app::ingest;
use crate::app::plugins::Prepared;
use crate::app::topics::{self, Facts};
use crate::callout;
use crate::config::env;
use crate::config::pipeline::{Kafka, Pipeline};
use crate::fault::Fault;
use crate::kafka::client;
use crate::kafka::topics::Topics;
use crate::plugin::Spec;

/// How long a broker has to answer. A host that is started together with its cluster waits this long for it.
const REACH: Duration = Duration::from_secs(15);

/// Checks the client's options.
///
/// # Errors
/// `client_key_owned`, `client_key_unknown`.
pub fn options(kafka: &Kafka) -> Result<(), Fault> {
    kafka.client.iter().try_for_each(|(key, value)| client::check_option(key, value))
}

/// Checks what needs no broker, beyond what reading the file has found: the client's options, the secrets and certificates
/// of endpoints and ingests, and that every plugin starts with its configuration.
///
/// # Errors
/// `client_key_unknown`, `secret_missing`, `certificates_unusable`, `plugin_init_failed`.
pub fn offline(prepared: &Prepared) -> Result<(), Fault> {
    options(&prepared.pipeline.kafka)?;
    for (deployment, plugin) in prepared.pipeline.deployments.iter().zip(&prepared.plugins) {
        callout::check(&deployment.name, &deployment.endpoints, &env::process)?;
        plugin.component.deploy(Spec::from(deployment))?;
    }
    ingest::checks::offline(&prepared.pipeline)
}

/// Connects to the cluster.
///
/// # Errors
/// `broker_unreachable`, `client_key_unknown`.
pub fn connect(kafka: &Kafka) -> Result<Topics, Fault> {
    let topics = Topics::new(kafka)?;
    topics.reach(REACH)?;
    Ok(topics)
}

/// What the cluster says about the topics of a pipeline.
///
/// # Errors
/// `kafka_failed`, `not_authorized`.
pub fn facts(topics: &Topics, pipeline: &Pipeline) -> Result<Facts, Fault> {
    topics.describe(&topics::names(pipeline))
}
