//! What a task makes of records and of a plugin's answers.
//!
//! Long because it is a list: one short test for each thing that a task promises, all on the same fixture.

mod appointments;
mod causal;
mod fixture;
mod indexes;
mod jobs;
mod orders;
mod rebuilds;
mod restores;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::config::pipeline::BatchBounds;
use crate::event::registry;
use crate::fault::Code;
use crate::id::{Partition, SourceIndex};
use crate::io::{Batch, CallError, Outcome, Rejection, State, StoreIndex};
use crate::task::spec::Place;
use crate::task::tests::fixture::{Bench, Out, chunk, output, place, spec};

const BATCH: BatchBounds = BatchBounds { records: 4, bytes: 1_000 };

/// Does what stands in the records: `drop`, `no`, `trap`, `slow`, `loose` (an output without a cause), `bad` (a sink that
/// does not exist); anything else is copied.
fn interpreter(batch: &Batch<'_>, _: &dyn State) -> Result<Outcome, CallError> {
    let mut outcome = Outcome::default();
    for (index, record) in (0u32..).zip(batch.records.iter()) {
        let value = std::str::from_utf8(record.value().unwrap_or_default()).unwrap();
        match value.split('-').next().unwrap() {
            "drop" => outcome.skipped.push(("not-wanted".into(), 1)),
            "no" => {
                outcome.rejected.push(Rejection { index, code: "no-thanks".into(), message: "no".into() })
            }
            "trap" => {
                return Err(CallError::Trap { message: "boom".into(), location: Some("lib.rs:7".into()) });
            }
            "slow" => return Err(CallError::Timeout { limit: Duration::from_millis(5) }),
            "bad" => output(&mut outcome, (7, Some(index)), None, value),
            "loose" => {
                output(&mut outcome, (0, None), Some("key"), value);
                outcome.outputs.last_mut().unwrap().timestamp = Some(record.timestamp());
            }
            _ => output(&mut outcome, (0, Some(index)), Some("key"), value),
        }
    }
    Ok(outcome)
}

fn bench() -> Bench {
    Bench::new(spec(BATCH, 10_000), interpreter)
}

fn values(out: &[Out], topic: &str) -> Vec<String> {
    out.iter().filter(|out| out.topic == topic).map(|out| out.value.clone().unwrap_or_default()).collect()
}

#[test]
fn copies_records_with_the_timestamp_of_their_cause() {
    let mut bench = bench();
    bench.task.records(&place("items"), chunk(0, &[("a", 5), ("b", 6)]));

    let out = bench.drain();

    assert_eq!(values(&out, "out"), ["a", "b"]);
    assert_eq!(out[1].timestamp, Some(6));
    assert_eq!(bench.task.reached()[0], (place("items"), Offset(2)));
}

#[test]
fn takes_the_source_with_the_oldest_record_first_but_lets_none_wait_for_ever() {
    let mut bench = bench();
    for round in 0..6 {
        bench.task.records(&place("updates"), chunk(round * 4, &[("old", round); 4]));
    }
    bench.task.records(&place("items"), chunk(0, &[("new", 1_000)]));

    let out = values(&bench.drain(), "out");

    let position = out.iter().position(|value| value == "new").unwrap();
    assert_eq!(position, 3 * 4, "{out:?}");
}

#[test]
fn merges_small_chunks_into_one_call_up_to_the_bound() {
    let mut bench = bench();
    for offset in 0..6 {
        bench.task.records(&place("items"), chunk(offset, &[("a", 0)]));
    }

    bench.drain();

    assert_eq!(*bench.plugin.calls.borrow(), [4, 2]);
}

#[test]
fn pauses_a_partition_at_its_bound_and_resumes_it_at_half() {
    let mut bench = bench();
    for round in 0..8 {
        bench.task.records(&place("items"), chunk(round * 4, &[("a", 0); 4]));
    }

    assert_eq!(bench.task.flow(), (vec![place("items")], vec![]));
    (0..3).for_each(|_| drop(bench.turn()));
    assert_eq!(bench.task.flow(), (vec![], vec![]));
    bench.turn();
    assert_eq!(bench.task.flow(), (vec![], vec![place("items")]));
}

