//! Class changes that reach every item of the class, on bad days too.

use std::fs;

use anyhow::{Context, Result, anyhow, ensure};
use gristmill_tests::checker::{self, Fault, Standing};
use gristmill_tests::client::{self, Client};
use gristmill_tests::cluster::{Apache, Cluster};
use gristmill_tests::fanout::{self, end, stocked, stopped};
use gristmill_tests::fold::Fold;
use gristmill_tests::logistics::{BULKY, Catalogue, Logistics};
use gristmill_tests::process::Process;
use gristmill_tests::shop::Shop;
use gristmill_tests::turn;
use gristmill_tests::wait::{self, Seen};
use gristmill_tests::workload;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rdkafka::consumer::{CommitMode, Consumer};

const ITEMS: usize = 20_000;
const ITEMS_OF_SLOW_WALKS: usize = 10_000;
const PARTITIONS: i32 = 4;
const KILLS: usize = 5;

/// A fan-out over all items lasts for seconds: long enough for a fault to meet it.
const SLOW: &str = "jobs.step = 100\njobs.rate = 250";

#[test]
fn follows_class_changes() -> Result<()> {
    let _turn = turn::take();
    fanout::follows_class_changes(Apache::shared()?.client(), PARTITIONS, ITEMS)
}

/// P2, P3 and P9: a walk goes on where it was.
#[test]
fn goes_on_with_a_fan_out_when_it_is_killed_in_the_middle() -> Result<()> {
    let _turn = turn::take();
    let mut random = ChaCha8Rng::seed_from_u64(workload::seed());
    let shop = Shop::new(Apache::shared()?.client(), PARTITIONS)?.with_settings(SLOW);
    let (mut logistics, mut catalogue) = stocked(&shop, ITEMS_OF_SLOW_WALKS)?;
    let mut fold = Fold::new(&shop)?;
    let mut host = shop.start("a")?;
    let before = fold.await_converged(&mut [("a", &mut host)])?;
    let walk = catalogue.bulky() - catalogue.both();
    let mut kills = 0;

    logistics.set(BULKY, 5)?;
    for n in 0..KILLS {
        let slot = walk / (KILLS + 2);
        let instant = before + slot * n + random.random_range(1..slot);
        fold.await_count(instant, &mut [&mut host])?;
        host.kill()?;
        // Nothing else writes: all that has come is the walk's.
        ensure!(fold.count()? < before + walk, "the walk was over when the host was killed");
        kills += 1;
        if n % 2 == 0 {
            // With the dead host's transaction out of the way. Who looks into a store repairs it: the other kills leave that
            // to the host.
            shop.fence("a", 0)?;
            shop.await_stable()?;
            checker::all_hold(&[shop.local_stores(&shop.observe()?, &["a"], Standing::Behind)?])?;
        }
        host = shop.start("a")?;
    }
    let after = fold.await_converged(&mut [("a", &mut host)])?;
    ensure!(after == before + walk, "{} outputs instead of {walk}", after - before);

    // A newer change of the class supersedes a walk that was killed, while items flow.
    logistics.set(BULKY, 6)?;
    fold.await_count(after + walk / 4, &mut [&mut host])?;
    host.kill()?;
    kills += 1;
    logistics.set(BULKY, 1)?;
    catalogue.update(500)?;
    host = shop.start("a")?;
    fold.await_count(after + walk / 2, &mut [&mut host])?;
    host.kill()?;
    kills += 1;
    host = shop.start("a")?;
    fold.await_converged(&mut [("a", &mut host)])?;

    end(host)?;
    shop.await_stable()?;
    let seen = shop.observe()?;
    let mut reports = checker::after_changes(&seen, &shop.model(&seen).moving(), catalogue.sent());
    reports.push(shop.local_stores(&seen, &["a"], Standing::Level)?);
    reports.push(checker::faults_hit(&[Fault { name: "kills", seen: kills, wanted: KILLS + 2 }]));
    checker::all_hold(&reports)?;
    // What the kills have cost: a transaction each, and not the walk.
    let aborted = seen.enriched.aborted();
    ensure!(aborted < kills * walk / 5, "{aborted} records were sent in vain by {kills} kills");
    Ok(())
}

