//! What a task makes of `gristmill-after`.

use std::panic::catch_unwind;

use super::*;
use crate::id::Timestamp;
use crate::record::{Chunk, Header};
use crate::sabotage::{BROKEN, Rule};

/// A record that waits for an offset of the classes.
fn after(offset: i64, value: &str, awaited: &str) -> Chunk {
    let mut chunk = Chunk::new();
    let header = Header::new("gristmill-after", awaited.as_bytes());
    chunk.push(Some(b"key"), Some(value.as_bytes()), [header], (Timestamp(0), Offset(offset)));
    chunk
}

fn class(offset: i64) -> Chunk {
    chunk(offset, &[("drop-c", 0)])
}

#[test]
fn takes_a_record_only_behind_what_it_names_and_lets_other_sources_go_on() {
    let mut bench = bench();
    bench.class(&class(0));
    bench.task.records(&place("updates"), after(0, "a", "classes/0@2"));
    bench.task.records(&place("items"), chunk(0, &[("b", 9)]));

    assert_eq!(values(&bench.drain(), "out"), ["b"]);
    assert_eq!(bench.task.unsure(), Some(&(place("classes"), Offset(2))));
    bench.task.answered(Offset(3));
    assert_eq!(values(&bench.drain(), "out"), [""; 0], "the topic holds it, so it will come");
    bench.class(&class(2));

    assert_eq!(values(&bench.drain(), "out"), ["a"]);
}

#[test]
fn notices_that_the_header_is_ignored() {
    BROKEN.set(Some(Rule::CausalHeader));
    let outcome = catch_unwind(takes_a_record_only_behind_what_it_names_and_lets_other_sources_go_on);
    BROKEN.set(None);

    assert!(outcome.is_err(), "nobody noticed");
}

#[test]
fn does_not_wait_for_an_offset_that_the_topic_does_not_hold() {
    let mut bench = bench();
    bench.task.records(&place("updates"), after(0, "a", "classes/0@70"));
    assert!(bench.drain().is_empty());

    bench.task.answered(Offset(70));

    assert_eq!(values(&bench.drain(), "out"), ["a"]);
}

#[test]
fn does_not_wait_for_topics_that_are_no_broadcast_source_nor_for_what_is_no_position() {
    let mut bench = bench();
    for (offset, awaited) in (0..).zip(["items/0@99", "classes", "", "classes/x@1", "other/0@5,"]) {
        bench.task.records(&place("updates"), after(offset, "a", awaited));
    }

    assert_eq!(values(&bench.drain(), "out").len(), 5);
}

#[test]
fn stamps_the_records_of_sinks_that_say_after_what_with_the_applied_position() {
    let mut spec = spec(BATCH, 10_000);
    spec.sinks[0].after = vec![SourceIndex(1)];
    let mut bench = Bench::new(spec, interpreter);
    bench.task.records(&place("items"), chunk(0, &[("a", 0)]));
    let before = bench.drain();
    bench.class(&class(4));
    bench.task.records(&place("items"), chunk(1, &[("b", 0)]));

    let behind = bench.drain();

    assert!(before[0].headers.iter().all(|(name, _)| name != "gristmill-after"));
    assert_eq!(behind[0].header("gristmill-after"), "classes/0@4");
}

#[test]
fn tells_a_plugin_how_far_its_broadcast_sources_are_applied() {
    let told = |batch: &Batch<'_>, state: &dyn State| {
        let mut outcome = Outcome::default();
        if batch.source == SourceIndex(0) {
            let applied = state.applied("classes").unwrap();
            output(&mut outcome, (0, Some(0)), None, &format!("{applied:?}"));
            assert!(state.applied("items").is_err(), "it is no broadcast source");
        }
        Ok(outcome)
    };
    let mut bench = Bench::new(spec(BATCH, 10_000), told);
    bench.task.records(&place("items"), chunk(0, &[("a", 0)]));
    let before = values(&bench.drain(), "out").join("");
    bench.class(&class(4));
    bench.task.records(&place("items"), chunk(1, &[("b", 0)]));

    let behind = values(&bench.drain(), "out").join("");

    assert_eq!([before.as_str(), behind.as_str()], ["[]", "[(Partition(0), Offset(5))]"]);
}
