//! The reader of broadcast topics.

use std::sync::{PoisonError, RwLockReadGuard};

use anyhow::Result;
use gristmill_host::fault::Code;
use gristmill_host::id::{Offset, Partition, TopicName};
use gristmill_host::io::{Outgoing, Sink as _};
use gristmill_host::kafka::broadcast::{BroadcastReader, VIEW_BYTES_MAX};
use gristmill_host::view::View;
use gristmill_tests::wait::{self, Seen};

use super::support::{Bench, record, told};

fn view(reader: &BroadcastReader) -> RwLockReadGuard<'_, View> {
    reader.view().read().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn await_position(reader: &BroadcastReader, position: i64) -> Result<()> {
    wait::until_equal("the view's position", &Offset(position), || Ok(view(reader).position(Partition(0))))
}

pub(super) fn rows(reader: &BroadcastReader) -> Vec<(String, Option<String>)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let view = view(reader);
    let entries = view.entries_from(Partition(0), Offset(0), 100);
    entries.iter().map(|row| (text(row.key().unwrap_or_default()), row.value().map(text))).collect()
}

fn write(bench: &Bench, topic: &TopicName, records: &[(&str, Option<&str>)], commits: bool) -> Result<()> {
    let mut sink = bench.sink("t")?;
    sink.begin().map_err(told)?;
    for (key, value) in records {
        let record =
            Outgoing { key: Some(key.as_bytes()), value: value.map(str::as_bytes), ..record(topic, "") };
        sink.send(&record).map_err(told)?;
    }
    sink.flush().map_err(told)?;
    if commits { sink.commit() } else { sink.abort() }.map_err(told)
}

#[test]
fn fills_the_view_with_what_is_committed_and_moves_past_control_records() -> Result<()> {
    let bench = Bench::new("view")?;
    let topic = bench.topic(1, &[("cleanup.policy", "compact")])?;
    write(&bench, &topic, &[("a", Some("1")), ("b", Some("2")), ("a", Some("3"))], true)?;
    write(&bench, &topic, &[("c", Some("never"))], false)?;

    let reader = BroadcastReader::start(&bench.kafka, &bench.name, &topic, VIEW_BYTES_MAX)?;
    await_position(&reader, 6)?;
    assert!(view(&reader).is_complete());
    write(&bench, &topic, &[("b", None)], true)?;
    await_position(&reader, 8)?;

    assert_eq!(rows(&reader), [("a".to_owned(), Some("3".to_owned())), ("b".to_owned(), None)]);
    Ok(())
}

#[test]
fn is_complete_at_once_when_the_topic_is_empty() -> Result<()> {
    let bench = Bench::new("empty-view")?;
    let topic = bench.topic(2, &[("cleanup.policy", "compact")])?;

    let reader = BroadcastReader::start(&bench.kafka, &bench.name, &topic, VIEW_BYTES_MAX)?;

    assert!(view(&reader).is_complete());
    Ok(())
}

#[test]
fn stops_with_a_fault_when_the_topic_outgrows_its_bound() -> Result<()> {
    let bench = Bench::new("large-view")?;
    let topic = bench.topic(1, &[])?;
    bench.put(&topic, &["x".repeat(2_000).as_str()])?;

    let reader = BroadcastReader::start(&bench.kafka, &bench.name, &topic, 1_000)?;
    let fault = wait::until("a fault", || {
        Ok(reader.take_fault().map_or(Seen::NotYet("none".to_owned()), Seen::Yes))
    })?;

    assert_eq!(fault.code(), Code::TopicUnfit);
    Ok(())
}

#[test]
fn refuses_a_topic_that_does_not_exist() -> Result<()> {
    let bench = Bench::new("no-view")?;

    let missing = TopicName::new("does-not-exist");
    let result = BroadcastReader::start(&bench.kafka, &bench.name, &missing, VIEW_BYTES_MAX);

    assert_eq!(result.err().map(|fault| fault.code()), Some(Code::TopicMissing));
    Ok(())
}
