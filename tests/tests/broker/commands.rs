//! Class changes that go out by update commands, with hosts that are killed.

use anyhow::{Result, ensure};
use gristmill_tests::checker::{self, Fault};
use gristmill_tests::cluster::{Apache, Cluster};
use gristmill_tests::exchange::{self, Exchange};
use gristmill_tests::fold::Fold;
use gristmill_tests::logistics::{BULKY, Catalogue, FAST, Logistics};
use gristmill_tests::turn;
use gristmill_tests::workload;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const PARTITIONS: i32 = 4;
const ITEMS: usize = 10_000;
const KILLS: usize = 4;

/// A fan-out over all items lasts for seconds: long enough for a fault to meet it.
const SLOW: &str = "jobs.step = 100\njobs.rate = 250";

#[test]
fn follows_class_changes_by_commands() -> Result<()> {
    let _turn = turn::take();
    exchange::follows_class_changes(Apache::shared()?.client(), PARTITIONS, ITEMS)
}

/// P2, P3 and P9: neither a command nor its answer is lost or doubled by a kill.
#[test]
fn loses_no_command_when_the_host_is_killed_in_the_middle() -> Result<()> {
    let _turn = turn::take();
    let mut random = ChaCha8Rng::seed_from_u64(workload::seed());
    let exchange = Exchange::new(Apache::shared()?.client(), PARTITIONS, SLOW)?;
    let shop = &exchange.shop;
    shop.prepare()?;
    let (mut logistics, mut catalogue) = (Logistics::new(shop)?, Catalogue::new(shop, ITEMS)?);
    logistics.set(FAST, 2)?;
    catalogue.send_all()?;
    let mut fold = Fold::new(shop)?;
    let mut host = shop.start("a")?;
    let before = exchange.await_rest(&mut fold, "a", &mut host)?;
    let told = exchange.commands()?.len();
    let walk = catalogue.bulky() - catalogue.both();
    let mut kills = 0;

    logistics.set(BULKY, 5)?;
    for n in 0..KILLS {
        let slot = walk / (KILLS + 2);
        fold.await_count(before + slot * n + random.random_range(1..slot), &mut [&mut host])?;
        host.kill()?;
        ensure!(fold.count()? < before + walk, "the walk was over when the host was killed");
        kills += 1;
        host = shop.start("a")?;
    }
    let after = exchange.await_rest(&mut fold, "a", &mut host)?;
    // Nothing else has happened, so both are known: one command for each item, and one answer to each.
    ensure!(exchange.commands()?.len() == told + walk, "{} commands", exchange.commands()?.len() - told);
    ensure!(after == before + walk, "{} answers instead of {walk}", after - before);

    // A newer change supersedes the walk, items flow, and both transforms are killed with work under way.
    logistics.set(BULKY, 6)?;
    fold.await_count(after + walk / 4, &mut [&mut host])?;
    catalogue.update(500)?;
    logistics.set(BULKY, 1)?;
    fold.await_count(after + walk / 3, &mut [&mut host])?;
    host.kill()?;
    kills += 1;
    logistics.delete(FAST)?;
    catalogue.update(500)?;
    host = shop.start("a")?;
    fold.await_count(after + walk / 2, &mut [&mut host])?;
    host.kill()?;
    kills += 1;
    host = shop.start("a")?;
    exchange.await_rest(&mut fold, "a", &mut host)?;

    let mut reports = exchange.judge(catalogue.sent())?;
    reports.push(checker::faults_hit(&[Fault { name: "kills", seen: kills, wanted: KILLS + 2 }]));
    checker::all_hold(&reports)
}
