//! Steps of jobs: what goes in, what comes out, and what a plugin may not answer.

use std::time::Duration;

use anyhow::Result;
use gristmill_host::config::pipeline::Limits;
use gristmill_host::fault::Code;
use gristmill_host::id::Timestamp;
use gristmill_host::io::{CallError, Instance, Job, Measured, Step, StepOutcome, Stepped};

use super::double::Memory;
use super::stage::{STATEFUL, call_with, deploy, hostile, limits, start, stateful, values};

fn job(payload: &str, cursor: Option<&str>) -> Job {
    Job {
        kind: "walk".to_owned(),
        name: "j".to_owned(),
        generation: 7,
        payload: payload.as_bytes().to_vec(),
        cursor: cursor.map(|cursor| cursor.as_bytes().to_vec()),
        superseded_cursor: None,
    }
}

/// One step of a job, with a budget of two outputs.
fn step(instance: &mut dyn Instance, job: &Job, memory: Memory) -> Stepped {
    let step = Step { job, budget: 2, now: Timestamp(1_000), stream_time: Timestamp(5) };
    instance.step(step, Box::new(memory))
}

/// The outcome of the first step of a job in a new instance.
fn first(payload: &str, memory: Memory) -> Result<Result<StepOutcome, CallError>> {
    Ok(step(&mut *stateful("words")?, &job(payload, None), memory).answer)
}

/// The violation that a step is refused for.
fn violation(payload: &str) -> Result<String> {
    match first(payload, Memory::default())? {
        Err(CallError::Trap { message, location: None }) => Ok(message),
        other => panic!("`{payload}` must be refused: {other:?}"),
    }
}

#[test]
fn shows_a_step_the_job_as_it_stands() -> Result<()> {
    let job = Job { superseded_cursor: Some(b"c3".to_vec()), ..job("echo", Some("c9")) };

    let outcome = step(&mut *stateful("words")?, &job, Memory::default()).answer.expect("an outcome");

    assert_eq!(values(&outcome.outcome), ["walk j 7 echo cursor c9 superseded c3 budget 2"]);
    assert_eq!((outcome.cursor, outcome.visited, outcome.total), (None, 0, None));
    Ok(())
}

#[test]
fn goes_on_at_the_cursor_until_there_is_none() -> Result<()> {
    let notes = || Memory::with_notes(&[("a", "x 1"), ("b", "y 2"), ("c", "x 3"), ("d", "x 4")]);
    let mut instance = stateful("words")?;

    let one = step(&mut *instance, &job("follow notes by-word x", None), notes()).answer.expect("an outcome");
    let two =
        step(&mut *instance, &job("follow notes by-word x", Some("c")), notes()).answer.expect("an outcome");

    assert_eq!(values(&one.outcome), ["x 1", "x 3"]);
    assert_eq!((one.cursor, one.visited, one.total), (Some(b"c".to_vec()), 2, Some(3)));
    assert_eq!(values(&two.outcome), ["x 4"]);
    assert_eq!((two.cursor, two.visited, two.total), (None, 1, None));
    Ok(())
}

#[test]
fn writes_the_state_and_gives_it_back() -> Result<()> {
    let stepped = step(&mut *stateful("words")?, &job("put notes k v", None), Memory::default());

    assert!(stepped.answer.is_ok());
    assert_eq!(Memory::back(stepped.state).note("k"), Some("v".to_owned()));
    Ok(())
}

#[test]
fn keeps_what_a_step_measures() -> Result<()> {
    let outcome = first("count", Memory::default())?.expect("an outcome");

    let measured: Vec<_> = outcome.outcome.measurements.iter().map(|m| (m.name.as_str(), m.value)).collect();
    assert_eq!(measured, [("steps", Measured::Count(1))]);
    assert_eq!(outcome.cursor, Some(b"1".to_vec()));
    Ok(())
}

#[test]
fn does_not_judge_a_cursor_that_never_changes() -> Result<()> {
    let mut instance = stateful("words")?;

    for cursor in [None, Some("here"), Some("here")] {
        let outcome = step(&mut *instance, &job("stuck", cursor), Memory::default()).answer;
        assert_eq!(outcome.expect("an outcome").cursor, Some(b"here".to_vec()));
    }
    Ok(())
}

#[test]
fn names_what_a_step_says_of_itself_and_what_it_does_wrong() -> Result<()> {
    let trap = violation("trap")?;
    assert!(trap.contains("unreachable"), "{trap}");
    assert_eq!(violation("put items k v")?, "a table cannot be written: it is what its topic says");
    assert_eq!(violation("reject")?, "a step of a job rejects, and has no record to reject");
    assert_eq!(violation("cursor 65537")?, "the cursor of a job has 65537 bytes, at most 65536 are kept");
    assert_eq!(
        first("cursor 65536", Memory::default())?.expect("an outcome").cursor.map(|c| c.len()),
        Some(65_536)
    );
    assert_eq!(first("retry", Memory::default())?, Err(CallError::Retry("told to try again".to_owned())));
    assert_eq!(first("fatal", Memory::default())?, Err(CallError::Fatal("told to stop".to_owned())));
    let broken = Memory::default().broken();
    let message = "the store is broken: the disk is on fire".to_owned();
    assert_eq!(first("walk notes", broken)?, Err(CallError::State { code: Code::Internal, message }));
    Ok(())
}

#[test]
fn has_the_limits_of_every_call() -> Result<()> {
    let few = Limits { output_records: 1, ..limits() };
    let notes = Memory::with_notes(&[("a", "1"), ("b", "2")]);

    let mut instance = start(&deploy(STATEFUL, "{}", few)?)?;
    let flood = step(&mut *instance, &job("walk notes", None), notes).answer;
    let endless =
        step(&mut *start(&deploy(STATEFUL, "{}", limits())?)?, &job("loop", None), Memory::default());

    let message = "it gave 2 records and is granted 1".to_owned();
    assert_eq!(flood, Err(CallError::Limit { code: Code::OutputLimit, message }));
    assert_eq!(endless.answer, Err(CallError::Timeout { limit: Duration::from_millis(100) }));
    Ok(())
}

#[test]
fn calls_no_instance_again_whose_step_failed() -> Result<()> {
    let mut instance = stateful("words")?;

    let failed = step(&mut *instance, &job("reject", None), Memory::with_notes(&[("a", "1")]));
    let again = step(&mut *instance, &job("stuck", None), Memory::default());
    let records = call_with(&mut *instance, &["get notes k"], Box::new(Memory::default()));

    assert_eq!(Memory::back(failed.state).note("a"), Some("1".to_owned()));
    let message = || "the instance has failed before and is not called again".to_owned();
    assert_eq!(again.answer, Err(CallError::Trap { message: message(), location: None }));
    assert_eq!(records.answer, Err(CallError::Trap { message: message(), location: None }));
    Ok(())
}

#[test]
fn asks_no_plugin_that_does_no_jobs() -> Result<()> {
    let answer = step(&mut *hostile(limits())?, &job("stuck", None), Memory::default()).answer;

    let message = "the plugin does no jobs, and none of kind `walk`".to_owned();
    assert_eq!(answer, Err(CallError::Trap { message, location: None }));
    Ok(())
}