#[test]
fn moves_past_offsets_that_hold_nothing_once_the_records_before_them_are_done() {
    let mut bench = bench();
    bench.task.records(&place("items"), chunk(0, &[("a", 0), ("trap", 0)]));
    bench.task.end(&place("items"), Offset(9));
    bench.turn();
    // The run is under way in halves: nothing of it is done.
    bench.task.end(&place("items"), Offset(9));
    assert_eq!(bench.task.reached()[0].1, Offset(0));

    bench.drain();

    assert_eq!(bench.task.reached()[0].1, Offset(9));
    assert!(bench.task.is_dirty());
}

#[test]
fn keeps_a_dead_letter_as_it_was_and_says_what_happened() {
    let mut bench = bench();
    bench.task.records(&place("items"), chunk(3, &[("a", 5), ("no-x", 6)]));

    let out = bench.drain();

    let letter = out.iter().find(|out| out.topic == "dead").unwrap();
    assert_eq!((letter.key.as_deref(), letter.value.as_deref()), (Some("key"), Some("no-x")));
    assert_eq!(letter.timestamp, Some(6));
    assert_eq!(letter.headers[..2], [("h".into(), "1".into()), ("h".into(), "-".into())]);
    let expected = [
        ("gristmill-error-code", "no-thanks"),
        ("gristmill-error-message", "no"),
        ("gristmill-source-topic", "items"),
        ("gristmill-source-partition", "0"),
        ("gristmill-source-offset", "4"),
        ("gristmill-source-timestamp", "6"),
        ("gristmill-transform", "join"),
        ("gristmill-plugin", "join 1.0.0 sha256:00"),
    ];
    for (name, value) in expected {
        assert_eq!(letter.header(name), value, "{name}");
    }
}

#[test]
fn leaves_the_value_out_of_a_dead_letter_that_would_be_too_large_and_then_the_rest() {
    for (bytes, value, omitted) in
        [(1_500, true, ""), (900, false, "value"), (100, false, "key, value, headers")]
    {
        let mut bench = Bench::new(spec(BatchBounds { bytes: 10_000, ..BATCH }, bytes), interpreter);
        let long = format!("no-{}", "x".repeat(600));
        bench.task.records(&place("items"), chunk(0, &[(&long, 5)]));

        let out = bench.drain();

        assert_eq!(out[0].value.is_some(), value, "{bytes}");
        assert_eq!(out[0].header("gristmill-omitted"), omitted);
        assert_eq!(out[0].header("gristmill-source-offset"), "0");
    }
}

#[test]
fn gives_a_dead_letter_the_wall_clock_when_its_own_time_would_be_refused() {
    let mut bench = bench();
    bench.task.records(&place("items"), chunk(0, &[("no", i64::MAX / 2)]));

    let out = bench.drain();

    assert_eq!(out[0].timestamp, None);
    assert_eq!(out[0].header("gristmill-source-timestamp"), (i64::MAX / 2).to_string());
}

#[test]
fn drops_the_outputs_of_rejected_records_without_another_call_when_causes_are_known() {
    let both = |batch: &Batch<'_>, state: &dyn State| {
        let mut outcome = interpreter(batch, state)?;
        for rejection in &outcome.rejected.clone() {
            output(&mut outcome, (0, Some(rejection.index)), None, "trace");
        }
        Ok(outcome)
    };
    let mut bench = Bench::new(spec(BATCH, 10_000), both);
    bench.task.records(&place("items"), chunk(0, &[("a", 0), ("no", 0), ("b", 0)]));

    let out = bench.drain();

    assert_eq!(values(&out, "out"), ["a", "b"]);
    assert_eq!(*bench.plugin.calls.borrow(), [3]);
}

#[test]
fn runs_the_others_again_in_a_new_instance_when_causes_are_not_known() {
    let mut bench = bench();
    bench.task.records(&place("items"), chunk(0, &[("loose", 0), ("no", 0), ("b", 0)]));

    let out = bench.drain();

    assert_eq!(values(&out, "out"), ["loose", "b"]);
    assert_eq!(values(&out, "dead"), ["no"]);
    assert_eq!((bench.plugin.calls.borrow().as_slice(), bench.plugin.instances.get()), (&[3, 2][..], 2));
}

