//! Records: what was written is what is read, byte for byte.

use anyhow::{Context, Result, ensure};
use rdkafka::Offset;
use rdkafka::consumer::Consumer;
use rdkafka::producer::BaseRecord;

use crate::client::{Client, Isolation, REQUEST, position};
use crate::read;
use crate::record::{Header, Record, make_headers};

/// Old records vanish at once unless a topic keeps them for ever.
const FOR_EVER: (&str, &str) = ("retention.ms", "-1");

fn only(client: &Client, topic: &str) -> Result<Record> {
    let records = read::whole(client, topic, Isolation::Committed)?;
    ensure!(records.len() == 1, "{} records, not one", records.len());
    records.into_iter().next().context("no record")
}

fn header(name: &str, value: Option<&str>) -> Header {
    (name.as_bytes().to_vec(), value.map(|v| v.as_bytes().to_vec()))
}

pub fn keeps_keys_values_headers_and_timestamps(client: &Client) -> Result<()> {
    let topic = client.topic("round", 1, &[FOR_EVER])?;
    let producer = client.producer(&[])?;
    let headers =
        vec![header("a", Some("1")), header("b", None), header("a", Some("2")), header("c", Some(""))];

    let sent = BaseRecord::to(&topic).key("sku").payload("item").timestamp(1_600_000_000_123);
    producer.send(sent.headers(make_headers(&headers)))?;
    producer.drain()?;

    let record = only(client, &topic)?;
    ensure!(record.key_text() == "sku" && record.text() == "item", "{record:?}");
    ensure!(record.headers == headers, "{record:?}");
    ensure!(record.timestamp == 1_600_000_000_123, "{}", record.timestamp);
    Ok(())
}

pub fn tells_null_from_empty(client: &Client) -> Result<()> {
    let topic = client.topic("null", 1, &[])?;
    let producer = client.producer(&[])?;

    producer.send(BaseRecord::<(), str>::to(&topic).payload("no key"))?;
    producer.send(BaseRecord::<str, str>::to(&topic).key("").payload(""))?;
    producer.send(BaseRecord::<str, ()>::to(&topic).key("tombstone"))?;
    producer.drain()?;

    let records = read::whole(client, &topic, Isolation::Committed)?;
    let shapes: Vec<_> = records.iter().map(|r| (r.key.clone(), r.value.clone())).collect();
    let want =
        [(None, Some(b"no key".to_vec())), (Some(vec![]), Some(vec![])), (Some(b"tombstone".to_vec()), None)];
    ensure!(shapes == want, "{shapes:?}");
    Ok(())
}

pub fn keeps_header_names_that_are_not_text(client: &Client) -> Result<()> {
    let topic = client.topic("latin", 1, &[])?;
    let producer = client.producer(&[])?;
    let headers = vec![(vec![0xFF, 0xFE, b'x'], Some(vec![0x00, 0x80]))];

    producer.send(BaseRecord::to(&topic).key("k").payload("v").headers(make_headers(&headers)))?;
    producer.drain()?;

    let record = only(client, &topic)?;
    ensure!(record.headers == headers, "{:?}", record.headers);
    Ok(())
}

pub fn keeps_ten_thousand_headers(client: &Client) -> Result<()> {
    let topic = client.topic("headers", 1, &[])?;
    let producer = client.producer(&[])?;
    let headers: Vec<_> = (0..10_000).map(|n| header(&format!("h{n}"), Some("v"))).collect();

    producer.send(BaseRecord::to(&topic).key("k").payload("v").headers(make_headers(&headers)))?;
    producer.drain()?;

    ensure!(only(client, &topic)?.headers == headers);
    Ok(())
}

pub fn keeps_a_record_of_a_megabyte(client: &Client) -> Result<()> {
    let topic = client.topic("large", 1, &[])?;
    let producer = client.producer(&[])?;
    let value = "x".repeat(990_000);

    producer.put(&topic, 0, "k", &value)?;
    producer.drain()?;

    ensure!(only(client, &topic)?.text() == value);
    Ok(())
}

