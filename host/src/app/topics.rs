//! The topics that a pipeline needs, and whether the cluster's topics fit it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::config::ingest::{Ingest, IngestKind};
use crate::config::manifest::SourceKind;
use crate::config::pipeline::{Deployment, Pipeline};
use crate::fault::{Code, Fault};
use crate::id::{AppId, TopicName};
use crate::kafka::topics::{TopicDescription, TopicPlan};

/// How long a changelog keeps tombstones: local state that is older than half of it is restored from nothing.
pub const CHANGELOG_TOMBSTONES: Duration = Duration::from_secs(7 * 24 * 3600);

/// The newest segment is never compacted, and every restore reads it whole.
const CHANGELOG_SEGMENT_BYTES: u64 = 64 << 20;

/// What the cluster says about the topics that exist.
pub type Facts = BTreeMap<TopicName, TopicDescription>;

/// A topic with all its uses in a pipeline.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Need {
    /// Its name.
    pub name: TopicName,
    /// What it is used as, in the order of the file.
    pub uses: Vec<Use>,
}

/// One use of a topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Use {
    /// The transform or the ingest, such as `ingest classes`.
    pub owner: String,
    /// What it does with the topic.
    pub role: Role,
}

/// What a transform or an ingest does with a topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Role {
    /// It reads it.
    Source(String, SourceKind),
    /// It writes it.
    Sink(String),
    /// It writes the records there that it cannot process.
    DeadLetters,
    /// It keeps its state in it.
    Changelog,
    /// It takes orders of the operator from it.
    Inbox,
    /// It writes there what became of callouts that somebody has to look at.
    Review,
    /// An ingest publishes its rows in it, and learns from it what is published.
    Published,
    /// A carry-over keeps in it how far it is.
    Progress,
    /// An ingest of HTTP remembers requests in it, for so long.
    Requests(Duration),
}

impl Use {
    /// The use as people read it, such as `delivery-time: source items (table)`.
    pub fn describe(&self) -> String {
        let role = match &self.role {
            Role::Source(name, kind) => format!("source {name} ({})", kind.as_str()),
            Role::Sink(name) => format!("sink {name}"),
            Role::DeadLetters => "dead letters".to_owned(),
            Role::Changelog => "changelog".to_owned(),
            Role::Inbox => "inbox".to_owned(),
            Role::Review => "callouts to review".to_owned(),
            Role::Published => "published rows".to_owned(),
            Role::Progress => "progress of the carry-over".to_owned(),
            Role::Requests(_) => "remembered requests".to_owned(),
        };
        format!("{}: {role}", self.owner)
    }
}

impl Need {
    /// Whether the latest record of a key must stay for ever.
    fn is_compacted(&self) -> bool {
        let is_compacted = |role: &Role| match role {
            Role::Source(_, SourceKind::Table | SourceKind::Broadcast)
            | Role::Changelog
            | Role::Published
            | Role::Progress
            | Role::Requests(_) => true,
            Role::Source(_, SourceKind::Stream)
            | Role::Sink(_)
            | Role::DeadLetters
            | Role::Inbox
            | Role::Review => false,
        };
        self.uses.iter().any(|usage| is_compacted(&usage.role))
    }

    /// Whether it belongs to the host alone, which makes it by itself under the application's prefix.
    fn is_internal(&self, app: &AppId) -> bool {
        let is_internal = |role: &Role| match role {
            Role::DeadLetters
            | Role::Changelog
            | Role::Inbox
            | Role::Review
            | Role::Progress
            | Role::Requests(_) => true,
            Role::Source(..) | Role::Sink(_) | Role::Published => false,
        };
        self.uses.iter().all(|usage| is_internal(&usage.role))
            && self.name.as_str().starts_with(&format!("{app}."))
    }

    fn is_changelog(&self) -> bool {
        self.uses.iter().any(|usage| usage.role == Role::Changelog)
    }

    fn is_inbox(&self) -> bool {
        self.uses.iter().any(|usage| usage.role == Role::Inbox)
    }

    /// How long its records are of use, if they are not for ever.
    fn remembers(&self) -> Option<Duration> {
        self.uses.iter().find_map(|usage| match usage.role {
            Role::Requests(remember) => Some(remember),
            _ => None,
        })
    }

