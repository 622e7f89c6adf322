//! Class changes: DOMAIN part A, followed by the plugin itself.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use delivery_time::DeliveryTime;
use delivery_time::MANIFEST;
use delivery_time::jobs;
use delivery_time::sources;
use gristmill::test::Input;
use gristmill::test::Output;
use gristmill::test::Task;
use gristmill::test::record;
use gristmill::test::tombstone;
use serde_json::Value;
use serde_json::json;

fn class(name: &str, days: u64) -> Input {
    record(name, json!({ "minimumTime": days, "maximumTime": days }).to_string())
}

fn item(sku: &str, classes: &[&str]) -> Input {
    record(sku, json!({ "deliveryClass": classes }).to_string())
}

/// A task with the class `bulky` of 2 days, and items of it.
fn shop(items: &[&str]) -> Task<DeliveryTime> {
    let mut task = Task::<DeliveryTime>::new(MANIFEST, json!({})).unwrap();
    task.feed(sources::CLASSES, [class("bulky", 2)]);
    for sku in items {
        task.feed(sources::ITEMS, [item(sku, &["bulky"])]);
    }
    task
}

/// Keys and minimum times, null for none.
fn sent(outputs: &[Output]) -> Vec<(String, Value)> {
    let minimum = |output: &Output| {
        serde_json::from_str::<Value>(&output.value()).unwrap()["minimumDeliveryTime"].clone()
    };
    outputs.iter().map(|output| (output.key().into_owned(), minimum(output))).collect()
}

fn is(sku: &str, days: impl Into<Value>) -> (String, Value) {
    (sku.to_owned(), days.into())
}

#[test]
fn sends_the_items_of_a_class_again_when_it_changes() {
    let mut task = shop(&["1", "2", "3"]);
    task.feed(sources::ITEMS, [item("4", &["other"]), tombstone("2")]);

    let outcome = task.feed(sources::CLASSES, [class("bulky", 5)]);
    assert_eq!(outcome.outputs, [], "never in the call of the change");

    assert_eq!(sent(&task.run_jobs(10)), [is("1", 5), is("3", 5)]);
}

#[test]
fn follows_inserts_and_deletions_of_a_class() {
    let mut task = shop(&[]);
    task.feed(sources::ITEMS, [item("1", &["new"])]);

    task.feed(sources::CLASSES, [class("new", 1)]);
    assert_eq!(sent(&task.run_jobs(10)), [is("1", 1)]);

    task.feed(sources::CLASSES, [tombstone("new")]);
    assert_eq!(sent(&task.run_jobs(10)), [is("1", Value::Null)]);
}