pub fn refuses_a_record_that_is_too_large(client: &Client) -> Result<()> {
    let topic = client.topic("narrow", 1, &[("max.message.bytes", "2000")])?;
    let producer = client.producer(&[])?;

    producer.put(&topic, 0, "k", &"x".repeat(5_000))?;
    let error = producer.drain().err().context("the broker took it")?.to_string();

    ensure!(error.contains("MessageSizeTooLarge") || error.contains("too large"), "{error}");
    ensure!(read::values(client, &topic, Isolation::Uncommitted)?.is_empty());
    Ok(())
}

pub fn refuses_a_record_without_key_on_a_compacted_topic(client: &Client) -> Result<()> {
    let topic = client.topic("keyed", 1, &[("cleanup.policy", "compact")])?;
    let producer = client.producer(&[])?;

    producer.send(BaseRecord::<(), str>::to(&topic).payload("no key"))?;
    let error = producer.drain().err().context("the broker took it")?.to_string();

    ensure!(error.contains("InvalidRecord"), "{error}");
    Ok(())
}

pub fn reads_every_compression(client: &Client) -> Result<()> {
    let topic = client.topic("compressed", 1, &[])?;
    let mut want = Vec::new();

    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let producer = client.producer(&[("compression.type", codec), ("linger.ms", "50")])?;
        for n in 0..100 {
            let value = format!("{codec}-{n}-{}", "z".repeat(200));
            producer.put(&topic, 0, "k", &value)?;
            want.push(value);
        }
        producer.drain()?;
    }

    ensure!(read::values(client, &topic, Isolation::Committed)? == want);
    Ok(())
}

pub fn finds_offsets_by_time(client: &Client) -> Result<()> {
    let topic = client.topic("times", 1, &[FOR_EVER])?;
    let producer = client.producer(&[])?;
    for n in 0..10 {
        let time = 1_700_000_000_000 + n * 1000;
        producer.send(BaseRecord::to(&topic).partition(0).key("k").payload("v").timestamp(time))?;
        producer.drain()?;
    }
    let consumer = client.consumer("times", &[])?;
    let ask = |time: i64| -> Result<Offset> {
        let answer = consumer.offsets_for_times(position(&topic, 0, time)?, REQUEST)?;
        Ok(answer.find_partition(&topic, 0).context("no answer")?.offset())
    };

    ensure!(ask(1_700_000_004_500)? == Offset::Offset(5), "{:?}", ask(1_700_000_004_500)?);
    ensure!(ask(1_700_000_004_000)? == Offset::Offset(4), "{:?}", ask(1_700_000_004_000)?);
    ensure!(ask(1_800_000_000_000)? == Offset::End, "{:?}", ask(1_800_000_000_000)?);
    Ok(())
}

pub fn keeps_everything_that_was_acknowledged(client: &Client) -> Result<()> {
    const COUNT: usize = 50_000;
    let topic = client.topic("many", 1, &[])?;
    let producer = client.producer(&[("linger.ms", "5")])?;
    let padding = "x".repeat(1000);

    for n in 0..COUNT {
        producer.put(&topic, 0, &n.to_string(), &padding)?;
    }
    producer.drain()?;

    ensure!(client.watermarks(&topic, 0, Isolation::Uncommitted)? == (0, i64::try_from(COUNT)?));
    let records = read::whole(client, &topic, Isolation::Committed)?;
    ensure!(records.len() == COUNT, "{} of {COUNT} records are there", records.len());
    let wrong = records.iter().enumerate().find(|(n, record)| record.key_text() != n.to_string());
    ensure!(wrong.is_none(), "{wrong:?}");
    Ok(())
}

pub fn writes_once_what_an_idempotent_producer_sends(client: &Client) -> Result<()> {
    let topic = client.topic("idempotent", 2, &[])?;
    let producer = client.producer(&[("enable.idempotence", "true")])?;

    for n in 0..5_000 {
        producer.put(&topic, n % 2, "k", &n.to_string())?;
    }
    producer.drain()?;

    let records = read::whole(client, &topic, Isolation::Committed)?;
    let values: Vec<_> = records.iter().map(Record::text).collect();
    let want: Vec<_> = (0..2).flat_map(|p| (0..2_500).map(move |n| (2 * n + p).to_string())).collect();
    ensure!(values == want, "{} records", values.len());
    Ok(())
}
