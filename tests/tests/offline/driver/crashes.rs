//! `delivery-time` on a host that dies, at every call there is, with its disk and without; and on one whose calls fail.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use gristmill_host::driver::{Crash, Disk, Failure};

use super::shop::{ENRICHED, Shop};

/// Items, a class that comes, changes and goes, an update and a deletion; at rest after each, so that what has to be put out
/// is known.
fn in_steps(shop: &mut Shop) -> Result<()> {
    shop.class("bulky", 5)?;
    shop.items(0..5, &["bulky"])?;
    shop.settle()?;
    shop.class("bulky", 2)?;
    shop.settle()?;
    shop.item("3", &["bulky", "small"])?;
    shop.put("4", None)?;
    shop.put("5", Some("no item"))?;
    shop.settle()?;
    shop.class("small", 1)?;
    shop.settle()?;
    shop.delete_class("bulky")?;
    shop.settle()
}

/// The same without a rest in between.
fn in_a_flow(shop: &mut Shop) -> Result<()> {
    shop.class("bulky", 5)?;
    shop.items(0..5, &["bulky"])?;
    shop.driver.turns(12);
    shop.class("bulky", 2)?;
    shop.driver.turns(3);
    shop.item("3", &["bulky", "small"])?;
    shop.put("4", None)?;
    shop.class("small", 1)?;
    shop.driver.turns(2);
    shop.class("bulky", 7)?;
    shop.settle()
}

/// What a scenario has put out for each item, and its dead letters.
type Seen = (BTreeMap<String, Vec<String>>, usize);

fn seen(shop: &Shop) -> Result<Seen> {
    Ok((shop.outputs()?, shop.driver.dead_letters().len()))
}

/// Runs a scenario with a crash at each call, and looks at the end of each.
fn at_every_call(
    disk: Disk,
    scenario: fn(&mut Shop) -> Result<()>,
    look: impl Fn(&Shop) -> Result<()>,
) -> Result<()> {
    let mut crashes = 0;
    for crash in Crash::everywhere(disk) {
        let mut shop = Shop::open(2)?;
        shop.driver.crash_at(crash);
        scenario(&mut shop).and_then(|()| look(&shop)).with_context(|| format!("{crash:?}"))?;
        if shop.driver.crashes() == 0 {
            break;
        }
        crashes += 1;
    }
    ensure!(crashes > 200, "only {crashes} crashes");
    Ok(())
}

fn puts_out_the_same(disk: Disk) -> Result<()> {
    let mut undisturbed = Shop::open(2)?;
    in_steps(&mut undisturbed)?;
    let expected = seen(&undisturbed)?;

    at_every_call(disk, in_steps, |shop| {
        shop.check()?;
        let found = seen(shop)?;
        ensure!(found == expected, "{found:?} instead of {expected:?}");
        Ok(())
    })
}

#[test]
fn is_the_same_each_time() -> Result<()> {
    let run = || {
        let mut shop = Shop::open(2)?;
        in_a_flow(&mut shop)?;
        Ok::<_, anyhow::Error>((shop.driver.committed(ENRICHED), shop.driver.calls(), shop.driver.now()))
    };
    let first = run()?;

    for _ in 0..10 {
        assert_eq!(run()?, first);
    }
    Ok(())
}

#[test]
fn puts_out_the_same_whenever_it_dies() -> Result<()> {
    puts_out_the_same(Disk::Kept)
}

#[test]
fn puts_out_the_same_whenever_it_dies_and_loses_its_disk() -> Result<()> {
    puts_out_the_same(Disk::Lost)
}

#[test]
fn keeps_every_promise_whenever_it_dies_while_items_flow() -> Result<()> {
    at_every_call(Disk::Kept, in_a_flow, Shop::check)?;
    at_every_call(Disk::Lost, in_a_flow, Shop::check)
}

#[test]
fn puts_out_the_same_whatever_call_fails() -> Result<()> {
    let mut undisturbed = Shop::open(2)?;
    in_steps(&mut undisturbed)?;
    let expected = seen(&undisturbed)?;
    let mut failures = 0;

    for failure in Failure::everywhere() {
        let mut shop = Shop::open(2)?;
        shop.driver.fail_at(failure);
        in_steps(&mut shop).and_then(|()| shop.check()).with_context(|| format!("{failure:?}"))?;
        let found = seen(&shop)?;
        ensure!(found == expected, "{failure:?}: {found:?} instead of {expected:?}");
        if shop.driver.failures() == 0 {
            break;
        }
        failures += 1;
    }

    ensure!(failures > 200, "only {failures} failures");
    Ok(())
}
