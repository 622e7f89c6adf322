//! Whether the keys of sources that are joined lie where they must: the same key in the same partition of each.
//!
//! The host and Java's clients put a key where murmur2 of it says. A producer with another partitioner puts it elsewhere, and
//! every join with it silently finds nothing. So a sample of each source is looked at before a transform starts. One
//! misplaced key is enough to refuse: a good producer never makes one, and its record would meet nothing.

use std::collections::BTreeMap;

use crate::app::topics::Facts;
use crate::config::pipeline::{Deployment, KeyPlacement, Pipeline};
use crate::event;
use crate::fault::{Code, Fault, Retry};
use crate::id::{Offset, Partition, TopicName, TopicPartition};
use crate::io::partition_of;
use crate::kafka::sample;

/// What a sample of a topic shows.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Records with a key.
    keyed: usize,
    /// Those of them that lie in another partition than their key says.
    misplaced: usize,
    example: Option<Misplaced>,
}

/// A record in the wrong partition, without its key: what records hold is never shown.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Misplaced {
    place: TopicPartition,
    offset: Offset,
    belongs: Partition,
}

/// What samples show, by topic.
pub type Tallies = BTreeMap<TopicName, Tally>;

/// Looks at a sample of each source of these transforms whose keys matter. When the cluster cannot be asked at this moment,
/// nothing is known, and the log says so.
///
/// # Errors
/// `not_authorized`, `topic_missing`.
pub fn look<'d>(
    pipeline: &Pipeline,
    deployments: impl IntoIterator<Item = &'d Deployment>,
    facts: &Facts,
) -> Result<Tallies, Fault> {
    let checked = deployments.into_iter().filter(|deployment| is_checked(deployment));
    let topics = checked.flat_map(Deployment::partitioned_sources).map(|source| &source.topic);
    let counted = topics.filter_map(|topic| Some((topic.clone(), facts.get(topic)?.partitions)));
    let counts: BTreeMap<_, _> = counted.collect();
    let mut tallies = Tallies::new();
    if counts.is_empty() {
        return Ok(tallies);
    }
    let topics: Vec<_> = counts.clone().into_iter().collect();
    let group = format!("{}.check", pipeline.app.id);
    let read = sample::sample(&pipeline.kafka, &group, &topics, |place, record| {
        let Some((key, partitions)) = record.key().zip(counts.get(&place.topic)) else { return };
        let tally = tallies.entry(place.topic.clone()).or_default();
        tally.add(place, record.offset(), partition_of(key, *partitions));
    });
    match read {
        Err(fault) if fault.code().retry() == Retry::Backoff => event::KeysUnchecked { fault: &fault }.emit(),
        read => read?,
    }
    Ok(tallies)
}

fn is_checked(deployment: &Deployment) -> bool {
    deployment.joins() && deployment.key_placement == KeyPlacement::Check
}

impl Tally {
    fn add(&mut self, place: &TopicPartition, offset: Offset, belongs: Partition) {
        self.keyed += 1;
        if belongs == place.partition {
            return;
        }
        self.misplaced += 1;
        self.example.get_or_insert_with(|| Misplaced { place: place.clone(), offset, belongs });
    }
}

/// Why a transform must not start, if keys of its sources lie elsewhere than they must.
pub fn misplaced(deployment: &Deployment, facts: &Facts, tallies: &Tallies) -> Option<Fault> {
    if !is_checked(deployment) {
        return None;
    }
    let topics = || deployment.partitioned_sources().map(|source| &source.topic);
    let is_wrong = |topic: &&TopicName| tallies.get(*topic).is_some_and(|tally| tally.misplaced > 0);
    let wrong: Vec<_> = topics().filter(is_wrong).map(|topic| format!("`{topic}`")).collect();
    if wrong.is_empty() {
        return None;
    }
    let message = format!(
        "transform `{}` cannot start: keys of its source {} do not lie where the default partitioner of Java clients puts \
         them, so it would join nothing with them",
        deployment.name,
        wrong.join(" and ")
    );
    let cause: Vec<_> = topics().map(|topic| describe(topic, facts, tallies.get(topic))).collect();
    let hint = format!(
        "let its producers use murmur2 (`partitioner=murmur2_random` in clients that are built on librdkafka) and write \
         the topic anew; it needs that too when partitions were added to it. If all sources are partitioned by the same \
         other rule, set `key_placement = \"ignore\"` in `[transforms.{}]`",
        deployment.name
    );
    Some(Fault::new(Code::KeysMisplaced, message).because(cause.join(", ")).hint(hint))
}

fn describe(topic: &TopicName, facts: &Facts, tally: Option<&Tally>) -> String {
    let partitions = facts.get(topic).map_or(0, |facts| facts.partitions);
    let head = format!("`{topic}` has {partitions} partitions");
    match tally {
        None => format!("{head} and no recent records with keys"),
        Some(Tally { keyed, example: None, .. }) => format!("{head} and all {keyed} sampled keys lie right"),
        Some(Tally { keyed, misplaced, example: Some(example) }) => format!(
            "{head} and {misplaced} of {keyed} sampled keys lie wrong, such as that of the record at {}@{}, which \
             belongs to partition {}",
            example.place, example.offset, example.belongs
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::topics::tests::{FILE, GOOD, facts, pipeline_of};

    fn tallies(topic: &str, places: &[(i32, i32)]) -> Tallies {
        let mut tally = Tally::default();
        for (offset, (lies, belongs)) in (0..).zip(places) {
            let place = TopicPartition::new(&topic.into(), Partition(*lies));
            tally.add(&place, Offset(offset), Partition(*belongs));
        }
        [(topic.into(), tally)].into()
    }

    fn fault(file: &str, tallies: &Tallies) -> Option<Fault> {
        misplaced(&pipeline_of(file).deployments[0], &facts(&GOOD), tallies)
    }

    #[test]
    fn refuses_one_misplaced_key_among_many_and_says_where_it_lies_and_where_it_belongs() {
        let report = fault(FILE, &tallies("b", &[(0, 0), (3, 5), (1, 1)])).unwrap().report();

        assert_eq!(
            report,
            "error: transform `j` cannot start: keys of its source `b` do not lie where the default partitioner of Java \
             clients puts them, so it would join nothing with them\n  caused by: `a` has 6 partitions and no recent \
             records with keys, `b` has 6 partitions and 1 of 3 sampled keys lie wrong, such as that of the record at \
             b/3@1, which belongs to partition 5\nhint: let its producers use murmur2 (`partitioner=murmur2_random` in \
             clients that are built on librdkafka) and write the topic anew; it needs that too when partitions were added \
             to it. If all sources are partitioned by the same other rule, set `key_placement = \"ignore\"` in \
             `[transforms.j]`\ncode: keys_misplaced"
        );
    }

    #[test]
    fn takes_topics_whose_keys_lie_right_or_that_hold_nothing() {
        assert!(fault(FILE, &tallies("b", &[(0, 0), (5, 5)])).is_none());
        assert!(fault(FILE, &Tallies::new()).is_none());
    }

    #[test]
    fn does_not_judge_what_the_operator_does_not_want_to_be_judged() {
        let file = FILE.replace("[transforms.j]", "[transforms.j]\nkey_placement = 'ignore'");

        assert!(fault(&file, &tallies("b", &[(3, 5)])).is_none());
    }
}
