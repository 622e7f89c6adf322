//! What the tasks of a transform have in common.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::endpoint::BoundEndpoint;
use crate::config::manifest::SourceKind;
use crate::config::pipeline::{BatchBounds, BoundSource, Deployment, JobBounds, Limits, Start, StateBounds};
use crate::id::{Offset, Partition, SinkIndex, SourceIndex, TopicName, TopicPartition, TransformName};
use crate::io::TopicFacts;

/// Half of the time for which changelogs keep tombstones (`delete.retention.ms`, 7 days).
const COPY_AGE_MAX: Duration = Duration::from_secs(7 * 24 * 3600 / 2);

/// The description of a transform, as its tasks need it.
#[derive(Debug)]
pub struct Spec {
    /// The transform.
    pub transform: TransformName,
    /// The plugin's name, version and digest, as dead letters show them.
    pub plugin: String,
    /// The sources, by their position in the manifest; none where an optional one is unbound.
    pub sources: Vec<Option<BoundSource>>,
    /// The sinks, by their position in the manifest.
    pub sinks: Vec<SinkSpec>,
    /// Where rejected records go.
    pub dead_letters: SinkSpec,
    /// What the plugin may use.
    pub limits: Limits,
    /// How much goes into one call.
    pub batch: BatchBounds,
    /// How many tasks the transform has, on all hosts together: the partition count of its sources.
    pub tasks: u32,
    /// What its tasks keep.
    pub state: StateSpec,
    /// Where orders of the operator come from, as one more source; none for a transform that keeps nothing.
    pub inbox: Option<BoundSource>,
    /// What its tasks may call.
    pub callouts: CalloutSpec,
}

/// What the tasks of a transform may call.
#[derive(Debug)]
pub struct CalloutSpec {
    /// The endpoints, by their position in the manifest.
    pub endpoints: Vec<BoundEndpoint>,
    /// With so many callouts that have not ended a task takes no more records.
    pub pending: usize,
    /// Where the host writes what became of callouts that are in doubt or given up.
    pub review: SinkSpec,
    /// How long a new owner waits, beside the longest time of a call, before it says that one is in doubt.
    pub settle: Duration,
}

impl CalloutSpec {
    /// An endpoint by its name in the manifest.
    pub(crate) fn endpoint(&self, name: &str) -> Option<&BoundEndpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.name == name)
    }
}

/// The inbox as a source; no manifest has so many.
pub const INBOX: SourceIndex = SourceIndex(u32::MAX);

/// Timers as a source, which lies in no topic: their offsets are their numbers.
pub const TIMERS: SourceIndex = SourceIndex(u32::MAX - 1);

/// Answers to callouts as a source, which lies in no topic: their offsets are the numbers of the callouts.
pub const ANSWERS: SourceIndex = SourceIndex(u32::MAX - 2);

/// What a source of the host's own is called where sources are named.
pub(crate) fn own_name(source: SourceIndex) -> Option<&'static str> {
    match source {
        TIMERS => Some("timers"),
        ANSWERS => Some("callouts"),
        _ => None,
    }
}

/// The time-out of transactions: so long a predecessor may still commit what it knows about a call.
const SETTLE: Duration = Duration::from_secs(15);

fn inbox(deployment: &Deployment) -> Option<BoundSource> {
    deployment.keeps_state().then(|| BoundSource {
        index: INBOX,
        name: "inbox".to_owned(),
        kind: SourceKind::Stream,
        topic: deployment.inbox(),
        start: Start::Earliest,
        previous: false,
    })
}

/// Ids of topics, by name.
pub type TopicIds = BTreeMap<TopicName, String>;

