//! Timers and callouts of a task: what is handed out, what is sent, what stays.

use std::time::Duration;

use super::fixture::{Bench, Out, chunk, output, place, spec};
use crate::clock::Clock;
use crate::config::base_url::BaseUrl;
use crate::config::endpoint::BoundEndpoint;
use crate::config::pipeline::BatchBounds;
use crate::fault::Code;
use crate::id::{EndpointIndex, Offset, Timestamp};
use crate::io::{CallError, CalloutMode, Ended, Intent, Outcome, Rejection, Timer, TimerClock};
use crate::memory::{Effect, MemoryCallouts, MemoryServer, Reaction};
use crate::task::Turn;
use crate::task::spec::Spec;

fn endpoint() -> BoundEndpoint {
    BoundEndpoint {
        index: EndpointIndex(0),
        name: "rest".into(),
        methods: vec!["GET".into()],
        base_url: BaseUrl::parse("http://none").unwrap(),
        mode: CalloutMode::AtMostOnce,
        timeout: Duration::from_secs(1),
        connect_timeout: Duration::from_secs(1),
        concurrency: 3,
        per_second: None,
        response_bytes: 1_000,
        give_up_after: None,
        remember: Duration::from_secs(60),
        credentials: None,
        ca_file: None,
        proxy: None,
    }
}

fn own_spec() -> Spec {
    let mut spec = spec(BatchBounds { records: 4, bytes: 10_000 }, 1_000);
    spec.state.timers = true;
    spec.callouts.endpoints = vec![endpoint()];
    spec.callouts.pending = 2;
    spec
}

fn intent(id: &str, cause: u32) -> Intent {
    Intent {
        id: id.into(),
        endpoint: "rest".into(),
        method: "GET".into(),
        path: "/a".into(),
        key: Some(b"key".to_vec()),
        context: b"context".to_vec(),
        cause: Some(cause),
        ..Intent::default()
    }
}

/// A task whose plugin asks for a callout for each record, under the record's value.
fn calling(effect: Effect) -> (Bench, MemoryServer) {
    let mut bench = Bench::new(own_spec(), |batch, _| {
        let mut outcome = Outcome::default();
        for (index, record) in (0u32..).zip(batch.records.iter()) {
            let id = String::from_utf8(record.value().unwrap().to_vec()).unwrap();
            outcome.callouts.push(intent(&id, index));
        }
        Ok(outcome)
    });
    let server =
        MemoryServer::new(move |_| Reaction { effect: effect.clone(), ..Reaction::answer(200, b"") });
    let clock = Clock::manual(Timestamp(0));
    bench.callouts = Box::new(MemoryCallouts::new(&server, &clock, vec![CalloutMode::AtMostOnce], 1));
    (bench, server)
}

/// Commits, and makes the calls that leave with that.
fn commit_and_send(bench: &mut Bench) -> usize {
    bench.commit();
    let departures = bench.task.departures(Duration::ZERO);
    let count = departures.calls.len();
    departures.settled.iter().for_each(|id| bench.callouts.settled(bench.task.id().partition, id));
    for (call, permit) in departures.calls {
        bench.callouts.send(bench.task.id().partition, call, permit);
    }
    count
}

fn topics(out: &[Out]) -> Vec<&str> {
    out.iter().map(|out| out.topic.as_str()).collect()
}

#[test]
fn sends_a_call_only_after_the_commit_of_its_intent_and_no_more_than_there_are_places() {
    let (mut bench, server) = calling(Effect::Answers(200, b"{}".to_vec()));
    bench.task.records(&place("items"), chunk(0, &[("a", 5), ("b", 5), ("a", 5)]));

    bench.drain();
    assert!(server.requests().is_empty());
    assert_eq!(commit_and_send(&mut bench), 1, "the second one waits for a place, the third is known");
    assert_eq!(server.requests().len(), 1);
    bench.drain();
    assert_eq!(commit_and_send(&mut bench), 1);

    let ids: Vec<_> = server.requests().into_iter().map(|request| request.id).collect();
    assert_eq!(ids, ["a", "b"]);
}

