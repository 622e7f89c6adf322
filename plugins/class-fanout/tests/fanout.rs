//! What class-fanout does by itself: `races.rs` has it beside delivery-time.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use class_fanout::ClassFanout;
use class_fanout::MANIFEST;
use class_fanout::jobs;
use class_fanout::sinks;
use class_fanout::sources;
use gristmill::test::Input;
use gristmill::test::Outcome;
use gristmill::test::Output;
use gristmill::test::Task;
use gristmill::test::record;
use gristmill::test::tombstone;
use serde_json::Value;
use serde_json::json;

fn class(name: &str, days: u64) -> Input {
    record(name, json!({ "minimumTime": days, "maximumTime": days }).to_string())
}

/// An enriched item: its classes, and the days that it shows.
fn item(sku: &str, classes: impl Into<Value>, days: impl Into<Value>) -> Input {
    let (classes, days) = (classes.into(), days.into());
    let item =
        json!({ "deliveryClass": classes, "minimumDeliveryTime": days, "maximumDeliveryTime": days, "n": 1 });
    record(sku, item.to_string())
}

/// A task that knows the class `bulky` of 2 days, and has items of it, which show them.
fn shop(items: &[&str]) -> Task<ClassFanout> {
    let mut task = Task::<ClassFanout>::new(MANIFEST, json!({})).unwrap();
    task.feed(sources::CLASSES, [class("bulky", 2)]);
    for sku in items {
        let outcome = task.feed(sources::ENRICHED, [item(sku, "bulky", 2)]);
        assert_eq!(skipped(&outcome), ["up-to-date"]);
    }
    task
}

fn skipped(outcome: &Outcome) -> Vec<&str> {
    outcome.skipped.keys().map(String::as_str).collect()
}

fn keys(outputs: &[Output]) -> Vec<String> {
    outputs.iter().map(|output| output.key().into_owned()).collect()
}

