//! Runs the plugin natively: no WebAssembly, no host, no broker.

use gristmill::test::{Task, record, tombstone};
use low_stock::{LowStock, MANIFEST, sources};
use serde_json::json;

#[test]
fn alerts_once_until_the_item_was_restocked() {
    let mut task = Task::<LowStock>::new(MANIFEST, json!({ "threshold": 5 })).unwrap();
    let mut feed = |stock: u64| {
        let outcome = task.feed(sources::ITEMS, [record("SKU-1", format!(r#"{{"stock":{stock}}}"#))]);
        outcome.outputs.len()
    };

    assert_eq!([9, 4, 3, 8, 2].map(&mut feed), [0, 1, 0, 0, 1]);
}

#[test]
fn forgets_an_item_that_was_deleted() {
    let mut task = Task::<LowStock>::new(MANIFEST, json!({ "threshold": 5 })).unwrap();

    let outcome = task
        .feed(sources::ITEMS, [record("A", r#"{"stock":1}"#), tombstone("A"), record("A", r#"{"stock":1}"#)]);

    assert_eq!(outcome.outputs.len(), 2);
}
