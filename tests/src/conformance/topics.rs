//! Topics: making, describing, growing and deleting them.

use anyhow::{Context, Result, anyhow, bail, ensure};
use rdkafka::admin::{NewPartitions, NewTopic, TopicReplication};
use rdkafka::consumer::Consumer;
use rdkafka::types::RDKafkaErrorCode;

use crate::client::{Client, Isolation, REQUEST, block_on, options, position, unique};
use crate::read;
use crate::wait;

pub fn makes_a_topic_with_its_settings(client: &Client) -> Result<()> {
    let topic = client.topic("settings", 3, &[("cleanup.policy", "compact"), ("retention.ms", "123456")])?;

    let settings = client.settings(&topic)?;
    let read = |key: &str| settings.get(key).map(String::as_str);
    ensure!(client.partitions(&topic)? == 3);
    ensure!(read("cleanup.policy") == Some("compact"), "{settings:?}");
    ensure!(read("retention.ms") == Some("123456"), "{settings:?}");
    // The host reads these two although nobody has set them: defaults are described too.
    ensure!(read("delete.retention.ms") == Some("86400000"), "{settings:?}");
    ensure!(read("max.message.bytes") == Some("1048588"), "{settings:?}");
    Ok(())
}

pub fn refuses_a_topic_that_exists(client: &Client) -> Result<()> {
    let topic = client.topic("twice", 1, &[])?;

    let code = refusal(client, &topic, &[])?;

    ensure!(code == RDKafkaErrorCode::TopicAlreadyExists, "{code}");
    Ok(())
}

pub fn refuses_a_topic_with_a_setting_it_does_not_know(client: &Client) -> Result<()> {
    let code = refusal(client, &unique("odd"), &[("cleanup.polizei", "compact")])?;

    ensure!(code == RDKafkaErrorCode::InvalidConfig, "{code}");
    Ok(())
}

fn refusal(client: &Client, name: &str, settings: &[(&str, &str)]) -> Result<RDKafkaErrorCode> {
    let topic = NewTopic::new(name, 1, TopicReplication::Fixed(1));
    let topic = settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
    let results = block_on(client.admin()?.create_topics([&topic], &options()))?;
    match results.into_iter().next().context("no answer")? {
        Ok(name) => bail!("`{name}` was made"),
        Err((_, code)) => Ok(code),
    }
}

pub fn adds_partitions(client: &Client) -> Result<()> {
    let topic = client.topic("growing", 1, &[])?;

    block_on(client.admin()?.create_partitions([&NewPartitions::new(&topic, 4)], &options()))?
        .into_iter()
        .try_for_each(|result| result.map(|_| ()).map_err(|(name, code)| anyhow!("{name}: {code}")))?;

    wait::until_equal("the partitions that were added", &4, || client.partitions(&topic))
}

pub fn deletes_a_topic(client: &Client) -> Result<()> {
    let topic = client.topic("doomed", 1, &[])?;

    block_on(client.admin()?.delete_topics(&[topic.as_str()], &options()))?
        .into_iter()
        .try_for_each(|result| result.map(|_| ()).map_err(|(name, code)| anyhow!("{name}: {code}")))?;

    wait::until_equal("the topic's end", &true, || Ok(client.topics(&topic)?.is_empty()))
}

pub fn deletes_records_below_an_offset(client: &Client) -> Result<()> {
    let topic = client.topic("trimmed", 1, &[])?;
    let producer = client.producer(&[])?;
    for n in 0..10 {
        producer.put(&topic, 0, "k", &n.to_string())?;
    }
    producer.drain()?;

    block_on(client.admin()?.delete_records(&position(&topic, 0, 5)?, &options()))?;

    ensure!(client.watermarks(&topic, 0, Isolation::Uncommitted)? == (5, 10));
    ensure!(read::values(client, &topic, Isolation::Committed)? == ["5", "6", "7", "8", "9"]);
    Ok(())
}

pub fn says_that_a_topic_does_not_exist(client: &Client) -> Result<()> {
    let name = unique("absent");
    let consumer = client.consumer("metadata", &[("allow.auto.create.topics", "false")])?;

    let metadata = consumer.fetch_metadata(Some(&name), REQUEST)?;

    let topic = metadata.topics().first().context("no answer")?;
    let error = topic.error().map(RDKafkaErrorCode::from);
    ensure!(error == Some(RDKafkaErrorCode::UnknownTopicOrPartition), "{error:?}");
    ensure!(client.topics(&name)?.is_empty(), "asking for a topic has made it");
    Ok(())
}

pub fn alters_a_setting(client: &Client) -> Result<()> {
    let topic = client.topic("altered", 1, &[("cleanup.policy", "compact")])?;

    client.alter(&topic, "cleanup.policy", "delete")
}

pub fn names_the_cluster(client: &Client) -> Result<()> {
    let ask = || -> Result<_> { Ok(client.consumer("metadata", &[])?.client().fetch_cluster_id(REQUEST)) };

    let first = ask()?;

    ensure!(first.as_ref().is_some_and(|id| !id.is_empty()), "{first:?}");
    ensure!(ask()? == first, "the cluster's id changes");
    Ok(())
}

pub fn lists_groups(client: &Client) -> Result<()> {
    let topic = client.topic("grouped", 1, &[])?;
    let group = unique("listed");
    let consumer = client.consumer(&group, &[])?;
    consumer.subscribe(&[&topic])?;
    let producer = client.producer(&[])?;
    producer.put(&topic, 0, "k", "v")?;
    producer.drain()?;
    read::take(&consumer, 1)?;

    let groups = consumer.fetch_group_list(Some(&group), REQUEST)?;

    let found = groups.groups().first().context("the group is not listed")?;
    ensure!(found.state() == "Stable" && found.members().len() == 1, "{found:?}");
    Ok(())
}
