//! What the tasks of a transform have in common.

use crate::config::manifest::SourceKind;
use crate::config::pipeline::{BatchBounds, BoundSource, Deployment, Limits};
use crate::id::{Offset, Partition, SinkIndex, SourceIndex, TopicName, TopicPartition, TransformName};
use crate::io::TopicFacts;

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
}

/// A topic that a task writes to.
#[derive(Debug)]
pub struct SinkSpec {
    /// The topic.
    pub topic: TopicName,
    /// What it takes.
    pub facts: TopicFacts,
}

impl Spec {
    /// The description of a deployment on a cluster. `facts` tells what a topic takes.
    pub fn new(deployment: &Deployment, tasks: u32, facts: impl Fn(&TopicName) -> TopicFacts) -> Self {
        let sink = |topic: &TopicName| SinkSpec { topic: topic.clone(), facts: facts(topic) };
        let plugin = &deployment.plugin;
        Self {
            transform: deployment.name.clone(),
            plugin: format!("{} {} {}", plugin.name, plugin.version, plugin.digest),
            sources: deployment.sources.clone(),
            sinks: deployment.sinks.iter().map(|bound| sink(&bound.topic)).collect(),
            dead_letters: sink(&deployment.dead_letters),
            limits: deployment.limits,
            batch: deployment.batch,
            tasks: tasks.max(1),
        }
    }

    /// A source that is bound.
    pub fn source(&self, index: SourceIndex) -> Option<&BoundSource> {
        self.sources.get(index.0 as usize).and_then(Option::as_ref)
    }

    /// A sink.
    pub fn sink(&self, index: SinkIndex) -> Option<&SinkSpec> {
        self.sinks.get(index.0 as usize)
    }

    /// The sources that are partitioned among tasks, in the order of the manifest.
    pub fn partitioned(&self) -> impl Iterator<Item = &BoundSource> {
        self.sources.iter().flatten().filter(|source| source.kind != SourceKind::Broadcast)
    }

    /// The sources that every task sees whole, in the order of the manifest.
    pub fn broadcasts(&self) -> impl Iterator<Item = &BoundSource> {
        self.sources.iter().flatten().filter(|source| source.kind == SourceKind::Broadcast)
    }

    /// Where a record of a source lies, in words of Kafka.
    pub fn topic_partition(&self, place: &Place) -> Option<TopicPartition> {
        self.source(place.source).map(|source| TopicPartition::new(&source.topic, place.partition))
    }
}

/// Where a record lies, in words of the transform. The partition is the task's own, or that of a broadcast topic.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    /// The source.
    pub source: SourceIndex,
    /// The partition.
    pub partition: Partition,
    /// The offset.
    pub offset: Offset,
}