#[test]
fn takes_no_records_while_too_many_callouts_are_pending() {
    let (mut bench, _) = calling(Effect::Answers(200, b"{}".to_vec()));
    bench.task.records(&place("items"), chunk(0, &[("a", 5), ("b", 5), ("c", 5)]));
    bench.drain();
    bench.task.records(&place("items"), chunk(3, &[("d", 5)]));

    bench.drain();
    assert_eq!(bench.task.waiting(), 1);
    for _ in 0..3 {
        commit_and_send(&mut bench);
        bench.drain();
    }

    assert_eq!(bench.task.waiting(), 0);
}

#[test]
fn forgets_an_intent_whose_record_is_rejected() {
    let mut bench = Bench::new(own_spec(), |_, _| {
        let rejected = vec![Rejection { index: 0, code: "no".into(), message: String::new() }];
        Ok(Outcome { callouts: vec![intent("a", 0), intent("b", 1)], rejected, ..Outcome::default() })
    });
    bench.task.records(&place("items"), chunk(0, &[("x", 5), ("y", 5)]));

    bench.drain();

    assert_eq!(bench.task.callout_counts().waiting, 1);
}

#[test]
fn refuses_an_intent_for_another_server() {
    let mut bench = Bench::new(own_spec(), |_, _| {
        let callouts = vec![Intent { path: "//evil.example/".into(), ..intent("a", 0) }];
        Ok(Outcome { callouts, ..Outcome::default() })
    });
    bench.task.records(&place("items"), chunk(0, &[("x", 5)]));

    let out = bench.drain();

    assert_eq!(topics(&out), ["dead"]);
    assert_eq!(out[0].header("gristmill-error-code"), Code::OutcomeInvalid.as_str());
    assert!(out[0].header("gristmill-error-message").contains("`//`"));
}

#[test]
fn writes_a_review_record_for_a_call_in_doubt() {
    let (mut bench, _) = calling(Effect::Breaks);
    bench.plugin.answers.set(|_| Ok(Outcome::default()));
    bench.task.records(&place("items"), chunk(0, &[("a", 5)]));
    bench.drain();
    commit_and_send(&mut bench);

    let out = bench.drain();

    assert_eq!(topics(&out), ["review"]);
    assert_eq!((out[0].key.as_deref(), out[0].value.as_deref()), (Some("key"), Some("context")));
    assert_eq!(out[0].timestamp, Some(5), "it is as old as the record that caused it");
    let headers = ["outcome", "id", "endpoint", "mode", "attempts", "reason"]
        .map(|name| out[0].header(&format!("gristmill-callout-{name}")));
    assert_eq!(headers, ["in-doubt", "a", "rest", "at-most-once", "1", "connection-lost"]);
}