/// What the tasks of a transform keep.
#[derive(Clone, Debug)]
pub struct StateSpec {
    /// Where it is logged; none for a transform that keeps nothing.
    pub changelog: Option<TopicName>,
    /// The version of the plugin's own formats.
    pub version: u32,
    /// The digest of the plugin.
    pub plugin: String,
    /// The plugin's stores, by name.
    pub stores: Vec<String>,
    /// The indexes on stores and tables.
    pub indexes: Vec<IndexSpec>,
    /// The kinds of job that the plugin has.
    pub jobs: Vec<String>,
    /// Whether the plugin takes timers.
    pub timers: bool,
    /// The table sources whose topic is compacted, and so is their changelog.
    pub own_changelogs: Vec<SourceIndex>,
    /// The ids of the topics that the cluster tells: a topic that is made anew gets another one.
    pub topic_ids: TopicIds,
    /// How jobs share the task with records.
    pub steps: StepBounds,
    /// The most that one call may write, in bytes.
    pub call_bytes: u64,
    /// A transaction in which so much was written is committed, in bytes.
    pub transaction_bytes: u64,
    /// A local copy that was not touched for this long may have missed deletions.
    pub copy_age_max: Duration,
}

impl Default for StateSpec {
    /// A transform that keeps nothing.
    fn default() -> Self {
        let StateBounds { call_bytes, transaction_bytes } = StateBounds::default();
        Self {
            changelog: None,
            version: 1,
            plugin: String::new(),
            stores: Vec::new(),
            indexes: Vec::new(),
            jobs: Vec::new(),
            timers: false,
            own_changelogs: Vec::new(),
            topic_ids: TopicIds::new(),
            steps: StepBounds::default(),
            call_bytes,
            transaction_bytes,
            copy_age_max: COPY_AGE_MAX,
        }
    }
}

impl StateSpec {
    /// The ids of these topics, as far as they are known.
    pub(crate) fn ids_of<'t>(&self, topics: impl Iterator<Item = &'t TopicName>) -> TopicIds {
        topics.filter_map(|topic| Some((topic.clone(), self.topic_ids.get(topic)?.clone()))).collect()
    }

    /// Whether a topic that had this id, as far as that was known, was made anew since.
    pub(crate) fn is_made_anew(&self, topic: &TopicName, before: &TopicIds) -> bool {
        let ids = before.get(topic).zip(self.topic_ids.get(topic));
        ids.is_some_and(|(before, now)| before != now)
    }

    fn new(deployment: &Deployment, keeps_latest: impl Fn(&TopicName) -> bool) -> Self {
        let tables = deployment.partitioned_sources().filter(|source| source.kind == SourceKind::Table);
        let own_changelogs = tables.filter(|source| keeps_latest(&source.topic)).map(|source| source.index);
        let indexes = deployment.indexes.iter().map(|index| IndexSpec {
            name: index.name.clone(),
            on: index.on.clone(),
            identity: format!("{} {} {}", index.name, index.version, index.config_digest),
        });
        Self {
            changelog: deployment.keeps_state().then(|| deployment.changelog()),
            version: deployment.state_version,
            plugin: deployment.plugin.digest.to_string(),
            stores: deployment.stores.iter().map(|store| store.name.clone()).collect(),
            indexes: indexes.collect(),
            jobs: deployment.jobs.clone(),
            timers: deployment.timers,
            own_changelogs: own_changelogs.collect(),
            topic_ids: TopicIds::new(),
            steps: deployment.job_bounds.into(),
            call_bytes: deployment.state_bounds.call_bytes,
            transaction_bytes: deployment.state_bounds.transaction_bytes,
            copy_age_max: COPY_AGE_MAX,
        }
    }
}

/// An index.
#[derive(Clone, Debug)]
pub struct IndexSpec {
    /// Its name.
    pub name: String,
    /// The store or table that it is on.
    pub on: String,
    /// Changes with the meaning of its terms.
    pub identity: String,
}

/// How jobs share the task with records.
#[derive(Clone, Copy, Debug)]
pub struct StepBounds {
    /// Outputs of one step.
    pub outputs: u32,
    /// The share of the task's time that jobs may take while records wait; more than 0, less than 1.
    pub share: f64,
    /// Outputs of all jobs of a task in a second.
    pub outputs_per_second: Option<u32>,
}

impl From<JobBounds> for StepBounds {
    fn from(bounds: JobBounds) -> Self {
        let JobBounds { step_outputs: outputs, share, outputs_per_second } = bounds;
        Self { outputs, share, outputs_per_second }
    }
}

