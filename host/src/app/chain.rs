//! How transforms are connected through topics, and whether they form a circle.

use std::collections::{BTreeSet, VecDeque};

use crate::config::pipeline::{Deployment, Pipeline};
use crate::id::{TopicName, TransformName};

/// The circles of a pipeline: transforms each of which writes what the next one reads, and the last what the first one
/// reads. Each is told once, by its shortest way from its first transform in the file.
///
/// A circle can be meant: a loop that walks a tree level by level ends. So it is shown and not refused.
pub fn circles(pipeline: &Pipeline) -> Vec<Vec<TransformName>> {
    let mut known = BTreeSet::new();
    let mut found = Vec::new();
    for (first, deployment) in pipeline.deployments.iter().enumerate() {
        let later = pipeline.deployments.get(first..).unwrap_or_default();
        let Some(circle) = circle(deployment, later) else { continue };
        if known.insert(circle.iter().cloned().collect::<BTreeSet<_>>()) {
            found.push(circle);
        }
    }
    found
}

/// The shortest way from a transform back to it, through these.
fn circle(start: &Deployment, among: &[Deployment]) -> Option<Vec<TransformName>> {
    let mut seen = BTreeSet::new();
    let mut ways: VecDeque<Vec<&Deployment>> = [vec![start]].into();
    while let Some(way) = ways.pop_front() {
        let here = *way.last()?;
        if way.len() > 1 && feeds(here, start) {
            return Some(way.into_iter().map(|deployment| deployment.name.clone()).collect());
        }
        let next = among.iter().filter(|other| other.name != start.name && feeds(here, other));
        for other in next {
            if seen.insert(&other.name) {
                ways.push_back(way.iter().copied().chain([other]).collect());
            }
        }
    }
    None
}

/// Whether one writes what the other one reads.
fn feeds(one: &Deployment, other: &Deployment) -> bool {
    let reads = |topic: &TopicName| other.sources.iter().flatten().any(|source| source.topic == *topic);
    one.sinks.iter().map(|sink| &sink.topic).chain([&one.dead_letters]).any(reads)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::topics::tests::chain;

    fn found(transforms: &[(&str, &str, &str)]) -> Vec<String> {
        let circles = circles(&chain(transforms));
        let names = circles.iter().map(|circle| circle.iter().map(TransformName::as_str).collect::<Vec<_>>());
        names.map(|names| names.join(" ")).collect()
    }

    #[test]
    fn finds_no_circle_in_a_chain() {
        assert_eq!(found(&[("a", "1", "2"), ("b", "2", "3"), ("c", "3", "4")]), [""; 0]);
    }

    #[test]
    fn tells_each_circle_once() {
        assert_eq!(found(&[("a", "1", "2"), ("b", "2", "3"), ("c", "3", "1")]), ["a b c"]);
        assert_eq!(found(&[("x", "0", "1"), ("a", "1", "2"), ("b", "2", "1")]), ["a b"]);
        assert_eq!(
            found(&[("a", "1", "2"), ("b", "2", "1"), ("c", "3", "4"), ("d", "4", "3")]),
            ["a b", "c d"]
        );
    }

    #[test]
    fn sees_that_dead_letters_are_read() {
        assert_eq!(found(&[("a", "1", "2"), ("b", "shop.a.dead-letters", "1")]), ["a b"]);
    }
}
