//! Answers whose task has moved find their way into the inbox.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gristmill_host::app::orphans::{Forwarder, UNCLAIMED};
use gristmill_host::config::pipeline::Kafka;
use gristmill_host::id::{Partition, TopicName};
use gristmill_host::io::{Answer, Ended};
use gristmill_host::task::order::Order;
use gristmill_tests::client::{Client, Isolation};
use gristmill_tests::cluster::{Cluster, Dev};
use gristmill_tests::read;
use gristmill_tests::wait::{self, Seen};
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn answer(id: &str, body: Vec<u8>) -> Answer {
    let ended = Ended::Answered { status: 200, headers: vec![("a".into(), "b".into())], body };
    Answer { id: id.to_owned(), ended, attempts: 1 }
}

/// What is in the inbox: partitions and orders.
fn orders(client: &Client, inbox: &str) -> Result<Vec<(i32, Order)>> {
    let records = read::whole(client, inbox, Isolation::Committed)?;
    let order = |value: Option<&[u8]>| Order::read(value).map_err(anyhow::Error::msg);
    records.iter().map(|record| Ok((record.partition, order(record.value.as_deref())?))).collect()
}

fn of(answer: &Answer) -> Order {
    Order::CalloutAnswer { id: answer.id.clone(), attempts: answer.attempts, end: (&answer.ended).into() }
}

#[test]
fn forwards_answers_to_the_partition_of_their_task_but_not_those_that_the_inbox_refuses() -> Result<()> {
    let dev = Dev::start()?;
    let client = dev.client();
    let inbox = client.topic("inbox", 3, &[])?;
    // Records are compressed, so a large body must not repeat itself.
    let mut body = vec![0; 3 << 20];
    ChaCha8Rng::seed_from_u64(1).fill_bytes(&mut body);
    let (one, large, last) = (answer("one", vec![1; 100]), answer("large", body), answer("last", vec![]));
    let (send, receive) = mpsc::channel();
    for (partition, answer) in [(2, one.clone()), (0, large), (1, last.clone())] {
        send.send((Partition(partition), answer)).context("nobody receives")?;
    }
    let kafka = Kafka { brokers: dev.bootstrap(), client: BTreeMap::new() };
    let orphans = move |_: Duration| receive.try_iter().collect();

    let forwarder = Forwarder::start(&kafka, (&"t".into(), TopicName::new(&inbox)), orphans)?;

    let expected = [(1, of(&last)), (2, of(&one))];
    wait::until("the answers in the inbox", || {
        let found = orders(&client, &inbox)?;
        Ok(if found == expected { Seen::Yes(()) } else { Seen::NotYet(format!("{} orders", found.len())) })
    })?;
    drop(forwarder);
    ensure!(orders(&client, &inbox)? == expected, "more came at the end");
    Ok(())
}

#[test]
fn leaves_nothing_behind_that_nobody_has_claimed_when_it_ends() -> Result<()> {
    let dev = Dev::start()?;
    let client = dev.client();
    let inbox = client.topic("inbox", 1, &[])?;
    let kafka = Kafka { brokers: dev.bootstrap(), client: BTreeMap::new() };
    // Its task was given away a moment ago: it may come back, unless the process ends.
    let orphans = |unclaimed_for: Duration| match unclaimed_for {
        UNCLAIMED => Vec::new(),
        _ => vec![(Partition(0), answer("a", vec![]))],
    };

    drop(Forwarder::start(&kafka, (&"t".into(), TopicName::new(&inbox)), orphans)?);

    ensure!(orders(&client, &inbox)? == [(0, of(&answer("a", vec![])))], "the answer is not in the inbox");
    Ok(())
}
