//! Fencing: what a predecessor can still do after its successor has begun. Nothing.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rdkafka::consumer::{Consumer, ConsumerGroupMetadata};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::groups::Member;
use super::offsets::Reader;
use crate::client::{Client, Isolation, REQUEST, position, unique};
use crate::read;
use crate::wait::{self, Seen};

pub fn fences_a_predecessor_by_transactional_id(client: &Client) -> Result<()> {
    let topic = client.topic("fence", 1, &[])?;
    let id = unique("tx");
    let predecessor = client.transactional(&id, &[])?;
    predecessor.begin()?;
    predecessor.put(&topic, 0, "k", "old")?;
    predecessor.drain()?;

    let successor = client.transactional(&id, &[])?;
    let error = predecessor.commit().err().context("the predecessor has committed")?;
    successor.begin()?;
    successor.put(&topic, 0, "k", "new")?;
    successor.commit()?;

    ensure!(read::values(client, &topic, Isolation::Committed)? == ["new"], "{error:#}");
    Ok(())
}

pub fn keeps_a_predecessor_from_ending_its_successors_transaction(client: &Client) -> Result<()> {
    let topic = client.topic("meddler", 1, &[])?;
    let id = unique("tx");
    let predecessor = client.transactional(&id, &[])?;
    predecessor.begin()?;
    predecessor.put(&topic, 0, "k", "old")?;
    predecessor.drain()?;
    let successor = client.transactional(&id, &[])?;
    successor.begin()?;
    successor.put(&topic, 0, "k", "new")?;
    successor.drain()?;

    let error = predecessor.commit().err().context("the predecessor has committed")?;

    ensure!(
        read::values(client, &topic, Isolation::Committed)?.is_empty(),
        "it has ended both transactions: {error:#}"
    );
    successor.abort()?;
    ensure!(
        read::values(client, &topic, Isolation::Committed)?.is_empty(),
        "the abort came too late: {error:#}"
    );
    Ok(())
}

pub fn aborts_the_open_transaction_of_a_predecessor(client: &Client) -> Result<()> {
    let topic = client.topic("inherited", 1, &[])?;
    let id = unique("tx");
    let predecessor = client.transactional(&id, &[])?;
    predecessor.begin()?;
    predecessor.put(&topic, 0, "k", "open")?;
    predecessor.drain()?;

    let _successor = client.transactional(&id, &[])?;

    // The record and the control record that aborts it, and both ends agree: nothing hangs.
    ensure!(client.watermarks(&topic, 0, Isolation::Uncommitted)? == (0, 2));
    ensure!(client.watermarks(&topic, 0, Isolation::Committed)? == (0, 2));
    ensure!(read::values(client, &topic, Isolation::Committed)?.is_empty());
    Ok(())
}

pub fn aborts_the_pending_offsets_of_a_predecessor(client: &Client) -> Result<()> {
    let mut reader = Reader::new(client)?;
    let id = unique("tx");
    reader.producer = client.transactional(&id, &[])?;
    reader.producer.begin()?;
    reader.send_offset(7)?;

    let _successor = client.transactional(&id, &[])?;

    // This read waits for stable offsets: it ends because the successor has made them stable.
    let committed = reader.committed(client)?;
    ensure!(committed.is_none(), "{committed:?}");
    Ok(())
}

pub fn refuses_offsets_of_an_earlier_generation(client: &Client) -> Result<()> {
    let reader = Reader::new(client)?;
    let stale = reader.consumer.group_metadata().context("no group metadata")?;
    let other = Member::join(client, &reader.group, &[&reader.topic], &[])?;
    wait::until("a generation with both members", || {
        if let Some(Err(error)) = reader.consumer.poll(Duration::from_millis(50)) {
            bail!("the first member: {error}");
        }
        Ok(if other.assignments() > 0 { Seen::Yes(()) } else { Seen::NotYet("one member".into()) })
    })?;

    let code = refusal(&reader, &stale)?;

    ensure!(code == RDKafkaErrorCode::IllegalGeneration, "{code}");
    Ok(())
}

pub fn refuses_offsets_of_an_unknown_member(client: &Client) -> Result<()> {
    let mut reader = Reader::new(client)?;
    let stale = reader.consumer.group_metadata().context("no group metadata")?;
    let bystander = client.consumer(&reader.group, &[])?;
    drop(std::mem::replace(&mut reader.consumer, bystander));

    let code = refusal(&reader, &stale)?;

    ensure!(
        matches!(code, RDKafkaErrorCode::UnknownMemberId | RDKafkaErrorCode::IllegalGeneration),
        "{code}"
    );
    Ok(())
}

/// Sends offsets with group metadata that must be refused, and aborts.
fn refusal(reader: &Reader, stale: &ConsumerGroupMetadata) -> Result<RDKafkaErrorCode> {
    reader.producer.begin()?;
    let list = position(&reader.topic, 0, 6)?;
    let result =
        rdkafka::producer::Producer::send_offsets_to_transaction(&reader.producer.0, &list, stale, REQUEST);
    let code = match result {
        Err(KafkaError::Transaction(error)) => error.code(),
        other => bail!("the offsets were not refused: {other:?}"),
    };
    reader.producer.abort()?;
    Ok(code)
}

pub fn fences_a_static_member_by_its_double(client: &Client) -> Result<()> {
    let topic = client.topic("double", 2, &[])?;
    let group = unique("group");
    let first = Member::join(client, &group, &[&topic], &[("group.instance.id", "same")])?;
    first.await_partitions(2)?;

    let second = Member::join(client, &group, &[&topic], &[("group.instance.id", "same")])?;

    second.await_partitions(2)?;
    wait::until_equal("the first member's fence", &Some(RDKafkaErrorCode::FencedInstanceId), || {
        Ok(first.fatal())
    })
}

pub fn refuses_offsets_of_a_static_member_that_was_replaced(client: &Client) -> Result<()> {
    let topic = client.topic("replaced", 1, &[])?;
    let group = unique("group");
    let instance = [("group.instance.id", "same"), ("isolation.level", "read_committed")];
    let plain = client.producer(&[])?;
    plain.put(&topic, 0, "k", "v")?;
    plain.drain()?;
    let first = client.consumer(&group, &instance)?;
    first.subscribe(&[&topic])?;
    read::take(&first, 1)?;
    let producer = client.transactional(&unique("tx"), &[])?;
    let reader = Reader { topic: topic.clone(), group: group.clone(), consumer: first, producer };
    let stale = reader.consumer.group_metadata().context("no group metadata")?;

    let second = Member::join(client, &group, &[&topic], &instance)?;
    second.await_partitions(1)?;
    let code = refusal(&reader, &stale)?;

    ensure!(code == RDKafkaErrorCode::FencedInstanceId, "{code}");
    Ok(())
}
