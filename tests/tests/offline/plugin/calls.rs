//! A call: what goes in, what comes out, and what a guest sees of the host.

use anyhow::Result;
use gristmill_host::id::{Offset, Partition, SinkIndex, SourceIndex, Timestamp};
use gristmill_host::io::{Batch, CallError, Instance};
use gristmill_host::record::{Chunk, Header};

use super::stage::{Rows, call, call_with, hostile, limits, raw, values};

/// The outcome of a call that must succeed.
fn sent(instance: &mut dyn Instance, value: &str, rows: Rows) -> Vec<String> {
    values(&call_with(instance, &[value], Box::new(rows)).answer.expect("an outcome"))
}

#[test]
fn hands_records_over_byte_by_byte() -> Result<()> {
    let mut instance = raw("nothing")?;
    let mut records = Chunk::new();
    let headers = [Header::new("a", b"1"), Header { name: b"\xff", value: None }];
    records.push(Some(b"\0\xff"), Some(b""), headers, (Timestamp(-1), Offset(7)));
    records.push(None, None, [], (Timestamp(6), Offset(9)));
    let batch = Batch {
        source: SourceIndex(0),
        partition: Partition(3),
        records: &records,
        previous: None,
        now: Timestamp(0),
        stream_time: Timestamp(0),
    };

    let outcome = instance.process(batch, Box::new(Rows::default())).answer.expect("an outcome");

    assert_eq!(outcome.bytes, records.bytes());
    assert_eq!(outcome.headers, records.header_slots());
    let parts: Vec<_> =
        outcome.outputs.iter().map(|output| (output.key, output.value, output.headers)).collect();
    let expected: Vec<_> = records.slots().iter().map(|slot| (slot.key, slot.value, slot.headers)).collect();
    assert_eq!(parts, expected);
    assert_eq!(outcome.outputs[1].sink, SinkIndex(0));
    assert_eq!(outcome.outputs[1].cause, Some(1));
    Ok(())
}

#[test]
fn keeps_an_instance_between_calls_and_shares_nothing_with_another() -> Result<()> {
    let (mut one, mut other) = (hostile(limits())?, hostile(limits())?);

    let counted = |instance: &mut dyn Instance| sent(instance, "count", Rows::default());

    assert_eq!(counted(&mut *one), ["1"]);
    assert_eq!(counted(&mut *one), ["2"]);
    assert_eq!(counted(&mut *other), ["1"]);
    Ok(())
}

#[test]
fn tells_message_and_location_of_a_panic_and_calls_the_instance_no_more() -> Result<()> {
    let mut instance = hostile(limits())?;

    let Err(CallError::Trap { message, location }) = call(&mut *instance, &["panic out\nof order"]) else {
        panic!("it must trap");
    };
    assert_eq!(message, "out\\nof order");
    assert!(location.expect("a location").contains("act.rs:"));

    let Err(CallError::Trap { message, .. }) = call(&mut *instance, &["hello"]) else {
        panic!("it must be refused");
    };
    assert_eq!(message, "the instance has failed before and is not called again");
    Ok(())
}

#[test]
fn names_a_trap_without_last_words_and_its_function() -> Result<()> {
    let mut instance = hostile(limits())?;

    let Err(CallError::Trap { message, location: None }) = call(&mut *instance, &["trap"]) else {
        panic!("it must trap without a location");
    };

    assert!(message.contains("unreachable"), "{message}");
    Ok(())
}

#[test]
fn passes_on_what_a_plugin_says_of_the_whole_call() -> Result<()> {
    let retry = call(&mut *hostile(limits())?, &["retry"]);
    let fatal = call(&mut *hostile(limits())?, &["fatal"]);
    let rejected = call(&mut *hostile(limits())?, &["hello", "reject no-class"]).expect("an outcome");
    let skipped = call(&mut *hostile(limits())?, &["skip", "skip"]).expect("an outcome");

    assert_eq!(retry, Err(CallError::Retry("told to try again".to_owned())));
    assert_eq!(fatal, Err(CallError::Fatal("told to stop".to_owned())));
    assert_eq!((rejected.rejected[0].index, rejected.rejected[0].code.as_str()), (1, "no-class"));
    assert_eq!(skipped.skipped, [("told-to".to_owned(), 2)]);
    Ok(())
}

