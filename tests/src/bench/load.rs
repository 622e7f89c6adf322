//! Items of one class, enriched items as raw bytes, and ordinary updates at a steady rate.

use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::BaseRecord;

use super::meter;
use crate::client::{Client, Producer};
use crate::wait::Seen;
use crate::{wait, workload};

/// The class of all items.
pub(super) const CLASS: &str = "bulky";

/// The host's own bounds of a transaction.
const COMMIT_INTERVAL: Duration = Duration::from_millis(100);
const COMMIT_RECORDS: usize = 20_000;

const TEXT: &str = "The quick brown fox jumps over the lazy dog while the mill grinds on. ";

/// Settings of producers that fill topics: those of the host.
pub(super) const FILLING: [(&str, &str); 5] = [
    ("partitioner", "murmur2_random"),
    ("linger.ms", "20"),
    ("compression.type", "lz4"),
    ("batch.num.messages", "10000"),
    ("batch.size", "1000000"),
];

/// What a record of the sink is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An item of the class, with its number.
    Item(u64),
    /// An ordinary update, which the fan-out does not touch.
    Ordinary,
}

/// What the record of that key is.
pub(super) fn kind(key: &[u8]) -> Option<Kind> {
    let key = std::str::from_utf8(key).ok()?;
    if key.starts_with("ord-") {
        return Some(Kind::Ordinary);
    }
    key.strip_prefix("sku-")?.parse().ok().map(Kind::Item)
}

/// The start of the clock that ordinary updates carry.
fn origin() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    *ORIGIN.get_or_init(Instant::now)
}