#[test]
fn finds_the_record_that_traps_by_halves_and_lets_the_others_go_on() {
    let mut bench = Bench::new(spec(BatchBounds { records: 64, ..BATCH }, 10_000), interpreter);
    let mut records = [("a", 0); 64];
    records[37] = ("trap", 0);
    bench.task.records(&place("items"), chunk(0, &records));

    let out = bench.drain();

    assert_eq!(values(&out, "out").len(), 63);
    let letter = out.iter().find(|out| out.topic == "dead").unwrap();
    assert_eq!(letter.header("gristmill-error-code"), "trap");
    assert_eq!(letter.header("gristmill-error-message"), "boom at lib.rs:7");
    assert_eq!(letter.header("gristmill-source-offset"), "37");
    let calls = bench.plugin.calls.borrow().len();
    assert!(calls <= 14, "{calls} calls");
}

#[test]
fn wants_no_open_transaction_while_it_searches() {
    let mut bench = bench();
    bench.task.records(&place("items"), chunk(0, &[("a", 0), ("trap", 0)]));
    assert!(!bench.task.wants_quiet());

    bench.turn();

    assert!(bench.task.wants_quiet());
}

#[test]
fn remembers_a_culprit_across_an_abort() {
    let mut bench = bench();
    let records = chunk(0, &[("a", 0), ("trap", 0)]);
    bench.task.records(&place("items"), records.clone());
    bench.drain();
    let calls = bench.plugin.calls.borrow().len();

    let positions = bench.task.rewind();
    bench.task.records(&place("items"), records);
    let out = bench.drain();

    assert_eq!(positions[0], (place("items"), Offset(0)));
    assert_eq!(values(&out, "dead"), ["trap"]);
    assert_eq!(bench.plugin.calls.borrow().len(), calls + 1, "it searched again");
}

#[test]
fn blames_a_record_for_time_only_after_two_runs_alone() {
    let left = Rc::new(Cell::new(2));
    let slow = Rc::clone(&left);
    // Slow with others, and once alone: the machine was busy.
    let answer = move |batch: &Batch<'_>, state: &dyn State| {
        if slow.get() == 0 {
            return interpreter(batch, state);
        }
        slow.set(slow.get() - 1);
        Err(CallError::Timeout { limit: Duration::from_millis(5) })
    };
    let mut bench = Bench::new(spec(BATCH, 10_000), answer);
    bench.task.records(&place("items"), chunk(0, &[("a", 0), ("b", 0)]));

    let innocent = bench.drain();
    left.set(2);
    bench.task.records(&place("items"), chunk(2, &[("c", 0)]));
    let guilty = bench.drain();

    assert_eq!(values(&innocent, "out"), ["a", "b"]);
    assert_eq!(guilty[0].header("gristmill-error-code"), "timeout");
}

#[test]
fn blames_no_record_for_a_trap_in_an_instance_that_has_seen_others() {
    let calls = Rc::new(Cell::new(0));
    let counted = Rc::clone(&calls);
    let second_traps = move |batch: &Batch<'_>, state: &dyn State| {
        counted.set(counted.get() + 1);
        if counted.get() == 2 {
            return Err(CallError::Trap { message: "worn out".into(), location: None });
        }
        interpreter(batch, state)
    };
    let mut bench = Bench::new(spec(BatchBounds { records: 1, ..BATCH }, 10_000), second_traps);
    bench.task.records(&place("items"), chunk(0, &[("a", 0), ("b", 0)]));

    let out = bench.drain();

    assert_eq!(values(&out, "out"), ["a", "b"]);
}

#[test]
fn stops_where_it_stands_when_the_plugin_cannot_go_on() {
    let fatal = |batch: &Batch<'_>, state: &dyn State| {
        if batch.records.first().unwrap().offset() > Offset(0) {
            return Err(CallError::Fatal("no licence".into()));
        }
        interpreter(batch, state)
    };
    let mut bench = Bench::new(spec(BatchBounds { records: 1, ..BATCH }, 10_000), fatal);
    bench.task.records(&place("items"), chunk(0, &[("a", 0), ("b", 0)]));

    let out = bench.drain();

    assert_eq!(values(&out, "out"), ["a"]);
    assert_eq!(bench.task.fault().unwrap().code(), Code::PluginFatal);
    // What was done before still has to be committed.
    assert!(bench.task.is_dirty());
    assert_eq!(bench.task.positions()[0].1.position, Offset(1));
}

