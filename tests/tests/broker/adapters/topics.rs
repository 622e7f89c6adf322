//! Topics: made, described, deleted; and brokers that do not answer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::time::Duration;

use anyhow::Result;
use gristmill_host::config::pipeline::Kafka;
use gristmill_host::fault::Code;
use gristmill_host::id::TopicName;
use gristmill_host::kafka::topics::{TopicPlan, Topics};
use gristmill_tests::wait;

use super::support::Bench;

#[test]
fn makes_describes_and_deletes_topics() -> Result<()> {
    let bench = Bench::new("topics")?;
    let topics = Topics::new(&bench.kafka)?;
    let name = TopicName::new(&format!("{}.made", bench.name));
    let settings = [
        ("cleanup.policy", "compact"),
        ("max.message.bytes", "5000"),
        ("message.timestamp.after.max.ms", "60000"),
    ];
    let plan = TopicPlan {
        name: name.clone(),
        partitions: 3,
        replication: None,
        settings: settings.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
    };

    assert_eq!(topics.create(std::slice::from_ref(&plan))?, BTreeSet::from([name.clone()]));
    assert_eq!(topics.create(&[plan])?, BTreeSet::new());
    let missing = TopicName::new("not-there");
    let described = topics.describe(&BTreeSet::from([name.clone(), missing]))?;
    assert_eq!(described.len(), 1);
    let description = described.get(&name).unwrap();
    let facts = description.facts();
    assert_eq!((description.partitions, facts.max_bytes, facts.compacted), (3, 5_000, true));
    assert_eq!(facts.ahead_max, Some(Duration::from_secs(60)));

    assert_eq!(topics.delete_prefixed(&bench.name)?, BTreeSet::from([name.clone()]));
    wait::until_equal("the topic's end", &false, || Ok(topics.list()?.contains(&name)))?;
    assert_eq!(topics.delete_prefixed("").unwrap_err().code(), Code::CommandUnfit);
    Ok(())
}

#[test]
fn tells_a_topic_that_was_made_anew_from_the_one_before() -> Result<()> {
    let bench = Bench::new("identity")?;
    let topics = Topics::new(&bench.kafka)?;
    let name = TopicName::new(&format!("{}.made", bench.name));
    let plan = TopicPlan { name: name.clone(), partitions: 1, replication: None, settings: BTreeMap::new() };
    let describe = || -> Result<_> {
        Ok(topics.describe(&BTreeSet::from([name.clone()]))?.remove(&name).and_then(|topic| topic.id))
    };

    topics.create(std::slice::from_ref(&plan))?;
    let (first, again) = (describe()?, describe()?);
    topics.delete_prefixed(&bench.name)?;
    wait::until_equal("the topic's end", &false, || Ok(topics.list()?.contains(&name)))?;
    topics.create(&[plan])?;
    let anew = describe()?;

    assert_eq!(first, again);
    assert!(first.is_some() && anew.is_some() && first != anew, "{first:?}, {anew:?}");
    Ok(())
}

#[test]
fn knows_the_id_of_the_cluster() -> Result<()> {
    let bench = Bench::new("cluster-id")?;

    let ask = || -> Result<_> { Ok(Topics::new(&bench.kafka)?.cluster_id()?) };

    assert_eq!(ask()?, ask()?);
    assert!(!ask()?.is_empty());
    Ok(())
}

#[test]
fn says_that_no_broker_answers() -> Result<()> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let kafka = Kafka { brokers: format!("127.0.0.1:{port}"), client: Default::default() };

    let fault = Topics::new(&kafka)?.reach(Duration::from_secs(1)).unwrap_err();

    assert_eq!(fault.code(), Code::BrokerUnreachable);
    Ok(())
}
