//! Topics: what the cluster has, making what is missing, deleting what a demo has left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use crate::clock::Clock;
use crate::config::pipeline::Kafka;
use crate::fault::{Code, Fault};
use crate::id::TopicName;
use crate::io::TopicFacts;
use crate::kafka::client;
use crate::kafka::complaints;
use crate::kafka::error;
use crate::kafka::identity;

/// How long an answer of the cluster may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// How long one try to reach a broker may take.
const REACH_STEP: Duration = Duration::from_secs(1);

/// How a topic is made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicPlan {
    /// Its name.
    pub name: TopicName,
    /// How many partitions.
    pub partitions: i32,
    /// Copies of each; none takes the cluster's default.
    pub replication: Option<i32>,
    /// Its settings, by Kafka's names.
    pub settings: BTreeMap<String, String>,
}

/// What the cluster says about a topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicDescription {
    /// Its name.
    pub name: TopicName,
    /// Its id, which a topic of the same name that is made later does not have; none when the cluster does not tell.
    pub id: Option<String>,
    /// How many partitions.
    pub partitions: i32,
    /// Its settings by Kafka's names, defaults included; empty when the cluster does not let us see them.
    pub settings: BTreeMap<String, String>,
}

impl TopicDescription {
    /// A setting.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }

    /// Whether old records of a key give way to the latest one.
    pub fn is_compacted(&self) -> bool {
        self.setting("cleanup.policy")
            .is_some_and(|policy| policy.split(',').any(|part| part.trim() == "compact"))
    }

    /// Whether the latest record of each key stays for ever: then it is the changelog of a table that is read from it. False
    /// also when the cluster does not show the setting.
    pub fn keeps_latest(&self) -> bool {
        self.setting("cleanup.policy") == Some("compact")
    }

    /// What the topic takes; Kafka's defaults where its settings are not known.
    pub fn facts(&self) -> TopicFacts {
        let defaults = TopicFacts::default();
        let max_bytes = self.setting("max.message.bytes").and_then(|bytes| bytes.parse().ok());
        TopicFacts {
            max_bytes: max_bytes.unwrap_or(defaults.max_bytes),
            compacted: self.is_compacted(),
            ahead_max: self.ahead_max().unwrap_or(defaults.ahead_max),
        }
    }

    /// How far ahead of the broker's clock a timestamp may be; none when the cluster does not say.
    fn ahead_max(&self) -> Option<Option<Duration>> {
        if self.setting("message.timestamp.type")? == "LogAppendTime" {
            return Some(None);
        }
        // The older name was for both directions.
        let names = ["message.timestamp.after.max.ms", "message.timestamp.difference.max.ms"];
        let limit: i64 = names.iter().find_map(|name| self.setting(name))?.parse().ok()?;
        Some(u64::try_from(limit).ok().filter(|_| limit < i64::MAX).map(Duration::from_millis))
    }
}

/// Asks and administers a cluster.
pub struct Topics {
    admin: AdminClient<DefaultClientContext>,
    brokers: String,
}

impl Topics {
    /// Makes a client; nothing is sent yet.
    ///
    /// # Errors
    /// `client_key_unknown`.
    pub fn new(kafka: &Kafka) -> Result<Self, Fault> {
        let admin = client::admin(kafka).create().map_err(|error| {
            Fault::new(Code::ClientKeyUnknown, "the client options do not fit").because(error)
        })?;
        Ok(Self { admin, brokers: kafka.brokers.clone() })
    }

    /// Waits for a broker to answer.
    ///
    /// # Errors
    /// `broker_unreachable`, with what librdkafka says of the last try.
    pub fn reach(&self, wait: Duration) -> Result<(), Fault> {
        let clock = Clock::system();
        let mut complaint = None;
        loop {
            let step = REACH_STEP.min(wait);
            let Err(error) = self.admin.inner().fetch_metadata(None, step) else {
                return Ok(());
            };
            complaint = complaints::take(self.admin.inner(), complaint);
            if clock.elapsed() >= wait {
                let what = format!("no broker of `{}` answers within {} s", self.brokers, wait.as_secs());
                let fault = Fault::new(Code::BrokerUnreachable, what);
                return Err(match complaint {
                    Some(complaint) => fault.because(complaint),
                    None => fault.because(error),
                });
            }
        }
    }

    /// The names of all topics, Kafka's own left out.
    ///
    /// # Errors
    /// `kafka_failed`.
    pub fn list(&self) -> Result<BTreeSet<TopicName>, Fault> {
        Ok(self.partition_counts()?.into_keys().collect())
    }

    /// How many partitions each topic has.
    fn partition_counts(&self) -> Result<BTreeMap<TopicName, i32>, Fault> {
        let metadata = self.admin.inner().fetch_metadata(None, REQUEST_TIMEOUT);
        let metadata = metadata.map_err(|error| failed("cannot list the topics", error))?;
        let topics = metadata.topics().iter().filter(|topic| !topic.name().starts_with("__"));
        let count = |partitions: usize| i32::try_from(partitions).unwrap_or(i32::MAX);
        Ok(topics.map(|topic| (TopicName::new(topic.name()), count(topic.partitions().len()))).collect())
    }

    /// What the cluster says about these topics; those that do not exist are left out.
    ///
    /// # Errors
    /// `kafka_failed`.
    pub fn describe(
        &self,
        names: &BTreeSet<TopicName>,
    ) -> Result<BTreeMap<TopicName, TopicDescription>, Fault> {
        let counts = self.partition_counts()?;
        let present: Vec<_> = names.iter().filter(|name| counts.contains_key(*name)).collect();
        let mut settings = self.settings(&present)?;
        let mut ids = self.ids(&present)?;
        let facts = present.into_iter().map(|name| {
            let partitions = counts.get(name).copied().unwrap_or_default();
            let settings = settings.remove(name).unwrap_or_default();
            let id = ids.remove(name);
            (name.clone(), TopicDescription { name: name.clone(), id, partitions, settings })
        });
        Ok(facts.collect())
    }

