//! Fan-outs that meet brokers that die and hosts that hang.

use anyhow::{Result, bail, ensure};
use gristmill_tests::checker::{self, Fault, Standing};
use gristmill_tests::cluster::{Apache, Cluster, Nodes};
use gristmill_tests::fanout::{end, stocked};
use gristmill_tests::fold::Fold;
use gristmill_tests::logistics::BULKY;
use gristmill_tests::process::Process;
use gristmill_tests::shop::Shop;
use gristmill_tests::turn;
use gristmill_tests::wait::{self, Seen};

const ITEMS: usize = 4_000;

/// P1, P2 and P3, and P9 for the broker's part.
#[test]
fn goes_on_with_a_fan_out_when_the_broker_is_killed_and_comes_back() -> Result<()> {
    fans_out_through_kills(Nodes::One, 2)
}

/// The same with two copies in sync: work goes on before the dead broker comes back.
#[test]
fn goes_on_with_a_fan_out_while_one_of_three_brokers_is_dead() -> Result<()> {
    fans_out_through_kills(Nodes::Three, 1)
}

fn fans_out_through_kills(nodes: Nodes, kills: usize) -> Result<()> {
    let _turn = turn::take();
    let kafka = Apache::start(nodes)?;
    let shop = Shop::new(kafka.client(), 2)?.with_settings("jobs.step = 20\njobs.rate = 60");
    let (mut logistics, mut catalogue) = stocked(&shop, ITEMS)?;
    let mut fold = Fold::new(&shop)?;
    let mut host = shop.start("a")?;
    let before = fold.await_converged(&mut [("a", &mut host)])?;
    let walk = catalogue.bulky() - catalogue.both();

    logistics.set(BULKY, 5)?;
    for n in 0..kills {
        fold.await_count(before + walk * (n + 1) / (kills + 3), &mut [&mut host])?;
        // More depends on it than on any other.
        let victim = usize::try_from(shop.client.coordinator(&shop.group())?)?;
        kafka.kill(victim)?;
        if nodes == Nodes::Three {
            let found = fold.count()?;
            fold.await_count(found + walk / 10, &mut [&mut host])?;
        }
        ensure!(fold.count()? < before + walk, "the walk was over when the broker was killed");
        kafka.restart(victim)?;
    }
    let after = fold.await_converged(&mut [("a", &mut host)])?;
    ensure!(after == before + walk, "{} outputs instead of {walk}", after - before);
    catalogue.update(200)?;
    fold.await_converged(&mut [("a", &mut host)])?;

    end(host)?;
    shop.await_stable()?;
    let seen = shop.observe()?;
    let mut reports = checker::after_changes(&seen, &shop.model(&seen).moving(), catalogue.sent());
    reports.push(shop.local_stores(&seen, &["a"], Standing::Level)?);
    checker::all_hold(&reports)
}

/// P3 and P8: the zombie's walk is of an older state of the class than its successor's.
#[test]
fn leaves_a_fan_out_to_its_successor_when_it_hangs_and_wakes() -> Result<()> {
    let _turn = turn::take();
    let settings = "jobs.step = 50\njobs.rate = 50\ncommit_interval = \"2s\"";
    let shop = Shop::new(Apache::shared()?.client(), 4)?.with_settings(settings);
    let (mut logistics, mut catalogue) = stocked(&shop, ITEMS)?;
    let mut fold = Fold::new(&shop)?;
    let mut zombie = shop.start("a")?;
    let before = fold.await_converged(&mut [("a", &mut zombie)])?;
    let walk = catalogue.bulky() - catalogue.both();

    logistics.set(BULKY, 5)?;
    fold.await_count(before + walk / 8, &mut [&mut zombie])?;
    pause_in_transaction(&shop, &zombie)?;
    let asleep = fold.count()?;
    ensure!(asleep < before + walk, "the walk was over when the host was stopped");
    logistics.set(BULKY, 6)?;
    catalogue.update(500)?;
    // The session and the transaction of the zombie end before its successor can begin.
    let mut successor = shop.start("b")?;
    fold.await_count(asleep + walk / 4, &mut [&mut successor])?;
    zombie.resume()?;
    let lives = wait::until("the zombie to find its place", || {
        Ok(match (zombie.ended()?, shop.client.members(&shop.group())?) {
            (Some(_), _) => Seen::Yes(false),
            (None, 2) => Seen::Yes(true),
            (None, members) => Seen::NotYet(format!("{members} members")),
        })
    })?;
    catalogue.update(500)?;
    let mut hosts = vec![("b", &mut successor)];
    if lives {
        hosts.push(("a", &mut zombie));
    }
    fold.await_converged(&mut hosts)?;

    end(successor)?;
    if lives {
        end(zombie)?;
    }
    shop.await_stable()?;
    let seen = shop.observe()?;
    let mut reports = checker::after_changes(&seen, &shop.model(&seen).moving(), catalogue.sent());
    reports.push(shop.local_stores(&seen, &["a", "b"], Standing::Level)?);
    let aborted = Fault { name: "aborted records", seen: seen.enriched.aborted(), wanted: 1 };
    reports.push(checker::faults_hit(&[aborted]));
    checker::all_hold(&reports)
}

/// Stops the host while its transaction is open: only then there is something that a zombie could commit later.
fn pause_in_transaction(shop: &Shop, host: &Process) -> Result<()> {
    for _ in 0..50 {
        let written = shop.written()?;
        wait::until("work under way", || {
            Ok(if shop.written()? > written { Seen::Yes(()) } else { Seen::NotYet("no output".into()) })
        })?;
        host.pause()?;
        if shop.transaction_is_open()? {
            return Ok(());
        }
        host.resume()?;
    }
    bail!("the host was never stopped in the middle of a transaction")
}