    /// Whether one process reads it whole, so that there is nothing to share.
    fn is_of_one_reader(&self) -> bool {
        self.uses.iter().any(|usage| matches!(usage.role, Role::Progress | Role::Requests(_)))
    }

    /// How to make it.
    fn plan(&self, partitions: i32) -> TopicPlan {
        let policy = if self.is_compacted() { "compact" } else { "delete" };
        let mut settings = BTreeMap::from([("cleanup.policy", policy.to_owned())]);
        if self.is_changelog() {
            settings.insert("delete.retention.ms", CHANGELOG_TOMBSTONES.as_millis().to_string());
            settings.insert("segment.bytes", CHANGELOG_SEGMENT_BYTES.to_string());
        }
        if self.is_inbox() {
            // An order waits for its host, however long that stands still.
            settings.insert("retention.ms", "-1".to_owned());
        }
        if let Some(remember) = self.remembers() {
            settings.insert("cleanup.policy", "compact,delete".to_owned());
            settings.insert("retention.ms", remember.as_millis().to_string());
        }
        let partitions = if self.is_of_one_reader() { 1 } else { partitions };
        let settings = settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        TopicPlan { name: self.name.clone(), partitions, replication: None, settings }
    }
}

/// The topics of a pipeline, each once, in the order of their first use.
pub fn needs(pipeline: &Pipeline) -> Vec<Need> {
    let mut needs: Vec<Need> = Vec::new();
    let mut add = |name: &TopicName, owner: String, role: Role| {
        let usage = Use { owner, role };
        match needs.iter_mut().find(|need| need.name == *name) {
            Some(need) => need.uses.push(usage),
            None => needs.push(Need { name: name.clone(), uses: vec![usage] }),
        }
    };
    for deployment in &pipeline.deployments {
        each_of_transform(deployment, &mut add);
    }
    for ingest in &pipeline.ingests {
        each_of_ingest(ingest, &mut add);
    }
    needs
}

fn each_of_transform(deployment: &Deployment, add: &mut impl FnMut(&TopicName, String, Role)) {
    let mut add = |name: &TopicName, role| add(name, deployment.name.to_string(), role);
    for source in deployment.sources.iter().flatten() {
        add(&source.topic, Role::Source(source.name.clone(), source.kind));
    }
    for sink in &deployment.sinks {
        add(&sink.topic, Role::Sink(sink.name.clone()));
    }
    add(&deployment.dead_letters, Role::DeadLetters);
    if deployment.keeps_state() {
        add(&deployment.changelog(), Role::Changelog);
        add(&deployment.inbox(), Role::Inbox);
    }
    if !deployment.endpoints.is_empty() {
        add(&deployment.review, Role::Review);
    }
}

fn each_of_ingest(ingest: &Ingest, add: &mut impl FnMut(&TopicName, String, Role)) {
    let mut add = |name: &TopicName, role| add(name, format!("ingest {}", ingest.name), role);
    add(&ingest.topic, Role::Published);
    match &ingest.kind {
        IngestKind::Sql(_) => {}
        IngestKind::Http(http) => add(&ingest.requests_topic(), Role::Requests(http.remember)),
        IngestKind::Dynamodb(_) => add(&ingest.progress_topic(), Role::Progress),
    }
}

/// The names of all topics of a pipeline.
pub fn names(pipeline: &Pipeline) -> BTreeSet<TopicName> {
    needs(pipeline).into_iter().map(|need| need.name).collect()
}

/// How to make the topics that do not exist yet. A source gets as many partitions as the sources that it is joined
/// with, a changelog or an inbox as many as the sources of its transform; everything else gets `partitions`.
pub fn plans(pipeline: &Pipeline, facts: &Facts, partitions: i32) -> Vec<TopicPlan> {
    let missing = needs(pipeline).into_iter().filter(|need| !facts.contains_key(&need.name));
    let counts = joined_counts(pipeline, facts);
    let count = |name: &TopicName| counts.get(name).copied();
    missing.map(|need| need.plan(task_count(pipeline, count, &need.name).unwrap_or(partitions))).collect()
}