#[test]
fn writes_a_small_command_for_each_item_of_a_class_that_changes() {
    let mut task = shop(&["1", "2"]);
    task.feed(sources::ENRICHED, [item("3", "other", Value::Null), item("4", "bulky", 2), tombstone("4")]);

    let outcome = task.feed(sources::CLASSES, [class("bulky", 5)]);
    assert_eq!(outcome.outputs, [], "never in the call of the change");

    let commands = task.run_jobs(10);
    assert_eq!(keys(&commands), ["1", "2"]);
    assert_eq!(commands[0].sink, sinks::UPDATES);
    assert_eq!(commands[0].value(), r#"{"cause":"delivery-class-changed","class":"bulky"}"#);
    assert_eq!(commands[0].headers, []);
}

#[test]
fn writes_no_command_where_the_times_are_those_of_the_class() {
    let mut task = shop(&["1"]);
    let two = r#"{"deliveryClass":"bulky","minimumDeliveryTime":5.0,"maximumDeliveryTime":5e0}"#;
    task.feed(sources::ENRICHED, [item("2", json!(["bulky", "quick"]), 2), record("3", two)]);
    task.feed(sources::CLASSES, [class("quick", 3)]);
    assert_eq!(keys(&task.run_jobs(10)), [""; 0], "the better one counts");

    task.feed(sources::CLASSES, [class("bulky", 5)]);

    let commands = task.run_jobs(10);
    assert_eq!(keys(&commands), ["1", "2"]);
    assert_eq!(
        commands[1].value(),
        r#"{"cause":"delivery-class-changed","class":"bulky"}"#,
        "the class that has changed, not the best one"
    );
}

#[test]
fn follows_insertion_and_deletion_of_a_class() {
    let mut task = shop(&["1"]);
    task.feed(sources::ENRICHED, [item("2", "new", Value::Null)]);

    task.feed(sources::CLASSES, [class("new", 1)]);
    assert_eq!(keys(&task.run_jobs(10)), ["2"]);
    task.feed(sources::ENRICHED, [item("2", "new", 1)]);
    task.feed(sources::CLASSES, [tombstone("new")]);
    assert_eq!(keys(&task.run_jobs(10)), ["2"]);
    task.feed(sources::CLASSES, [tombstone("new"), tombstone("unknown")]);
    assert_eq!(task.jobs(), []);
}

#[test]
fn starts_no_walk_without_a_change_or_without_items() {
    let mut task = shop(&[]);
    assert_eq!(task.jobs(), [], "there are no items");

    task.feed(sources::ENRICHED, [item("1", "bulky", 2)]);
    task.feed(sources::CLASSES, [record("bulky", r#"{"minimumTime":2.0,"maximumTime":2,"name":"x"}"#)]);

    assert_eq!(task.jobs(), []);
}

#[test]
fn holds_on_to_a_class_whose_record_is_rejected() {
    let mut task = shop(&["1"]);

    let bad = [record("bulky", "{"), record("", "{}").without_key(), record("other", r#"{"minimumTime":1}"#)];
    let outcome = task.feed(sources::CLASSES, bad);

    assert_eq!(outcome.codes(), ["not-json", "no-key", "class-time-invalid"]);
    assert_eq!(task.jobs(), []);
    task.restart();
    assert_eq!(skipped(&task.feed(sources::ENRICHED, [item("2", "bulky", 2)])), ["up-to-date"]);
    task.feed(sources::CLASSES, [class("bulky", 3)]);
    assert_eq!(keys(&task.run_jobs(10)), ["1", "2"]);
}

/// The second race: the walk has passed the key.
#[test]
fn tells_at_once_of_an_item_that_was_joined_with_an_older_class() {
    let mut task = shop(&["1"]);
    task.feed(sources::CLASSES, [class("bulky", 5)]);
    task.run_jobs(10);
    let joined_at = |sku, days: u64, after| item(sku, "bulky", days).header("gristmill-after", after);

    let outcome = task.feed(
        sources::ENRICHED,
        [
            joined_at("2", 2, "classes/0@0"),
            joined_at("3", 5, "classes/0@1"),
            joined_at("4", 5, "classes/0@0"),
            // Whoever made it knows the same classes, and shows others: sending it again would alter nothing.
            joined_at("5", 2, "classes/0@1"),
            item("6", "bulky", 2),
            item("7", Value::Null, 2),
        ],
    );

    assert_eq!(keys(&outcome.outputs), ["2", "6", "7"]);
    assert_eq!(outcome.outputs[0].value(), r#"{"cause":"delivery-class-changed","class":"bulky"}"#);
    assert_eq!(outcome.outputs[2].value(), r#"{"cause":"delivery-class-changed","class":null}"#);
    assert_eq!(outcome.outputs[0].cause, Some(0));
    assert_eq!(outcome.skipped, [("not-older".to_owned(), 1), ("up-to-date".to_owned(), 2)].into());
}

#[test]
fn compares_the_positions_of_all_partitions_of_the_class_topic() {
    let mut task = shop(&[]);
    task.feed(sources::CLASSES, [class("small", 1).at(3, 8)]);
    let joined_at = |sku, after| item(sku, "small", 9).header("gristmill-after", after);

    let outcome = task.feed(
        sources::ENRICHED,
        [
            joined_at("1", "classes/0@0,classes/3@8"),
            joined_at("2", "classes/0@0,classes/3@7"),
            joined_at("3", "classes/0@0"),
            joined_at("4", "classes/3@8"),
        ],
    );

    assert_eq!(keys(&outcome.outputs), ["2", "3", "4"]);
}

#[test]
fn goes_on_where_a_superseded_walk_stood_and_comes_round() {
    let mut task = shop(&["1", "2", "3"]);
    task.feed(sources::CLASSES, [class("bulky", 5)]);
    assert_eq!(keys(&task.step(jobs::FAN_OUT, "bulky", 1).outputs), ["1"]);
    task.restart();
    task.feed(sources::CLASSES, [class("bulky", 6)]);

    assert_eq!(keys(&task.run_jobs(1)), ["2", "3", "1"]);
}

#[test]
fn goes_on_when_a_cancelled_class_comes_again_as_it_is() {
    let mut task = shop(&["1"]);
    task.feed(sources::CLASSES, [class("bulky", 5)]);
    task.feed(sources::CLASSES, [class("bulky", 5)]);
    assert_eq!(task.jobs().len(), 1);
    assert!(task.cancel_job(jobs::FAN_OUT, "bulky"));
    assert_eq!(task.jobs(), []);
    task.restart();

    task.feed(sources::CLASSES, [class("bulky", 5)]);

    assert_eq!(keys(&task.run_jobs(10)), ["1"]);
    assert_eq!(task.store("walks"), []);
}

#[test]
fn lets_an_operator_start_a_walk_by_name() {
    let mut task = shop(&["1"]);
    task.feed(sources::ENRICHED, [item("2", "bulky", 9).header("gristmill-after", "classes/0@0")]);

    task.start_job(jobs::FAN_OUT, "bulky");

    assert_eq!(keys(&task.run_jobs(10)), ["2"]);
}

#[test]
fn finds_the_class_at_the_configured_pointer() {
    let mut task =
        Task::<ClassFanout>::new(MANIFEST, json!({ "class_pointer": "/logistics/class" })).unwrap();
    task.feed(sources::CLASSES, [class("bulky", 2)]);
    let enriched = r#"{"logistics":{"class":"bulky"},"deliveryClass":7,"minimumDeliveryTime":2,"maximumDeliveryTime":2}"#;
    task.feed(sources::ENRICHED, [record("1", enriched)]);

    task.feed(sources::CLASSES, [class("bulky", 5)]);

    assert_eq!(keys(&task.run_jobs(10)), ["1"]);
    assert!(Task::<ClassFanout>::new(MANIFEST, json!({ "class_pointer": "no-pointer" })).is_err());
}

#[test]
fn rejects_what_is_no_item_and_leaves_it_alone() {
    let mut task = shop(&["1"]);
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));

    let outcome = task.feed(
        sources::ENRICHED,
        [
            record("2", ""),
            record("3", "x"),
            record("4", "[]"),
            record("5", r#"{"deliveryClass":1}"#),
            record("6", deep),
            record("", "{}").without_key(),
        ],
    );
    assert_eq!(
        outcome.codes(),
        ["empty-value", "not-json", "not-an-object", "class-invalid", "too-deep", "no-key"]
    );

    task.feed(sources::CLASSES, [class("bulky", 5)]);
    assert_eq!(keys(&task.run_jobs(10)), ["1"]);
}

#[test]
fn tells_of_an_item_that_shows_no_times() {
    let mut task = shop(&[]);

    let bare = [record("1", r#"{"deliveryClass":"bulky"}"#), record("2", r#"{"deliveryClass":"none"}"#)];

    assert_eq!(keys(&task.feed(sources::ENRICHED, bare).outputs), ["1", "2"]);
}