#[test]
fn waits_after_a_retry_and_calls_again_with_the_same_records() {
    let first = Rc::new(Cell::new(true));
    let answer = move |batch: &Batch<'_>, state: &dyn State| {
        if first.replace(false) { Err(CallError::Retry("later".into())) } else { interpreter(batch, state) }
    };
    let mut bench = Bench::new(spec(BATCH, 10_000), answer);
    bench.task.records(&place("items"), chunk(0, &[("a", 0)]));

    assert!(bench.drain().is_empty());
    assert_eq!(bench.task.wakes_at(), Some(Duration::from_millis(100)));
    let codes =
        registry().samples().into_iter().filter(|sample| sample.name == "gristmill_calls_failed_total");
    let code = ("code".to_owned(), Code::PluginRetry.as_str().to_owned());
    assert_eq!(codes.filter(|sample| sample.labels.contains(&code)).count(), 1);
    bench.elapsed = Duration::from_millis(100);

    assert_eq!(values(&bench.drain(), "out"), ["a"]);
}

fn class(offset: i64, value: &str) -> Chunk {
    chunk(offset, &[(value, 0)])
}

/// Copies the row of `key` beside each record.
fn join(batch: &Batch<'_>, state: &dyn State) -> Result<Outcome, CallError> {
    let mut outcome = Outcome::default();
    if batch.source == SourceIndex(1) {
        return interpreter(batch, state);
    }
    let table = state.store("classes").unwrap();
    let row = state.get(table, b"key").unwrap();
    let row = row.as_ref().and_then(Chunk::first).and_then(|row| row.value()).unwrap_or(b"none");
    output(&mut outcome, (0, Some(0)), None, std::str::from_utf8(row).unwrap());
    Ok(outcome)
}

#[test]
fn applies_the_whole_view_before_its_first_record() {
    let mut bench = Bench::new(spec(BATCH, 10_000), join);
    bench.class(&class(0, "drop-1"));
    bench.class(&class(1, "drop-2"));
    bench.task.records(&place("items"), chunk(0, &[("a", 0)]));

    let out = bench.drain();

    assert_eq!(values(&out, "out"), ["drop-2"]);
}

#[test]
fn shows_the_plugin_only_what_lies_beyond_the_committed_broadcast_position() {
    let mut bench = Bench::new(spec(BATCH, 10_000), join);
    bench.class(&class(0, "drop-1"));
    bench.drain();
    bench.commit();
    bench.plugin.calls.borrow_mut().clear();
    bench.open(1);
    bench.task.records(&place("items"), chunk(0, &[("a", 0)]));

    let out = bench.drain();

    assert_eq!(values(&out, "out"), ["drop-1"]);
    assert_eq!(*bench.plugin.calls.borrow(), [1]);
}

#[test]
fn takes_no_record_while_the_view_lags_behind_its_position() {
    let mut bench = Bench::new(spec(BATCH, 10_000), join);
    bench.class(&class(0, "drop-1"));
    bench.open(2);
    bench.task.records(&place("items"), chunk(0, &[("a", 0)]));
    assert!(bench.drain().is_empty());

    bench.class(&class(1, "drop-2"));
    bench.class(&class(2, "drop-3"));

    assert_eq!(values(&bench.drain(), "out"), ["drop-3"]);
}

#[test]
fn shows_a_rejected_broadcast_row_and_dead_letters_it_on_one_task_only() {
    for (offset, letters) in [(4, 1), (5, 0)] {
        let mut bench = Bench::new(spec(BATCH, 10_000), join);
        bench.class(&class(offset, "no-1"));
        bench.task.records(&place("items"), chunk(0, &[("a", 0)]));

        let out = bench.drain();

        assert_eq!(values(&out, "dead").len(), letters, "offset {offset} of 4 tasks");
        assert_eq!(values(&out, "out"), ["no-1"]);
    }
}

#[test]
fn lets_records_go_on_between_broadcast_changes_that_never_end() {
    let mut bench = Bench::new(spec(BATCH, 10_000), join);
    bench.task.records(&place("items"), chunk(0, &[("a", 0)]));
    let mut out = Vec::new();

    for offset in 0..4 {
        bench.class(&class(offset, "drop-1"));
        if let Turn::Made(effects) = bench.turn() {
            out.extend(bench.sent(&effects));
        }
    }

    assert_eq!(out.len(), 1, "the record waits for the changes to end");
}

