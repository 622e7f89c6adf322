//! Timers: how a plugin sets them, and what it is told when they are due.

use std::time::Duration;

use anyhow::Result;
use gristmill_host::fault::Code;
use gristmill_host::id::Timestamp;
use gristmill_host::io::{Answered, CallError, Instance, Outcome, Timer, TimerClock, TimersDue};

use super::double::Memory;
use super::stage::{call_with, errand, hostile, limits, values};

/// A timer that does so when it fires.
fn timer(name: &str, payload: &str) -> Timer {
    Timer {
        clock: TimerClock::WallClock,
        name: name.as_bytes().to_vec(),
        due: Timestamp(900),
        payload: payload.as_bytes().to_vec(),
    }
}

/// Calls an instance with timers that are due.
fn fire(instance: &mut dyn Instance, due: &[Timer], memory: Memory) -> Answered {
    let call = TimersDue { due, now: Timestamp(1_000), stream_time: Timestamp(5) };
    instance.timers(call, Box::new(memory))
}

/// What timers come to that do so when they fire, in a new instance.
fn fired(payloads: &[&str]) -> Result<Result<Outcome, CallError>> {
    let due: Vec<_> = payloads.iter().map(|payload| timer("t", payload)).collect();
    Ok(fire(&mut *errand()?, &due, Memory::default()).answer)
}

/// The timers that are set after these commands.
fn set_by(commands: &[&str], memory: Memory) -> Result<Vec<String>> {
    let answered = call_with(&mut *errand()?, commands, Box::new(memory));
    assert_eq!(values(&answered.answer.expect("an outcome")), vec!["ok"; commands.len()]);
    Ok(Memory::back(answered.state).timers())
}

/// Why a command is refused.
fn violation(command: &str) -> Result<String> {
    match call_with(&mut *errand()?, &[command], Box::new(Memory::default())).answer {
        Err(CallError::Trap { message, location: None }) => Ok(message),
        other => panic!("`{command}` must be refused: {other:?}"),
    }
}

#[test]
fn sets_timers_on_both_clocks() -> Result<()> {
    let set = set_by(
        &["set wall a 700 pay_load", "set stream a 800 -", "after wall b 50 -", "after stream b 50 -"],
        Memory::default(),
    )?;

    assert_eq!(
        set,
        ["StreamTime a 800 -", "StreamTime b 55 -", "WallClock a 700 pay load", "WallClock b 1050 -"]
    );
    Ok(())
}

#[test]
fn replaces_and_cancels_a_timer_by_clock_and_name() -> Result<()> {
    let commands =
        ["set wall a 1 x", "set stream a 2 x", "set wall a 3 y", "set wall b 4 x", "cancel wall b"];

    assert_eq!(set_by(&commands, Memory::default())?, ["StreamTime a 2 x", "WallClock a 3 y"]);
    assert_eq!(set_by(&["cancel wall nothing"], Memory::default())?, [""; 0]);
    Ok(())
}

#[test]
fn takes_any_bytes_as_a_name_and_any_time() -> Result<()> {
    let set = set_by(
        &["set wall  9223372036854775807 -", "set stream x -9223372036854775808 -"],
        Memory::default(),
    )?;

    assert_eq!(set, ["StreamTime x -9223372036854775808 -", "WallClock  9223372036854775807 -"]);
    Ok(())
}

#[test]
fn bounds_the_name_and_the_payload_of_a_timer() -> Result<()> {
    assert_eq!(
        violation("set-large 16385 1")?,
        "the name of a timer has 16385 bytes, at most 16384 are kept"
    );
    assert_eq!(
        violation("set-large 1 65537")?,
        "the payload of a timer has 65537 bytes, at most 65536 are kept"
    );
    assert_eq!(set_by(&["set-large 16384 65536"], Memory::default())?.len(), 1);
    Ok(())
}

#[test]
fn says_why_a_timer_cannot_be_set() -> Result<()> {
    for command in ["set wall a 1 x", "cancel wall a"] {
        let answer = call_with(&mut *errand()?, &[command], Box::new(Memory::default().broken())).answer;

        let message = "the store is broken: the disk is on fire".to_owned();
        assert_eq!(answer, Err(CallError::State { code: Code::Internal, message }));
    }
    Ok(())
}

