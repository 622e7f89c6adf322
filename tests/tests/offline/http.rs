//! An ingest of HTTP on a broker that has bad days.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use gristmill_broker::ApiKey;
use gristmill_tests::cluster::{Cluster, Dev};
use gristmill_tests::inlet::{self, Site, await_put, is_replayed, put};

#[test]
fn knows_the_keys_of_other_hosts() -> Result<()> {
    inlet::knows_the_keys_of_other_hosts(Dev::shared()?.client())
}

#[test]
fn waits_for_open_transactions() -> Result<()> {
    inlet::waits_for_open_transactions(Dev::shared()?.client())
}

#[test]
fn writes_a_request_once_however_often_it_is_sent_and_to_whichever_process() -> Result<()> {
    let dev = Dev::start()?;
    let site = Site::new(dev.client())?;
    let server = site.serve("a")?;
    await_put(server.address(), "bulky", "k-1", "1")?;
    let again = await_put(server.address(), "bulky", "k-1", "1")?;
    server.shutdown();

    let next = site.serve("a")?;
    let later = await_put(next.address(), "bulky", "k-1", "1")?;
    let other = put(next.address(), "bulky", "k-1", "2")?;

    ensure!(is_replayed(&again) && is_replayed(&later), "{again:?}\n{later:?}");
    ensure!(other.status == 422, "another request with the key: {other:?}");
    let values = site.values("bulky")?;
    ensure!(values == ["1"], "{values:?}");
    Ok(())
}

#[test]
fn writes_once_what_was_committed_without_the_word_of_it() -> Result<()> {
    let dev = Dev::start()?;
    let site = Site::new(dev.client())?;
    let server = site.serve("a")?;
    await_put(server.address(), "bulky", "k-0", "0")?;
    let lost = dev.broker().faults().on(ApiKey::EndTxn).next(1).apply_then_disconnect();

    await_put(server.address(), "bulky", "k-1", "1")?;

    ensure!(lost.hits() == 1, "no answer was lost");
    let values = site.values("bulky")?;
    ensure!(values == ["0", "1"], "{values:?}");
    Ok(())
}

#[test]
fn answers_503_while_the_broker_is_down_and_leaves_nothing_half_done() -> Result<()> {
    let dev = Dev::start()?;
    let site = Site::new(dev.client())?;
    let server = site.serve("a")?;
    await_put(server.address(), "bulky", "k-0", "0")?;
    dev.broker().go_down().map_err(|error| anyhow!("{error}"))?;

    let first = put(server.address(), "bulky", "k-1", "1")?;
    let since = Instant::now();
    let second = put(server.address(), "bulky", "k-2", "2")?;
    let took = since.elapsed();
    dev.broker().come_back().map_err(|error| anyhow!("{error}"))?;
    await_put(server.address(), "bulky", "k-1", "1")?;
    await_put(server.address(), "bulky", "k-2", "2")?;

    ensure!(first.status == 503 && first.body.contains("ingest_unavailable"), "{first:?}");
    ensure!(second.status == 503 && took < Duration::from_secs(2), "{second:?} after {took:?}");
    let values = site.values("bulky")?;
    ensure!(values == ["0", "1", "2"], "{values:?}");
    Ok(())
}