/// P2, P3 and P8: state moves through the changelog.
#[test]
fn moves_a_fan_out_from_host_to_host() -> Result<()> {
    let _turn = turn::take();
    let shop = Shop::new(Apache::shared()?.client(), PARTITIONS)?.with_settings(SLOW);
    let (mut logistics, mut catalogue) = stocked(&shop, ITEMS_OF_SLOW_WALKS)?;
    let mut fold = Fold::new(&shop)?;
    let mut first = shop.start("a")?;
    let before = fold.await_converged(&mut [("a", &mut first)])?;
    let walk = catalogue.bulky() - catalogue.both();

    logistics.set(BULKY, 5)?;
    fold.await_count(before + walk / 8, &mut [&mut first])?;
    let mut second = shop.start("b")?;
    second.await_output("state is up to date")?;
    let joined = fold.count()? - before;
    ensure!(joined < walk, "the walk was over when the second host joined");
    fold.await_count(before + (joined + walk) / 2, &mut [&mut first, &mut second])?;
    first.kill()?;
    let killed = fold.count()? - before;
    ensure!(killed < walk, "the walk was over when the first host was killed");
    catalogue.update(500)?;
    fold.await_converged(&mut [("b", &mut second)])?;
    let restored = restored(&second.output()?);

    // It comes back without its disk, and takes its part of the next walk.
    fs::remove_dir_all(shop.state_dir("a")).context("the first host has no state directory")?;
    let mut third = shop.start("a")?;
    let lines = "state is up to date";
    let known = third.output()?.matches(lines).count();
    logistics.set(BULKY, 1)?;
    wait::until("the host without a disk to restore its state", || {
        let now = third.output()?.matches(lines).count();
        Ok(if now > known { Seen::Yes(()) } else { Seen::NotYet(third.tail()) })
    })?;
    fold.await_converged(&mut [("a", &mut third), ("b", &mut second)])?;

    end(third)?;
    end(second)?;
    shop.await_stable()?;
    let seen = shop.observe()?;
    let mut reports = checker::after_changes(&seen, &shop.model(&seen).moving(), catalogue.sent());
    reports.push(shop.local_stores(&seen, &["a", "b"], Standing::Level)?);
    reports.push(checker::faults_hit(&[Fault {
        name: "records that a host has restored from another one's work",
        seen: restored,
        wanted: ITEMS_OF_SLOW_WALKS,
    }]));
    checker::all_hold(&reports)
}

#[test]
fn stops_a_task_whose_changelog_was_made_anew() -> Result<()> {
    let _turn = turn::take();
    let (shop, sent) = stopped(Shop::new(Apache::shared()?.client(), PARTITIONS)?)?;
    shop.client.delete_topic(&shop.changelog())?;
    shop.prepare()?;
    let before = Fold::new(&shop)?.await_count(sent, &mut [])?;

    let mut host = shop.start("a")?;

    host.await_output("state_lost")?;
    ensure!(host.ended()?.is_none(), "the host ended:\n{}", host.tail());
    Catalogue::new(&shop, 100)?.send_all()?;
    let status = host.terminate(wait::PATIENCE)?;
    ensure!(status.success(), "it ended with {status}:\n{}", host.tail());
    ensure!(Fold::new(&shop)?.await_count(before, &mut [])? == before, "the stopped tasks went on");
    Ok(())
}

#[test]
fn drops_local_state_that_is_of_another_application() -> Result<()> {
    let _turn = turn::take();
    let (shop, sent) = stopped(Shop::new(Apache::shared()?.client(), PARTITIONS)?)?;
    let mut changed = 0;
    for file in identities(&shop)? {
        let text = fs::read_to_string(&file)?;
        let other = text.replace(&format!("app = \"{}\"", shop.app), "app = \"other\"");
        ensure!(other != text, "no application in:\n{text}");
        fs::write(&file, other)?;
        changed += 1;
    }
    ensure!(changed == PARTITIONS, "{changed} local stores");

    let host = shop.start("a")?;

    let log = goes_on(&shop, sent, host)?;
    let dropped = log.lines().filter(|line| line.contains("dropped a local store"));
    let named = dropped.filter(|line| line.contains("it belongs to application `other`")).count();
    ensure!(i32::try_from(named)? == PARTITIONS, "{named} stores were dropped:\n{log}");
    ensure!(restored(&log) > 0, "nothing was restored:\n{log}");
    Ok(())
}

