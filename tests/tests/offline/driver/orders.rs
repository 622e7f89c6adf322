//! An operator's orders to `delivery-time`: items once more, walks that are cancelled.

use anyhow::{Context, Result, ensure};
use gristmill_host::driver::{Crash, Disk};
use gristmill_host::task::order::Order;

use super::shop::Shop;

const TRANSFORM: &str = "delivery-time";

/// A shop with twelve items of one class and six of another.
fn stocked() -> Result<Shop> {
    let mut shop = Shop::open(2)?;
    shop.class("bulky", 5)?;
    shop.class("small", 1)?;
    shop.items(0..12, &["bulky"])?;
    shop.items(12..18, &["small"])?;
    shop.settle()?;
    Ok(shop)
}

fn items_of(class: &str) -> Order {
    Order::RepeatTerm { source: "items".to_owned(), index: "by-class".to_owned(), term: class.to_owned() }
}

#[test]
fn sends_items_once_more_as_they_are() -> Result<()> {
    for (order, outputs) in [
        (items_of("bulky"), 12),
        (items_of("unknown"), 0),
        (Order::RepeatAll { source: "items".to_owned() }, 18),
    ] {
        let mut shop = stocked()?;

        shop.driver.order(TRANSFORM, &order)?;
        shop.settle()?;

        assert_eq!(shop.written(), 18 + outputs, "{order:?}");
    }
    Ok(())
}

#[test]
fn sends_one_item_once_more() -> Result<()> {
    let mut shop = stocked()?;

    shop.driver.order_for(TRANSFORM, "3", &Order::RepeatRow { source: "items".to_owned() })?;
    shop.settle()?;

    let outputs = shop.outputs()?;
    assert_eq!((outputs["3"].len(), shop.written()), (2, 19));
    assert_eq!(outputs["3"][0], outputs["3"][1]);
    Ok(())
}

#[test]
fn cancels_a_walk_and_sends_everything_at_the_next_change() -> Result<()> {
    let mut shop = Shop::with(2, "jobs.step = 1\n")?;
    shop.class("bulky", 5)?;
    shop.items(0..60, &["bulky"])?;
    shop.settle()?;
    shop.class("bulky", 7)?;
    shop.reach_a_walk()?;

    let (kind, name) = ("follow-class".to_owned(), "bulky".to_owned());
    shop.driver.order(TRANSFORM, &Order::CancelJob { kind, name })?;
    shop.settle()?;

    ensure!(shop.written() < 2 * 60, "the walk was over before it was cancelled");
    shop.class("bulky", 9)?;
    shop.settle()?;
    assert!(shop.minimums()?.values().all(|minimum| *minimum == Some(9.into())));
    shop.check()
}

#[test]
fn carries_an_order_out_once_whenever_it_dies() -> Result<()> {
    for disk in [Disk::Kept, Disk::Lost] {
        let mut crashes = 0;
        for crash in Crash::everywhere(disk) {
            let mut shop = stocked()?;
            shop.driver.crash_at(crash);
            shop.driver.order(TRANSFORM, &items_of("bulky"))?;
            shop.settle().with_context(|| format!("{crash:?}"))?;

            let outputs = shop.outputs()?;
            let twice = outputs.values().filter(|outputs| outputs.len() == 2).count();
            ensure!((twice, shop.written()) == (12, 30), "{crash:?}: {outputs:?}");
            if shop.driver.crashes() == 0 {
                break;
            }
            crashes += 1;
        }
        ensure!(crashes > 60, "only {crashes} crashes");
    }
    Ok(())
}
