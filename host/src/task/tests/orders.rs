//! What a task makes of an operator's orders.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::*;
use crate::config::manifest::SourceKind;
use crate::config::pipeline::{BoundSource, Start};
use crate::io::{Job, StepOutcome};
use crate::record::Header;
use crate::status::JobState;
use crate::task::order::Order;
use crate::task::repeat::REPEAT;
use crate::task::spec::INBOX;

const SOURCE: &str = "items";

/// A task with an inbox whose plugin says of each record whether it is new. Rows `bad` are rejected, rows `trap` trap.
fn bench(rows: &[(&str, &str)]) -> Bench {
    let mut spec = spec(BatchBounds { records: 2, bytes: 1_000 }, 1_000);
    spec.inbox = Some(BoundSource {
        index: INBOX,
        name: "inbox".into(),
        kind: SourceKind::Stream,
        topic: "join.inbox".into(),
        start: Start::Earliest,
        previous: false,
    });
    let mut bench = Bench::new(spec, |batch, state| {
        let mut outcome = Outcome::default();
        for (index, record) in (0..).zip(batch.records.iter()) {
            let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap()).into_owned();
            let (key, value) = (text(record.key()), text(record.value()));
            let is_new = record.offset() >= state.position(SOURCE).unwrap();
            match value.as_str() {
                "bad" if !is_new => {
                    outcome.rejected.push(Rejection { index, code: "bad".into(), message: "it is".into() })
                }
                "trap" if !is_new => {
                    return Err(CallError::Trap { message: "boom".into(), location: None });
                }
                value => {
                    let sent = format!("{}:{value}", if is_new { "new" } else { "again" });
                    output(&mut outcome, (0, Some(index)), Some(&key), &sent);
                }
            }
        }
        Ok(outcome)
    });
    let mut chunk = Chunk::new();
    for (offset, (key, value)) in (0..).zip(rows) {
        let no_headers: [Header<'_>; 0] = [];
        chunk.push(Some(key.as_bytes()), Some(value.as_bytes()), no_headers, (Timestamp(0), Offset(offset)));
    }
    bench.commit();
    if !chunk.is_empty() {
        bench.task.records(&place(SOURCE), chunk);
    }
    bench.drain();
    bench.commit();
    bench
}

