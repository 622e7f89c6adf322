//! What becomes of notifications, and of answers.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use std::collections::BTreeSet;

use gristmill::Timestamp;
use gristmill::test::Answer;
use gristmill::test::Callout;
use gristmill::test::Input;
use gristmill::test::Outcome;
use gristmill::test::Task;
use gristmill::test::record;
use gristmill::test::tombstone;
use rest_lookup::MANIFEST;
use rest_lookup::RestLookup;
use rest_lookup::sinks;
use rest_lookup::sources;
use serde_json::Value;
use serde_json::json;

const NOTIFICATION: &str = r#"{ "externalId": "X-1", "n": 1e400 }"#;

fn task_with(config: Value) -> Task<RestLookup> {
    Task::new(MANIFEST, config).unwrap()
}

fn task() -> Task<RestLookup> {
    task_with(json!({}))
}

/// The only callout of a notification.
#[track_caller]
fn called(config: Value, input: Input) -> Callout {
    let outcome = task_with(config).feed(sources::NOTIFICATIONS, [input]);
    assert_eq!((outcome.codes(), outcome.outputs.len()), (vec![], 0));
    let [callout] = outcome.callouts.as_slice() else { panic!("{outcome:?}") };
    callout.clone()
}

/// What an answer to a notification comes to.
#[track_caller]
fn answered(answer: Answer) -> Outcome {
    let mut task = task();
    task.feed(sources::NOTIFICATIONS, [record("P-1", NOTIFICATION)]);
    let id = task.callouts()[0].id.clone();
    task.answer(&id, answer)
}

#[test]
fn calls_once_for_each_notification() {
    let mut task = task();

    task.feed(sources::NOTIFICATIONS, [record("P-1", NOTIFICATION), record("P-1", NOTIFICATION)]);
    task.feed(sources::NOTIFICATIONS, [record("P-1", NOTIFICATION)]);

    let ids: BTreeSet<_> = task.callouts().iter().map(|callout| callout.id.clone()).collect();
    assert_eq!(ids.len(), 3);
    let callout = &task.callouts()[0];
    assert_eq!((callout.method.as_str(), callout.path.as_str()), ("GET", "/products/X-1"));
    assert_eq!((callout.endpoint.as_str(), callout.body.as_ref()), ("details", None));
    assert_eq!(
        (callout.key.as_deref(), callout.context.as_slice()),
        (Some(&b"P-1"[..]), NOTIFICATION.as_bytes())
    );
    assert_eq!(callout.headers, [("accept".to_owned(), "application/json".to_owned())]);
}

#[test]
fn gives_a_record_the_same_id_whenever_it_comes() {
    let input = || record("P-1", NOTIFICATION).timestamp(Timestamp::from_millis(17));

    let id = called(json!({}), input()).id;

    assert_eq!(id, called(json!({}), input()).id);
    assert!(id.starts_with("0-0-17-"), "{id}");
    assert_eq!(id.len(), "0-0-17-".len() + 16);
}

#[test]
fn gives_a_record_at_the_place_of_another_one_another_id() {
    let at = |key: &str, value: &str, millis| {
        called(json!({}), record(key, value).timestamp(Timestamp::from_millis(millis))).id
    };
    let other = NOTIFICATION.replace("X-1", "X-2");

    let ids = [
        at("P-1", NOTIFICATION, 1),
        at("P-1", NOTIFICATION, 2),
        at("P-2", NOTIFICATION, 1),
        at("P-1", &other, 1),
    ];

    assert_eq!(BTreeSet::from(ids).len(), 4);
}

#[test]
fn fills_the_path_with_values_of_the_notification() {
    let path =
        |path: &str, value: Value| called(json!({ "path": path }), record("P-1", value.to_string())).path;

    assert_eq!(
        path("/products/{externalId}", json!({ "externalId": "a/b c?ü" })),
        "/products/a%2Fb%20c%3F%C3%BC"
    );
    assert_eq!(path("/p/{id}", json!({ "id": 17 })), "/p/17");
    assert_eq!(path("/{/a/0}/x?l={lang}", json!({ "a": [1.5], "lang": "de&x" })), "/1.5/x?l=de%26x");
    assert_eq!(path("/all", json!({})), "/all");
    assert_eq!(path("/{a~b}", json!({ "a~b": "x" })), "/x");
}

