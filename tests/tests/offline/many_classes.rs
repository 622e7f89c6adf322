//! Thousands of classes, and an item that belongs to a thousand of them.

use anyhow::{Result, ensure};
use gristmill_tests::checker::{self, Standing};
use gristmill_tests::client::Producer;
use gristmill_tests::cluster::{Cluster, Dev};
use gristmill_tests::fanout::end;
use gristmill_tests::fold::Fold;
use gristmill_tests::shop::Shop;
use gristmill_tests::turn;
use rdkafka::producer::BaseRecord;

const CLASSES: usize = 5_000;
const OF_ONE: usize = 1_000;
const ITEMS: usize = 300;

/// None of the items has it but that of a thousand classes.
const LAST: usize = OF_ONE - 1;

#[test]
fn follows_thousands_of_classes_and_an_item_of_a_thousand() -> Result<()> {
    let _turn = turn::take();
    let broker = Dev::start()?;
    let shop = Shop::new(broker.client(), 2)?;
    shop.prepare()?;
    let producer = shop.producer()?;
    (0..CLASSES).try_for_each(|n| set(&shop, &producer, n, 100 + n % 7))?;
    send_items(&shop, &producer)?;
    let mut host = shop.start("a")?;
    let mut fold = Fold::new(&shop)?;
    let before = fold.await_converged(&mut [("a", &mut host)])?;
    ensure!(before == ITEMS + 1, "{before} outputs");

    set(&shop, &producer, LAST, 10)?;
    set(&shop, &producer, LAST - 1, 20)?;
    producer.drain()?;
    let better = fold.await_converged(&mut [("a", &mut host)])? - before;
    ensure!(better == 1, "a better class of a thousand, and one that is not better, made {better} outputs");

    // All at once, and the best of the thousand goes.
    (0..CLASSES).filter(|n| *n != LAST).try_for_each(|n| set(&shop, &producer, n, 200 + n % 7))?;
    producer.send::<str, str>(BaseRecord::to(&shop.classes).partition(0).key(&*name(LAST)))?;
    producer.drain()?;
    let after = fold.await_converged(&mut [("a", &mut host)])? - before - better;
    ensure!(after > ITEMS, "{CLASSES} changes made {after} outputs");

    end(host)?;
    shop.await_stable()?;
    let seen = shop.observe()?;
    let model = shop.model(&seen);
    checker::all_hold(&[
        checker::convergence(&seen, &model),
        checker::source_untouched(&seen, ITEMS + 1),
        checker::nothing_hangs(&seen),
        shop.local_stores(&seen, &["a"], Standing::Level)?,
    ])
}

fn name(n: usize) -> String {
    format!("many-{n:04}")
}

fn set(shop: &Shop, producer: &Producer, n: usize, minimum: usize) -> Result<()> {
    let value = format!(r#"{{"minimumTime":{minimum},"maximumTime":{}}}"#, 10_000 + n);
    producer.put(&shop.classes, 0, &name(n), &value)
}

fn send_items(shop: &Shop, producer: &Producer) -> Result<()> {
    let all: Vec<_> = (0..OF_ONE).map(|n| format!("\"{}\"", name(n))).collect();
    let classes = (0..ITEMS).map(|n| format!("\"{}\"", name(n * CLASSES / ITEMS)));
    for (n, classes) in classes.chain([format!("[{}]", all.join(","))]).enumerate() {
        let (key, value) = (format!("sku-{n}"), format!(r#"{{"n":{n},"deliveryClass":{classes}}}"#));
        producer.send(BaseRecord::to(&shop.items).key(&*key).payload(&*value))?;
    }
    producer.drain()
}
