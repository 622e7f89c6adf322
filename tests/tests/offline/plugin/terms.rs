//! The terms of rows: what a plugin answers, what it may not answer, and what it may not do meanwhile.

use std::time::Duration;

use anyhow::Result;
use gristmill_host::fault::Code;
use gristmill_host::id::{Offset, Timestamp};
use gristmill_host::io::{CallError, Instance, Terms};
use gristmill_host::record::Chunk;

use super::double::Memory;
use super::stage::{STATEFUL, call_with, deploy, hostile, limits, start, stateful, values};

fn rows(values: &[&str]) -> Chunk {
    let mut chunk = Chunk::new();
    for (number, value) in values.iter().enumerate() {
        let key = format!("row-{number}");
        assert!(chunk.push(Some(key.as_bytes()), Some(value.as_bytes()), [], (Timestamp(0), Offset(-1))));
    }
    chunk
}

/// The terms of each row, as text.
fn by_row(terms: &Terms) -> Vec<Vec<String>> {
    let mut start = 0;
    let row = |end: &u32| {
        let spans = &terms.spans[start..*end as usize];
        start = *end as usize;
        let text =
            |start: usize, len: usize| String::from_utf8_lossy(&terms.bytes[start..start + len]).into_owned();
        spans.iter().map(|span| text(span.start as usize, span.len as usize)).collect()
    };
    terms.ends.iter().map(row).collect()
}

fn asked(instance: &mut dyn Instance, values: &[&str]) -> Result<Terms, CallError> {
    instance.index("by-word", &rows(values))
}

/// Why a plugin that breaks its index in this way gives no terms.
fn violation(way: &str) -> Result<String> {
    match asked(&mut *stateful(way)?, &["a", "b c"]) {
        Err(CallError::Trap { message, location: None }) => Ok(message),
        other => panic!("`{way}` must be refused: {other:?}"),
    }
}

#[test]
fn asks_for_the_terms_of_rows_as_often_as_it_likes() -> Result<()> {
    let mut instance = stateful("words")?;

    let terms = asked(&mut *instance, &["a b", "", "a"]).expect("terms");

    assert_eq!(by_row(&terms), [vec!["a", "b"], vec![], vec!["a"]]);
    assert_eq!(by_row(&asked(&mut *instance, &["c"]).expect("terms")), [["c"]]);
    assert_eq!(asked(&mut *instance, &[]), Ok(Terms::default()));
    Ok(())
}

#[test]
fn lends_the_state_to_the_next_call_again() -> Result<()> {
    let mut instance = stateful("words")?;

    assert!(asked(&mut *instance, &["a"]).is_ok());
    let memory = Memory::with_notes(&[("k", "v")]);
    let answer = call_with(&mut *instance, &["get notes k"], Box::new(memory)).answer;

    assert_eq!(values(&answer.expect("an outcome")), ["v"]);
    Ok(())
}

#[test]
fn refuses_answers_that_do_not_fit_the_rows() -> Result<()> {
    for (way, expected) in [
        ("few", "it gave terms for 1 rows and was asked for 2"),
        ("many", "it gave terms for 3 rows and was asked for 2"),
        ("descending", "the ends of its rows' terms do not ascend"),
        ("spare", "the terms of its rows end at 3, and it gave 4"),
        ("outside", "term 0 lies outside of the 3 bytes of its arena"),
        ("long", "term 1 has 5000 bytes, at most 4096 are kept"),
    ] {
        assert_eq!(violation(way)?, expected, "{way}");
    }
    Ok(())
}

#[test]
fn lets_nothing_but_log_and_configuration_be_used() -> Result<()> {
    for way in ["state", "position", "time", "job", "timer", "metric"] {
        let expected = "`indexer.index` is pure: it may use `log` and `config`, and nothing else";
        assert_eq!(violation(way)?, expected, "{way}");
    }
    assert_eq!(by_row(&asked(&mut *stateful("say")?, &["a"]).expect("terms")), [["a"]]);
    Ok(())
}

#[test]
fn names_a_trap_and_a_call_that_takes_too_long() -> Result<()> {
    let trap = violation("trap")?;
    assert!(trap.contains("unreachable"), "{trap}");

    let mut poisoned = stateful("words")?;
    let Err(CallError::Trap { message, .. }) = asked(&mut *poisoned, &["a", "poison"]) else {
        panic!("it must trap");
    };
    assert!(message.contains("unreachable"), "{message}");

    let mut endless = start(&deploy(STATEFUL, r#"{"index":"loop"}"#, limits())?)?;
    assert_eq!(asked(&mut *endless, &["a"]), Err(CallError::Timeout { limit: Duration::from_millis(100) }));
    Ok(())
}

#[test]
fn calls_no_instance_again_whose_terms_were_refused() -> Result<()> {
    let mut instance = stateful("few")?;

    assert!(asked(&mut *instance, &["a"]).is_err());

    let message = "the instance has failed before and is not called again".to_owned();
    assert_eq!(asked(&mut *instance, &[]), Err(CallError::Trap { message, location: None }));
    Ok(())
}

#[test]
fn takes_what_a_plugin_says_although_it_is_not_pure() -> Result<()> {
    let mut instance = stateful("impure")?;

    assert_eq!(by_row(&asked(&mut *instance, &["a"]).expect("terms")), [["a", "1"]]);
    assert_eq!(by_row(&asked(&mut *instance, &["a"]).expect("terms")), [["a", "1", "2"]]);
    Ok(())
}

#[test]
fn grants_terms_as_much_room_as_outputs() -> Result<()> {
    let few = gristmill_host::config::pipeline::Limits { output_bytes: 10, ..limits() };
    let mut instance = start(&deploy(STATEFUL, "{}", few)?)?;

    assert!(asked(&mut *instance, &["0123456789"]).is_ok());

    let message = "it gave 11 bytes of terms and is granted 10".to_owned();
    let expected = Err(CallError::Limit { code: Code::OutputLimit, message });
    assert_eq!(asked(&mut *instance, &["0123456789 a"]), expected);
    Ok(())
}

#[test]
fn asks_no_plugin_that_has_no_indexes() -> Result<()> {
    let message = "the plugin has no indexes, and none with the name `by-word`".to_owned();

    assert_eq!(asked(&mut *hostile(limits())?, &["a"]), Err(CallError::Trap { message, location: None }));
    Ok(())
}
