//! `activation` as a real component, on hosts: in every order, whenever the host dies, and with very many that wait.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gristmill_host::driver::{Crash, Disk, Failure};

use super::products::{End, NOTIFICATIONS, Products};

const DAY: Duration = Duration::from_secs(86_400);

fn notified(id: usize) -> End {
    End::Notified(format!("X-{id}"))
}

/// Both orders, updates before and after, several of one product, information that is deleted or has no ID, one that expires;
/// at rest after each, so that what has to come of it is known.
fn in_steps(products: &mut Products) -> Result<()> {
    products.activate("early")?;
    products.inform("late")?;
    products.settle()?;
    products.inform("early")?;
    products.activate("late")?;
    products.activate("lonely")?;
    products.settle()?;
    products.inform("early")?;
    products.forget("late")?;
    products.inform_without_id("lonely")?;
    products.settle()?;
    products.activate("early")?;
    products.activate("late")?;
    products.settle()?;
    products.driver.advance(7 * DAY + Duration::from_secs(1));
    products.settle()?;
    products.inform("late")?;
    products.inform("lonely")?;
    products.settle()
}

fn expected() -> BTreeMap<usize, End> {
    let ends = [notified(1), notified(0), End::Expired, notified(2), End::Expired];
    ends.into_iter().enumerate().collect()
}

#[test]
fn notifies_once_whichever_comes_first() -> Result<()> {
    let mut products = Products::open("")?;

    in_steps(&mut products)?;

    assert_eq!(products.ends()?, expected());
    assert_eq!((products.waiting()?, products.driver.dead_letters().len()), (0, 1));
    Ok(())
}

/// Runs a scenario with a crash at each call, and looks at the end of each.
fn at_every_call(disk: Disk) -> Result<()> {
    let mut crashes = 0;
    for crash in Crash::everywhere(disk) {
        let mut products = Products::open("")?;
        products.driver.crash_at(crash);
        in_steps(&mut products).with_context(|| format!("{crash:?}"))?;
        let (ends, letters) =
            (products.ends().with_context(|| format!("{crash:?}"))?, products.driver.dead_letters());
        ensure!(ends == expected() && letters.len() == 1, "{crash:?}: {ends:?}, {letters:?}");
        if products.driver.crashes() == 0 {
            break;
        }
        crashes += 1;
    }
    ensure!(crashes > 100, "only {crashes} crashes");
    Ok(())
}

#[test]
fn notifies_once_whenever_the_host_dies() -> Result<()> {
    at_every_call(Disk::Kept)
}

#[test]
fn notifies_once_whenever_the_host_dies_and_loses_its_disk() -> Result<()> {
    at_every_call(Disk::Lost)
}

#[test]
fn notifies_once_whatever_call_fails() -> Result<()> {
    let mut failures = 0;
    for failure in Failure::everywhere() {
        let mut products = Products::open("")?;
        products.driver.fail_at(failure);
        in_steps(&mut products).with_context(|| format!("{failure:?}"))?;
        let ends = products.ends().with_context(|| format!("{failure:?}"))?;
        ensure!(ends == expected(), "{failure:?}: {ends:?}");
        if products.driver.failures() == 0 {
            break;
        }
        failures += 1;
    }
    ensure!(failures > 100, "only {failures} failures");
    Ok(())
}

#[test]
fn lets_nothing_expire_whose_information_came_while_the_host_was_down() -> Result<()> {
    let mut products = Products::open("")?;
    products.activate("a")?;
    products.activate("b")?;
    products.settle()?;
    products.driver.crash("a");

    products.driver.advance(2 * DAY);
    products.inform("a")?;
    products.driver.advance(6 * DAY);
    products.driver.start("a");
    products.settle()?;

    assert_eq!(products.ends()?, [(0, notified(0)), (1, End::Expired)].into());
    Ok(())
}

#[test]
fn notifies_ten_thousand_of_one_product_in_order_and_holds_up_no_other() -> Result<()> {
    const MANY: usize = 10_000;
    let mut products = Products::open("jobs.step = 500\n")?;
    let other = products.beside("many");
    (0..MANY).try_for_each(|_| products.activate("many"))?;
    products.activate(&other)?;
    products.settle()?;
    assert_eq!(products.waiting()?, MANY + 1);

    products.inform("many")?;
    products.inform(&other)?;
    products.activate("many")?;
    products.settle()?;

    let ends = products.ends()?;
    assert_eq!(ends.len(), MANY + 2);
    assert!(ends.iter().all(|(number, end)| *end == notified(usize::from(*number == MANY))));
    assert_eq!((products.waiting()?, products.driver.dead_letters().len()), (0, 0));
    let notifications = products.driver.committed(NOTIFICATIONS);
    let place = notifications.iter().position(|record| record.key_text() == other);
    assert!(place.is_some_and(|place| place <= 2_000), "the other one is behind {place:?}");
    Ok(())
}

#[test]
fn lets_ten_thousand_expire_in_one_day() -> Result<()> {
    const MANY: usize = 10_000;
    let mut products = Products::open("")?;
    (0..MANY).try_for_each(|number| products.activate(&format!("p{}", number % 100)))?;
    products.settle()?;

    products.driver.advance(7 * DAY + Duration::from_secs(1));
    products.settle()?;

    let ends = products.ends()?;
    assert_eq!(ends.len(), MANY);
    assert!(ends.values().all(|end| *end == End::Expired));
    assert_eq!((products.waiting()?, products.driver.dead_letters().len()), (0, 0));
    Ok(())
}
