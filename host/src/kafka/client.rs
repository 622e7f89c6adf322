//! Settings of Kafka clients: the operator's options, the host's defaults over librdkafka's, and the keys it owns.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::bindings::rd_kafka_conf_res_t;
use rdkafka::config::{NativeClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;

use crate::config::client;
use crate::config::pipeline::Kafka;
use crate::fault::{Code, Fault};
use crate::kafka::client_log;

/// How long a transaction may stay open before its coordinator aborts it.
pub const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(15);

/// The largest record that a client takes; what a topic takes is checked topic by topic.
const MESSAGE_BYTES_MAX: usize = 100_000_000;

/// Checks one option of `[kafka.client]`.
///
/// # Errors
/// `client_key_owned`, `client_key_unknown`. The value is never repeated: it may be a secret.
pub fn check_option(key: &str, value: &str) -> Result<(), Fault> {
    if client::is_owned(key) {
        return Err(Fault::new(Code::ClientKeyOwned, format!("the host owns the client option `{key}`")));
    }
    let mut config = ClientConfig::new();
    config.set(key, value);
    let Err(error) = config.create_native_config() else {
        return Ok(());
    };
    let unknown = matches!(error, KafkaError::ClientConfig(rd_kafka_conf_res_t::RD_KAFKA_CONF_UNKNOWN, ..));
    let message = match unknown {
        true => format!("there is no client option `{key}`"),
        false => format!("the client option `{key}` does not take this value"),
    };
    Err(Fault::new(Code::ClientKeyUnknown, message))
}

/// What all clients share: the operator's options below, the host's own above.
fn base(kafka: &Kafka, client_id: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("client.id", client_id).set("log.connection.close", "false");
    for (key, value) in &kafka.client {
        config.set(key, value);
    }
    config.set("bootstrap.servers", &kafka.brokers);
    config.set_log_level(RDKafkaLogLevel::Info);
    config
}

/// A client that only asks and administers.
pub(super) fn admin(kafka: &Kafka) -> ClientConfig {
    base(kafka, "gristmill-admin")
}

/// What members of a group and readers of whole topics share.
fn consumer(kafka: &Kafka, group: &str, client_id: &str) -> ClientConfig {
    let mut config = base(kafka, client_id);
    defaults(
        kafka,
        &mut config,
        &[
            ("fetch.queue.backoff.ms", "20"),
            ("queued.min.messages", "50000"),
            ("queued.max.messages.kbytes", "32768"),
            ("fetch.wait.max.ms", "100"),
        ],
    );
    config
        // A consumer without a group would poll another queue.
        .set("group.id", group)
        .set("group.protocol", "classic")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "error")
        .set("allow.auto.create.topics", "false")
        .set("enable.partition.eof", "true");
    config
}

/// A member of a group: static, so that a restart keeps its partitions; `range`, because it co-partitions.
pub(super) fn member(kafka: &Kafka, group: &str, member: &str) -> ClientConfig {
    let mut config = consumer(kafka, group, member);
    defaults(
        kafka,
        &mut config,
        &[
            ("session.timeout.ms", "45000"),
            ("max.poll.interval.ms", "300000"),
            // A topic that was made a moment ago may not be known to the broker that the group's leader asks: it is assigned
            // when the leader looks again. librdkafka's own interval is five minutes.
            ("topic.metadata.refresh.interval.ms", "15000"),
        ],
    );
    config.set("group.instance.id", member).set("partition.assignment.strategy", "range");
    config
}

/// A reader of whole topics, which belongs to no group and only needs its name.
pub(super) fn reader(kafka: &Kafka, group: &str, isolation: Isolation) -> ClientConfig {
    let mut config = consumer(kafka, group, group);
    config.set("isolation.level", isolation.as_str());
    config
}

/// What a reader sees of transactions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Isolation {
    /// Only what is committed, up to the last stable offset.
    #[default]
    Committed,
    /// Everything, aborted records included.
    Uncommitted,
}

impl Isolation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Committed => "read_committed",
            Self::Uncommitted => "read_uncommitted",
        }
    }
}

/// A producer whose records lie where Java producers put them, none twice and in order.
pub(super) fn producer(kafka: &Kafka, client_id: &str, batch_bytes: usize) -> ClientConfig {
    let mut config = base(kafka, client_id);
    defaults(
        kafka,
        &mut config,
        &[
            ("linger.ms", "20"),
            ("batch.num.messages", "10000"),
            ("compression.type", "lz4"),
            ("queue.buffering.max.messages", "200000"),
            ("queue.buffering.max.kbytes", "131072"),
        ],
    );
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("max.in.flight", "5")
        .set("partitioner", "murmur2_random")
        .set("batch.size", batch_bytes.to_string())
        .set("message.max.bytes", MESSAGE_BYTES_MAX.to_string());
    config
}

/// A producer of transactions, which their coordinator aborts after `timeout`.
pub(super) fn transactional(
    kafka: &Kafka,
    transactional_id: &str,
    batch_bytes: usize,
    timeout: Duration,
) -> ClientConfig {
    let mut config = producer(kafka, transactional_id, batch_bytes);
    config
        .set("transactional.id", transactional_id)
        .set("transaction.timeout.ms", timeout.as_millis().to_string());
    config
}

/// Sets what the operator did not.
fn defaults(kafka: &Kafka, config: &mut ClientConfig, values: &[(&str, &str)]) {
    for (key, value) in values.iter().filter(|(key, _)| !kafka.client.contains_key(*key)) {
        config.set(*key, *value);
    }
}

/// The configuration as librdkafka holds it, with its log lines and errors turned to ours.
pub(super) fn native(config: &ClientConfig) -> Result<NativeClientConfig, Fault> {
    let native = config.create_native_config().map_err(|error| {
        Fault::new(Code::ClientKeyUnknown, "the client options do not fit").because(error)
    })?;
    client_log::attach(&native);
    Ok(native)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_options_that_the_host_owns() {
        let fault = check_option("isolation.level", "read_uncommitted").unwrap_err();

        assert_eq!(fault.code(), Code::ClientKeyOwned);
    }

    #[test]
    fn refuses_options_and_values_that_do_not_exist_without_repeating_the_value() {
        let unknown = check_option("sasl.pasword", "s3cret").unwrap_err();
        let invalid = check_option("security.protocol", "s3cret").unwrap_err();

        assert_eq!((unknown.code(), invalid.code()), (Code::ClientKeyUnknown, Code::ClientKeyUnknown));
        assert!(!unknown.report().contains("s3cret") && !invalid.report().contains("s3cret"));
    }

    #[test]
    fn takes_options_that_exist() {
        assert!(check_option("linger.ms", "5").is_ok());
    }

    #[test]
    fn lets_the_operator_change_defaults_but_not_what_the_host_owns() {
        let client =
            [("linger.ms", "3"), ("acks", "0")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        let kafka = Kafka { brokers: "localhost:1".to_owned(), client: client.into() };

        let config = transactional(&kafka, "t", 1_000, TRANSACTION_TIMEOUT);

        assert_eq!((config.get("linger.ms"), config.get("acks")), (Some("3"), Some("all")));
        assert!(native(&config).is_ok());
        assert!(native(&member(&kafka, "g", "m")).is_ok());
    }
}
