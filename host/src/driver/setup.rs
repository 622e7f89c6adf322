//! Before a scenario begins: topics, and the transforms of the pipeline.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::clock::Clock;
use crate::config::manifest::SourceKind;
use crate::config::pipeline::{Deployment, Pipeline};
use crate::driver::Driver;
use crate::driver::faults::Calls;
use crate::fault::{Code, Fault};
use crate::id::{TaskId, Timestamp, TopicName};
use crate::io::{Instance, TopicFacts, Transform};
use crate::memory::{Cluster, MemoryServer, Timeouts};
use crate::task::spec::Spec;

/// When a scenario begins, unless told otherwise: 1 January 2025.
const START: Timestamp = Timestamp(1_735_689_600_000);

/// Makes the transform of a deployment: what the driver does not know how to load.
pub type Make<'a> = &'a mut dyn FnMut(&Deployment) -> Result<Box<dyn Transform>, Fault>;

/// What a topic is like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// How many partitions it has.
    pub partitions: usize,
    /// Whether its cleanup policy is `compact`. It is compacted when the scenario says so, and not by itself.
    pub is_compacted: bool,
}

/// A driver that is being set up.
#[derive(Debug)]
pub struct Setup<'a> {
    pipeline: &'a Pipeline,
    partitions: usize,
    topics: BTreeMap<TopicName, Layout>,
    server: Option<MemoryServer>,
    start: Timestamp,
}

impl<'a> Setup<'a> {
    pub(super) fn new(pipeline: &'a Pipeline) -> Self {
        Self { pipeline, partitions: 1, topics: BTreeMap::new(), server: None, start: START }
    }

    /// Partitions of every source and sink that [`Setup::topic`] does not name; broadcast topics have one. Without this
    /// they all have one.
    #[must_use]
    pub fn partitions(mut self, partitions: usize) -> Self {
        self.partitions = partitions.max(1);
        self
    }

    /// Describes a topic, of the pipeline or another one. What is not described is as `gristmill topics --create` makes it:
    /// tables, broadcasts and changelogs are compacted.
    #[must_use]
    pub fn topic(mut self, name: &str, layout: Layout) -> Self {
        self.topics.insert(name.into(), layout);
        self
    }

    /// What takes the callouts of all transforms, whatever the base URLs of their endpoints. Without one they wait for ever. Rates
    /// and time-outs of endpoints do not count.
    #[must_use]
    pub fn server(mut self, server: &MemoryServer) -> Self {
        self.server = Some(server.clone());
        self
    }

    /// The time at which the scenario begins.
    #[must_use]
    pub fn at(mut self, start: Timestamp) -> Self {
        self.start = start;
        self
    }

    /// Makes the topics and the transforms. No host runs yet.
    ///
    /// # Errors
    /// `not_co_partitioned`, and what `make` answers.
    pub fn begin(self, make: Make<'_>) -> Result<Driver, Fault> {
        let mut layouts = BTreeMap::new();
        for deployment in &self.pipeline.deployments {
            self.lay_out(deployment, &mut layouts);
        }
        layouts.extend(self.topics);
        let mut transforms = Vec::with_capacity(self.pipeline.deployments.len());
        for deployment in &self.pipeline.deployments {
            let tasks = tasks(deployment, &layouts)?;
            if deployment.keeps_state() {
                let changelog = Layout { partitions: tasks, is_compacted: true };
                layouts.entry(deployment.changelog()).or_insert(changelog);
                layouts.entry(deployment.inbox()).or_insert(Layout { is_compacted: false, ..changelog });
            }
            transforms.push(Rc::new(Staged::new(deployment, tasks, &layouts, make)?));
        }
        let clock = Clock::manual(self.start);
        let cluster = Cluster::new(&clock, Timeouts::default());
        for (topic, layout) in &layouts {
            cluster.create(topic, layout.partitions, layout.facts());
        }
        let calls = Rc::new(Calls::default());
        cluster.hook(Rc::clone(&calls) as Rc<dyn crate::memory::Hook>);
        Ok(Driver::of((clock, cluster, self.server), transforms, calls))
    }

    /// What the topics of a transform are like that nobody has described. A topic with several uses suits them all.
    fn lay_out(&self, deployment: &Deployment, layouts: &mut BTreeMap<TopicName, Layout>) {
        let mut add = |topic: &TopicName, partitions: usize, is_compacted: bool| {
            let layout = layouts.entry(topic.clone()).or_insert(Layout { partitions, is_compacted });
            layout.partitions = layout.partitions.max(partitions);
            layout.is_compacted |= is_compacted;
        };
        for source in deployment.sources.iter().flatten() {
            match source.kind {
                SourceKind::Stream => add(&source.topic, self.partitions, false),
                SourceKind::Table => add(&source.topic, self.partitions, true),
                SourceKind::Broadcast => add(&source.topic, 1, true),
            }
        }
        deployment.sinks.iter().for_each(|sink| add(&sink.topic, self.partitions, false));
        add(&deployment.dead_letters, 1, false);
        if !deployment.endpoints.is_empty() {
            add(&deployment.review, 1, false);
        }
    }
}

impl Layout {
    fn facts(self) -> TopicFacts {
        TopicFacts { compacted: self.is_compacted, ..TopicFacts::default() }
    }
}

/// How many tasks a transform has: as many as each of its partitioned sources has partitions.
fn tasks(deployment: &Deployment, layouts: &BTreeMap<TopicName, Layout>) -> Result<usize, Fault> {
    let count = |topic: &TopicName| layouts.get(topic).map_or(1, |layout| layout.partitions);
    let counts: Vec<_> =
        deployment.partitioned_sources().map(|source| (&source.topic, count(&source.topic))).collect();
    let Some((_, tasks)) = counts.first().copied() else { return Ok(1) };
    if counts.iter().all(|(_, count)| *count == tasks) {
        return Ok(tasks);
    }
    let counts: Vec<_> = counts.iter().map(|(topic, count)| format!("`{topic}` has {count}")).collect();
    let message = format!("transform `{}` cannot start: its sources are not co-partitioned", deployment.name);
    Err(Fault::new(Code::NotCoPartitioned, message).because(counts.join(", ")))
}

/// A transform of the pipeline, ready for any number of processes.
pub(super) struct Staged {
    pub(super) deployment: Deployment,
    pub(super) spec: Arc<Spec>,
    transform: Rc<dyn Transform>,
}

impl Staged {
    fn new(
        deployment: &Deployment,
        tasks: usize,
        layouts: &BTreeMap<TopicName, Layout>,
        make: Make<'_>,
    ) -> Result<Self, Fault> {
        let layout = |topic: &TopicName| layouts.get(topic).copied();
        let facts = |topic: &TopicName| layout(topic).map(Layout::facts).unwrap_or_default();
        let keeps_latest = |topic: &TopicName| layout(topic).is_some_and(|layout| layout.is_compacted);
        let tasks = u32::try_from(tasks).unwrap_or(u32::MAX);
        let spec = Spec::new(deployment, tasks, facts, keeps_latest);
        let transform = Rc::from(make(deployment)?);
        Ok(Self { deployment: deployment.clone(), spec: Arc::new(spec), transform })
    }

    /// A transform for one worker.
    pub(super) fn transform(&self) -> Box<dyn Transform> {
        Box::new(Shared(Rc::clone(&self.transform)))
    }
}

/// A transform that the workers of all processes share: what they make of it, they have for themselves.
struct Shared(Rc<dyn Transform>);

impl Transform for Shared {
    fn instance(&self, task: &TaskId) -> Result<Box<dyn Instance>, Fault> {
        self.0.instance(task)
    }
}
