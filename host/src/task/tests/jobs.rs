//! What a task makes of jobs.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use super::*;
use crate::io::{Job, StepOutcome};
use crate::status::JobState;

/// A task whose jobs do what the closure says; the first record that it gets starts one.
fn bench_with(step: impl Fn(&Job) -> Result<StepOutcome, CallError> + 'static, names: &[&str]) -> Bench {
    let mut bench = bench();
    bench.plugin.step = Rc::new(move |call, _| step(call.job));
    bench.plugin.starts.borrow_mut().extend(names.iter().map(|name| (*name).to_owned()));
    bench.task.records(&place("items"), chunk(0, &[("drop-1", 0)]));
    bench.turn();
    bench
}

fn cursor(number: u8) -> Result<StepOutcome, CallError> {
    Ok(StepOutcome { cursor: Some(vec![number]), visited: 1, ..StepOutcome::default() })
}

/// Counts up to three in its cursor.
fn three_steps(job: &Job) -> Result<StepOutcome, CallError> {
    match job.cursor.as_deref() {
        None => cursor(1),
        Some([1]) => cursor(2),
        _ => Ok(StepOutcome::default()),
    }
}

fn states(bench: &Bench) -> Vec<(String, JobState)> {
    bench.task.jobs(Duration::ZERO).into_iter().map(|job| (job.name, job.state)).collect()
}

#[test]
fn makes_the_steps_of_a_job_until_it_has_no_cursor() {
    let mut bench = bench_with(three_steps, &["a"]);

    (0..2).for_each(|_| assert!(matches!(bench.turn(), Turn::Made(effects) if effects.is_step())));
    assert_eq!(bench.task.jobs(Duration::ZERO)[0].visited, 1, "as it was read for the last step");
    bench.turn();
    bench.turn();

    assert!(states(&bench).is_empty());
}

#[test]
fn goes_on_from_the_committed_cursor_after_an_abort_and_after_a_restart() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let cursors = Rc::clone(&seen);
    let step = move |job: &Job| {
        cursors.borrow_mut().push(job.cursor.clone());
        three_steps(job)
    };
    let mut bench = bench_with(step, &["a"]);

    bench.turn();
    bench.commit();
    bench.turn();
    bench.task.rewind();
    bench.turn();
    bench.open(0);
    bench.turn();

    assert_eq!(*seen.borrow(), [None, Some(vec![1]), Some(vec![1]), Some(vec![1])]);
}

#[test]
fn lets_jobs_take_turns_with_each_other_and_with_records() {
    let seen = Rc::new(RefCell::new(String::new()));
    let order = Rc::clone(&seen);
    let step = move |job: &Job| {
        order.borrow_mut().push_str(&job.name);
        cursor(job.cursor.as_ref().map_or(0, |cursor| cursor[0] + 1))
    };
    let mut bench = bench_with(step, &["a", "b"]);
    for offset in 1..9 {
        bench.task.records(&place("items"), chunk(offset * 4, &[("x", 0); 4]));
    }

    let mut records = 0;
    for _ in 0..8 {
        if let Turn::Made(effects) = bench.turn()
            && !effects.is_step()
        {
            records += 1;
        }
    }

    assert_eq!(*seen.borrow(), "abab");
    assert_eq!(records, 4);
}

#[test]
fn rests_after_a_step_while_records_wait_and_not_when_none_do() {
    let mut bench = bench_with(|_| cursor(1), &["a"]);
    bench.turn();
    bench.task.rest_after_step(Duration::from_secs(1), Duration::ZERO);
    assert!(matches!(bench.turn(), Turn::Made(effects) if effects.is_step()), "nothing else waits");

    bench.task.rest_after_step(Duration::from_secs(1), Duration::ZERO);
    for offset in 1..4 {
        bench.task.records(&place("items"), chunk(offset * 4, &[("x", 0); 4]));
    }
    let is_step = |turn: Turn| matches!(turn, Turn::Made(effects) if effects.is_step());
    assert!(!is_step(bench.turn()) && !is_step(bench.turn()));
    bench.elapsed = Duration::from_secs(1);
    assert!(is_step(bench.turn()), "the rest is over");
}

#[test]
fn gives_a_job_up_whose_steps_do_nothing_for_ever() {
    let mut bench =
        bench_with(|_| Ok(StepOutcome { cursor: Some(vec![7]), ..StepOutcome::default() }), &["a"]);

    (0..200).for_each(|_| drop(bench.turn()));

    let JobState::Failed { code, .. } = states(&bench)[0].1.clone() else { panic!("{:?}", states(&bench)) };
    assert_eq!(code, Code::JobStuck.as_str());
}

