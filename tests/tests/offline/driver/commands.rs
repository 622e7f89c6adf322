//! `class-fanout` and `delivery-time`, as real components that talk to each other over a topic: the races of update commands, and
//! hosts that die at every call.

use anyhow::{Context, Result, ensure};
use gristmill_host::driver::{Crash, Disk};
use serde_json::json;

use super::shop::{CLASSES, Shop, TRANSFORM};

const FANOUT: &str = "class-fanout";

/// A shop at rest with ten items of a class of 5 days.
fn stocked() -> Result<Shop> {
    let mut shop = Shop::by_commands(1)?;
    shop.class("bulky", 5)?;
    shop.items(0..10, &["bulky"])?;
    shop.settle()?;
    assert!(shop.commands().is_empty(), "everything was joined with the class");
    Ok(shop)
}

#[test]
fn follows_a_class_that_comes_changes_and_goes() -> Result<()> {
    let mut shop = Shop::by_commands(4)?;
    shop.items(0..20, &["bulky"])?;
    shop.items(20..25, &["other"])?;
    shop.settle()?;

    for (step, minimum) in [(1, json!(5)), (2, json!(2)), (3, json!(null))] {
        match minimum.as_u64() {
            Some(minimum) => shop.class("bulky", minimum)?,
            None => shop.delete_class("bulky")?,
        }
        shop.settle()?;
        assert_eq!(shop.minimums()?["7"], Some(minimum));
        assert_eq!(shop.written(), 25 + 20 * step, "one record for each item of the class");
        assert_eq!(shop.commands().len(), 20 * step, "and one command");
    }
    assert!(shop.driver.jobs().is_empty());
    shop.check()
}

/// PROMISES, "option 2 misses one".
#[test]
fn misses_no_item_that_was_joined_with_the_old_class_behind_the_walk() -> Result<()> {
    let mut shop = stocked()?;
    shop.driver.hold(TRANSFORM, CLASSES);
    shop.class("bulky", 2)?;
    shop.driver.run_until("the end of the walk", |driver| {
        driver.committed(super::shop::UPDATES).len() == 10 && driver.jobs().is_empty()
    })?;

    shop.item("new", &["bulky"])?;
    let is_told = |shop: &Shop| shop.commands().contains(&"new".to_owned());
    shop.driver.run_until("the old times of the new item", |driver| {
        driver.committed(super::shop::ENRICHED).iter().any(|record| record.key_text() == "new")
    })?;
    assert_eq!(shop.minimums()?["new"], Some(json!(5)));
    shop.driver.turns(20);
    assert!(is_told(&shop), "it is told of at once");
    assert_eq!(shop.written(), 11, "no command overtakes its change");

    shop.driver.release(TRANSFORM, CLASSES);
    shop.settle()?;
    assert_eq!(shop.minimums()?["new"], Some(json!(2)));
    assert_eq!(shop.commands().len(), 11);
    shop.check()
}

#[test]
fn takes_no_item_that_was_joined_with_a_class_that_it_does_not_know() -> Result<()> {
    let mut shop = stocked()?;
    shop.driver.hold(FANOUT, CLASSES);
    shop.class("bulky", 2)?;
    shop.driver.turns(20);
    shop.item("new", &["bulky"])?;
    shop.driver.turns(20);
    assert_eq!(shop.minimums()?["new"], Some(json!(2)));

    shop.driver.release(FANOUT, CLASSES);
    shop.settle()?;

    assert_eq!(shop.commands().len(), 10, "the new item needs none");
    shop.check()
}

/// Classes change while items flow, and the two take turns in hearing of it.
#[test]
fn comes_to_rest_however_the_two_lag_behind_each_other() -> Result<()> {
    let mut shop = Shop::by_commands(2)?;
    shop.class("bulky", 9)?;
    shop.class("small", 1)?;
    for round in 0..40_u64 {
        let sku = (round % 13).to_string();
        match round % 7 {
            3 => shop.put(&sku, None)?,
            5 => shop.item(&sku, &["bulky", "small"])?,
            _ => shop.item(&sku, &["bulky"])?,
        }
        match round % 12 {
            1 => shop.driver.hold(TRANSFORM, CLASSES),
            4 => shop.driver.release(TRANSFORM, CLASSES),
            6 => shop.driver.hold(FANOUT, CLASSES),
            10 => shop.driver.release(FANOUT, CLASSES),
            _ => {}
        }
        if round % 5 == 1 {
            shop.class("bulky", 2 + round)?;
        }
        if round % 15 == 14 {
            shop.delete_class("small")?;
        }
        shop.driver.turns(usize::try_from(round % 6)?);
    }
    shop.driver.release(TRANSFORM, CLASSES);
    shop.driver.release(FANOUT, CLASSES);

    shop.settle()?;

    let commands = shop.commands().len();
    shop.driver.turns(100);
    assert_eq!(shop.commands().len(), commands);
    shop.check()
}

/// Both transforms die with their host, at every call of a class change while an item is updated.
fn keeps_every_promise(disk: Disk) -> Result<()> {
    let mut crashes = 0;
    for crash in Crash::everywhere(disk) {
        let mut shop = Shop::by_commands(1)?;
        shop.class("bulky", 5)?;
        shop.items(0..4, &["bulky"])?;
        shop.settle()?;
        shop.driver.crash_at(crash);
        let scenario = |shop: &mut Shop| {
            shop.class("bulky", 2)?;
            shop.driver.turns(3);
            shop.item("1", &["bulky"])?;
            shop.item("new", &["bulky"])?;
            shop.settle()?;
            shop.check()
        };
        scenario(&mut shop).with_context(|| format!("{crash:?}"))?;
        if shop.driver.crashes() == 0 {
            break;
        }
        crashes += 1;
    }
    ensure!(crashes > 100, "only {crashes} crashes");
    Ok(())
}

#[test]
fn keeps_every_promise_whenever_it_dies() -> Result<()> {
    keeps_every_promise(Disk::Kept)
}

#[test]
fn keeps_every_promise_whenever_it_dies_and_loses_its_disk() -> Result<()> {
    keeps_every_promise(Disk::Lost)
}