#[test]
fn reads_a_table_and_gives_the_state_back() -> Result<()> {
    let mut instance = hostile(limits())?;
    let mut rows = Rows::default();
    rows.put("a", b"1");

    let answered = call_with(&mut *instance, &["lookup a", "lookup b"], Box::new(rows));

    assert_eq!(values(&answered.answer.expect("an outcome")), ["1", "none"]);
    assert!(answered.state.get(gristmill_host::io::StoreIndex(0), b"a").unwrap().is_some());
    Ok(())
}

#[test]
fn gives_the_state_back_when_the_call_fails() -> Result<()> {
    let mut instance = hostile(limits())?;
    let mut rows = Rows::default();
    rows.put("a", b"1");

    let answered = call_with(&mut *instance, &["panic"], Box::new(rows));

    assert!(answered.answer.is_err());
    assert!(answered.state.get(gristmill_host::io::StoreIndex(0), b"a").unwrap().is_some());
    Ok(())
}

#[test]
fn pages_through_a_table_in_the_order_of_its_keys() -> Result<()> {
    let mut instance = hostile(limits())?;
    let keys: Vec<_> = (0..2_500).map(|number| format!("{number:04}")).collect();
    let mut rows = Rows::default();
    keys.iter().for_each(|key| rows.put(key, b"x"));

    assert_eq!(sent(&mut *instance, "table", rows), [keys.join(",")]);
    Ok(())
}

#[test]
fn ends_a_page_after_a_megabyte() -> Result<()> {
    // Together the rows are larger than the instance's memory: page by page they pass through it.
    let mut instance = hostile(gristmill_host::config::pipeline::Limits {
        memory_bytes: 16 << 20,
        call: std::time::Duration::from_secs(5),
        ..limits()
    })?;
    let mut rows = Rows::default();
    (0..40).for_each(|number| rows.put(&format!("{number:02}"), &vec![b'x'; 1 << 20]));

    assert_eq!(sent(&mut *instance, "table", rows)[0].len(), 40 * 2 + 39);
    Ok(())
}

#[test]
fn tells_the_time_of_the_call() -> Result<()> {
    assert_eq!(sent(&mut *hostile(limits())?, "now", Rows::default()), ["1000 5"]);
    Ok(())
}

#[test]
fn traps_on_what_is_not_declared() -> Result<()> {
    for (way, expected) in [
        ("open", "the manifest declares no store or table `nowhere`"),
        ("write-table", "there are no stores to write here"),
        ("job", "there are no jobs here"),
        ("timer", "there are no timers here"),
    ] {
        let answer = call(&mut *raw(way)?, &["hello"]);

        assert_eq!(answer, Err(CallError::Trap { message: expected.to_owned(), location: None }), "{way}");
    }
    Ok(())
}

#[test]
fn lifts_what_lies_outside_of_the_arena_without_harm() -> Result<()> {
    // The task refuses all of these; here they only have to arrive as the guest gave them.
    for way in [
        "key-span",
        "value-span",
        "span-overflow",
        "headers-range",
        "header-name-span",
        "header-value-span",
        "sink",
        "cause",
        "rejected-index",
        "rejected-twice",
        "no-cause",
        "overlap",
        "callout",
    ] {
        assert!(call(&mut *raw(way)?, &["hello"]).is_ok(), "{way}");
    }
    let outcome = call(&mut *raw("span-overflow")?, &["hello"]).expect("an outcome");
    assert_eq!(outcome.outputs[0].value.map(|span| (span.start, span.len)), Some((u32::MAX, u32::MAX)));
    Ok(())
}