#[test]
fn tries_a_failing_step_again_later_with_a_smaller_budget_and_gives_it_up_in_the_end() {
    let budgets = Rc::new(RefCell::new(Vec::new()));
    let mut bench = bench_with(three_steps, &["a"]);
    let seen = Rc::clone(&budgets);
    bench.plugin.step = Rc::new(move |step, _| {
        seen.borrow_mut().push(step.budget);
        Err(CallError::Trap { message: "boom".into(), location: None })
    });
    bench.task.rewind();
    bench.plugin.starts.borrow_mut().push("a".into());
    bench.task.records(&place("items"), chunk(0, &[("drop-1", 0)]));

    for second in 0..600 {
        bench.elapsed = Duration::from_secs(second);
        bench.turn();
    }

    assert_eq!(*budgets.borrow(), [500, 250, 125, 62, 31]);
    let JobState::Failed { code, message } = states(&bench)[0].1.clone() else {
        panic!("{:?}", states(&bench))
    };
    assert_eq!((code.as_str(), message.as_str()), ("trap", "boom"));
}

#[test]
fn keeps_a_job_of_a_kind_that_the_plugin_has_no_more_and_says_so() {
    let mut bench = bench_with(three_steps, &["a"]);
    bench.commit();
    let mut spec = spec(BATCH, 10_000);
    spec.state.jobs.clear();
    let stores = bench.stores.clone();
    drop(bench);
    let mut bench = Bench::new(spec, interpreter);
    bench.stores = stores;
    bench.open(0);

    (0..3).for_each(|_| drop(bench.turn()));

    let JobState::Failed { code, .. } = states(&bench)[0].1.clone() else { panic!("{:?}", states(&bench)) };
    assert_eq!(code, Code::JobUnknown.as_str());
}

#[test]
fn gives_a_job_up_when_the_broker_refuses_what_it_sends() {
    let mut bench = bench_with(three_steps, &["a"]);
    bench.turn();
    let job = ("walk".to_owned(), "a".to_owned());

    bench.task.refused(Cause::Step(job), &Fault::new(Code::RecordRefused, "too large"));
    (0..3).for_each(|_| drop(bench.turn()));

    let JobState::Failed { code, .. } = states(&bench)[0].1.clone() else { panic!("{:?}", states(&bench)) };
    assert_eq!(code, "record_refused");
}

#[test]
fn stops_when_the_changelog_refuses_a_record() {
    let mut bench = bench();

    bench.task.refused(Cause::State, &Fault::new(Code::RecordRefused, "too large"));

    assert_eq!(bench.task.fault().map(Fault::code), Some(Code::ChangelogRefused));
}

#[test]
fn makes_no_step_before_a_table_has_caught_up() {
    let steps = Rc::new(Cell::new(0));
    let counted = Rc::clone(&steps);
    let step = move |job: &Job| {
        counted.set(counted.get() + 1);
        three_steps(job)
    };
    let mut bench = bench_with(step, &["a"]);
    bench.commit();
    let positions = [(place("items"), Offset(1)), (place("updates"), Offset(0))];
    let until = [(place("items"), Offset(3))];
    bench.open_at(positions.into_iter().collect(), 0, until.into_iter().collect());
    bench.task.records(&place("updates"), chunk(0, &[("x", 0)]));
    bench.task.records(&place("items"), chunk(1, &[("y", 5)]));

    assert_eq!(values(&bench.drain(), "out"), ["y"]);
    assert_eq!(steps.get(), 0);
    bench.task.records(&place("items"), chunk(2, &[("z", 5)]));
    let out = values(&bench.drain(), "out");

    assert_eq!(out, ["z", "x"]);
    assert_eq!(steps.get(), 3);
}

#[test]
fn applies_no_change_before_a_table_has_caught_up() {
    let mut bench = bench();
    bench.commit();
    let positions = [(place("items"), Offset(1)), (place("updates"), Offset(0))];
    let until = [(place("items"), Offset(2))];
    bench.open_at(positions.into_iter().collect(), 0, until.into_iter().collect());
    bench.class(&chunk(0, &[("change", 0)]));

    assert!(bench.drain().is_empty(), "the records of the table are on their way");
    bench.task.records(&place("items"), chunk(1, &[("row", 0)]));

    assert_eq!(values(&bench.drain(), "out"), ["row", "change"]);
}

#[test]
fn shows_nothing_of_a_step_that_is_tried_again_later() {
    let mut bench = bench();
    bench.plugin.step = Rc::new(|_, state| {
        state.start_job("walk", "b", b"").unwrap();
        Err(CallError::Retry("not now".into()))
    });
    bench.plugin.starts.borrow_mut().push("a".into());
    bench.task.records(&place("items"), chunk(0, &[("drop-1", 0)]));

    (0..2).for_each(|_| drop(bench.turn()));

    let found = bench.task.state().find_job("walk", "b").unwrap();
    assert!(found.is_none(), "{found:?}");
}
