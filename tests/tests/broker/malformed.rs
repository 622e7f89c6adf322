//! Records of every wrong shape, through the whole host: a dead letter or an output, never a stop, never a loss.

use anyhow::{Context, Result, ensure};
use gristmill_tests::checker;
use gristmill_tests::cluster::{Apache, Cluster};
use gristmill_tests::record::{Header, Record, make_headers};
use gristmill_tests::shop::Shop;
use gristmill_tests::turn;
use rdkafka::producer::BaseRecord;

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Enriched,
    DeadLetter,
    /// Either, as long as it is one of them.
    Either,
}

struct Case {
    name: &'static str,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<Header>,
    fate: Fate,
}

fn case(name: &'static str, value: impl Into<Vec<u8>>, fate: Fate) -> Case {
    Case { name, key: Some(name.into()), value: Some(value.into()), headers: vec![], fate }
}

fn cases() -> Vec<Case> {
    use Fate::{DeadLetter, Either, Enriched};
    let good = r#"{"deliveryClass":"class-01"}"#;
    let nested = |depth: usize| format!(r#"{{"a":{}1{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let many = (0..10_000).map(|n| (format!("h{n}").into_bytes(), Some(b"v".to_vec()))).collect();
    vec![
        case("good", good, Enriched),
        case("not json", "this is not JSON", DeadLetter),
        case("cut off", r#"{"deliveryClass":"class-01""#, DeadLetter),
        case("trailing", r#"{"deliveryClass":"class-01"} x"#, DeadLetter),
        case("not an object", "[1,2,3]", DeadLetter),
        case("a number", "7", DeadLetter),
        case("empty", "", DeadLetter),
        case("blank", "  \n", DeadLetter),
        Case { key: None, ..case("null key", good, DeadLetter) },
        Case { key: Some(vec![]), ..case("empty key", r#"{"empty":1}"#, Either) },
        Case { key: Some(vec![0xFF, 0xFE, 0x00, 0x80]), ..case("key not UTF-8", good, Enriched) },
        case("value not UTF-8", b"{\"a\":\"\xFF\xFE\"}".as_slice(), Either),
        case("class is a number", r#"{"deliveryClass":7}"#, DeadLetter),
        case("class is an object", r#"{"deliveryClass":{"name":"class-01"}}"#, DeadLetter),
        case("class list is mixed", r#"{"deliveryClass":["class-01",7]}"#, DeadLetter),
        case("no class", r#"{"a":1}"#, Enriched),
        case("a megabyte", format!(r#"{{"a":"{}"}}"#, "x".repeat(1_000_000)), Either),
        Case { headers: many, ..case("10,000 headers", good, Enriched) },
        Case {
            headers: vec![(vec![0xFF, 0xFE], Some(vec![0]))],
            ..case("header name not UTF-8", good, Either)
        },
        Case {
            headers: vec![(b"null".to_vec(), None), (b"null".to_vec(), None)],
            ..case("null headers", good, Enriched)
        },
        Case {
            headers: vec![(b"gristmill-after".to_vec(), Some(b"x/9@9".to_vec()))],
            ..case("reserved header", good, Either)
        },
        case("nested deeply", nested(100), Enriched),
        case("nested too deeply", nested(100_000), Either),
        case("a number beyond doubles", format!(r#"{{"a":1{}}}"#, "0".repeat(400)), Either),
        case("a lone surrogate", r#"{"a":"\ud800"}"#, Either),
        Case { value: None, ..case("tombstone", "", Enriched) },
        case("good again", good, Enriched),
    ]
}

#[test]
fn brings_malformed_records_to_the_dead_letters_and_goes_on() -> Result<()> {
    let _turn = turn::take();
    let shop = Shop::new(Apache::shared()?.client(), 1)?;
    shop.prepare()?;
    let shop = keyless(shop)?;
    let producer = shop.client.producer(&[("message.max.bytes", "1100000")])?;
    let cases = cases();
    for case in &cases {
        let mut record =
            BaseRecord::<[u8], [u8]>::to(&shop.items).partition(0).headers(make_headers(&case.headers));
        record.key = case.key.as_deref();
        record.payload = case.value.as_deref();
        producer.send(record).with_context(|| format!("cannot send `{}`", case.name))?;
        producer.drain().with_context(|| format!("cannot send `{}`", case.name))?;
    }

    shop.client.alter(&shop.items, "cleanup.policy", "compact")?;
    let mut host = shop.start("a")?;
    shop.await_consumed(&mut [&mut host])?;

    shop.await_stable()?;
    let seen = shop.observe()?;
    ensure!(seen.items.committed.len() == cases.len(), "not every record was sent");
    for (item, case) in seen.items.committed.iter().zip(&cases) {
        let output = seen.enriched.committed.iter().filter(|output| made_of(output, item)).count();
        let letters: Vec<_> =
            seen.dead_letters.committed.iter().filter(|letter| names(letter, item)).collect();
        let fate = match (output, letters.len()) {
            (1, 0) => Fate::Enriched,
            (0, 1) => Fate::DeadLetter,
            counts => anyhow::bail!("`{}` has become {counts:?} outputs and dead letters", case.name),
        };
        ensure!(case.fate == fate || case.fate == Fate::Either, "`{}` has become {fate:?}", case.name);
        for letter in letters {
            complete(letter).with_context(|| format!("the dead letter of `{}`: {letter:?}", case.name))?;
        }
    }
    checker::all_hold(&[checker::nothing_hangs(&seen)])
}

/// Replaces the items' topic by one that takes records without key.
fn keyless(mut shop: Shop) -> Result<Shop> {
    shop.items =
        shop.client.topic(&format!("{}.uncompacted", shop.app), 1, &[("max.message.bytes", "1100000")])?;
    Ok(shop)
}

/// Keys are different in all cases but for those that have the good value under a key of its own.
fn made_of(output: &Record, item: &Record) -> bool {
    item.key.is_some() && output.key == item.key
}

fn names(letter: &Record, item: &Record) -> bool {
    letter.header("gristmill-source-partition") == Some(item.partition.to_string())
        && letter.header("gristmill-source-offset") == Some(item.offset.to_string())
        && letter.key == item.key
}

/// The headers that say where a dead letter came from, and why.
fn complete(letter: &Record) -> Result<()> {
    for name in ["error-code", "error-message", "source-topic", "source-timestamp", "transform", "plugin"] {
        let value = letter.header(&format!("gristmill-{name}"));
        ensure!(value.is_some_and(|value| !value.is_empty()), "it has no header `gristmill-{name}`");
    }
    Ok(())
}