#[test]
fn tells_a_plugin_the_timers_that_are_due_in_order() -> Result<()> {
    let stream = Timer { clock: TimerClock::StreamTime, due: Timestamp(-1), ..timer("b", "echo") };

    let outcome =
        fire(&mut *errand()?, &[timer("a", "echo"), stream, timer("", "now wall")], Memory::default());

    let outcome = outcome.answer.expect("an outcome");
    assert_eq!(values(&outcome), ["wall a 900 echo", "stream b -1 echo", "1000"]);
    assert_eq!(
        outcome.outputs.iter().map(|output| output.cause).collect::<Vec<_>>(),
        [Some(0), Some(1), Some(2)]
    );
    Ok(())
}

#[test]
fn lends_the_state_to_a_timer() -> Result<()> {
    let due = [timer("a", "note k v"), timer("b", "after wall a 10 again"), timer("c", "now stream")];

    let answered = fire(&mut *errand()?, &due, Memory::default());

    assert_eq!(values(&answered.answer.expect("an outcome")), ["ok", "ok", "5"]);
    let memory = Memory::back(answered.state);
    assert_eq!(memory.note("k"), Some("v".to_owned()));
    assert_eq!(memory.timers(), ["WallClock a 1010 again"]);
    Ok(())
}

#[test]
fn lets_a_timer_reject_and_make_callouts() -> Result<()> {
    let outcome = fired(&["say x", "reject", "call id GET /p c"])?.expect("an outcome");

    assert_eq!(values(&outcome), ["x", "ok"]);
    assert_eq!(outcome.rejected.iter().map(|rejected| rejected.index).collect::<Vec<_>>(), [1]);
    assert_eq!(outcome.callouts.iter().map(|callout| callout.cause).collect::<Vec<_>>(), [Some(2)]);
    Ok(())
}

#[test]
fn lifts_a_hostile_answer_to_timers_without_harm() -> Result<()> {
    // The task refuses all of these; here they only have to arrive as the guest gave them.
    let outcome = fired(&["bad-cause", "bad-sink", "bad-span", "bad-index", "bad-call-cause"])?;

    let outcome = outcome.expect("an outcome");
    assert_eq!(outcome.outputs[0].cause, Some(u32::MAX));
    assert_eq!(outcome.outputs[1].sink.0, 7);
    assert_eq!(outcome.outputs[2].value.map(|span| span.start), Some(u32::MAX));
    assert_eq!(outcome.rejected[0].index, u32::MAX);
    assert_eq!(outcome.callouts[0].cause, Some(u32::MAX));
    Ok(())
}

#[test]
fn names_what_a_timer_says_of_itself_and_what_it_does_wrong() -> Result<()> {
    let Err(CallError::Trap { message, .. }) = fired(&["say x", "trap"])? else { panic!("it must trap") };
    assert!(message.contains("unreachable"), "{message}");
    assert_eq!(fired(&["loop"])?, Err(CallError::Timeout { limit: Duration::from_millis(100) }));
    assert_eq!(fired(&["retry"])?, Err(CallError::Retry("told to try again".to_owned())));
    assert_eq!(fired(&["fatal"])?, Err(CallError::Fatal("told to stop".to_owned())));
    Ok(())
}

#[test]
fn calls_no_instance_again_that_failed_with_timers() -> Result<()> {
    let mut instance = errand()?;

    assert!(fire(&mut *instance, &[timer("a", "trap")], Memory::default()).answer.is_err());
    let again = fire(&mut *instance, &[timer("a", "say x")], Memory::default()).answer;

    let message = "the instance has failed before and is not called again".to_owned();
    assert_eq!(again, Err(CallError::Trap { message, location: None }));
    Ok(())
}

#[test]
fn gives_no_timers_to_a_plugin_without_their_handler() -> Result<()> {
    let answer = fire(&mut *hostile(limits())?, &[timer("a", "echo")], Memory::default()).answer;

    let message = "the plugin takes no timers, and 1 are due".to_owned();
    assert_eq!(answer, Err(CallError::Trap { message, location: None }));
    Ok(())
}
