//! Callouts: what a plugin asks for, and what it is told of their ends.

use std::time::Duration;

use anyhow::Result;
use gristmill_host::config::pipeline::Limits;
use gristmill_host::fault::Code;
use gristmill_host::id::Timestamp;
use gristmill_host::io::{
    Answered, CallError, CalloutMode, Ended, Instance, Intent, Outcome, Reason, Response, Responses,
};

use super::double::Memory;
use super::stage::{ERRAND, call_with, deploy, errand, hostile, limits, start, values};

/// What these commands come to, in a new instance.
fn outcome(commands: &[&str], limits: Limits) -> Result<Result<Outcome, CallError>> {
    let mut instance = start(&deploy(ERRAND, "{}", limits)?)?;
    Ok(call_with(&mut *instance, commands, Box::new(Memory::default())).answer)
}

/// A callout that ended so, whose context says what is to be done then.
fn ended(context: &str, ended: Ended) -> Response {
    Response {
        id: "id-1".to_owned(),
        endpoint: "server".to_owned(),
        mode: CalloutMode::AtMostOnce,
        ended,
        attempts: 2,
        key: Some(b"k".to_vec()),
        context: context.as_bytes().to_vec(),
    }
}

/// An answer with nothing in it.
fn answered(context: &str) -> Response {
    ended(context, Ended::Answered { status: 204, headers: Vec::new(), body: Vec::new() })
}

fn reason(last_status: Option<u16>) -> Reason {
    Reason { code: "too-late".to_owned(), message: "it took too long".to_owned(), last_status }
}

/// Calls an instance with what became of callouts.
fn respond(instance: &mut dyn Instance, responses: &[Response], memory: Memory) -> Answered {
    let call = Responses { responses, now: Timestamp(1_000), stream_time: Timestamp(5) };
    instance.responses(call, Box::new(memory))
}

/// What answers come to whose contexts are these, in a new instance.
fn done(contexts: &[&str]) -> Result<Result<Outcome, CallError>> {
    let responses: Vec<_> = contexts.iter().map(|context| answered(context)).collect();
    Ok(respond(&mut *errand()?, &responses, Memory::default()).answer)
}

#[test]
fn takes_callouts_over_as_they_are() -> Result<()> {
    let outcome = outcome(&["say x", "call 1 GET /p?q=1 con_text", "post \u{1b}2 // bo_dy c"], limits())?;

    let callouts = outcome.expect("an outcome").callouts;
    let get = Intent {
        id: "1".to_owned(),
        endpoint: "server".to_owned(),
        method: "GET".to_owned(),
        path: "/p?q=1".to_owned(),
        key: Some(b"k".to_vec()),
        context: b"con text".to_vec(),
        cause: Some(1),
        ..Intent::default()
    };
    let post = Intent {
        id: "\u{1b}2".to_owned(),
        method: "POST".to_owned(),
        path: "//".to_owned(),
        headers: vec![("x-errand".to_owned(), "yes".to_owned())],
        body: Some(b"bo dy".to_vec()),
        context: b"c".to_vec(),
        cause: Some(2),
        ..get.clone()
    };
    assert_eq!(callouts, [get, post]);
    Ok(())
}

#[test]
fn lifts_hostile_callouts_without_harm() -> Result<()> {
    // The task refuses all of these; here they only have to arrive as the guest gave them.
    let commands = ["bad-call-cause", "call-to nowhere", "call-header Host"];

    let callouts = outcome(&commands, limits())?.expect("an outcome").callouts;

    assert_eq!(callouts[0].cause, Some(u32::MAX));
    assert_eq!(callouts[1].endpoint, "nowhere");
    assert_eq!(callouts[2].headers, [("Host".to_owned(), "value".to_owned())]);
    Ok(())
}

#[test]
fn counts_callouts_among_the_records_of_a_call() -> Result<()> {
    let few = Limits { output_records: 3, ..limits() };

    assert!(outcome(&["calls 2 0"], few)?.is_ok());

    let message = "it gave 4 records and is granted 3".to_owned();
    assert_eq!(outcome(&["calls 3 0"], few)?, Err(CallError::Limit { code: Code::OutputLimit, message }));
    Ok(())
}

#[test]
fn counts_the_bytes_of_callouts_among_those_of_a_call() -> Result<()> {
    // The answer `ok` and its key take 3 bytes. A callout takes its id, endpoint, method, path, key and context.
    let granted = |bytes| Limits { output_bytes: bytes, ..limits() };
    let whole = 3 + 2 * (1 + 6 + 3 + 1 + 1 + 10);

    assert!(outcome(&["calls 2 10"], granted(whole))?.is_ok());

    let message = format!("it gave {whole} bytes and is granted {}", whole - 1);
    let refused = outcome(&["calls 2 10"], granted(whole - 1))?;
    assert_eq!(refused, Err(CallError::Limit { code: Code::OutputLimit, message }));
    let with_body = 3 + "server".len() as u64 + 4 + 2 + 4 + 1 + 2 + "x-errandyes".len() as u64 + 1;
    assert!(outcome(&["post 1 /p body cc"], granted(with_body))?.is_ok());
    assert!(outcome(&["post 1 /p body cc"], granted(with_body - 1))?.is_err());
    Ok(())
}

