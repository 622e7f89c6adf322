//! `delivery-time` on several hosts: they join, leave, die and lose their disks in the middle of a walk.

use anyhow::{Context, Result, ensure};
use gristmill_host::driver::{Crash, Disk, Driver};
use gristmill_host::status::TaskState;

use super::shop::{CLASSES, Shop};

const SIZE: usize = 40;

/// Four partitions with items of a class that has just changed; the walk over them is under way.
fn in_a_walk() -> Result<Shop> {
    let mut shop = Shop::open(4)?;
    shop.class("bulky", 2)?;
    shop.items(0..SIZE, &["bulky"])?;
    shop.settle()?;
    shop.class("bulky", 5)?;
    shop.reach_a_walk()?;
    Ok(shop)
}

/// The walk ends, and was the only one.
fn ends_well(mut shop: Shop) -> Result<()> {
    shop.settle()?;

    assert!(shop.minimums()?.values().all(|minimum| *minimum == Some(5.into())));
    assert_eq!(shop.written(), 2 * SIZE, "each item once for each class");
    shop.check()
}

fn tasks(driver: &Driver, host: &str) -> usize {
    driver.status().filter(|(name, task)| *name == host && task.state == TaskState::Running).count()
}

/// Lets a host join, until it has taken tasks over.
fn join(shop: &mut Shop, host: &str) -> Result<()> {
    shop.driver.start(host);
    Ok(shop.driver.run_until("tasks of the new host", |driver| tasks(driver, host) > 0)?)
}

#[test]
fn hands_a_walk_on_to_a_host_that_joins() -> Result<()> {
    let mut shop = in_a_walk()?;

    join(&mut shop, "b")?;

    assert!(shop.written() < 2 * SIZE, "the walk was over before the host came");
    assert_eq!((tasks(&shop.driver, "a"), tasks(&shop.driver, "b")), (2, 2));
    ends_well(shop)
}

#[test]
fn takes_a_walk_over_from_a_host_that_leaves() -> Result<()> {
    let mut shop = in_a_walk()?;
    join(&mut shop, "b")?;

    shop.driver.leave("a");

    assert!(shop.written() < 2 * SIZE, "the walk was over before the host left");
    ends_well(shop)
}

#[test]
fn takes_a_walk_over_from_a_host_that_dies() -> Result<()> {
    let mut shop = in_a_walk()?;
    join(&mut shop, "b")?;

    shop.driver.crash("a");

    assert!(shop.written() < 2 * SIZE, "the walk was over before the host died");
    ends_well(shop)
}

#[test]
fn goes_on_with_a_walk_after_a_crash() -> Result<()> {
    let mut shop = in_a_walk()?;
    let visited = |shop: &Shop| shop.driver.jobs().iter().map(|(_, job)| job.visited).max();
    let before = visited(&shop);

    shop.driver.crash("a");
    shop.driver.start("a");
    shop.driver.run_until("the jobs that it had", |driver| !driver.jobs().is_empty())?;

    assert!(visited(&shop) <= before, "what was not committed is done again");
    assert!(shop.driver.jobs().iter().all(|(_, job)| job.generation == 1), "and nothing is begun again");
    ends_well(shop)
}

#[test]
fn goes_on_with_a_walk_after_its_disk_was_lost() -> Result<()> {
    let mut shop = in_a_walk()?;

    shop.driver.crash("a");
    shop.driver.lose_disk("a");
    shop.driver.start("a");

    ends_well(shop)
}

#[test]
fn goes_on_with_a_walk_on_an_empty_disk_from_compacted_topics() -> Result<()> {
    let mut shop = in_a_walk()?;
    shop.driver.crash("a");
    shop.driver.lose_disk("a");
    // One item has had updates: the older ones go, the newest was not seen by anybody yet.
    shop.item("7", &["bulky"])?;
    shop.item("7", &["bulky", "other"])?;
    shop.compact_items();
    shop.driver.compact(CLASSES);
    shop.driver.compact("shop.delivery-time.changelog");

    shop.driver.start("a");
    shop.settle()?;

    assert!(shop.minimums()?.values().all(|minimum| *minimum == Some(5.into())));
    shop.check()?;
    let outputs = shop.outputs()?;
    assert!(outputs["7"].last().is_some_and(|last| last.contains("other")), "{:?}", outputs["7"]);
    Ok(())
}

