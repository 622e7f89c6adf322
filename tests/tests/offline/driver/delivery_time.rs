//! `delivery-time` on one host: joins, class changes before, after and while items flow, deletions.

use std::collections::BTreeSet;

use anyhow::Result;
use gristmill_host::id::{Partition, TopicPartition};
use gristmill_host::memory::{Content, Fate};
use serde_json::{Value, json};

use super::shop::{CLASSES, ENRICHED, ITEMS, Shop};

fn is(days: impl Into<Value>) -> Option<Value> {
    Some(days.into())
}

#[test]
fn enriches_the_items_of_four_partitions() -> Result<()> {
    let mut shop = Shop::open(4)?;
    shop.class("bulky", 5)?;
    shop.items(0..20, &["bulky"])?;
    shop.item("20", &["unknown"])?;
    shop.put("21", Some("{"))?;

    shop.settle()?;

    shop.check()?;
    let partitions: BTreeSet<_> =
        shop.driver.committed(ENRICHED).iter().map(|record| record.partition).collect();
    assert_eq!(partitions.len(), 4);
    let minimums = shop.minimums()?;
    assert_eq!((minimums["7"].clone(), minimums["20"].clone()), (is(5), is(Value::Null)));
    let letters = shop.driver.dead_letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].header("gristmill-error-code").as_deref(), Some("not-json"));
    assert_eq!(shop.driver.rows("delivery-time", "items").unwrap().len(), 22);
    Ok(())
}

#[test]
fn follows_a_class_that_comes_changes_and_goes() -> Result<()> {
    let mut shop = Shop::open(4)?;
    shop.items(0..20, &["bulky"])?;
    shop.items(20..25, &["other"])?;
    shop.settle()?;

    for (step, minimum) in [(1, json!(5)), (2, json!(2)), (3, Value::Null)] {
        match minimum.as_u64() {
            Some(minimum) => shop.class("bulky", minimum)?,
            None => shop.delete_class("bulky")?,
        }
        shop.settle()?;
        assert_eq!(shop.minimums()?["7"], Some(minimum));
        assert_eq!(shop.written(), 25 + 20 * step, "one record for each item of the class");
    }
    assert!(shop.driver.jobs().is_empty());
    shop.check()
}

#[test]
fn follows_classes_that_change_while_items_flow() -> Result<()> {
    let mut shop = Shop::open(4)?;
    shop.class("bulky", 9)?;
    shop.class("small", 1)?;
    for round in 0..40 {
        let sku = (round % 17).to_string();
        match round % 7 {
            3 => shop.put(&sku, None)?,
            5 => shop.item(&sku, &["bulky", "small"])?,
            _ => shop.item(&sku, &["bulky"])?,
        }
        if round % 6 == 1 {
            shop.class("bulky", 2 + round)?;
        }
        if round % 15 == 14 {
            shop.delete_class("small")?;
        }
        // Not enough to handle what is there: the next change meets a walk, and records that wait.
        shop.driver.turns(usize::try_from(round % 4)?);
    }

    shop.settle()?;

    shop.check()
}

#[test]
fn goes_there_and_back_in_the_middle_of_a_walk() -> Result<()> {
    let mut shop = Shop::open(1)?;
    shop.class("bulky", 2)?;
    shop.items(0..30, &["bulky"])?;
    shop.settle()?;

    shop.class("bulky", 5)?;
    shop.reach_a_walk()?;
    // One that the walk has not reached: it has met the class of 5 days.
    shop.item("9", &["bulky"])?;
    shop.driver.run_until("the update", |driver| {
        driver.committed(ENRICHED).iter().filter(|record| record.key_text() == "9").count() > 1
    })?;
    shop.class("bulky", 2)?;
    shop.settle()?;

    shop.check()?;
    assert!(shop.minimums()?.values().all(|minimum| *minimum == is(2)));
    let outputs = shop.outputs()?;
    assert_eq!(outputs["9"].len(), 3, "{:?}", outputs["9"]);
    Ok(())
}

#[test]
fn repeats_nothing_for_a_class_that_comes_back_before_its_walk_has_begun() -> Result<()> {
    let mut shop = Shop::open(1)?;
    let state = r#"{"minimumTime":2,"maximumTime":3}"#;
    shop.driver.produce(CLASSES, "bulky", state)?;
    shop.items(0..10, &["bulky"])?;
    shop.settle()?;

    shop.driver.produce(CLASSES, "bulky", r#"{"minimumTime":9,"maximumTime":9}"#)?;
    shop.driver.produce(CLASSES, "bulky", state)?;
    shop.settle()?;

    assert_eq!(shop.written(), 10);
    Ok(())
}

#[test]
fn comes_to_rest_behind_a_transaction_that_its_supplier_has_aborted() -> Result<()> {
    let mut shop = Shop::open(1)?;
    shop.class("bulky", 2)?;
    shop.item("1", &["bulky"])?;
    let place = TopicPartition::new(&ITEMS.into(), Partition(0));
    let (key, value) = (Some(b"2".to_vec()), Some(b"{}".to_vec()));
    let item = Content::Record { key, value, headers: vec![], timestamp: shop.driver.now() };

    shop.driver.cluster().append_transaction(&place, vec![item], Fate::Aborted);
    shop.settle()?;

    assert_eq!(shop.written(), 1);
    Ok(())
}

#[test]
fn deletes_what_is_deleted_and_leaves_it_alone_afterwards() -> Result<()> {
    let mut shop = Shop::open(4)?;
    shop.class("bulky", 2)?;
    shop.items(0..12, &["bulky"])?;
    shop.settle()?;
    for sku in 0..6 {
        shop.put(&sku.to_string(), None)?;
    }
    shop.settle()?;
    let written = shop.written();

    shop.class("bulky", 7)?;
    shop.settle()?;

    assert_eq!(shop.written(), written + 6);
    let minimums = shop.minimums()?;
    assert_eq!((&minimums["3"], &minimums["8"]), (&None, &is(7)));
    shop.check()
}

#[test]
fn takes_the_best_of_several_classes_and_follows_it() -> Result<()> {
    let mut shop = Shop::open(4)?;
    shop.class("bulky", 5)?;
    shop.class("small", 2)?;
    shop.items(0..12, &["bulky", "small"])?;
    shop.settle()?;

    shop.class("bulky", 6)?;
    shop.settle()?;
    assert_eq!(shop.written(), 12, "the worse class does not count");
    shop.class("bulky", 1)?;
    shop.settle()?;
    assert_eq!((shop.minimums()?["4"].clone(), shop.written()), (is(1), 24));
    shop.delete_class("bulky")?;
    shop.settle()?;

    assert_eq!((shop.minimums()?["4"].clone(), shop.written()), (is(2), 36));
    shop.check()
}