#[test]
fn rejects_notifications_that_make_no_call() {
    for (input, code) in [
        (record("P-1", NOTIFICATION).without_key(), "no-key"),
        (tombstone("P-1"), "no-value"),
        (record("P-1", ""), "not-json"),
        (record("P-1", "{"), "not-json"),
        (record("P-1", "[]"), "not-an-object"),
        (record("P-1", "[".repeat(200)), "too-deep"),
        (record("P-1", "{}"), "member-missing"),
        (record("P-1", r#"{"externalId":null}"#), "member-missing"),
        (record("P-1", r#"{"externalId":{}}"#), "member-invalid"),
        (record("P-1", r#"{"externalId":true}"#), "member-invalid"),
        (record("P-1", r#"{"externalId":""}"#), "path-invalid"),
        (record("P-1", r#"{"externalId":".."}"#), "path-invalid"),
        (record("P-1", r#"{"externalId":"../admin"}"#), "path-invalid"),
    ] {
        let outcome = task().feed(sources::NOTIFICATIONS, [input]);
        assert_eq!((outcome.codes(), outcome.callouts.len()), (vec![code], 0));
    }
}

#[test]
fn sends_the_answer_beside_its_notification_and_leaves_both_as_they_are() {
    let outcome = answered(Answer::status(200).body(r#" {"a" : [1e400]} "#));

    let [output] = outcome.outputs.as_slice() else { panic!("{outcome:?}") };
    let expected = r#"{"activation":{ "externalId": "X-1", "n": 1e400 },"details": {"a" : [1e400]} }"#;
    assert_eq!(
        (output.sink, output.key().as_ref(), output.value().as_ref()),
        (sinks::DETAILS, "P-1", expected)
    );
    assert_eq!(answered(Answer::status(299).body("null")).outputs.len(), 1);
}

#[test]
fn rejects_answers_that_are_no_details() {
    for (answer, code) in [
        (Answer::status(200).body("<html>"), "answer-not-json"),
        (Answer::status(204), "answer-not-json"),
        (Answer::status(200).body("[".repeat(200)), "answer-too-deep"),
        (Answer::status(304), "status-3xx"),
        (Answer::status(404).body("{}"), "status-4xx"),
        (Answer::status(429), "status-4xx"),
        (Answer::status(503), "status-5xx"),
        (Answer::status(101), "status-1xx"),
    ] {
        let outcome = answered(answer);
        assert_eq!((outcome.codes(), outcome.outputs.len()), (vec![code], 0));
    }
    assert!(answered(Answer::status(404)).rejected[0].message.contains("404"));
}

#[test]
fn leaves_what_has_no_answer_to_the_review() {
    for (answer, code) in [(Answer::gave_up("refused"), "gave-up"), (Answer::in_doubt("lost"), "in-doubt")] {
        let outcome = answered(answer);
        assert_eq!((outcome.outputs.len(), outcome.rejected.len()), (0, 0));
        assert_eq!(outcome.skipped.into_iter().collect::<Vec<_>>(), [(code.to_owned(), 1)]);
    }
}

#[test]
fn does_not_start_with_a_path_that_is_none() {
    for (path, part) in [
        ("products/{externalId}", "`path`: it must begin with `/`"),
        ("/../{externalId}", "`path`: a segment of it is `.` or `..`"),
        ("/{externalId", "`path`: a `{` is not closed"),
        ("/{/~x}", "in one of its braces"),
    ] {
        let error = Task::<RestLookup>::new(MANIFEST, json!({ "path": path })).err().unwrap();
        assert!(error.contains(part), "{error}");
    }
}
