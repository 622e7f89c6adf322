//! Transactions: what readers see of them, and when.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::client::{Client, Isolation, Producer, unique};
use crate::read;
use crate::wait;

/// A transaction time-out that a test can wait for.
const SHORT: &[(&str, &str)] = &[("transaction.timeout.ms", "3000"), ("message.timeout.ms", "2500")];

fn producer(client: &Client) -> Result<Producer> {
    client.transactional(&unique("tx"), &[])
}

pub fn hides_aborted_records(client: &Client) -> Result<()> {
    let topic = client.topic("aborted", 1, &[])?;
    let producer = producer(client)?;

    for (value, commit) in [("kept", true), ("aborted", false), ("kept too", true)] {
        producer.begin()?;
        producer.put(&topic, 0, "k", value)?;
        if commit { producer.commit()? } else { producer.abort()? }
    }

    ensure!(read::values(client, &topic, Isolation::Committed)? == ["kept", "kept too"]);
    ensure!(read::values(client, &topic, Isolation::Uncommitted)? == ["kept", "aborted", "kept too"]);
    Ok(())
}

pub fn hides_open_transactions_and_what_follows_them(client: &Client) -> Result<()> {
    let topic = client.topic("open", 1, &[])?;
    let (producer, plain) = (producer(client)?, client.producer(&[])?);

    plain.put(&topic, 0, "k", "before")?;
    plain.drain()?;
    producer.begin()?;
    producer.put(&topic, 0, "k", "open")?;
    producer.drain()?;
    plain.put(&topic, 0, "k", "after")?;
    plain.drain()?;

    ensure!(read::values(client, &topic, Isolation::Committed)? == ["before"]);
    ensure!(read::values(client, &topic, Isolation::Uncommitted)? == ["before", "open", "after"]);
    producer.commit()?;
    wait::until_equal("the committed records", &vec!["before".into(), "open".into(), "after".into()], || {
        read::values(client, &topic, Isolation::Committed)
    })
}

pub fn spends_an_offset_on_each_control_record(client: &Client) -> Result<()> {
    let topic = client.topic("control", 1, &[])?;
    let producer = producer(client)?;

    for commit in [true, false, true] {
        producer.begin()?;
        producer.put(&topic, 0, "k", "v")?;
        if commit { producer.commit()? } else { producer.abort()? }
    }

    let records = read::whole(client, &topic, Isolation::Uncommitted)?;
    let offsets: Vec<_> = records.iter().map(|r| r.offset).collect();
    ensure!(offsets == [0, 2, 4], "{offsets:?}");
    ensure!(client.watermarks(&topic, 0, Isolation::Uncommitted)? == (0, 6));
    Ok(())
}

pub fn commits_several_partitions_as_one(client: &Client) -> Result<()> {
    let (left, right) = (client.topic("left", 3, &[])?, client.topic("right", 1, &[])?);
    let producer = producer(client)?;

    for commit in [false, true] {
        producer.begin()?;
        for partition in 0..3 {
            producer.put(&left, partition, "k", &commit.to_string())?;
        }
        producer.put(&right, 0, "k", &commit.to_string())?;
        if commit { producer.commit()? } else { producer.abort()? }
    }

    ensure!(read::values(client, &left, Isolation::Committed)? == ["true", "true", "true"]);
    ensure!(read::values(client, &right, Isolation::Committed)? == ["true"]);
    Ok(())
}

pub fn aborts_a_transaction_that_outlives_its_time(client: &Client) -> Result<()> {
    let topic = client.topic("abandoned", 1, &[])?;
    let plain = client.producer(&[])?;
    let abandoned = client.transactional(&unique("tx"), SHORT)?;

    abandoned.begin()?;
    abandoned.put(&topic, 0, "k", "abandoned")?;
    abandoned.drain()?;
    plain.put(&topic, 0, "k", "plain")?;
    plain.drain()?;

    ensure!(read::values(client, &topic, Isolation::Committed)?.is_empty(), "the transaction hides nothing");
    wait::until_within(Duration::from_secs(120), "the coordinator to abort the transaction", || {
        Ok(match client.watermarks(&topic, 0, Isolation::Committed)? {
            (0, 3) => wait::Seen::Yes(()),
            ends => wait::Seen::NotYet(format!("{ends:?}")),
        })
    })?;
    ensure!(read::values(client, &topic, Isolation::Committed)? == ["plain"]);
    Ok(())
}

pub fn refuses_the_commit_of_a_transaction_that_timed_out(client: &Client) -> Result<()> {
    let topic = client.topic("late", 1, &[])?;
    let late = client.transactional(&unique("tx"), SHORT)?;
    late.begin()?;
    late.put(&topic, 0, "k", "late")?;
    late.drain()?;
    wait::until_within(Duration::from_secs(120), "the coordinator to abort the transaction", || {
        Ok(match client.watermarks(&topic, 0, Isolation::Committed)? {
            (0, 2) => wait::Seen::Yes(()),
            ends => wait::Seen::NotYet(format!("{ends:?}")),
        })
    })?;

    let error = late.commit().err().context("the transaction was committed after its time")?;

    ensure!(read::values(client, &topic, Isolation::Committed)?.is_empty(), "{error:#}");
    Ok(())
}

pub fn leaves_a_transaction_without_records_without_trace(client: &Client) -> Result<()> {
    let topic = client.topic("empty", 1, &[])?;
    let producer = producer(client)?;

    producer.begin()?;
    producer.commit()?;
    producer.begin()?;
    producer.put(&topic, 0, "k", "v")?;
    producer.commit()?;

    ensure!(client.watermarks(&topic, 0, Isolation::Committed)? == (0, 2));
    Ok(())
}