/// The partition counts of the sources that exist, and those that the others must have: a topic that several transforms join
/// hands its count on from one to the next.
fn joined_counts(pipeline: &Pipeline, facts: &Facts) -> BTreeMap<TopicName, i32> {
    let mut counts: BTreeMap<_, _> =
        facts.iter().map(|(name, facts)| (name.clone(), facts.partitions)).collect();
    // Each round reaches one transform more, at least.
    for _ in &pipeline.deployments {
        for deployment in &pipeline.deployments {
            let sources = || deployment.partitioned_sources().map(|source| &source.topic);
            let Some(count) = sources().find_map(|topic| counts.get(topic).copied()) else { continue };
            for topic in sources() {
                counts.entry(topic.clone()).or_insert(count);
            }
        }
    }
    counts
}

/// How to make the missing topics that belong to the host alone. A changelog and an inbox wait for the sources of their transform.
pub fn internal_plans(pipeline: &Pipeline, facts: &Facts) -> Vec<TopicPlan> {
    let missing = needs(pipeline).into_iter().filter(|need| !facts.contains_key(&need.name));
    let ours = missing.filter(|need| need.is_internal(&pipeline.app.id));
    let count = |name: &TopicName| facts.get(name).map(|facts| facts.partitions);
    let plan = |need: Need| match need.is_changelog() || need.is_inbox() {
        true => task_count(pipeline, count, &need.name).map(|count| need.plan(count)),
        // -1 lets the cluster decide how many partitions there are: what somebody has to look at is spread, not joined.
        false => Some(need.plan(-1)),
    };
    ours.filter_map(plan).collect()
}

/// The known partition count of a source of the transforms that this topic belongs to as a source, a changelog or an inbox: it
/// must have as many partitions.
fn task_count(
    pipeline: &Pipeline,
    count: impl Fn(&TopicName) -> Option<i32>,
    name: &TopicName,
) -> Option<i32> {
    let is_of = |deployment: &&Deployment| {
        let mut sources = deployment.partitioned_sources();
        sources.any(|source| source.topic == *name)
            || (deployment.keeps_state() && [deployment.changelog(), deployment.inbox()].contains(name))
    };
    let mut sources = pipeline.deployments.iter().filter(is_of).flat_map(Deployment::partitioned_sources);
    sources.find_map(|source| count(&source.topic))
}

/// Everything about the cluster's topics that does not fit the pipeline; empty when it can run.
///
/// The codes are `topic_missing`, `not_co_partitioned`, `changelog_partition_mismatch` and `topic_unfit`.
pub fn misfits(pipeline: &Pipeline, facts: &Facts) -> Vec<Fault> {
    let missing = missing(pipeline, facts);
    let joins = pipeline.deployments.iter().filter_map(|deployment| not_co_partitioned(deployment, facts));
    let changelogs =
        pipeline.deployments.iter().filter_map(|deployment| changelog_mismatch(deployment, facts));
    let inboxes = pipeline.deployments.iter().filter_map(|deployment| inbox_mismatch(deployment, facts));
    let unfit = needs(pipeline).into_iter().filter_map(|need| unfit(&need, facts));
    missing.into_iter().chain(joins).chain(changelogs).chain(inboxes).chain(unfit).collect()
}

/// One fault for all missing topics: they are made with one command.
fn missing(pipeline: &Pipeline, facts: &Facts) -> Option<Fault> {
    let missing: Vec<_> =
        needs(pipeline).into_iter().filter(|need| !facts.contains_key(&need.name)).collect();
    let names: Vec<_> = missing.iter().map(|need| format!("`{}`", need.name)).collect();
    let message = match missing.as_slice() {
        [] => return None,
        [need] => {
            let uses: Vec<_> = need.uses.iter().map(Use::describe).collect();
            format!("topic {} does not exist ({})", names.join(""), uses.join(", "))
        }
        _ => format!("topics {} do not exist", names.join(", ")),
    };
    Some(Fault::new(Code::TopicMissing, message))
}

