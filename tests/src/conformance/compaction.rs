//! Compaction: what a topic that keeps the last value of each key may forget, and what not.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use rdkafka::consumer::Consumer as _;

use crate::client::{Client, Isolation, unique};
use crate::read;
use crate::record::Record;
use crate::wait::{self, Seen};

/// Settings that make a broker compact within seconds.
const EAGER: &[(&str, &str)] = &[
    ("cleanup.policy", "compact"),
    ("segment.ms", "1000"),
    ("min.cleanable.dirty.ratio", "0.01"),
    ("delete.retention.ms", "100"),
    ("max.compaction.lag.ms", "1000"),
];

/// Reads the topic until a condition on its records holds. Each look writes a record of the key `roll` before it, because
/// a broker closes a segment, the only thing that it compacts, when something is written.
fn compacted(
    client: &Client,
    topic: &str,
    what: &str,
    mut done: impl FnMut(&[Record]) -> bool,
) -> Result<Vec<Record>> {
    let producer = client.producer(&[])?;
    wait::until(what, || {
        producer.put(topic, 0, "roll", "x")?;
        producer.drain()?;
        let mut records = read::whole(client, topic, Isolation::Uncommitted)?;
        records.retain(|record| record.key_text() != "roll");
        Ok(if done(&records) {
            Seen::Yes(records)
        } else {
            Seen::NotYet(format!("{} records, the last one {:?}", records.len(), records.last()))
        })
    })
}

pub fn keeps_the_last_value_of_each_key(client: &Client) -> Result<()> {
    let topic = client.topic("compact", 1, EAGER)?;
    let producer = client.producer(&[])?;
    for n in 0..5_000 {
        producer.put(&topic, 0, &format!("k{}", n % 100), &n.to_string())?;
    }
    producer.drain()?;

    let records = compacted(client, &topic, "old values to go", |records| records.len() < 500)?;

    let last: BTreeMap<_, _> = records.iter().map(|r| (r.key_text(), r.text())).collect();
    let want: BTreeMap<_, _> = (0..100).map(|n| (format!("k{n}"), (4_900 + n).to_string())).collect();
    ensure!(last == want, "{last:?}");
    Ok(())
}

pub fn drops_tombstones_in_the_end(client: &Client) -> Result<()> {
    let topic = client.topic("tombstones", 1, EAGER)?;
    let producer = client.producer(&[])?;
    for key in ["deleted", "kept"] {
        producer.put(&topic, 0, key, "value")?;
    }
    producer.send(rdkafka::producer::BaseRecord::<str, ()>::to(&topic).partition(0).key("deleted"))?;
    producer.drain()?;

    // The value goes before its tombstone does: the other way round, the deleted key would come back.
    let records = compacted(client, &topic, "the tombstone to go", |records| {
        records.iter().all(|record| record.key_text() != "deleted")
    })?;

    let left: Vec<_> = records.iter().map(|r| (r.key_text(), r.text())).collect();
    ensure!(left == [("kept".to_owned(), "value".to_owned())], "{left:?}");
    Ok(())
}

pub fn keeps_offsets_and_order(client: &Client) -> Result<()> {
    let topic = client.topic("sparse", 1, EAGER)?;
    let producer = client.producer(&[])?;
    for n in 0..1_000 {
        producer.put(&topic, 0, &format!("k{}", (n * n) % 97), &n.to_string())?;
    }
    producer.drain()?;

    let records = compacted(client, &topic, "old values to go", |records| records.len() < 400)?;

    let moved = records.iter().find(|record| record.text() != record.offset.to_string());
    ensure!(moved.is_none(), "{moved:?}");
    Ok(())
}

pub fn keeps_aborted_records_hidden(client: &Client) -> Result<()> {
    let topic = client.topic("aborted", 1, EAGER)?;
    let producer = client.transactional(&unique("tx"), &[])?;
    for n in 0..200 {
        producer.begin()?;
        producer.put(&topic, 0, &format!("k{}", n % 10), &n.to_string())?;
        // The newest write of each key is aborted: the value before it is the one to keep.
        if n < 190 { producer.commit()? } else { producer.abort()? }
    }

    compacted(client, &topic, "old values to go", |records| records.len() < 60)?;

    let records = read::whole(client, &topic, Isolation::Committed)?;
    let mut last: BTreeMap<_, _> = records.iter().map(|r| (r.key_text(), r.text())).collect();
    last.remove("roll");
    let want: BTreeMap<_, _> = (0..10).map(|n| (format!("k{n}"), (180 + n).to_string())).collect();
    ensure!(last == want, "{last:?}");
    Ok(())
}

pub fn ends_behind_what_compaction_has_left(client: &Client) -> Result<()> {
    let settings = [EAGER, &[("delete.retention.ms", "600000")]].concat();
    let topic = client.topic("left", 1, &settings)?;
    let (plain, producer) = (client.producer(&[])?, client.transactional(&unique("tx"), &[])?);
    for n in 0..200 {
        plain.put(&topic, 0, "k", &n.to_string())?;
        plain.drain()?;
    }
    producer.begin()?;
    producer.put(&topic, 0, "a", "aborted")?;
    producer.abort()?;
    compacted(client, &topic, "old values to go", |records| records.len() < 100)?;
    producer.begin()?;
    producer.put(&topic, 0, "k", "open")?;
    producer.drain()?;
    let (_, stable_end) = client.watermarks(&topic, 0, Isolation::Committed)?;
    let (_, end) = client.watermarks(&topic, 0, Isolation::Uncommitted)?;

    let reader = super::end::consumer(client, &topic, Isolation::Committed)?;
    let values = super::end::up_to_the_end(&reader)?;

    // Only what is decided is read, the end lies where the open transaction begins, and all gaps before it are passed.
    ensure!(end == stable_end + 1, "{stable_end} and {end}");
    ensure!(!values.iter().any(|value| value == "aborted" || value == "open"), "{values:?}");
    let place = reader.position()?.find_partition(&topic, 0).map(|place| place.offset());
    ensure!(place == Some(rdkafka::Offset::Offset(stable_end)), "{place:?} is not {stable_end}");
    producer.abort()
}
