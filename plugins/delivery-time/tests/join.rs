//! What becomes of items: DOMAIN part A; `follow.rs` has what becomes of class changes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use delivery_time::DeliveryTime;
use delivery_time::MANIFEST;
use delivery_time::sinks;
use delivery_time::sources;
use delivery_time::tables;
use gristmill::test::Input;
use gristmill::test::Output;
use gristmill::test::Task;
use gristmill::test::record;
use gristmill::test::tombstone;
use serde_json::Value;
use serde_json::json;

fn task_with(config: Value) -> Task<DeliveryTime> {
    Task::new(MANIFEST, config).unwrap()
}

/// A task with three classes.
fn task() -> Task<DeliveryTime> {
    let mut task = task_with(json!({}));
    task.put(tables::CLASSES, "parcel", r#"{"minimumTime":1,"maximumTime":3}"#);
    task.put(tables::CLASSES, "bulky", r#"{"minimumTime":2,"maximumTime":5}"#);
    task.put(tables::CLASSES, "freight", r#"{"minimumTime":2,"maximumTime":4}"#);
    task
}

fn class(name: &str, minimum: u64, maximum: u64) -> Input {
    record(name, json!({ "minimumTime": minimum, "maximumTime": maximum }).to_string())
}

/// What an item becomes.
#[track_caller]
fn enriched(task: &mut Task<DeliveryTime>, item: &str) -> String {
    let outcome = task.feed(sources::ITEMS, [record("A-1", item)]);
    assert_eq!(outcome.rejected, []);
    let [Output { sink: sinks::ENRICHED, value: Some(value), .. }] = outcome.outputs.as_slice() else {
        panic!("{outcome:?}")
    };
    String::from_utf8(value.clone()).unwrap()
}

/// The code that an item is rejected with.
#[track_caller]
fn rejected(item: impl AsRef<[u8]>) -> String {
    let outcome = task().feed(sources::ITEMS, [record("A-1", item)]);
    assert_eq!(outcome.outputs, []);
    outcome.rejected[0].code.clone()
}

#[test]
fn appends_the_times_of_the_class() {
    assert_eq!(
        enriched(&mut task(), r#"{"sku": "A-1", "deliveryClass": "bulky"}"#),
        r#"{"sku": "A-1", "deliveryClass": "bulky","minimumDeliveryTime":2,"maximumDeliveryTime":5}"#
    );
}

#[test]
fn replaces_times_that_are_there() {
    assert_eq!(
        enriched(&mut task(), r#"{"maximumDeliveryTime": 99, "deliveryClass": "bulky", "n": 1e400}"#),
        r#"{"maximumDeliveryTime": 5, "deliveryClass": "bulky", "n": 1e400,"minimumDeliveryTime":2}"#
    );
}

#[test]
fn passes_items_on_with_nulls_when_no_class_is_known() {
    for class in [r#""unknown""#, "null", "[]", r#"["unknown"]"#, r#""""#] {
        let item = format!(r#"{{"deliveryClass":{class}}}"#);
        assert_eq!(
            enriched(&mut task(), &item),
            format!(r#"{{"deliveryClass":{class},"minimumDeliveryTime":null,"maximumDeliveryTime":null}}"#)
        );
    }
    let bare = r#"{"minimumDeliveryTime":null,"maximumDeliveryTime":null}"#;
    assert_eq!(enriched(&mut task(), "{}"), bare);
}

#[test]
fn takes_the_best_of_several_classes() {
    for (classes, times) in [
        (r#"["bulky","parcel"]"#, (1, 3)),
        (r#"["bulky","freight"]"#, (2, 4)),
        (r#"["freight","bulky"]"#, (2, 4)),
        (r#"["unknown","bulky"]"#, (2, 5)),
        (r#"["bulky","unknown"]"#, (2, 5)),
    ] {
        let item = enriched(&mut task(), &format!(r#"{{"deliveryClass":{classes}}}"#));
        let item: Value = serde_json::from_str(&item).unwrap();
        assert_eq!(
            (item["minimumDeliveryTime"].as_u64(), item["maximumDeliveryTime"].as_u64()),
            (Some(times.0), Some(times.1)),
            "{classes}"
        );
    }
}

#[test]
fn reads_class_names_as_text_whatever_their_escapes() {
    assert!(enriched(&mut task(), r#"{"deliveryClass":"b\u0075lky"}"#).contains("\"minimumDeliveryTime\":2"));
}

#[test]
fn finds_the_class_at_the_configured_pointer() {
    let mut task = task_with(json!({ "class_pointer": "/logistics/0/class" }));
    task.put(tables::CLASSES, "bulky", r#"{"minimumTime":2,"maximumTime":5}"#);

    let item = enriched(&mut task, r#"{"logistics":[{"class":"bulky"}],"deliveryClass":"x"}"#);

    assert!(item.ends_with(r#","minimumDeliveryTime":2,"maximumDeliveryTime":5}"#), "{item}");
}

#[test]
fn forwards_tombstones_always() {
    for config in [json!({}), json!({ "only_if": { "pointer": "/online", "equals": true } })] {
        let outcome = task_with(config).feed(sources::ITEMS, [tombstone("A-1")]);

        assert_eq!(outcome.outputs.len(), 1);
        assert!(outcome.outputs[0].is_tombstone());
        assert_eq!(outcome.outputs[0].key(), "A-1");
    }
}

#[test]
fn deletes_items_that_do_not_pass_the_filter() {
    let mut task = task_with(json!({ "only_if": { "pointer": "/state", "equals": "online" } }));

    let outcome = task.feed(
        sources::ITEMS,
        [record("1", r#"{"state":"online"}"#), record("1", r#"{"state":"offline"}"#), record("2", "{}")],
    );

    let deleted: Vec<bool> = outcome.outputs.iter().map(Output::is_tombstone).collect();
    assert_eq!(deleted, [false, true, true]);
}

#[test]
fn rejects_malformed_items_whether_or_not_they_pass_the_filter() {
    let mut task = task_with(json!({ "only_if": { "pointer": "/online", "equals": true } }));

    let items = [record("1", r#"{"deliveryClass":1}"#), record("1", r#"{"deliveryClass":1,"online":true}"#)];

    assert_eq!(task.feed(sources::ITEMS, items).codes(), ["class-invalid", "class-invalid"]);
}

#[test]
fn rejects_what_is_no_item() {
    for item in ["x", "{", r#"{"a":1,}"#, r#"{"a":"#, "{}{}"] {
        assert_eq!(rejected(item), "not-json", "{item}");
    }
    assert_eq!(rejected(b"{\"a\":\"\xff\"}"), "not-json");
    assert_eq!(rejected(""), "empty-value");
    for item in ["[]", "1", "null", "\"bulky\""] {
        assert_eq!(rejected(item), "not-an-object", "{item}");
    }
    for class in ["1", "true", "{}", r#"["bulky",1]"#, r#"["bulky",null]"#, r#"[["bulky"]]"#, r#""\ud800""#] {
        assert_eq!(rejected(format!(r#"{{"deliveryClass":{class}}}"#)), "class-invalid", "{class}");
    }
    assert_eq!(rejected(format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200))), "too-deep");
    let outcome = task().feed(sources::ITEMS, [record("", "{}").without_key(), tombstone("").without_key()]);
    assert_eq!(outcome.codes(), ["no-key", "no-key"]);
}

#[test]
fn keeps_keys_that_are_no_text_and_the_headers() {
    let outcome = task().feed(sources::ITEMS, [record(b"\xff\x00", "{}").header("trace", "1")]);

    assert_eq!(outcome.outputs[0].key.as_deref(), Some(b"\xff\x00".as_slice()));
    assert_eq!(outcome.outputs[0].headers, [("trace".to_owned(), Some(b"1".to_vec()))]);
    assert_eq!(outcome.outputs[0].timestamp, None, "that of the item");
}

#[test]
fn passes_large_items_on() {
    let item = format!(r#"{{"deliveryClass":"bulky","text":"{}"}}"#, "ä".repeat(500_000));

    assert!(enriched(&mut task(), &item).len() > 1_000_000);
}

#[test]
fn joins_with_the_class_as_of_now() {
    let mut task = task();
    let item = r#"{"deliveryClass":"bulky"}"#;
    let minimum = |item: String| serde_json::from_str::<Value>(&item).unwrap()["minimumDeliveryTime"].clone();

    assert_eq!(minimum(enriched(&mut task, item)), 2);
    task.feed(sources::CLASSES, [class("bulky", 7, 8)]);
    assert_eq!(minimum(enriched(&mut task, item)), 7);
    task.restart();
    assert_eq!(minimum(enriched(&mut task, item)), 7);
    task.feed(sources::CLASSES, [tombstone("bulky")]);
    assert_eq!(minimum(enriched(&mut task, item)), Value::Null);
}

#[test]
fn rejects_a_malformed_class_and_holds_on_to_the_last_good_one() {
    let mut task = task();
    let item = r#"{"deliveryClass":"bulky"}"#;
    let good = enriched(&mut task, item);

    let bad = [record("bulky", r#"{"minimumTime":9}"#), record("x", "{").without_key()];
    let outcome = task.feed(sources::CLASSES, bad);

    assert_eq!(outcome.codes(), ["class-time-invalid", "no-key"]);
    assert_eq!(outcome.outputs, []);
    assert_eq!(enriched(&mut task, item), good);
    task.restart();
    assert_eq!(enriched(&mut task, item), good, "after a restart too");
}

#[test]
fn refuses_settings_that_make_no_sense() {
    for config in [
        json!({ "class_pointer": "deliveryClass" }),
        json!({ "only_if": { "pointer": "online", "equals": true } }),
        json!({ "only_if": { "pointer": "/online", "equals": [true] } }),
        json!({ "only_if": { "pointer": "/online" } }),
        json!({ "clas_pointer": "/x" }),
    ] {
        assert!(Task::<DeliveryTime>::new(MANIFEST, config.clone()).is_err(), "{config}");
    }
}
