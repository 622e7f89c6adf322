//! The check of key placement: sources that are joined must have the same key in the same partition.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gristmill_tests::client::Producer;
use gristmill_tests::cluster::{Cluster, Dev};
use gristmill_tests::host;
use gristmill_tests::shop::Shop;
use rdkafka::producer::BaseRecord;

const PARTITIONS: i32 = 4;

/// A key that murmur2 puts into partition 2 of 4.
const KEY: &str = "bulky";

/// A shop whose items are joined with a stream of commands.
fn joined(dev: &Dev, settings: &str) -> Result<(Shop, String, Producer)> {
    let shop = Shop::new(dev.client(), PARTITIONS)?;
    let updates = format!("{}.item-updates", shop.app);
    shop.client.create_topic(&updates, PARTITIONS, &[])?;
    let shop = shop.with_settings(&format!("sources.updates = \"{updates}\"\n{settings}"));
    shop.prepare()?;
    let producer = shop.producer()?;
    for n in 0..300 {
        let key = format!("sku-{n}");
        producer.send(BaseRecord::to(&shop.items).key(&key).payload("{}"))?;
        producer.send(BaseRecord::to(&updates).key(&key).payload("{}"))?;
    }
    // Records without a key meet nothing, wherever they lie.
    producer.send(BaseRecord::<(), str>::to(&updates).payload("{}").partition(3))?;
    producer.drain()?;
    Ok((shop, updates, producer))
}

fn misplace(producer: &Producer, topic: &str) -> Result<()> {
    producer.put(topic, 3, KEY, "{}")?;
    producer.drain()
}

/// The standard error of a command that ends with exit code 2.
fn refused(command: &str, file: &PathBuf) -> Result<String> {
    let output = Command::new(host::binary()?).arg(command).arg(file).output().context("no gristmill")?;
    let errors = String::from_utf8(output.stderr)?;
    ensure!(output.status.code() == Some(2), "`{command}` ended with {}:\n{errors}", output.status);
    Ok(errors)
}

#[test]
fn takes_sources_whose_keys_lie_where_java_clients_put_them() -> Result<()> {
    let dev = Dev::start()?;
    let (shop, ..) = joined(&dev, "")?;

    let checked = host::command(&["check"], &shop.pipeline("a")?)?;

    ensure!(checked.ends_with("everything fits\n"), "{checked}");
    Ok(())
}

#[test]
fn refuses_a_source_with_a_recent_key_in_another_partition() -> Result<()> {
    let dev = Dev::start()?;
    let (shop, updates, producer) = joined(&dev, "")?;
    misplace(&producer, &updates)?;
    let file = shop.pipeline("a")?;

    for command in ["check", "run"] {
        let errors = refused(command, &file)?;

        ensure!(errors.ends_with("code: keys_misplaced\n"), "{errors}");
        ensure!(errors.contains(&format!("`{updates}` has 4 partitions and 1 of ")), "{errors}");
        ensure!(errors.contains(&format!("at {updates}/3@")), "{errors}");
        ensure!(errors.contains("which belongs to partition 2"), "{errors}");
        ensure!(errors.contains(&format!("`{}` has 4 partitions and all ", shop.items)), "{errors}");
        ensure!(!errors.contains(KEY), "a key was shown: {errors}");
    }
    Ok(())
}

#[test]
fn runs_with_misplaced_keys_when_the_operator_says_so() -> Result<()> {
    let dev = Dev::start()?;
    let (shop, updates, producer) = joined(&dev, "key_placement = \"ignore\"")?;
    misplace(&producer, &updates)?;
    let file = shop.pipeline("a")?;

    let checked = host::command(&["check"], &file)?;
    let mut host = host::run(&file)?;
    host.await_output("started a transform")?;

    ensure!(checked.ends_with("everything fits\n"), "{checked}");
    ensure!(host.terminate(Duration::from_secs(60))?.success(), "{}", host.tail());
    Ok(())
}

#[test]
fn looks_only_at_transforms_that_join() -> Result<()> {
    let dev = Dev::start()?;
    let shop = Shop::new(dev.client(), PARTITIONS)?;
    shop.prepare()?;
    misplace(&shop.producer()?, &shop.items)?;

    let checked = host::command(&["check"], &shop.pipeline("a")?)?;

    ensure!(checked.ends_with("everything fits\n"), "{checked}");
    Ok(())
}

#[test]
fn does_not_look_at_records_of_aborted_transactions() -> Result<()> {
    let dev = Dev::start()?;
    let (shop, updates, _) = joined(&dev, "")?;
    let aborted = shop.client.transactional("aborted", &[])?;
    aborted.begin()?;
    aborted.put(&updates, 3, KEY, "{}")?;
    aborted.abort()?;

    let file = shop.pipeline("a")?;
    let checked = host::command(&["check"], &file)?;

    ensure!(fs::exists(&file)? && checked.ends_with("everything fits\n"), "{checked}");
    Ok(())
}
