//! librdkafka's admin client: topics, partitions, records, settings, groups.

use std::future::Future;

use gristmill_broker::Broker;
use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::admin::AdminClient;
use rdkafka::admin::AdminOptions;
use rdkafka::admin::AlterConfig;
use rdkafka::admin::NewPartitions;
use rdkafka::admin::NewTopic;
use rdkafka::admin::ResourceSpecifier;
use rdkafka::admin::TopicReplication;
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::CommitMode;
use rdkafka::consumer::Consumer;
use rdkafka::types::RDKafkaErrorCode;

use super::support::*;

fn admin(broker: &Broker) -> AdminClient<DefaultClientContext> {
    config(broker).create().unwrap()
}

fn wait<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[test]
fn creates_describes_alters_grows_and_deletes_a_topic() {
    let broker = Broker::builder().default_partitions(3).start().unwrap();
    let admin = admin(&broker);
    let options = AdminOptions::new();
    let value = |name: &str| {
        let described = wait(admin.describe_configs([&ResourceSpecifier::Topic("table")], &options)).unwrap();
        let described = described.into_iter().next().unwrap().unwrap();
        described.get(name).and_then(|entry| entry.value.clone())
    };

    let table = NewTopic::new("table", -1, TopicReplication::Fixed(1)).set("cleanup.policy", "compact");
    let created = wait(admin.create_topics([&table], &options)).unwrap();
    assert_eq!(created, [Ok("table".to_owned())]);
    assert_eq!(broker.partition_count("table"), Some(3));
    assert_eq!(value("cleanup.policy").as_deref(), Some("compact"));

    let altered = AlterConfig::new(ResourceSpecifier::Topic("table")).set("delete.retention.ms", "7");
    assert!(wait(admin.alter_configs([&altered], &options)).unwrap()[0].is_ok());
    assert_eq!(value("delete.retention.ms").as_deref(), Some("7"));
    // This request replaces all settings.
    assert_eq!(value("cleanup.policy").as_deref(), Some("delete"));

    assert!(wait(admin.create_partitions([&NewPartitions::new("table", 5)], &options)).unwrap()[0].is_ok());
    assert_eq!(broker.partition_count("table"), Some(5));

    assert!(wait(admin.delete_topics(&["table"], &options)).unwrap()[0].is_ok());
    assert_eq!(broker.topics(), Vec::<String>::new());
}

#[test]
fn says_why_a_topic_cannot_be_created() {
    let broker = Broker::builder().topic("items", 1).start().unwrap();
    let admin = admin(&broker);
    let create = |topic: NewTopic<'_>| {
        let created = wait(admin.create_topics([&topic], &AdminOptions::new())).unwrap();
        created.into_iter().next().unwrap().unwrap_err().1
    };
    let topic = |name, replicas| NewTopic::new(name, 1, TopicReplication::Fixed(replicas));

    assert_eq!(create(topic("items", 1)), RDKafkaErrorCode::TopicAlreadyExists);
    assert_eq!(create(topic("a b", 1)), RDKafkaErrorCode::InvalidTopic);
    assert_eq!(create(topic("new", 3)), RDKafkaErrorCode::InvalidReplicationFactor);
    let misspelt = topic("new", 1).set("cleanup.polizei", "compact");
    assert_eq!(create(misspelt), RDKafkaErrorCode::InvalidConfig);
}

#[test]
fn deletes_records_and_groups() {
    let broker = Broker::builder().topic("items", 1).start().unwrap();
    let producer = producer(&broker, &[]);
    for number in 0..5 {
        send(&producer, "items", "k", &number.to_string());
        drain(&producer);
    }
    let mut at_three = TopicPartitionList::new();
    at_three.add_partition_offset("items", 0, Offset::Offset(3)).unwrap();
    let consumer = consumer(&broker, "readers", &[]);
    consumer.commit(&at_three, CommitMode::Sync).unwrap();
    let admin = admin(&broker);

    wait(admin.delete_records(&at_three, &AdminOptions::new())).unwrap();
    let deleted = wait(admin.delete_groups(&["readers"], &AdminOptions::new())).unwrap();

    assert_eq!(values(&broker, "items", "read_committed"), ["3", "4"]);
    assert_eq!(broker.partition("items", 0).unwrap().start_offset, 3);
    assert!(deleted[0].is_ok());
    assert_eq!(broker.group("readers"), None);
}

#[test]
fn creates_topics_by_itself_only_when_told_to() {
    let wanted = [("allow.auto.create.topics", "true")];
    let reluctant = Broker::builder().topic("other", 1).start().unwrap();
    let willing = Broker::builder().default_partitions(2).auto_create_topics().start().unwrap();

    let fetch = |broker: &Broker| {
        let consumer = consumer(broker, "readers", &wanted);
        consumer.fetch_metadata(Some("items"), PATIENCE).map(|_| ()).ok();
    };
    fetch(&reluctant);
    fetch(&willing);

    assert_eq!(reluctant.partition_count("items"), None);
    assert_eq!(willing.partition_count("items"), Some(2));
}

#[test]
fn lists_groups_with_their_members() {
    let broker = Broker::builder().topic("items", 1).start().unwrap();
    let consumer = consumer(&broker, "readers", &[("client.id", "me")]);
    consumer.subscribe(&["items"]).unwrap();
    until("it has joined", || {
        assert!(consumer.poll(std::time::Duration::from_millis(5)).is_none());
        consumer.assignment().unwrap().count() == 1
    });

    let listed = consumer.fetch_group_list(None, PATIENCE).unwrap();

    let group = &listed.groups()[0];
    assert_eq!((group.name(), group.state(), group.protocol()), ("readers", "Stable", "range"));
    assert_eq!(group.members()[0].client_id(), "me");
}