fn give(bench: &mut Bench, from: i64, orders: &[(Option<&str>, Order)]) {
    let mut chunk = Chunk::new();
    for (offset, (key, order)) in (from..).zip(orders) {
        let (no_headers, value): ([Header<'_>; 0], _) = ([], order.write());
        chunk.push(key.map(str::as_bytes), Some(&value), no_headers, (Timestamp(0), Offset(offset)));
    }
    bench.task.records(&place("join.inbox"), chunk);
}

fn row(key: &str) -> (Option<&str>, Order) {
    (Some(key), Order::RepeatRow { source: SOURCE.into() })
}

fn all() -> (Option<&'static str>, Order) {
    (None, Order::RepeatAll { source: SOURCE.into() })
}

fn values(out: &[Out]) -> Vec<String> {
    out.iter()
        .map(|out| format!("{}={}", out.key.as_deref().unwrap_or("-"), out.value.as_deref().unwrap_or("-")))
        .collect()
}

/// How far the inbox is, committed or not.
fn reached(bench: &Bench) -> Offset {
    let reached = bench.task.reached();
    reached.into_iter().find(|(place, _)| place.topic.as_str() == "join.inbox").unwrap().1
}

#[test]
fn hands_out_the_rows_that_orders_name_as_they_are_now() {
    let mut bench = bench(&[("a", "1"), ("b", "2"), ("a", "3")]);

    give(&mut bench, 0, &[row("a"), row("nobody"), row("b"), row("a")]);

    assert_eq!(values(&bench.drain()), ["a=again:3", "b=again:2", "a=again:3"]);
    assert_eq!(reached(&bench), Offset(4));
}

#[test]
fn hands_out_rows_once_more_after_an_abort_and_not_after_a_commit() {
    let mut bench = bench(&[("a", "1"), ("b", "2")]);
    give(&mut bench, 0, &[row("a")]);
    bench.drain();

    bench.task.rewind();
    assert_eq!(reached(&bench), Offset(0));
    give(&mut bench, 0, &[row("a"), row("b")]);
    let again = bench.drain();
    bench.commit();

    assert_eq!(values(&again), ["a=again:1", "b=again:2"]);
    assert!(bench.drain().is_empty());
}

#[test]
fn hands_out_all_rows_in_pages_and_goes_on_where_a_commit_left_it() {
    let rows = [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4"), ("e", "5")];
    let mut bench = bench(&rows);
    give(&mut bench, 0, &[all()]);
    let mut out = Vec::new();
    while out.is_empty() {
        if let Turn::Made(effects) = bench.turn() {
            out = bench.sent(&effects);
        }
    }
    bench.commit();

    let dropped = bench.turn();
    bench.task.rewind();
    let rest = bench.drain();

    assert_eq!(values(&out), ["a=again:1", "b=again:2"]);
    assert!(matches!(dropped, Turn::Searching));
    assert_eq!(values(&rest), ["c=again:3", "d=again:4", "e=again:5"]);
    assert!(bench.task.jobs(Duration::ZERO).is_empty());
}

#[test]
fn begins_anew_when_all_rows_are_ordered_once_more() {
    let mut bench = bench(&[("a", "1"), ("b", "2"), ("c", "3")]);
    give(&mut bench, 0, &[all()]);
    (0..3).for_each(|_| drop(bench.turn()));
    assert_eq!(bench.task.jobs(Duration::ZERO)[0].kind, REPEAT);

    give(&mut bench, 1, &[all()]);

    assert_eq!(values(&bench.drain()), ["a=again:1", "b=again:2", "c=again:3"]);
}

#[test]
fn dead_letters_the_rows_that_fail_again_and_hands_out_the_others() {
    let rows = [("a", "1"), ("b", "trap"), ("c", "bad"), ("d", "4"), ("e", "trap")];
    for orders in [vec![all()], rows.iter().map(|(key, _)| row(key)).collect()] {
        let mut bench = bench(&rows);

        give(&mut bench, 0, &orders);
        let out = bench.drain();

        let (letters, sent): (Vec<_>, Vec<_>) = out.into_iter().partition(|out| out.topic == "dead");
        assert_eq!(values(&sent), ["a=again:1", "d=again:4"]);
        let codes = letters.iter().map(|letter| letter.header("gristmill-error-code"));
        assert_eq!(codes.collect::<Vec<_>>(), ["trap", "bad", "trap"]);
        let places = letters.iter().map(|letter| letter.header("gristmill-source-offset"));
        assert_eq!(places.collect::<Vec<_>>(), ["1", "2", "4"]);
        assert_eq!(letters[0].header("gristmill-source-topic"), SOURCE);
        assert_eq!(reached(&bench), Offset(i64::try_from(orders.len()).unwrap()));
        assert!(bench.task.jobs(Duration::ZERO).is_empty());
    }
}

#[test]
fn judges_a_row_anew_when_it_is_ordered_after_a_commit() {
    let mut bench = bench(&[("a", "trap")]);
    give(&mut bench, 0, &[row("a")]);
    bench.drain();
    bench.commit();
    let calls = bench.plugin.calls.borrow().len();

    give(&mut bench, 1, &[row("a")]);
    let out = bench.drain();

    assert_eq!(out[0].header("gristmill-error-code"), "trap");
    assert!(bench.plugin.calls.borrow().len() > calls, "it was condemned without being tried");
}

#[test]
fn dead_letters_orders_that_make_no_sense() {
    let mut bench = bench(&[("a", "1")]);
    let mut chunk = Chunk::new();
    let no_headers: [Header<'_>; 0] = [];
    chunk.push(Some(b"k"), Some(b"nonsense"), no_headers, (Timestamp(0), Offset(0)));
    bench.task.records(&place("join.inbox"), chunk);
    let source = || "sauce".to_owned();
    let orders = [
        (None, Order::RepeatAll { source: source() }),
        (None, Order::RepeatTerm { source: SOURCE.into(), index: "none".into(), term: String::new() }),
        (Some("a"), Order::RepeatRow { source: source() }),
        row("a"),
    ];
    give(&mut bench, 1, &orders);

    let out = bench.drain();

    let (letters, sent): (Vec<_>, Vec<_>) = out.into_iter().partition(|out| out.topic == "dead");
    assert_eq!(values(&sent), ["a=again:1"]);
    assert_eq!(letters.len(), 4);
    for letter in &letters {
        assert_eq!(letter.header("gristmill-error-code"), Code::OrderInvalid.as_str());
        assert_eq!(letter.header("gristmill-source-topic"), "join.inbox");
    }
    assert_eq!(letters[0].value.as_deref(), Some("nonsense"));
}

/// A task with a job that fails as long as it is told to.
fn with_job(fails: &Rc<Cell<bool>>) -> (Bench, Rc<RefCell<usize>>) {
    let mut bench = bench(&[]);
    let (fails, steps) = (Rc::clone(fails), Rc::new(RefCell::new(0)));
    let counted = Rc::clone(&steps);
    bench.plugin.step = Rc::new(move |call, _| {
        let _: &Job = call.job;
        *counted.borrow_mut() += 1;
        match fails.get() {
            true => Err(CallError::Trap { message: "boom".into(), location: None }),
            false => Ok(StepOutcome { cursor: Some(vec![1]), visited: 1, ..StepOutcome::default() }),
        }
    });
    bench.plugin.starts.borrow_mut().push("w".to_owned());
    bench.task.records(&place(SOURCE), chunk(0, &[("x", 0)]));
    (bench, steps)
}

fn job(cancel: bool) -> (Option<&'static str>, Order) {
    let (kind, name) = ("walk".to_owned(), "w".to_owned());
    (None, if cancel { Order::CancelJob { kind, name } } else { Order::RetryJob { kind, name } })
}

#[test]
fn cancels_a_job_that_would_never_end() {
    let (mut bench, steps) = with_job(&Rc::new(Cell::new(false)));
    (0..6).for_each(|_| drop(bench.turn()));
    assert!(*steps.borrow() > 0);

    give(&mut bench, 0, &[job(true)]);
    while reached(&bench) == Offset(0) {
        bench.turn();
    }
    let before = *steps.borrow();
    bench.drain();

    assert_eq!(*steps.borrow(), before);
    assert!(bench.task.jobs(Duration::ZERO).is_empty());
}

#[test]
fn gives_a_failed_job_another_chance() {
    let fails = Rc::new(Cell::new(true));
    let (mut bench, _) = with_job(&fails);
    for _ in 0..50 {
        bench.elapsed += Duration::from_secs(60);
        bench.turn();
    }
    assert!(matches!(bench.task.jobs(Duration::ZERO)[0].state, JobState::Failed { .. }));

    fails.set(false);
    give(&mut bench, 0, &[job(false)]);
    (0..6).for_each(|_| drop(bench.turn()));

    assert_eq!(bench.task.jobs(bench.elapsed)[0].state, JobState::Running);
}
