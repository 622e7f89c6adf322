//! Connections that are cut at each request of the commit path and of the start, before the request was carried out and
//! after it.

use anyhow::{Context, Result, ensure};
use gristmill_broker::ApiKey;
use gristmill_tests::checker;
use gristmill_tests::cluster::{Cluster, Dev};
use gristmill_tests::process::Process;
use gristmill_tests::shop::Shop;
use gristmill_tests::turn;
use gristmill_tests::wait::{self, Seen};
use gristmill_tests::workload::{self, Items};

/// When a connection is cut.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// The request has no effect.
    Before,
    /// The request has its effect, and its sender never learns of it.
    After,
}

const CUTS: [Cut; 2] = [Cut::Before, Cut::After];

/// What a transaction needs, in order.
const COMMIT_PATH: [ApiKey; 6] = [
    ApiKey::Fetch,
    ApiKey::AddPartitionsToTxn,
    ApiKey::Produce,
    ApiKey::AddOffsetsToTxn,
    ApiKey::TxnOffsetCommit,
    ApiKey::EndTxn,
];

/// What a start needs, in order.
const START: [ApiKey; 9] = [
    ApiKey::ApiVersions,
    ApiKey::Metadata,
    ApiKey::FindCoordinator,
    ApiKey::InitProducerId,
    ApiKey::JoinGroup,
    ApiKey::SyncGroup,
    ApiKey::Heartbeat,
    ApiKey::OffsetFetch,
    ApiKey::ListOffsets,
];

#[test]
fn keeps_every_promise_when_connections_are_cut_on_the_commit_path() -> Result<()> {
    let _turn = turn::take();
    let dev = Dev::start()?;
    let (shop, mut items) = shop(&dev)?;
    let producer = shop.producer()?;
    let mut host = shop.start("a")?;
    items.send(&producer, &shop.items, 500)?;
    producer.drain()?;
    shop.await_consumed(&mut [&mut host])?;

    for api in COMMIT_PATH {
        for cut in CUTS {
            // Sent before the fault is there: it must hit the host, and not this test's own producer.
            host.pause()?;
            items.send(&producer, &shop.items, 500)?;
            producer.drain()?;
            let fault = make(&dev, api, cut);
            host.resume()?;
            await_hit(&mut host, || fault.hits(), api, cut)?;
            fault.clear();
            shop.await_consumed(&mut [&mut host]).with_context(|| format!("{api:?} was cut {cut:?}"))?;
        }
    }

    judge(&shop)
}

#[test]
fn starts_when_connections_are_cut_while_it_does() -> Result<()> {
    let _turn = turn::take();
    let dev = Dev::start()?;
    let (shop, mut items) = shop(&dev)?;
    let producer = shop.producer()?;

    for api in START {
        for cut in CUTS {
            items.send(&producer, &shop.items, 100)?;
            producer.drain()?;
            let fault = make(&dev, api, cut);
            let mut host = shop.start("a")?;
            await_hit(&mut host, || fault.hits(), api, cut)?;
            fault.clear();
            shop.await_consumed(&mut [&mut host]).with_context(|| format!("{api:?} was cut {cut:?}"))?;
            host.kill()?;
        }
    }

    judge(&shop)
}

fn shop(dev: &Dev) -> Result<(Shop, Items)> {
    let shop = Shop::new(dev.client(), 2)?;
    shop.prepare()?;
    Ok((shop, Items::new(workload::seed(), 500)))
}

fn make(dev: &Dev, api: ApiKey, cut: Cut) -> gristmill_broker::FaultHandle {
    let rule = dev.broker().faults().on(api).next(1);
    match cut {
        Cut::Before => rule.disconnect(),
        Cut::After => rule.apply_then_disconnect(),
    }
}

fn await_hit(host: &mut Process, hits: impl Fn() -> u64, api: ApiKey, cut: Cut) -> Result<()> {
    wait::until(&format!("a cut {cut:?} of {api:?}"), || {
        ensure!(host.ended()?.is_none(), "the host ended; its log:\n{}", host.tail());
        Ok(if hits() > 0 { Seen::Yes(()) } else { Seen::NotYet(host.tail()) })
    })
}

fn judge(shop: &Shop) -> Result<()> {
    shop.await_stable()?;
    let seen = shop.observe()?;
    checker::all_hold(&checker::at_rest(&seen, &shop.model(&seen)))
}