impl Default for StepBounds {
    fn default() -> Self {
        JobBounds::default().into()
    }
}

/// A topic that a task writes to.
#[derive(Debug)]
pub struct SinkSpec {
    /// The topic.
    pub topic: TopicName,
    /// What it takes.
    pub facts: TopicFacts,
    /// The broadcast sources whose position its records carry.
    pub after: Vec<SourceIndex>,
}

impl Spec {
    /// The description of a deployment on a cluster. `facts` tells what a topic takes, `keeps_latest` whether it holds the
    /// latest record of each key for ever.
    pub fn new(
        deployment: &Deployment,
        tasks: u32,
        facts: impl Fn(&TopicName) -> TopicFacts,
        keeps_latest: impl Fn(&TopicName) -> bool,
    ) -> Self {
        let sink = |topic: &TopicName, after: &[SourceIndex]| SinkSpec {
            topic: topic.clone(),
            facts: facts(topic),
            after: after.to_vec(),
        };
        let plugin = &deployment.plugin;
        Self {
            transform: deployment.name.clone(),
            plugin: format!("{} {} {}", plugin.name, plugin.version, plugin.digest),
            sources: deployment.sources.clone(),
            sinks: deployment.sinks.iter().map(|bound| sink(&bound.topic, &bound.after)).collect(),
            dead_letters: sink(&deployment.dead_letters, &[]),
            limits: deployment.limits,
            batch: deployment.batch,
            tasks: tasks.max(1),
            state: StateSpec::new(deployment, keeps_latest),
            inbox: inbox(deployment),
            callouts: CalloutSpec {
                endpoints: deployment.endpoints.clone(),
                pending: deployment.callout_bounds.pending.max(1),
                review: sink(&deployment.review, &[]),
                settle: SETTLE,
            },
        }
    }

    /// Adds the ids of topics.
    #[must_use]
    pub fn with_topic_ids(mut self, ids: TopicIds) -> Self {
        self.state.topic_ids = ids;
        self
    }

    /// A source that is bound, or the inbox.
    pub fn source(&self, index: SourceIndex) -> Option<&BoundSource> {
        match index {
            INBOX => self.inbox.as_ref(),
            index => self.sources.get(index.0 as usize).and_then(Option::as_ref),
        }
    }

    /// What a source is called, also one that lies in no topic.
    pub(crate) fn source_name(&self, index: SourceIndex) -> &str {
        let own = || own_name(index).unwrap_or_default();
        self.source(index).map_or_else(own, |source| source.name.as_str())
    }

    /// A sink.
    pub fn sink(&self, index: SinkIndex) -> Option<&SinkSpec> {
        self.sinks.get(index.0 as usize)
    }

    /// The sources that are partitioned among tasks, in the order of the manifest, and behind them the inbox.
    pub fn partitioned(&self) -> impl Iterator<Item = &BoundSource> {
        let own = self.sources.iter().flatten().filter(|source| source.kind != SourceKind::Broadcast);
        own.chain(&self.inbox)
    }

    /// The sources that every task sees whole, in the order of the manifest.
    pub fn broadcasts(&self) -> impl Iterator<Item = &BoundSource> {
        self.sources.iter().flatten().filter(|source| source.kind == SourceKind::Broadcast)
    }

    /// Where a record of a source lies, in words of Kafka; what lies in no topic has the name of its kind there.
    pub fn topic_partition(&self, place: &Place) -> Option<TopicPartition> {
        let own = || own_name(place.source).map(TopicName::new);
        let topic = self.source(place.source).map(|source| source.topic.clone()).or_else(own)?;
        Some(TopicPartition::new(&topic, place.partition))
    }
}

/// Where a record lies, in words of the transform. The partition is the task's own, or that of a broadcast topic.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    /// The source.
    pub source: SourceIndex,
    /// The partition.
    pub partition: Partition,
    /// Whether it is not met at its place in a topic: a row that is handed out again, a timer, an answer. Before the offset, so
    /// that ranges are of one sort.
    pub is_apart: bool,
    /// The offset.
    pub offset: Offset,
}