    /// The id of the cluster: positions and local state mean nothing on another one.
    ///
    /// # Errors
    /// `broker_unreachable` when no broker tells it.
    pub fn cluster_id(&self) -> Result<String, Fault> {
        identity::cluster_id(self.admin.inner(), REQUEST_TIMEOUT).ok_or_else(|| {
            let what = format!("no broker of `{}` tells the id of its cluster", self.brokers);
            Fault::new(Code::BrokerUnreachable, what)
        })
    }

    fn ids(&self, names: &[&TopicName]) -> Result<BTreeMap<TopicName, String>, Fault> {
        let ids = identity::topic_ids(self.admin.inner(), names, REQUEST_TIMEOUT);
        ids.map_err(|failure| error::fault("cannot read the ids of topics", failure))
    }

    fn settings(&self, names: &[&TopicName]) -> Result<BTreeMap<TopicName, BTreeMap<String, String>>, Fault> {
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        let resources: Vec<_> = names.iter().map(|name| ResourceSpecifier::Topic(name.as_str())).collect();
        let described = block_on(self.admin.describe_configs(&resources, &options()))
            .map_err(|error| failed("cannot read the settings of topics", error))?;
        let mut settings = BTreeMap::new();
        for (name, result) in names.iter().zip(described) {
            match result {
                Ok(resource) => {
                    let entries = resource.entries.into_iter();
                    let known = entries.filter_map(|entry| Some((entry.name, entry.value?))).collect();
                    settings.insert((*name).clone(), known);
                }
                // Settings are for checks that are better left out than in the way.
                Err(RDKafkaErrorCode::TopicAuthorizationFailed) => {}
                Err(code) => {
                    let what = format!("cannot read the settings of topic `{name}`");
                    return Err(failed(&what, KafkaError::AdminOp(code)));
                }
            }
        }
        Ok(settings)
    }

    /// Makes topics. Those that exist already are left as they are; the names of those that were made are returned.
    ///
    /// # Errors
    /// `not_authorized`, `kafka_failed`: of the first topic that could not be made, after all were tried.
    pub fn create(&self, plans: &[TopicPlan]) -> Result<BTreeSet<TopicName>, Fault> {
        if plans.is_empty() {
            return Ok(BTreeSet::new());
        }
        let topics: Vec<_> = plans.iter().map(new_topic).collect();
        let results = block_on(self.admin.create_topics(&topics, &options()))
            .map_err(|error| failed("cannot make topics", error))?;
        let mut made = BTreeSet::new();
        let mut first_failure = None;
        for result in results {
            match result {
                Ok(name) => {
                    made.insert(TopicName::new(&name));
                }
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, code)) => {
                    let what = format!("cannot make topic `{name}`");
                    first_failure.get_or_insert_with(|| failed(&what, KafkaError::AdminOp(code)));
                }
            }
        }
        match first_failure {
            Some(fault) => Err(fault),
            None => self.await_topics(made),
        }
    }

    /// Waits until all new topics are seen; a topic is made before every broker knows it.
    fn await_topics(&self, made: BTreeSet<TopicName>) -> Result<BTreeSet<TopicName>, Fault> {
        let clock = Clock::system();
        while !self.list()?.is_superset(&made) && clock.elapsed() < REQUEST_TIMEOUT {
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(made)
    }

    /// Deletes all topics whose names start with `prefix`, with everything in them, and returns their names.
    ///
    /// # Errors
    /// `kafka_failed`, `not_authorized`; `command_unfit` for an empty prefix.
    pub fn delete_prefixed(&self, prefix: &str) -> Result<BTreeSet<TopicName>, Fault> {
        if prefix.is_empty() {
            return Err(Fault::new(Code::CommandUnfit, "an empty prefix would delete every topic"));
        }
        let names: Vec<_> =
            self.list()?.into_iter().filter(|name| name.as_str().starts_with(prefix)).collect();
        if names.is_empty() {
            return Ok(BTreeSet::new());
        }
        let texts: Vec<_> = names.iter().map(TopicName::as_str).collect();
        let results = block_on(self.admin.delete_topics(&texts, &options()))
            .map_err(|error| failed("cannot delete topics", error))?;
        for (name, code) in results.into_iter().filter_map(Result::err) {
            if code != RDKafkaErrorCode::UnknownTopicOrPartition {
                return Err(failed(&format!("cannot delete topic `{name}`"), KafkaError::AdminOp(code)));
            }
        }
        Ok(names.into_iter().collect())
    }
}

fn new_topic(plan: &TopicPlan) -> NewTopic<'_> {
    // -1 lets the cluster decide.
    let replication = TopicReplication::Fixed(plan.replication.unwrap_or(-1));
    let topic = NewTopic::new(plan.name.as_str(), plan.partitions, replication);
    plan.settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value))
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT)).operation_timeout(Some(REQUEST_TIMEOUT))
}

pub(super) fn failed(what: &str, error: KafkaError) -> Fault {
    let code = match error.rdkafka_error_code() {
        Some(
            RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::SaslAuthenticationFailed
            | RDKafkaErrorCode::Authentication,
        ) => Code::NotAuthorized,
        Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown) => {
            Code::BrokerUnreachable
        }
        _ => Code::KafkaFailed,
    };
    Fault::new(code, what).because(error)
}

/// Waits for an answer: rdkafka's admin client has a thread of its own that wakes this one.
pub(super) fn block_on<T>(request: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut request = pin!(request);
    loop {
        match request.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => std::thread::park(),
        }
    }
}