/// PROMISES, "older value after restore": an update is handled and sent, then compacted away because a newer one exists that
/// is not handled yet; the disk is lost, and a walk meets the row before it.
#[test]
fn sends_no_older_item_after_a_restore() -> Result<()> {
    // One record, one step: the walk comes to the item before its newest update does.
    let mut shop = Shop::with(1, "jobs.step = 3\nbatch_records = 1\n")?;
    shop.class("bulky", 2)?;
    shop.items(0..4, &["bulky"])?;
    shop.item("3", &["bulky"])?;
    shop.settle()?;
    shop.driver.stop("a");
    shop.driver.lose_disk("a");
    shop.class("bulky", 5)?;
    shop.items(10..20, &["bulky"])?;
    shop.item("3", &["bulky"])?;
    shop.compact_last_handled("3")?;

    shop.driver.start("a");
    shop.settle()?;

    shop.check()
}

#[test]
fn loses_and_doubles_nothing_when_a_host_wakes_beside_its_successor() -> Result<()> {
    for turns in 0..30 {
        let mut shop = in_a_walk()?;
        shop.item("7", &["bulky"])?;
        shop.driver.turns(turns);
        shop.driver.pause("a");
        join(&mut shop, "b")?;
        shop.item("8", &["bulky"])?;
        shop.settle()?;
        shop.item("9", &["bulky"])?;

        shop.driver.resume("a");
        shop.settle()?;

        assert_eq!((tasks(&shop.driver, "a"), tasks(&shop.driver, "b")), (2, 2));
        shop.check().with_context(|| format!("after {turns} turns"))?;
    }
    Ok(())
}

#[test]
fn walks_on_while_hosts_come_and_go() -> Result<()> {
    let mut shop = Shop::with(4, "jobs.step = 1\ncommit_records = 3\n")?;
    shop.class("bulky", 2)?;
    shop.items(0..SIZE, &["bulky"])?;
    shop.settle()?;
    for round in 0..6u64 {
        shop.class("bulky", 10 + round)?;
        shop.reach_a_walk()?;
        let (comes, goes) = if round % 2 == 0 { ("b", "a") } else { ("a", "b") };
        join(&mut shop, comes)?;
        shop.item(&round.to_string(), &["bulky"])?;
        match round % 3 {
            0 => shop.driver.leave(goes),
            1 => shop.driver.crash(goes),
            _ => {
                shop.driver.stop(goes);
                shop.driver.lose_disk(goes);
            }
        }
    }

    shop.settle()?;

    assert!(shop.minimums()?.values().all(|minimum| *minimum == Some(15.into())));
    shop.check()
}

/// Two hosts share a walk, then one of them goes; a crash comes at one of the calls.
fn with_a_crash(crash: Crash) -> Result<Shop> {
    let mut shop = Shop::open(2)?;
    shop.class("bulky", 2)?;
    shop.items(0..10, &["bulky"])?;
    shop.settle()?;
    shop.class("bulky", 5)?;
    shop.reach_a_walk()?;
    shop.driver.crash_at(crash);
    join(&mut shop, "b")?;
    shop.item("3", &["bulky", "other"])?;
    shop.driver.leave("a");
    shop.settle()?;
    Ok(shop)
}

#[test]
fn shares_a_walk_whenever_one_of_the_hosts_dies() -> Result<()> {
    shares_a_walk(Disk::Kept)
}

#[test]
fn shares_a_walk_whenever_one_of_the_hosts_dies_and_loses_its_disk() -> Result<()> {
    shares_a_walk(Disk::Lost)
}

fn shares_a_walk(disk: Disk) -> Result<()> {
    let mut crashes = 0;
    for crash in Crash::everywhere(disk) {
        let shop = with_a_crash(crash).with_context(|| format!("{crash:?}"))?;
        shop.check().with_context(|| format!("{crash:?}"))?;
        ensure!(shop.minimums()?.values().all(|minimum| *minimum == Some(5.into())), "{crash:?}");
        if shop.driver.crashes() == 0 {
            break;
        }
        crashes += 1;
    }
    ensure!(crashes > 150, "only {crashes} crashes");
    Ok(())
}