#[test]
fn answer_that_traps_becomes_a_dead_letter_and_ends_its_callout() {
    let (mut bench, server) = calling(Effect::Answers(503, b"busy".to_vec()));
    bench.plugin.answers.set(|_| Err(CallError::Trap { message: "boom".into(), location: None }));
    bench.task.records(&place("items"), chunk(0, &[("a", 5)]));
    bench.drain();
    commit_and_send(&mut bench);

    let out = bench.drain();
    commit_and_send(&mut bench);

    assert_eq!(topics(&out), ["dead"]);
    assert_eq!((out[0].key.as_deref(), out[0].value.as_deref()), (Some("key"), Some("busy")));
    let headers = ["error-code", "kind", "callout-id", "callout-endpoint", "callout-status", "source-topic"]
        .map(|name| out[0].header(&format!("gristmill-{name}")));
    assert_eq!(headers, ["trap", "callout", "a", "rest", "503", ""]);
    assert_eq!(bench.task.callout_counts(), crate::status::CalloutCounts::default());
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn ignores_the_id_of_a_callout_that_has_ended_until_it_is_forgotten() {
    let (mut bench, server) = calling(Effect::Answers(200, b"{}".to_vec()));
    bench.plugin.answers.set(|_| Ok(Outcome::default()));
    let mut again = |offset| {
        bench.task.records(&place("items"), chunk(offset, &[("a", 5)]));
        for _ in 0..3 {
            bench.drain();
            commit_and_send(&mut bench);
        }
        bench.now = Timestamp(bench.now.0 + 40_000);
        server.requests().len()
    };

    assert_eq!([again(0), again(1), again(2)], [1, 1, 2]);
}

#[test]
fn stops_when_callouts_wait_for_an_endpoint_that_is_gone() {
    let (mut bench, _) = calling(Effect::Refuses);
    bench.task.records(&place("items"), chunk(0, &[("a", 5)]));
    bench.drain();
    bench.commit();

    let mut spec = own_spec();
    spec.callouts.endpoints.clear();
    bench.redeploy(spec);
    bench.open(0);
    let turn = bench.turn();

    assert!(matches!(turn, Turn::Stopped));
    assert_eq!(bench.task.fault().unwrap().code(), Code::EndpointGone);
}

fn timer(clock: TimerClock, name: &str, due: i64) -> Timer {
    Timer { clock, name: name.into(), due: Timestamp(due), payload: format!("{name}!").into_bytes() }
}

/// A task whose plugin sends the names and payloads of its timers.
fn waking(timers: Vec<Timer>) -> Bench {
    let bench = Bench::new(own_spec(), |_, _| Ok(Outcome::default()));
    bench.plugin.sets.replace(timers);
    bench.plugin.timers.set(|call| {
        let mut outcome = Outcome::default();
        for (index, timer) in (0u32..).zip(call.due) {
            let (name, payload) = (&timer.name, &timer.payload);
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            output(&mut outcome, (0, Some(index)), Some(&text(name)), &text(payload));
        }
        Ok(outcome)
    });
    bench
}

fn names(out: &[Out]) -> Vec<&str> {
    out.iter().filter_map(|out| out.key.as_deref()).collect()
}

/// Takes a record, so that the plugin sets its timers, and commits.
fn set(bench: &mut Bench) {
    bench.task.records(&place("updates"), chunk(0, &[("x", 5)]));
    bench.drain();
    bench.commit();
}

/// Tells the ends of the sources, as the worker does when timers ask.
fn tell_ends(bench: &mut Bench, items: i64) {
    assert!(bench.task.wants_ends());
    let ends = vec![(place("items"), Offset(items)), (place("updates"), Offset(1))];
    bench.task.ends(ends, (bench.now, bench.elapsed));
}

#[test]
fn fires_timers_in_the_order_of_their_time_once() {
    let wall = |name, due| timer(TimerClock::WallClock, name, due);
    let mut bench =
        waking(vec![wall("late", 999_000), wall("early", 5), wall("never", 1_000_001), wall("early", 6)]);
    set(&mut bench);

    assert!(bench.drain().is_empty(), "nobody has told how far the sources go");
    tell_ends(&mut bench, 0);
    let out = bench.drain();
    bench.commit();

    assert_eq!(names(&out), ["early", "late"]);
    assert_eq!(out[0].timestamp, Some(6), "the timer was replaced, and its time is that of the output");
    bench.elapsed += Duration::from_secs(1);
    assert!(bench.drain().is_empty());
}

#[test]
fn timer_comes_again_after_an_abort_and_not_after_a_commit() {
    let mut bench = waking(vec![timer(TimerClock::WallClock, "a", 5)]);
    set(&mut bench);
    bench.drain();
    tell_ends(&mut bench, 0);

    assert_eq!(names(&bench.drain()), ["a"]);
    bench.task.rewind();
    assert_eq!(names(&bench.drain()), ["a"]);
    bench.commit();
    bench.task.rewind();
    assert!(bench.drain().is_empty());
}

#[test]
fn fires_nothing_early_and_nothing_twice_when_the_clock_jumps() {
    let wall = |name, due| timer(TimerClock::WallClock, name, due);
    let mut bench = waking(vec![wall("a", 2_000_000), wall("b", 3_000_000)]);
    set(&mut bench);
    bench.now = Timestamp(2_500_000);
    bench.drain();
    tell_ends(&mut bench, 0);
    assert_eq!(names(&bench.drain()), ["a"]);
    bench.commit();

    bench.now = Timestamp(0);
    bench.elapsed += Duration::from_secs(1);
    assert!(bench.drain().is_empty() && !bench.task.wants_ends());
    bench.now = Timestamp(9_000_000);
    bench.drain();
    tell_ends(&mut bench, 0);

    assert_eq!(names(&bench.drain()), ["b"]);
}

#[test]
fn timer_waits_for_what_lay_in_the_sources_when_it_was_due() {
    let mut bench = waking(vec![timer(TimerClock::WallClock, "a", 5)]);
    set(&mut bench);
    bench.drain();
    tell_ends(&mut bench, 2);
    bench.task.records(&place("items"), chunk(0, &[("x", 5)]));

    assert!(bench.drain().is_empty(), "one record is missing");
    bench.task.records(&place("items"), chunk(1, &[("y", 5)]));

    assert_eq!(names(&bench.drain()), ["a"]);
}

#[test]
fn stream_time_follows_the_records_and_no_record_from_the_future() {
    let far = 4_102_444_800_000;
    let mut bench = waking(vec![
        timer(TimerClock::StreamTime, "soon", 900_000),
        timer(TimerClock::StreamTime, "far", far),
    ]);
    set(&mut bench);
    assert!(!bench.task.wants_ends(), "stream time has not come that far");
    bench.task.records(&place("updates"), chunk(1, &[("x", far)]));
    bench.drain();
    assert!(bench.task.wants_ends());
    bench.task.ends(vec![(place("updates"), Offset(2))], (bench.now, bench.elapsed));

    assert_eq!(names(&bench.drain()), ["soon"]);
}

#[test]
fn timer_that_traps_becomes_a_dead_letter_and_the_others_fire() {
    let wall = |name, due| timer(TimerClock::WallClock, name, due);
    let mut bench = waking(vec![wall("a", 1), wall("bad", 2), wall("c", 3)]);
    bench.plugin.timers.set(|call| match call.due.iter().any(|timer| timer.name == b"bad") {
        true => Err(CallError::Trap { message: "boom".into(), location: None }),
        false => {
            let mut outcome = Outcome::default();
            for (index, timer) in (0u32..).zip(call.due) {
                let name = String::from_utf8(timer.name.clone()).unwrap();
                output(&mut outcome, (0, Some(index)), Some(&name), "x");
            }
            Ok(outcome)
        }
    });
    set(&mut bench);
    bench.drain();
    tell_ends(&mut bench, 0);

    let out = bench.drain();

    assert_eq!(names(&out), ["a", "bad", "c"]);
    assert_eq!(topics(&out), ["out", "dead", "out"]);
    assert_eq!(out[1].value.as_deref(), Some("bad!"));
    assert_eq!((out[1].header("gristmill-kind"), out[1].header("gristmill-error-code")), ("timer", "trap"));
}

#[test]
fn very_many_timers_that_are_due_at_once_come_in_batches_and_let_records_through() {
    let timers = (0..1_000).map(|n| timer(TimerClock::WallClock, &format!("{n:04}"), 5)).collect();
    let mut bench = waking(timers);
    set(&mut bench);
    bench.drain();
    tell_ends(&mut bench, 0);
    bench.task.records(&place("updates"), chunk(1, &[("x", 5)]));

    let mut turns = Vec::new();
    for _ in 0..6 {
        match bench.turn() {
            Turn::Made(effects) => turns.push(bench.sent(&effects).len()),
            Turn::Searching | Turn::Idle => {}
            turn => panic!("{turn:?}"),
        }
    }
    let rest = bench.drain();

    assert_eq!(turns, [4, 0, 4], "the record waits for one batch");
    assert_eq!(rest.len(), 1_000 - 8);
    assert!(rest.is_sorted_by_key(|out| out.key.clone()));
}

#[test]
fn keeps_no_answer_for_a_callout_that_has_ended() {
    let (mut bench, _) = calling(Effect::Answers(200, b"{}".to_vec()));
    bench.plugin.answers.set(|call| {
        assert!(matches!(call.responses[0].ended, Ended::Answered { status: 200, .. }));
        Ok(Outcome::default())
    });
    bench.task.records(&place("items"), chunk(0, &[("a", 5)]));
    bench.drain();
    commit_and_send(&mut bench);
    bench.drain();

    assert!(bench.callouts.holds(bench.task.id().partition, "a"));
    commit_and_send(&mut bench);

    assert!(!bench.callouts.holds(bench.task.id().partition, "a"));
}
