//! What the adapters make of answers that are lost or wrong.

use std::time::Duration;

use anyhow::Result;
use gristmill_broker::{ApiKey, ResponseError};
use gristmill_host::id::TopicName;
use gristmill_host::io::{Input, Sink as _, Source as _, TransactionError};
use gristmill_host::kafka::sink::KafkaSink;
use gristmill_tests::client::Isolation;
use gristmill_tests::cluster::Dev;
use gristmill_tests::read;
use gristmill_tests::wait::{self, Seen};

use super::support::{Bench, assigned, record, told};

/// A broker of its own, because faults hit whoever comes; a topic; and a sink whose transaction has one record.
struct Open {
    dev: Dev,
    bench: Bench,
    topic: TopicName,
    sink: KafkaSink,
}

impl Open {
    fn new() -> Result<Self> {
        let dev = Dev::start()?;
        let bench = Bench::on(&dev, "outcome");
        let topic = bench.topic(1, &[])?;
        let mut sink = bench.sink("t")?;
        write(&mut sink, &topic, "first").map_err(told)?;
        Ok(Self { dev, bench, topic, sink })
    }

    fn producers_made(&self) -> u64 {
        self.dev.broker().faults().requests(ApiKey::InitProducerId)
    }

    /// A second transaction goes through, and only these records are there.
    fn goes_on_with(mut self, expected: &[&str]) -> Result<()> {
        self.dev.broker().faults().clear();
        write(&mut self.sink, &self.topic, "second").map_err(told)?;
        self.sink.commit().map_err(told)?;
        let expected: Vec<_> = expected.iter().map(|value| (*value).to_owned()).collect();
        wait::until_equal("the committed records", &expected, || {
            read::values(&self.bench.client, self.topic.as_str(), Isolation::Committed)
        })
    }
}

fn write(sink: &mut KafkaSink, topic: &TopicName, value: &str) -> Result<(), TransactionError> {
    sink.begin()?;
    sink.send(&record(topic, value))?;
    sink.flush()
}

#[test]
fn replaces_the_producer_after_a_commit_that_had_to_be_repeated() -> Result<()> {
    let mut open = Open::new()?;
    let fault = open.dev.broker().faults().on(ApiKey::EndTxn).next(1).apply_then_disconnect();

    open.sink.commit().map_err(told)?;
    assert_eq!(fault.hits(), 1);
    let before = open.producers_made();
    write(&mut open.sink, &open.topic, "second").map_err(told)?;
    open.sink.commit().map_err(told)?;

    assert_eq!(open.producers_made(), before + 1);
    open.goes_on_with(&["first", "second", "second"])
}

#[test]
fn keeps_the_producer_after_a_commit_that_went_well() -> Result<()> {
    let mut open = Open::new()?;

    open.sink.commit().map_err(told)?;
    let before = open.producers_made();
    write(&mut open.sink, &open.topic, "second").map_err(told)?;
    open.sink.commit().map_err(told)?;

    assert_eq!(open.producers_made(), before);
    Ok(())
}

#[test]
fn does_not_claim_to_know_the_outcome_of_a_commit_that_was_asked_for() -> Result<()> {
    let mut open = Open::new()?;
    let fault = open.dev.broker().faults().on(ApiKey::EndTxn).answer(ResponseError::UnknownServerError);

    let error = open.sink.commit().unwrap_err();

    assert!(fault.hits() > 0);
    assert!(matches!(error, TransactionError::Replace(_)), "{error:?}");
    fault.clear();
    open.sink.replace().map_err(told)?;
    open.goes_on_with(&["second"])
}

#[test]
fn replaces_the_producer_after_an_abort_that_followed_a_commit() -> Result<()> {
    let mut open = Open::new()?;
    // The commit fails before the coordinator is asked: its own flush finds the record that was not delivered.
    open.dev.broker().faults().on(ApiKey::Produce).answer(ResponseError::MessageTooLarge);
    open.sink.send(&record(&open.topic, "refused")).map_err(told)?;

    let error = open.sink.commit().unwrap_err();
    assert!(matches!(error, TransactionError::Refused { .. }), "{error:?}");
    open.dev.broker().faults().clear();
    open.sink.abort().map_err(told)?;
    let before = open.producers_made();
    write(&mut open.sink, &open.topic, "second").map_err(told)?;

    assert_eq!(open.producers_made(), before + 1);
    open.sink.abort().map_err(told)?;
    open.goes_on_with(&["second"])
}

#[test]
fn takes_a_wrong_epoch_for_a_fence() -> Result<()> {
    for api in [ApiKey::EndTxn, ApiKey::Produce] {
        let mut open = Open::new()?;
        open.dev.broker().faults().on(api).answer(ResponseError::InvalidProducerEpoch);

        let mut finish = || {
            open.sink.send(&record(&open.topic, "fenced"))?;
            open.sink.flush()?;
            open.sink.commit()
        };
        let error = finish().unwrap_err();

        assert!(matches!(error, TransactionError::Fenced(_)), "{api:?}: {error:?}");
        open.dev.broker().faults().clear();
        open.sink.replace().map_err(told)?;
        open.goes_on_with(&["second"])?;
    }
    Ok(())
}

#[test]
fn replaces_the_producer_when_an_abort_fails() -> Result<()> {
    let mut open = Open::new()?;
    open.dev.broker().faults().on(ApiKey::EndTxn).answer(ResponseError::InvalidTxnState);

    let error = open.sink.abort().unwrap_err();

    assert!(matches!(error, TransactionError::Replace(_)), "{error:?}");
    open.dev.broker().faults().clear();
    open.sink.replace().map_err(told)?;
    open.goes_on_with(&["second"])
}

#[test]
fn waits_for_a_coordinator_that_moves() -> Result<()> {
    let mut open = Open::new()?;
    let fault = open.dev.broker().faults().on(ApiKey::EndTxn).next(2).answer(ResponseError::NotCoordinator);

    open.sink.commit().map_err(told)?;

    assert_eq!(fault.hits(), 2);
    open.goes_on_with(&["first", "second"])
}

#[test]
fn joins_again_when_it_is_called_a_stranger_and_nobody_else_has_its_name() -> Result<()> {
    let dev = Dev::start()?;
    let bench = Bench::on(&dev, "alarm");
    let topic = bench.topic(1, &[])?;
    let mut source = bench.member("w", &[&topic])?;
    let before = assigned(&mut source)?;

    dev.broker().faults().on(ApiKey::Heartbeat).next(1).answer(ResponseError::FencedInstanceId);
    let lost = wait::until("a loss", || {
        Ok(match source.poll(Duration::from_millis(20))? {
            Some(Input::Lost(partitions)) => Seen::Yes(partitions),
            other => Seen::NotYet(format!("{other:?}")),
        })
    })?;
    source.release(&lost)?;
    let after = assigned(&mut source)?;

    assert_eq!((&lost, &after), (&before, &before));
    Ok(())
}