#[test]
fn starts_no_job_without_a_change_or_without_items() {
    let mut task = shop(&[]);
    assert_eq!(task.jobs(), [], "there are no items");

    task.feed(sources::ITEMS, [item("1", &["bulky"])]);
    task.feed(sources::CLASSES, [record("bulky", r#"{"minimumTime":2.0,"maximumTime":2,"name":"x"}"#)]);
    task.feed(sources::CLASSES, [tombstone("unknown")]);

    assert_eq!(task.jobs(), []);
}

#[test]
fn sends_only_items_whose_times_change() {
    let mut task = shop(&["1"]);
    task.feed(sources::CLASSES, [class("quick", 1)]);
    task.run_jobs(10);
    task.feed(sources::ITEMS, [item("2", &["bulky", "quick"])]);

    task.feed(sources::CLASSES, [class("bulky", 5)]);

    assert_eq!(sent(&task.run_jobs(10)), [is("1", 5)]);
}

#[test]
fn sends_the_last_of_quick_changes_once() {
    let mut task = shop(&["1", "2"]);

    task.feed(sources::CLASSES, [class("bulky", 5), class("bulky", 6), class("bulky", 7)]);

    assert_eq!(sent(&task.run_jobs(1)), [is("1", 7), is("2", 7)]);
}

/// PROMISES, "there and back": the class is changed, the walk has passed some items, and it is changed back.
#[test]
fn there_and_back() {
    let mut task = shop(&["1", "2", "3", "4", "5"]);
    task.feed(sources::ITEMS, [item("0", &["bulky", "second"])]);
    task.feed(sources::CLASSES, [class("second", 9)]);
    assert_eq!(sent(&task.run_jobs(10)), []);

    task.feed(sources::CLASSES, [class("bulky", 5)]);
    assert_eq!(
        sent(&task.step(jobs::FOLLOW_CLASS, "bulky", 3).outputs),
        [is("0", 5), is("1", 5), is("2", 5)]
    );
    // The supplier updates one that the walk has not reached.
    assert_eq!(sent(&task.feed(sources::ITEMS, [item("4", &["bulky"])]).outputs), [is("4", 5)]);
    task.restart();
    task.feed(sources::CLASSES, [class("second", 3), class("bulky", 2)]);

    // Those behind the cursor were never told of the change; the others need to hear that it is off. What
    // the second class says never mattered.
    let mut rest = sent(&task.run_jobs(2));
    rest.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(rest, [is("0", 2), is("1", 2), is("2", 2), is("4", 2)]);
}

/// PROMISES, "always superseded": the class changes faster than a walk ends.
#[test]
fn always_superseded() {
    let skus = ["1", "2", "3", "4", "5", "6", "7"];
    let mut task = shop(&skus);
    let mut reached = Vec::new();

    for days in 10..17 {
        // Twice, so that one walk is superseded before its first step.
        task.feed(sources::CLASSES, [class("bulky", days + 100)]);
        task.feed(sources::CLASSES, [class("bulky", days)]);
        let stepped = task.step(jobs::FOLLOW_CLASS, "bulky", 1);
        assert!(!stepped.done);
        reached.extend(sent(&stepped.outputs).into_iter().map(|(sku, _)| sku));
    }

    assert_eq!(reached, skus, "each item has had its turn");
    assert_eq!(task.run_jobs(2).len(), 6, "the last one is up to date");
}

#[test]
fn holds_on_to_a_class_whose_record_is_rejected() {
    let mut task = shop(&["1"]);

    let outcome = task.feed(sources::CLASSES, [record("bulky", "{"), class("other", 1)]);

    assert_eq!(outcome.codes(), ["not-json"]);
    assert_eq!(sent(&task.run_jobs(10)), []);
    task.restart();
    assert_eq!(sent(&task.feed(sources::ITEMS, [item("2", &["bulky"])]).outputs), [is("2", 2)]);
    task.feed(sources::CLASSES, [class("bulky", 2)]);
    assert_eq!(task.jobs(), [], "the class is what it was");
    task.feed(sources::CLASSES, [class("bulky", 3)]);
    assert_eq!(sent(&task.run_jobs(10)), [is("1", 3), is("2", 3)]);
}

#[test]
fn leaves_items_alone_that_were_rejected_or_do_not_pass() {
    let config = json!({ "only_if": { "pointer": "/online", "equals": true } });
    let mut task = Task::<DeliveryTime>::new(MANIFEST, config).unwrap();
    task.feed(sources::CLASSES, [class("bulky", 2)]);
    let outcome = task.feed(
        sources::ITEMS,
        [
            record("1", r#"{"online":true,"deliveryClass":"bulky"}"#),
            record("2", r#"{"online":false,"deliveryClass":"bulky"}"#),
            record("3", r#"{"online":true,"deliveryClass":["bulky",1]}"#),
            record("4", r#"{"online":true}"#),
        ],
    );
    assert!(outcome.outputs[1].is_tombstone());

    task.feed(sources::CLASSES, [class("bulky", 5)]);

    assert_eq!(sent(&task.run_jobs(10)), [is("1", 5)]);
}

#[test]
fn sends_everything_of_a_class_whose_walk_was_cancelled_at_its_next_change() {
    let mut task = shop(&["1", "2"]);
    task.feed(sources::CLASSES, [class("bulky", 5)]);
    task.step(jobs::FOLLOW_CLASS, "bulky", 1);
    assert!(task.cancel_job(jobs::FOLLOW_CLASS, "bulky"));
    task.restart();

    // Back to what item 2 was last sent with: nobody knows that any more.
    task.feed(sources::CLASSES, [class("other", 1)]);
    task.run_jobs(10);
    task.feed(sources::CLASSES, [class("bulky", 2)]);
    assert_eq!(sent(&task.run_jobs(10)), [is("1", 2), is("2", 2)]);

    task.start_job(jobs::FOLLOW_CLASS, "bulky");
    assert_eq!(sent(&task.run_jobs(10)), [], "and all is known again");
}

#[test]
fn repeats_a_class_on_request_after_a_cancelled_walk() {
    let mut task = shop(&["1", "2"]);
    task.feed(sources::CLASSES, [class("bulky", 5)]);
    task.cancel_job(jobs::FOLLOW_CLASS, "bulky");
    task.feed(sources::CLASSES, [class("other", 1)]);
    task.run_jobs(10);

    task.feed(sources::CLASSES, [class("bulky", 5)]);

    assert_eq!(sent(&task.run_jobs(10)), [is("1", 5), is("2", 5)]);
}

#[test]
fn counts_the_items_of_a_class_while_it_walks() {
    let mut task = shop(&["1", "2", "3", "4", "5"]);
    task.feed(sources::CLASSES, [class("bulky", 5)]);

    let steps = [(); 3].map(|()| task.step(jobs::FOLLOW_CLASS, "bulky", 2));

    assert_eq!(
        steps.each_ref().map(|step| (step.visited, step.total)),
        [(2, None), (2, Some(5)), (1, Some(5))]
    );
    assert!(steps[2].done);
}

#[test]
fn sends_an_item_again_on_command() {
    let mut task = Task::<DeliveryTime>::new(MANIFEST, json!({ "follow_classes": false })).unwrap();
    task.feed(sources::CLASSES, [class("bulky", 2)]);
    task.feed(sources::ITEMS, [item("1", &["bulky"]).header("trace", "x"), record("2", "{")]);
    task.feed(sources::CLASSES, [class("bulky", 5)]);
    assert_eq!(task.jobs(), []);

    let command = r#"{"cause":"delivery-class-changed","class":"bulky"}"#;
    let commands = ["1", "2", "3"].map(|sku| record(sku, command));
    let outcome = task.feed(sources::UPDATES, commands);

    assert_eq!(sent(&outcome.outputs), [is("1", 5)]);
    assert_eq!(outcome.outputs[0].headers, [("trace".to_owned(), Some(b"x".to_vec()))]);
    let skipped: Vec<_> = outcome.skipped.keys().map(String::as_str).collect();
    assert_eq!(skipped, ["malformed-item", "unknown-item"]);
    let rejected = task.feed(sources::UPDATES, [record("", "{}").without_key()]);
    assert_eq!(rejected.codes(), ["no-key"]);
}

#[test]
fn keeps_no_history_when_it_does_not_follow() {
    let mut task = Task::<DeliveryTime>::new(MANIFEST, json!({ "follow_classes": false })).unwrap();
    task.feed(sources::CLASSES, [class("bulky", 2)]);
    task.feed(sources::ITEMS, [item("1", &["bulky"])]);

    task.feed(sources::CLASSES, [class("bulky", 5)]);
    task.feed(sources::CLASSES, [class("bulky", 6)]);

    assert_eq!(task.jobs(), []);
    assert!(task.store("follow").iter().all(|(key, _)| !key.starts_with(b"\x02change")));
    task.start_job(jobs::FOLLOW_CLASS, "bulky");
    assert_eq!(task.run_jobs(10), []);
}

/// PROMISES, "index with another meaning": the pointer to the class changes with a reload.
#[test]
fn knows_nothing_of_items_that_had_other_classes_under_another_pointer() {
    let mut task = shop(&[]);
    task.feed(sources::CLASSES, [class("quick", 1), class("express", 0)]);
    let both = r#"{"deliveryClass":"bulky","other":["quick","express"]}"#;
    assert_eq!(sent(&task.feed(sources::ITEMS, [record("1", both)]).outputs), [is("1", 2)]);
    task.reload(json!({ "class_pointer": "/other" })).unwrap();

    // It would not matter, had the item been sent as it is read now.
    task.feed(sources::CLASSES, [class("quick", 5)]);

    assert_eq!(sent(&task.run_jobs(10)), [is("1", 0)]);
    task.feed(sources::CLASSES, [class("quick", 6)]);
    assert_eq!(task.jobs().len(), 1);
}

#[test]
fn ends_its_walks_when_it_stops_to_follow_and_doubts_what_was_sent_when_it_goes_on() {
    let mut task = shop(&["1", "2"]);
    task.feed(sources::CLASSES, [class("bulky", 5)]);
    task.step(jobs::FOLLOW_CLASS, "bulky", 1);

    task.reload(json!({ "follow_classes": false })).unwrap();
    assert_eq!(sent(&task.run_jobs(10)), []);
    task.feed(sources::CLASSES, [class("bulky", 2)]);
    task.reload(json!({})).unwrap();
    task.feed(sources::CLASSES, [class("bulky", 5)]);

    assert_eq!(sent(&task.run_jobs(10)), [is("1", 5), is("2", 5)]);
}
