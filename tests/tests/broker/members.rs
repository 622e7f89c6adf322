//! Several hosts: a zombie that wakes beside its successor, and partitions that move under load.

use anyhow::{Result, ensure};
use gristmill_tests::checker::{self, Fault};
use gristmill_tests::cluster::{Apache, Cluster};
use gristmill_tests::process::Process;
use gristmill_tests::shop::Shop;
use gristmill_tests::turn;
use gristmill_tests::wait::{self, Seen};
use gristmill_tests::workload::{self, Items};

/// P8: a zombie can neither commit nor spoil its successor's state.
#[test]
fn survives_a_zombie_that_wakes_beside_its_successor() -> Result<()> {
    let _turn = turn::take();
    let seed = workload::seed();
    // Long transactions: the zombie is to be stopped in the middle of one.
    let shop = Shop::new(Apache::shared()?.client(), 4)?.with_settings("commit_interval = \"2s\"");
    shop.prepare()?;
    let (producer, mut items) = (shop.producer()?, Items::new(seed, 2_000));
    let mut zombie = shop.start("a")?;
    pause_in_transaction(&shop, &zombie, || {
        items.send(&producer, &shop.items, 2_000)?;
        producer.drain()
    })?;

    // Longer than its session and its transaction may last: the successor consumes everything.
    let mut successor = shop.start("b")?;
    items.send(&producer, &shop.items, 3_000)?;
    producer.drain()?;
    shop.await_consumed(&mut [&mut successor])?;
    zombie.resume()?;
    items.send(&producer, &shop.items, 3_000)?;
    producer.drain()?;
    // Both work now, or the zombie has ended: it may not come back under a name that somebody else has.
    wait::until("the zombie to find its place", || {
        let ended = zombie.ended()?;
        let members = shop.client.members(&shop.group())?;
        Ok(if ended.is_some() || members == 2 {
            Seen::Yes(())
        } else {
            Seen::NotYet(format!("{members} members"))
        })
    })?;
    items.send(&producer, &shop.items, 2_000)?;
    producer.drain()?;
    shop.await_consumed(&mut [&mut successor])?;

    shop.await_stable()?;
    let seen = shop.observe()?;
    let mut reports = checker::at_rest(&seen, &shop.model(&seen));
    let aborted = Fault { name: "aborted records", seen: seen.enriched.aborted(), wanted: 1 };
    reports.push(checker::faults_hit(&[aborted]));
    checker::all_hold(&reports)
}

/// Stops the host while its transaction is open: only then there is something that a zombie could commit later.
fn pause_in_transaction(shop: &Shop, host: &Process, mut feed: impl FnMut() -> Result<()>) -> Result<()> {
    for _ in 0..50 {
        let written = shop.written()?;
        feed()?;
        wait::until("work under way", || {
            Ok(if shop.written()? > written { Seen::Yes(()) } else { Seen::NotYet("no output".into()) })
        })?;
        host.pause()?;
        if shop.transaction_is_open()? {
            return Ok(());
        }
        host.resume()?;
    }
    anyhow::bail!("the host was never stopped in the middle of a transaction")
}

#[test]
fn loses_nothing_when_partitions_move_under_load() -> Result<()> {
    let _turn = turn::take();
    let seed = workload::seed();
    let shop = Shop::new(Apache::shared()?.client(), 4)?;
    shop.prepare()?;
    let (producer, mut items) = (shop.producer()?, Items::new(seed, 2_000));
    let mut feed = |count: usize| -> Result<()> {
        items.send(&producer, &shop.items, count)?;
        producer.drain()
    };
    let mut rebalances = 0;

    let mut first = shop.start("a")?;
    feed(2_000)?;
    await_members(&shop, 1)?;
    let mut second = shop.start("b")?;
    feed(4_000)?;
    await_members(&shop, 2)?;
    rebalances += 1;
    feed(2_000)?;
    let mut third = shop.start("c")?;
    feed(4_000)?;
    await_members(&shop, 3)?;
    rebalances += 1;
    feed(2_000)?;
    // The others take over when its session ends: it does not say goodbye.
    let status = second.terminate(wait::PATIENCE)?;
    ensure!(status.success(), "it ended with {status}; its log:\n{}", second.tail());
    feed(4_000)?;
    await_members(&shop, 2)?;
    rebalances += 1;
    feed(2_000)?;
    shop.await_consumed(&mut [&mut first, &mut third])?;

    shop.await_stable()?;
    let seen = shop.observe()?;
    let mut reports = checker::at_rest(&seen, &shop.model(&seen));
    reports.push(checker::faults_hit(&[
        Fault { name: "rebalances", seen: rebalances, wanted: 3 },
        Fault { name: "items", seen: seen.items.committed.len(), wanted: 20_000 },
    ]));
    checker::all_hold(&reports)
}

fn await_members(shop: &Shop, count: usize) -> Result<()> {
    wait::until_equal("the group's members", &count, || shop.client.members(&shop.group()))
}
