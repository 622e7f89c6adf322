//! The topics that a pipeline needs, and whether the cluster's topics fit it.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::manifest::SourceKind;
use crate::config::pipeline::{Deployment, Pipeline};
use crate::fault::{Code, Fault};
use crate::id::TopicName;
use crate::kafka::topics::{TopicDescription, TopicPlan};
use crate::task::note;

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
    /// The transform.
    pub transform: String,
    /// What the transform does with it.
    pub role: Role,
}

/// What a transform does with a topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Role {
    /// It reads it.
    Source(String, SourceKind),
    /// It writes it.
    Sink(String),
    /// It writes the records there that it cannot process.
    DeadLetters,
}

impl Use {
    /// The use as people read it, such as `delivery-time: source items (table)`.
    pub fn describe(&self) -> String {
        let role = match &self.role {
            Role::Source(name, kind) => format!("source {name} ({})", kind.as_str()),
            Role::Sink(name) => format!("sink {name}"),
            Role::DeadLetters => "dead letters".to_owned(),
        };
        format!("{}: {role}", self.transform)
    }
}

impl Need {
    /// Whether somebody reads it as a table: then the latest record of a key must stay for ever.
    pub fn is_table(&self) -> bool {
        let is_table = |role: &Role| match role {
            Role::Source(_, SourceKind::Table | SourceKind::Broadcast) => true,
            Role::Source(_, SourceKind::Stream) | Role::Sink(_) | Role::DeadLetters => false,
        };
        self.uses.iter().any(|usage| is_table(&usage.role))
    }

    /// How to make it.
    pub fn plan(&self, partitions: i32) -> TopicPlan {
        let policy = if self.is_table() { "compact" } else { "delete" };
        let settings = BTreeMap::from([("cleanup.policy".to_owned(), policy.to_owned())]);
        TopicPlan { name: self.name.clone(), partitions, replication: None, settings }
    }
}

/// The topics of a pipeline, each once, in the order of their first use.
pub fn needs(pipeline: &Pipeline) -> Vec<Need> {
    let mut needs: Vec<Need> = Vec::new();
    let mut add = |name: &TopicName, deployment: &Deployment, role: Role| {
        let usage = Use { transform: deployment.name.to_string(), role };
        match needs.iter_mut().find(|need| need.name == *name) {
            Some(need) => need.uses.push(usage),
            None => needs.push(Need { name: name.clone(), uses: vec![usage] }),
        }
    };
    for deployment in &pipeline.deployments {
        for source in deployment.sources.iter().flatten() {
            add(&source.topic, deployment, Role::Source(source.name.clone(), source.kind));
        }
        for sink in &deployment.sinks {
            add(&sink.topic, deployment, Role::Sink(sink.name.clone()));
        }
        add(&deployment.dead_letters, deployment, Role::DeadLetters);
    }
    needs
}

/// The names of all topics of a pipeline.
pub fn names(pipeline: &Pipeline) -> BTreeSet<TopicName> {
    needs(pipeline).into_iter().map(|need| need.name).collect()
}

/// How to make the topics that do not exist yet. A source gets as many partitions as the sources that it is joined
/// with; everything else gets `partitions`.
pub fn plans(pipeline: &Pipeline, facts: &Facts, partitions: i32) -> Vec<TopicPlan> {
    let missing = needs(pipeline).into_iter().filter(|need| !facts.contains_key(&need.name));
    missing.map(|need| need.plan(joined_count(pipeline, facts, &need.name).unwrap_or(partitions))).collect()
}

/// The partition count of an existing topic that must have as many partitions as this one.
fn joined_count(pipeline: &Pipeline, facts: &Facts, name: &TopicName) -> Option<i32> {
    let reads =
        |deployment: &&Deployment| deployment.partitioned_sources().any(|source| source.topic == *name);
    let others = pipeline.deployments.iter().filter(reads).flat_map(Deployment::partitioned_sources);
    others.filter_map(|source| facts.get(&source.topic)).map(|facts| facts.partitions).next()
}

/// Everything about the cluster's topics that does not fit the pipeline; empty when it can run.
///
/// The codes are `topic_missing`, `not_co_partitioned` and `topic_unfit`.
pub fn misfits(pipeline: &Pipeline, facts: &Facts) -> Vec<Fault> {
    let missing = missing(pipeline, facts);
    let joins = pipeline.deployments.iter().filter_map(|deployment| not_co_partitioned(deployment, facts));
    let unfit = needs(pipeline).into_iter().filter_map(|need| unfit(&need, facts));
    let notes = pipeline.deployments.iter().filter_map(|deployment| note_fits(deployment, facts).err());
    missing.into_iter().chain(joins).chain(unfit).chain(notes).collect()
}

/// Whether a task can always write down how far it is in its broadcast topics.
fn note_fits(deployment: &Deployment, facts: &Facts) -> Result<(), Fault> {
    let partitions =
        |topic| facts.get(topic).map_or(0, |facts| usize::try_from(facts.partitions).unwrap_or(0));
    note::ensure_fits(deployment.broadcast_sources().map(|source| (&source.topic, partitions(&source.topic))))
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

fn unfit(need: &Need, facts: &Facts) -> Option<Fault> {
    let facts = facts.get(&need.name)?;
    let policy = facts.setting("cleanup.policy")?;
    let fault = |usage: &Use, cause: &str, wanted: &str| {
        let message = format!("topic `{}` does not fit its use ({})", need.name, usage.describe());
        let hint = format!("set `cleanup.policy={wanted}` on topic `{}`", need.name);
        Fault::new(Code::TopicUnfit, message).because(cause.to_owned()).hint(hint)
    };
    need.uses.iter().find_map(|usage| match &usage.role {
        Role::Source(_, SourceKind::Table | SourceKind::Broadcast) if policy != "compact" => {
            let cause =
                format!("its `cleanup.policy` is `{policy}`: rows would vanish without being deleted");
            Some(fault(usage, &cause, "compact"))
        }
        Role::DeadLetters if facts.is_compacted() => {
            let cause = "it is compacted: a dead letter may have no key, and would replace another one";
            Some(fault(usage, cause, "delete"))
        }
        Role::Source(..) | Role::Sink(_) | Role::DeadLetters => None,
    })
}

#[cfg(test)]
mod tests;