#[test]
fn goes_on_from_its_state_when_the_offsets_of_the_group_are_gone() -> Result<()> {
    let _turn = turn::take();
    let (shop, sent) = stopped(Shop::new(Apache::shared()?.client(), PARTITIONS)?)?;
    let group = shop.group();
    shop.client.delete_group(&group)?;
    let left = shop.client.committed(&group, &shop.items)?;
    ensure!(left.is_empty(), "the group still has {left:?}");

    let host = shop.start("a")?;

    goes_on(&shop, sent, host).map(drop)
}

#[test]
fn stops_when_the_offsets_of_the_group_are_set_elsewhere() -> Result<()> {
    let _turn = turn::take();
    let (shop, sent) = stopped(Shop::new(Apache::shared()?.client(), PARTITIONS)?)?;
    let offsets = shop.client.committed(&shop.group(), &shop.items)?;
    for (partition, offset) in &offsets {
        set_offset(&shop, *partition, offset - 1)?;
    }

    let mut host = shop.start("a")?;

    host.await_output("positions_disagree")?;
    ensure!(host.ended()?.is_none(), "the host ended:\n{}", host.tail());
    drop(host);
    let mut set_back = 0;
    for (partition, offset) in offsets {
        // The host's session may still last.
        wait::until("the group to be empty", || {
            Ok(match set_offset(&shop, partition, offset) {
                Ok(()) => Seen::Yes(()),
                Err(error) => Seen::NotYet(format!("{error:#}")),
            })
        })?;
        set_back += 1;
    }
    ensure!(set_back == PARTITIONS, "{set_back} partitions");
    let host = shop.start("a")?;
    goes_on(&shop, sent, host).map(drop)
}

/// The host takes items and follows a class as if nothing had happened: no item is lost, none comes again. Ends it, and gives
/// its log.
fn goes_on(shop: &Shop, sent: usize, mut host: Process) -> Result<String> {
    let (mut logistics, mut catalogue) = (Logistics::new(shop)?, Catalogue::new(shop, sent)?);
    catalogue.send_all()?;
    let mut fold = Fold::new(shop)?;
    let before = fold.await_converged(&mut [("a", &mut host)])?;
    logistics.delete(BULKY)?;
    let after = fold.await_converged(&mut [("a", &mut host)])?;
    ensure!(after - before == 180, "{} outputs instead of 180", after - before);
    let log = end(host)?;
    shop.await_stable()?;
    let seen = shop.observe()?;
    let mut reports = checker::after_changes(&seen, &shop.model(&seen).moving(), sent + catalogue.sent());
    reports.push(shop.local_stores(&seen, &["a"], Standing::Level)?);
    checker::all_hold(&reports)?;
    Ok(log)
}

/// Records that a host has read to bring its state up to date, as its log says.
fn restored(log: &str) -> usize {
    let lines = log.lines().filter(|line| line.contains("state is up to date"));
    let counts =
        lines.filter_map(|line| line.split("records=").nth(1)?.split(' ').next()?.parse::<usize>().ok());
    counts.sum()
}

fn identities(shop: &Shop) -> Result<Vec<std::path::PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![shop.state_dir("a")];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.file_name().is_some_and(|name| name == "identity") {
                found.push(path);
            }
        }
    }
    Ok(found)
}

fn set_offset(shop: &Shop, partition: i32, offset: i64) -> Result<()> {
    let consumer = Client::consumer(&shop.client, &shop.group(), &[])?;
    let list = client::position(&shop.items, partition, offset)?;
    consumer.commit(&list, CommitMode::Sync).map_err(|error| anyhow!("cannot set an offset: {error}"))
}