#[test]
fn scans_a_table_in_the_order_of_its_keys() {
    let seen = Rc::new(std::cell::RefCell::new(Vec::new()));
    let found = Rc::clone(&seen);
    let scan = move |batch: &Batch<'_>, state: &dyn State| {
        let range = |start, end, after| crate::io::KeyRange { start, end, after };
        let keys = |range| {
            let rows =
                state.scan(StoreIndex(1), range, crate::io::Limit { rows: 2, bytes: 100 }).unwrap().rows;
            rows.iter()
                .map(|row| String::from_utf8_lossy(row.key().unwrap()).into_owned())
                .collect::<Vec<_>>()
        };
        if batch.source != SourceIndex(1) {
            let mut found = found.borrow_mut();
            found.push(keys(range(None, None, None)));
            found.push(keys(range(None, None, Some(&b"b"[..]))));
            found.push(keys(range(Some(&b"b"[..]), Some(&b"c"[..]), None)));
            found.push(keys(range(Some(&b"c"[..]), None, Some(&b"a"[..]))));
        }
        Ok(Outcome::default())
    };
    let mut bench = Bench::new(spec(BATCH, 10_000), scan);
    let mut classes = Chunk::new();
    for (offset, key) in (0..).zip(["c", "a", "b", "d"]) {
        classes.push(Some(key.as_bytes()), Some(b"1"), [], (Timestamp(0), Offset(offset)));
    }
    bench.class(&classes);
    bench.task.records(&place("items"), chunk(0, &[("a", 0)]));

    bench.drain();

    let expected: [&[&str]; 4] = [&["a", "b"], &["c", "d"], &["b"], &["c", "d"]];
    assert_eq!(*seen.borrow(), expected);
}

#[test]
fn makes_a_refused_dead_letter_smaller_and_stops_when_there_is_nothing_left_of_it() {
    let mut bench = bench();
    let letter =
        Place { source: SourceIndex(0), partition: Partition(0), offset: Offset(0), is_apart: false };
    let fault = Fault::new(Code::RecordRefused, "the broker refuses the record");
    let mut omitted = Vec::new();
    for _ in 0..3 {
        bench.task.rewind();
        bench.task.records(&place("items"), chunk(0, &[("no", 0)]));
        omitted.push(bench.drain()[0].header("gristmill-omitted").to_owned());
        bench.task.refused(Cause::DeadLetter(letter), &fault);
    }

    assert_eq!(omitted, ["", "value", "key, value, headers"]);
    assert_eq!(bench.task.fault().unwrap().code(), Code::DeadLetterRefused);
}

/// What comes out of these records, split into chunks and batches in this way.
fn run_split(records: &[(String, i64)], cuts: &[bool], batch: BatchBounds) -> Vec<Out> {
    let mut bench = Bench::new(spec(batch, 10_000), interpreter);
    let mut piece = Vec::new();
    let mut start = 0;
    let mut out = Vec::new();
    for (index, (value, timestamp)) in records.iter().enumerate() {
        piece.push((value.as_str(), *timestamp));
        if cuts.get(index).copied().unwrap_or(true) || index + 1 == records.len() {
            bench.task.records(&place("items"), chunk(start, &piece));
            start += i64::try_from(piece.len()).unwrap();
            piece.clear();
            // Some chunks find the buffer empty, others do not.
            if index % 3 == 0 {
                out.extend(bench.drain());
            }
        }
    }
    out.extend(bench.drain());
    assert_eq!(bench.task.reached()[0].1, Offset(start));
    let (mut dead, out): (Vec<_>, Vec<_>) = out.into_iter().partition(|out| out.topic == "dead");
    // Within a run dead letters come after outputs; their own order is that of the source.
    dead.sort_by_key(|letter| letter.header("gristmill-source-offset").parse::<i64>().unwrap());
    out.into_iter().chain(dead).collect()
}

proptest! {
    #[test]
    fn gives_the_same_outputs_however_records_are_split_and_merged(
        records in prop::collection::vec(
            (prop_oneof![6 => Just("a"), 1 => Just("drop"), 1 => Just("no"), 1 => Just("trap"), 1 => Just("slow"),
                1 => Just("loose"), 1 => Just("bad")], 0..50i64), 1..30),
        cuts in prop::collection::vec(any::<bool>(), 30),
        size in 1..12usize,
    ) {
        let records: Vec<_> = records
            .into_iter()
            .enumerate()
            .map(|(index, (kind, timestamp))| (format!("{kind}-{index}"), timestamp))
            .collect();

        let split = run_split(&records, &cuts, BatchBounds { records: size, bytes: 10_000 });
        let whole = run_split(&records, &[false; 30], BatchBounds { records: 1_000, bytes: 100_000 });

        prop_assert_eq!(split, whole);
    }
}
