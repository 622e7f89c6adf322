//! A broker that dies and comes back.

use std::time::Duration;

use anyhow::{Context, Result};
use gristmill_host::id::{Offset, TopicName};
use gristmill_host::io::{Input, Sink as _, Source as _, TransactionError};
use gristmill_host::kafka::broadcast::{BroadcastReader, VIEW_BYTES_MAX};
use gristmill_host::kafka::sink::KafkaSink;
use gristmill_tests::client::Isolation;
use gristmill_tests::cluster::{Apache, Nodes};
use gristmill_tests::read;
use gristmill_tests::wait::{self, Seen};

use super::broadcast::{await_position, rows};
use super::support::{Bench, first, record, start, take};

fn commit(sink: &mut KafkaSink, topic: &TopicName) -> Result<(), TransactionError> {
    sink.begin()?;
    sink.send(&record(topic, "2"))?;
    sink.flush()?;
    sink.commit()
}

/// What a worker does after an error, for the next try.
fn go_on_after(sink: &mut KafkaSink, error: TransactionError) {
    let aborted = matches!(error, TransactionError::Abort(_)) && sink.abort().is_ok();
    if !aborted && let Err(error) = sink.replace() {
        eprintln!("not replaced yet: {error:?}");
    }
}

#[test]
fn readers_and_sinks_go_on_after_a_restart_of_the_broker() -> Result<()> {
    let cluster = Apache::start(Nodes::One)?;
    let bench = Bench::on(&cluster, "restart");
    let topic = bench.topic(1, &[("cleanup.policy", "compact")])?;
    let reader = BroadcastReader::start(&bench.kafka, &bench.name, &topic, VIEW_BYTES_MAX)?;
    let mut source = bench.member("w", &[&topic])?;
    start(&mut source, 0)?;
    let mut sink = bench.sink("t")?;
    bench.put(&topic, &["1"])?;
    await_position(&reader, 1)?;
    assert_eq!(take(&mut source, 1)?, [("1".to_owned(), 0)]);

    cluster.kill(1)?;
    cluster.restart(1)?;
    wait::until("a commit after the restart", || {
        Ok(match commit(&mut sink, &topic) {
            Ok(()) => Seen::Yes(()),
            Err(error) => {
                let seen = format!("{error:?}");
                go_on_after(&mut sink, error);
                Seen::NotYet(seen)
            }
        })
    })?;
    let (value, offset) = wait::until("the record after the restart", || {
        let input = source.poll(Duration::from_millis(50))?;
        let seen = format!("{input:?}");
        match input {
            Some(Input::Records(_, chunk)) => {
                let record = chunk.first().context("an empty chunk")?;
                return Ok(Seen::Yes((record.value().map(<[u8]>::to_vec), record.offset().0)));
            }
            // The session may have ended with the broker.
            Some(Input::Lost(partitions) | Input::Revoked(partitions)) => source.release(&partitions)?,
            Some(Input::Assigned(partitions)) => {
                source.seek(&[(first(&topic), Offset(1))])?;
                source.resume(&partitions)?;
            }
            Some(Input::End(..)) | None => {}
        }
        Ok(Seen::NotYet(seen))
    })?;
    await_position(&reader, offset + 2)?;

    assert_eq!(rows(&reader), [("key".to_owned(), Some("2".to_owned()))]);
    assert!(reader.take_fault().is_none());
    assert_eq!(value.as_deref(), Some(&b"2"[..]));
    wait::until_equal("both records", &vec!["1".to_owned(), "2".to_owned()], || {
        read::values(&bench.client, topic.as_str(), Isolation::Committed)
    })
}