fn not_co_partitioned(deployment: &Deployment, facts: &Facts) -> Option<Fault> {
    let count = |topic: &TopicName| facts.get(topic).map(|facts| facts.partitions);
    let counts: Vec<_> = deployment
        .partitioned_sources()
        .filter_map(|source| Some((&source.topic, count(&source.topic)?)))
        .collect();
    let (_, first) = counts.first()?;
    if counts.iter().all(|(_, count)| count == first) {
        return None;
    }
    let message = format!("transform `{}` cannot start: its sources are not co-partitioned", deployment.name);
    let cause: Vec<_> =
        counts.iter().map(|(topic, count)| format!("`{topic}` has {count} partitions")).collect();
    Some(Fault::new(Code::NotCoPartitioned, message).because(cause.join(", ")))
}

/// State lies in the partition with the number of its task: after a change of the count it would be another task's.
fn changelog_mismatch(deployment: &Deployment, facts: &Facts) -> Option<Fault> {
    let name = deployment.changelog();
    let (own, source, count) = other_count(deployment, &name, facts)?;
    let message = format!(
        "transform `{}` cannot start: its changelog has {own} partitions, its source `{source}` has {count}",
        deployment.name
    );
    let cause = format!("topic `{name}` was created for an earlier partition count");
    let hint = format!(
        "restore the old partition count, or start without the state: stop all hosts, \
         delete topic `{name}` and the offsets of group `{}`",
        deployment.group()
    );
    Some(Fault::new(Code::ChangelogPartitionMismatch, message).because(cause).hint(hint))
}

fn inbox_mismatch(deployment: &Deployment, facts: &Facts) -> Option<Fault> {
    let name = deployment.inbox();
    let (own, source, count) = other_count(deployment, &name, facts)?;
    let message = format!(
        "transform `{}` cannot start: its inbox has {own} partitions, its source `{source}` has {count}",
        deployment.name
    );
    let hint =
        format!("stop all hosts and delete topic `{name}`: it is made anew, and orders in it are lost");
    Some(Fault::new(Code::NotCoPartitioned, message).hint(hint))
}

/// The partition count of a topic of a transform that keeps state, with a source that has another count.
fn other_count<'d>(
    deployment: &'d Deployment,
    name: &TopicName,
    facts: &Facts,
) -> Option<(i32, &'d TopicName, i32)> {
    let own = facts.get(name).filter(|_| deployment.keeps_state())?.partitions;
    let (source, count) = deployment
        .partitioned_sources()
        .find_map(|source| Some((&source.topic, facts.get(&source.topic)?.partitions)))?;
    (own != count).then_some((own, source, count))
}

fn unfit(need: &Need, facts: &Facts) -> Option<Fault> {
    let facts = facts.get(&need.name)?;
    let policy = facts.setting("cleanup.policy")?;
    let fault = |usage: &Use, cause: &str, wanted: &str| {
        let message = format!("topic `{}` does not fit its use ({})", need.name, usage.describe());
        let hint = format!("set `cleanup.policy={wanted}` on topic `{}`", need.name);
        Fault::new(Code::TopicUnfit, message).because(cause.to_owned()).hint(hint)
    };
    need.uses.iter().find_map(|usage| match &usage.role {
        Role::Source(_, SourceKind::Broadcast) | Role::Changelog | Role::Published | Role::Progress
            if !facts.keeps_latest() =>
        {
            let cause =
                format!("its `cleanup.policy` is `{policy}`: rows would vanish without being deleted");
            Some(fault(usage, &cause, "compact"))
        }
        Role::DeadLetters if facts.is_compacted() => {
            let cause = "it is compacted: a dead letter may have no key, and would replace another one";
            Some(fault(usage, cause, "delete"))
        }
        Role::Inbox if facts.is_compacted() => {
            let cause = "it is compacted: an order would replace another one";
            Some(fault(usage, cause, "delete"))
        }
        Role::Review if facts.is_compacted() => {
            let cause = "it is compacted: a callout to review would replace another one";
            Some(fault(usage, cause, "delete"))
        }
        // The rows of a table whose topic is not compacted go to the changelog of the transform.
        Role::Source(..)
        | Role::Sink(_)
        | Role::DeadLetters
        | Role::Changelog
        | Role::Inbox
        | Role::Review
        | Role::Published
        | Role::Progress
        | Role::Requests(_) => None,
    })
}

#[cfg(test)]
pub(super) mod tests;