/// How long ago an ordinary update was to be sent.
pub(super) fn delay(value: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?;
    let digits = text.strip_prefix(r#"{"sent":"#)?;
    let micros = digits.get(..digits.find(',')?)?.parse().ok()?;
    origin().elapsed().checked_sub(Duration::from_micros(micros))
}

/// An item of about 300 bytes.
pub(super) fn item(n: u64, class: &str) -> (String, String) {
    let value = format!(
        r#"{{"sku":"sku-{n}","deliveryClass":"{class}","price":{{"amount":{}.99,"currency":"EUR"}},"stock":{},"online":true,"description":"{TEXT}{TEXT}{TEXT}"}}"#,
        n % 1000,
        n % 77
    );
    (format!("sku-{n}"), value)
}

/// How an enriched item of the class ends when the class's maximum is this.
pub(super) fn ending(maximum: u64) -> String {
    format!(r#""minimumDeliveryTime":2,"maximumDeliveryTime":{maximum}}}"#)
}

/// The activation of a product, of about 300 bytes.
pub(super) fn activation(n: u64) -> (String, String) {
    let value = format!(
        r#"{{"activationId":"a-{n}","shop":{},"channel":"web","note":"{TEXT}{TEXT}{TEXT}"}}"#,
        n % 77
    );
    (format!("product-{n}"), value)
}

/// The information about a product, of about 300 bytes.
pub(super) fn information(n: u64) -> (String, String) {
    let value =
        format!(r#"{{"externalId":"X-{n}","title":"Product {n}","description":"{TEXT}{TEXT}{TEXT}"}}"#);
    (format!("product-{n}"), value)
}

/// Sets the times of the class.
pub(super) fn set_class(producer: &Producer, topic: &str, maximum: u64) -> Result<()> {
    producer.put(topic, 0, CLASS, &format!(r#"{{"minimumTime":2,"maximumTime":{maximum}}}"#))?;
    producer.drain()
}

/// Fills a topic with items of the class.
pub(super) fn fill(client: &Client, topic: &str, items: std::ops::Range<u64>) -> Result<()> {
    let producer = client.producer(&FILLING)?;
    for n in items {
        let (key, value) = item(n, CLASS);
        producer.send(BaseRecord::<str, str>::to(topic).key(&key).payload(&value))?;
    }
    producer.drain()
}

/// Sends ordinary updates at a steady rate, each at its time, however late the ones before it were: an open loop. It ends
/// when `is_over` says so of the time that has passed.
pub(super) fn pace(
    client: &Client,
    topic: &str,
    per_second: u32,
    is_over: impl Fn(Duration) -> bool,
) -> Result<()> {
    let producer = client.producer(&[("partitioner", "murmur2_random"), ("linger.ms", "1")])?;
    let (start, class) = (Instant::now(), workload::class_name(7));
    let offset = start.saturating_duration_since(origin());
    for n in 0_u32.. {
        let due = Duration::from_secs(1) * n / per_second;
        if is_over(due) {
            break;
        }
        if let Some(early) = due.checked_sub(start.elapsed()) {
            thread::sleep(early);
        }
        let sent = (offset + due).as_micros();
        let value =
            format!(r#"{{"sent":{sent},"deliveryClass":"{class}","description":"{TEXT}{TEXT}{TEXT}"}}"#);
        let key = format!("ord-{}", n % 10_000);
        producer.send(BaseRecord::<str, str>::to(topic).key(&key).payload(&value))?;
    }
    producer.drain()
}

/// Waits for a line on standard input, then produces the bytes of a fan-out in transactions like the host's, and says
/// what processor time that took, in seconds.
///
/// # Errors
/// When the broker refuses something.
pub fn produce_raw(client: &Client, topic: &str, items: u64, maximum: u64) -> Result<()> {
    // Made before the clock runs: what a fan-out has to read, this loop has at hand.
    let ending = ending(maximum);
    let records: Vec<_> = (0..items)
        .map(|n| {
            let (key, value) = item(n, CLASS);
            (key, format!("{},{ending}", value.trim_end_matches('}')))
        })
        .collect();
    let mut settings = FILLING.to_vec();
    settings.extend([("queue.buffering.max.messages", "200000"), ("queue.buffering.max.kbytes", "131072")]);
    let producer = client.transactional(topic, &settings)?;
    println!("ready");
    std::io::stdin().read_line(&mut String::new())?;
    let before = meter::cpu(std::process::id())?;
    let mut rest = records.as_slice();
    while !rest.is_empty() {
        let begun = Instant::now();
        producer.begin()?;
        let mut count = 0;
        while let Some(((key, value), behind)) = rest.split_first()
            && begun.elapsed() < COMMIT_INTERVAL
            && count < COMMIT_RECORDS
        {
            // The host marks each record of a fan-out with the class change behind it.
            let after = Header { key: "gristmill-after", value: Some("bench-classes-1-1/0@51") };
            let record = BaseRecord::<str, str>::to(topic).key(key).payload(value);
            producer.send(record.headers(OwnedHeaders::new().insert(after)))?;
            (rest, count) = (behind, count + 1);
        }
        producer.commit()?;
    }
    println!("used {}", (meter::cpu(std::process::id())? - before).as_secs_f64());
    // Until it is killed: its end is not part of the measurement.
    std::io::stdin().read_line(&mut String::new()).context("standard input")?;
    Ok(())
}

/// Waits until a watch has seen so many items, and does something at each look.
pub(super) fn await_items(
    watch: &super::watch::Watch,
    items: u64,
    mut look: impl FnMut() -> Result<()>,
) -> Result<Instant> {
    wait::until_within(super::subject::LIMIT, "the items with new times", || {
        let (count, last) = watch.count()?;
        look()?;
        Ok(match last {
            Some(last) if count >= items => Seen::Yes(last),
            _ => Seen::NotYet(format!("{count} of {items}")),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_items_and_ordinary_records() {
        assert_eq!(kind(b"sku-17"), Some(Kind::Item(17)));
        assert_eq!(kind(b"ord-17"), Some(Kind::Ordinary));
        assert_eq!(kind(b"other"), None);
        assert!(delay(br#"{"sent":0,"deliveryClass":"x"}"#).is_some());
        assert_eq!(delay(b"{}"), None);
    }
}
