//! How far a task has applied its classes: it still knows after a restart, and commands wait for it.

use anyhow::Result;
use gristmill_host::driver::Message;

use super::shop::{CLASSES, Shop};

const UPDATES: &str = "item-updates";

/// A command of option 2, by hand.
#[test]
fn obeys_a_command_only_behind_the_class_change_that_it_names() -> Result<()> {
    let settings = format!("sources.updates = \"{UPDATES}\"\nconfig.follow_classes = false\n");
    let mut shop = Shop::with(1, &settings)?;
    shop.class("bulky", 2)?;
    shop.item("1", &["bulky"])?;
    shop.settle()?;
    shop.driver.hold("delivery-time", CLASSES);
    shop.class("bulky", 5)?;

    let command = Message::new("1", "{}").header("gristmill-after", format!("{CLASSES}/0@1"));
    shop.driver.send(UPDATES, command)?;
    shop.driver.turns(100);
    assert_eq!(shop.written(), 1, "the command waits");
    shop.driver.release("delivery-time", CLASSES);
    shop.settle()?;

    assert_eq!(shop.minimums()?["1"], Some(5.into()));
    Ok(())
}

#[test]
fn rejects_a_bad_class_once_whatever_becomes_of_the_host() -> Result<()> {
    let mut shop = Shop::open(2)?;
    shop.class("bulky", 5)?;
    shop.driver.produce(CLASSES, "broken", "{")?;
    shop.items(0..4, &["bulky"])?;
    shop.settle()?;
    assert_eq!(shop.driver.dead_letters().len(), 1);

    shop.driver.crash("a");
    shop.driver.start("a");
    shop.settle()?;
    shop.driver.stop("a");
    shop.driver.lose_disk("a");
    shop.driver.start("a");
    shop.item("1", &["bulky"])?;
    shop.settle()?;

    assert_eq!(shop.driver.dead_letters().len(), 1);
    Ok(())
}