#[test]
fn stops_a_flood_of_callouts_before_it_is_copied() -> Result<()> {
    let flooded = outcome(&["calls 40 1000000"], limits())?;

    let Err(CallError::Limit { code: Code::OutputLimit, message }) = flooded else { panic!("{flooded:?}") };
    assert_eq!(message, "it handed more data to the host at once than it is granted");
    Ok(())
}

#[test]
fn tells_a_plugin_every_kind_of_end() -> Result<()> {
    let headers = vec![("a".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())];
    let responses = [
        ended("echo", Ended::Answered { status: 200, headers, body: b"{}".to_vec() }),
        ended("echo", Ended::Answered { status: 503, headers: Vec::new(), body: Vec::new() }),
        ended("echo", Ended::GaveUp(reason(Some(503)))),
        ended("echo", Ended::InDoubt(reason(None))),
        Response { mode: CalloutMode::Idempotent, key: None, attempts: 0, ..answered("echo") },
    ];

    let outcome = respond(&mut *errand()?, &responses, Memory::default()).answer.expect("an outcome");

    assert_eq!(
        values(&outcome),
        [
            "id-1 server at-most-once status 200 attempts 2+a:1+a:2 body {} key k",
            "id-1 server at-most-once status 503 attempts 2 body  key k",
            "id-1 server at-most-once gave-up too-late (it took too long) after 503 attempts 2 body  key k",
            "id-1 server at-most-once in-doubt too-late (it took too long) after none attempts 2 body  key k",
            "id-1 server idempotent status 204 attempts 0 body  key none",
        ]
    );
    Ok(())
}

#[test]
fn never_tells_a_plugin_of_a_callout_that_has_not_ended() -> Result<()> {
    let answer = respond(&mut *errand()?, &[ended("echo", Ended::NotSent)], Memory::default()).answer;

    let message = "the callout `id-1` has not ended, and its plugin is told so".to_owned();
    assert_eq!(answer, Err(CallError::State { code: Code::Internal, message }));
    Ok(())
}

#[test]
fn lends_the_state_to_a_response() -> Result<()> {
    let responses = [answered("note k v"), answered("after wall t 10 x"), answered("now wall")];

    let given = respond(&mut *errand()?, &responses, Memory::default());

    assert_eq!(values(&given.answer.expect("an outcome")), ["ok", "ok", "1000"]);
    let memory = Memory::back(given.state);
    assert_eq!(memory.note("k"), Some("v".to_owned()));
    assert_eq!(memory.timers(), ["WallClock t 1010 x"]);
    Ok(())
}

#[test]
fn lets_a_response_reject_and_make_more_callouts() -> Result<()> {
    let outcome = done(&["reject", "call next GET /p c", "quiet"])?.expect("an outcome");

    assert_eq!(outcome.rejected[0].index, 0);
    assert_eq!((outcome.callouts[0].id.as_str(), outcome.callouts[0].cause), ("next", Some(1)));
    assert_eq!(values(&outcome), ["ok"]);
    Ok(())
}

#[test]
fn lifts_a_hostile_answer_to_responses_without_harm() -> Result<()> {
    let outcome = done(&["bad-cause", "bad-sink", "bad-span", "bad-index", "bad-call-cause"])?;

    let outcome = outcome.expect("an outcome");
    assert_eq!(outcome.outputs[0].cause, Some(u32::MAX));
    assert_eq!(outcome.outputs[1].sink.0, 7);
    assert_eq!(outcome.outputs[2].value.map(|span| span.start), Some(u32::MAX));
    assert_eq!(outcome.rejected[0].index, u32::MAX);
    assert_eq!(outcome.callouts[0].cause, Some(u32::MAX));
    Ok(())
}

#[test]
fn names_what_a_response_says_of_itself_and_what_it_does_wrong() -> Result<()> {
    let Err(CallError::Trap { message, .. }) = done(&["say x", "trap"])? else { panic!("it must trap") };
    assert!(message.contains("unreachable"), "{message}");
    assert_eq!(done(&["loop"])?, Err(CallError::Timeout { limit: Duration::from_millis(100) }));
    assert_eq!(done(&["retry"])?, Err(CallError::Retry("told to try again".to_owned())));
    assert_eq!(done(&["fatal"])?, Err(CallError::Fatal("told to stop".to_owned())));
    Ok(())
}

#[test]
fn calls_no_instance_again_that_failed_with_responses() -> Result<()> {
    let mut instance = errand()?;

    assert!(respond(&mut *instance, &[answered("trap")], Memory::default()).answer.is_err());
    let again = respond(&mut *instance, &[answered("say x")], Memory::default()).answer;

    let message = "the instance has failed before and is not called again".to_owned();
    assert_eq!(again, Err(CallError::Trap { message, location: None }));
    Ok(())
}

#[test]
fn gives_no_answers_to_a_plugin_without_their_handler() -> Result<()> {
    let answer = respond(&mut *hostile(limits())?, &[answered("echo")], Memory::default()).answer;

    let message = "the plugin takes no answers, and there are 1".to_owned();
    assert_eq!(answer, Err(CallError::Trap { message, location: None }));
    Ok(())
}
