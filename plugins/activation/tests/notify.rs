//! What becomes of activations and information; `orders.rs` has them in every order.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use std::time::Duration;

use activation::Activation;
use activation::MANIFEST;
use activation::jobs;
use activation::sinks;
use activation::sources;
use gristmill::Timestamp;
use gristmill::test::Input;
use gristmill::test::Outcome;
use gristmill::test::Splits;
use gristmill::test::Task;
use gristmill::test::record;
use gristmill::test::tombstone;
use serde_json::Value;
use serde_json::json;

const DAY: Duration = Duration::from_secs(86_400);

fn task_with(config: Value) -> Task<Activation> {
    Task::new(MANIFEST, config).unwrap()
}

fn task() -> Task<Activation> {
    task_with(json!({}))
}

fn information(id: &str) -> Input {
    record("P-1", format!(r#"{{"externalId":"{id}"}}"#))
}

fn activation(number: usize) -> Input {
    record("P-1", format!(r#"{{"n":{number}}}"#))
}

/// Sinks and values of what was sent.
fn sent(outcome: &Outcome) -> Vec<(&str, String)> {
    let sink = |sink| if sink == sinks::EXPIRED { "expired" } else { "notifications" };
    outcome.outputs.iter().map(|output| (sink(output.sink), output.value().into_owned())).collect()
}

/// The numbers of the activations that were sent.
fn numbers(outputs: &[gristmill::test::Output]) -> Vec<u64> {
    let number = |value: &str| serde_json::from_str::<Value>(value).unwrap()["n"].as_u64().unwrap();
    outputs.iter().map(|output| number(&output.value())).collect()
}

/// The code that a record is rejected with.
#[track_caller]
fn rejected(source: gristmill::Source, input: Input) -> String {
    let outcome = task_with(json!({ "business_id_pointer": "/business" })).feed(source, [input]);
    assert_eq!(outcome.outputs, []);
    outcome.rejected[0].code.clone()
}

#[test]
fn sets_the_external_id_and_leaves_everything_else_as_it_is() {
    let mut task = task();
    task.feed(sources::INFORMATION, [record("P-1", r#"{"externalId": "X-\u0031" , "a": 1}"#)]);

    let input = record("P-1", r#"{ "z": 1e400, "a": [ ] }"#).header("h", "v").header("gristmill-after", "x");
    let outcome = task.feed(sources::ACTIVATION, [input]);

    assert_eq!(
        sent(&outcome),
        [("notifications", r#"{ "z": 1e400, "a": [ ],"externalId":"X-\u0031" }"#.to_owned())]
    );
    let output = &outcome.outputs[0];
    assert_eq!((output.key(), output.timestamp), ("P-1".into(), None));
    assert_eq!(output.headers, [("h".to_owned(), Some(b"v".to_vec()))]);
}

#[test]
fn replaces_an_external_id_that_the_activation_has() {
    let mut task = task();
    task.feed(sources::INFORMATION, [information("new")]);

    let outcome = task.feed(sources::ACTIVATION, [record("P-1", r#"{"externalId":null,"n":1}"#)]);

    assert_eq!(sent(&outcome), [("notifications", r#"{"externalId":"new","n":1}"#.to_owned())]);
}

#[test]
fn keeps_the_headers_of_an_activation_that_waits() {
    let mut task = task();
    task.feed(sources::ACTIVATION, [activation(1).header("h", "v")]);

    let output = task.feed(sources::INFORMATION, [information("X")]).outputs.remove(0);

    assert_eq!(output.headers, [("h".to_owned(), Some(b"v".to_vec()))]);
    assert_eq!((output.key(), output.cause), ("P-1".into(), Some(0)));
}

#[test]
fn notifies_those_that_wait_in_order_and_with_the_newest_information() {
    let mut task = task();
    task.feed(sources::ACTIVATION, [activation(1), activation(2)]);
    task.feed(
        sources::INFORMATION,
        [tombstone("P-1"), record("P-1", "{}"), record("P-2", r#"{"externalId":"Y"}"#)],
    );
    task.feed(sources::ACTIVATION, [activation(3)]);

    let outcome = task.feed(sources::INFORMATION, [information("X"), information("later")]);

    assert_eq!(numbers(&outcome.outputs), [1, 2, 3]);
    assert!(outcome.outputs.iter().all(|output| output.value().contains(r#""externalId":"X""#)));
    assert!(task.timers().is_empty());
}

#[test]
fn lets_an_activation_expire_with_the_reason() {
    let mut task = task();
    task.feed(sources::ACTIVATION, [record("P-1", "{ }").header("h", "v")]);

    assert_eq!(sent(&task.wait(6 * DAY)), []);
    let outcome = task.wait(DAY);

    assert_eq!(sent(&outcome), [("expired", "{ }".to_owned())]);
    let headers = [("h", "v"), ("expired-because", "no-information-within-7d")];
    let headers = headers.map(|(name, value)| (name.to_owned(), Some(value.as_bytes().to_vec())));
    assert_eq!((outcome.outputs[0].key(), &outcome.outputs[0].headers[..]), ("P-1".into(), &headers[..]));
    assert_eq!(sent(&task.feed(sources::INFORMATION, [information("X")])), []);
}

#[test]
fn waits_as_long_as_it_is_told() {
    let mut task = task_with(json!({ "wait": 90_000 }));
    task.feed(sources::ACTIVATION, [activation(1)]);

    let outcome = task.wait(Duration::from_secs(90));

    assert_eq!(outcome.outputs[0].headers[0].1.as_deref(), Some(&b"no-information-within-90s"[..]));
}

#[test]
fn takes_the_external_id_from_the_pointer_and_names_the_member_after_it() {
    let mut task = task_with(json!({ "external_id_pointer": "/ids/0/supplier~1id" }));
    task.feed(sources::INFORMATION, [record("P-1", r#"{"ids":[{"supplier/id":17}]}"#)]);

    let outcome = task.feed(sources::ACTIVATION, [record("P-1", "{}")]);

    assert_eq!(sent(&outcome), [("notifications", r#"{"supplier/id":17}"#.to_owned())]);
}

#[test]
fn rejects_what_makes_no_sense() {
    for (source, input, code) in [
        (sources::ACTIVATION, activation(1).without_key(), "no-key"),
        (sources::ACTIVATION, record([b'x'; 8_193], "{}"), "key-too-long"),
        (sources::ACTIVATION, tombstone("P-1"), "no-value"),
        (sources::ACTIVATION, record("P-1", ""), "empty-value"),
        (sources::ACTIVATION, record("P-1", "{"), "not-json"),
        (sources::ACTIVATION, record("P-1", b"\xff"), "not-json"),
        (sources::ACTIVATION, record("P-1", "[{}]"), "not-an-object"),
        (sources::ACTIVATION, record("P-1", "[".repeat(200)), "too-deep"),
        (sources::ACTIVATION, record("P-1", r#"{"business":[]}"#), "business-id-invalid"),
        (sources::ACTIVATION, record("P-1", r#"{"business":"\ud800"}"#), "business-id-invalid"),
        (
            sources::ACTIVATION,
            record("P-1", format!(r#"{{"business":"{}"}}"#, "b".repeat(8_190))),
            "business-id-too-long",
        ),
        (sources::INFORMATION, information("X").without_key(), "no-key"),
        (sources::INFORMATION, record("P-1", "x"), "not-json"),
        (sources::INFORMATION, record("P-1", ""), "not-json"),
        (sources::INFORMATION, record("P-1", "7"), "not-an-object"),
        (sources::INFORMATION, record("P-1", "{}"), "external-id-missing"),
        (sources::INFORMATION, record("P-1", r#"{"externalId":null}"#), "external-id-missing"),
        (sources::INFORMATION, record("P-1", r#"{"externalId":""}"#), "external-id-invalid"),
        (sources::INFORMATION, record("P-1", r#"{"externalId":{}}"#), "external-id-invalid"),
        (sources::INFORMATION, record("P-1", r#"{"externalId":true}"#), "external-id-invalid"),
    ] {
        assert_eq!(rejected(source, input), code);
    }
}

#[test]
fn does_not_start_with_settings_that_make_no_sense() {
    for (config, part) in [
        (json!({ "external_id_pointer": "" }), "`external_id_pointer`: it is the whole document"),
        (json!({ "external_id_pointer": "externalId" }), "`external_id_pointer`: not a JSON pointer"),
        (json!({ "business_id_pointer": "x" }), "`business_id_pointer`: not a JSON pointer"),
    ] {
        let error = Task::<Activation>::new(MANIFEST, config).err().unwrap();
        assert!(error.contains(part), "{error}");
    }
}

mod repeats {
    use super::*;

    fn task() -> Task<Activation> {
        let mut task = task_with(json!({ "business_id_pointer": "/business" }));
        task.feed(sources::INFORMATION, [information("X")]);
        task
    }

    fn at(product: &str, business: &str, hours: i64) -> Input {
        record(product, format!(r#"{{"business":{business}}}"#))
            .timestamp(Timestamp::from_millis(hours * 3_600_000))
    }

    /// How many activations are notified, and how many are repetitions.
    fn counted(task: &mut Task<Activation>, inputs: impl IntoIterator<Item = Input>) -> (usize, u32) {
        let outcome = task.feed(sources::ACTIVATION, inputs);
        (outcome.outputs.len(), outcome.skipped.get("repeated-activation").copied().unwrap_or_default())
    }

    #[test]
    fn counts_those_of_a_window_as_one() {
        let mut task = task();

        assert_eq!(
            counted(&mut task, [at("P-1", "7", 0), at("P-1", "7", 23), at("P-1", "\"7\"", 5)]),
            (1, 2)
        );
        assert_eq!(
            counted(&mut task, [at("P-1", "8", 0), at("P-1", "null", 0), record("P-1", "{}")]),
            (3, 0)
        );
        assert_eq!(counted(&mut task, [at("P-1", "7", 24), at("P-1", "7", 47)]), (1, 1));
    }

    #[test]
    fn tells_products_apart() {
        let mut task = task();
        task.feed(sources::INFORMATION, [record("P-2", r#"{"externalId":"Y"}"#)]);

        assert_eq!(counted(&mut task, [at("P-1", "7", 0), at("P-2", "7", 0)]), (2, 0));
    }

    #[test]
    fn goes_by_the_time_of_the_records_whatever_their_order() {
        let mut task = task();

        assert_eq!(counted(&mut task, [at("P-1", "7", 100), at("P-1", "7", 90), at("P-1", "7", 50)]), (2, 1));
        assert_eq!(counted(&mut task, [at("P-1", "7", 123)]), (0, 1));
    }

    #[test]
    fn counts_an_activation_that_waits_too() {
        let mut task = task_with(json!({ "business_id_pointer": "/business" }));
        assert_eq!(counted(&mut task, [at("P-1", "7", 0), at("P-1", "7", 1)]), (0, 1));

        assert_eq!(task.feed(sources::INFORMATION, [information("X")]).outputs.len(), 1);
    }

    #[test]
    fn forgets_what_lies_behind_the_window() {
        let mut task = task();
        counted(&mut task, [at("P-1", "7", 0), at("P-1", "8", 1)]);

        counted(&mut task, [at("P-1", "null", 24)]);
        assert_eq!(sent(&task.fire()), []);

        assert_eq!(task.store("seen").len(), 1);
        counted(&mut task, [at("P-1", "null", 25)]);
        task.fire();
        assert_eq!((task.store("seen").len(), task.timers().len()), (0, 0));
    }

    #[test]
    fn remembers_nothing_when_it_is_not_asked_to() {
        let mut task = task_with(json!({}));

        assert_eq!(counted(&mut task, [at("P-1", "7", 0), at("P-1", "7", 0)]), (0, 0));
        assert_eq!((task.store("seen").len(), task.store("waiting").len()), (0, 2));
    }
}

mod many {
    use super::*;

    /// More than are notified in one call.
    const MANY: usize = 2_300;

    /// A task in which so many activations wait.
    fn waiting(count: usize) -> Task<Activation> {
        let mut task = task().splits(Splits::Off);
        task.feed(sources::ACTIVATION, (0..count).map(activation));
        task
    }

    fn all(range: std::ops::Range<usize>) -> Vec<u64> {
        range.map(|number| number as u64).collect()
    }

    #[test]
    fn leaves_to_a_job_what_is_too_much_for_one_call() {
        let mut task = waiting(MANY);

        let at_once = task.feed(sources::INFORMATION, [information("X")]).outputs;
        assert_eq!(numbers(&at_once), all(0..1_000));
        assert_eq!(task.jobs(), [("notify".to_owned(), "P-1".to_owned())]);
        let step = task.step(jobs::NOTIFY, "P-1", 300);
        assert_eq!((numbers(&step.outputs), step.visited, step.done), (all(1_000..1_300), 300, false));
        let rest = task.run_jobs(5_000);

        assert_eq!(numbers(&rest), all(1_300..MANY));
        assert_eq!((task.store("waiting").len(), task.timers().len()), (0, 0));
    }

    #[test]
    fn sends_a_later_activation_behind_those_that_are_on_their_way() {
        let mut task = waiting(MANY);
        task.feed(sources::INFORMATION, [information("X")]);

        assert_eq!(task.feed(sources::ACTIVATION, [activation(MANY)]).outputs, []);

        assert_eq!(numbers(&task.run_jobs(5_000)), all(1_000..MANY + 1));
        assert_eq!(numbers(&task.feed(sources::ACTIVATION, [activation(7)]).outputs), [7]);
    }

    #[test]
    fn takes_the_newest_information_for_each_step() {
        let mut task = waiting(MANY);
        task.feed(sources::INFORMATION, [information("X")]);
        task.step(jobs::NOTIFY, "P-1", 300);
        task.feed(sources::ACTIVATION, [record("P-2", "{}")]);
        task.put(activation::tables::INFORMATION, "P-1", r#"{"externalId":"Y"}"#);

        let rest = task.run_jobs(5_000);

        assert_eq!(numbers(&rest), all(1_300..MANY));
        assert!(rest.iter().all(|output| output.value().contains("\"Y\"")));
    }

    #[test]
    fn stops_when_the_information_is_deleted_and_goes_on_with_new_one() {
        let mut task = waiting(MANY);
        task.feed(sources::INFORMATION, [information("X"), tombstone("P-1")]);

        assert_eq!(task.run_jobs(5_000), []);

        let outcome = task.feed(sources::INFORMATION, [information("Y")]);
        assert_eq!(numbers(&outcome.outputs), all(1_000..2_000));
        assert_eq!(numbers(&task.run_jobs(5_000)), all(2_000..MANY));
    }

    #[test]
    fn takes_up_a_walk_that_an_operator_has_cancelled() {
        let mut task = waiting(MANY);
        task.feed(sources::INFORMATION, [information("X")]);
        assert!(task.cancel_job(jobs::NOTIFY, "P-1"));

        task.feed(sources::ACTIVATION, [activation(MANY)]);

        assert_eq!(numbers(&task.run_jobs(5_000)), all(1_000..MANY + 1));
    }

    #[test]
    fn lets_none_expire_that_is_on_its_way() {
        let mut task = waiting(MANY);
        task.feed(sources::INFORMATION, [information("X")]);

        let outcome = task.wait(7 * DAY);

        assert_eq!(numbers(&outcome.outputs), all(1_000..MANY));
        assert!(outcome.outputs.iter().all(|output| output.sink == sinks::NOTIFICATIONS));
        assert_eq!(task.run_jobs(5_000), []);
    }

    #[test]
    fn sends_no_more_bytes_in_a_call_than_it_should() {
        let mut task = task().splits(Splits::Off);
        let large =
            |number: usize| record("P-1", format!(r#"{{"n":{number},"x":"{}"}}"#, "x".repeat(1 << 20)));
        task.feed(sources::ACTIVATION, (0..10).map(large));

        let outcome = task.feed(sources::INFORMATION, [information("X"), information("Y"), information("Z")]);

        assert!((4..=6).contains(&outcome.outputs.len()), "{}", outcome.outputs.len());
        assert_eq!(outcome.outputs.len() + task.run_jobs(5_000).len(), 10);
    }

    #[test]
    fn walks_through_a_product_whose_id_is_no_name() {
        let mut task = task().splits(Splits::Off);
        let key = [b'k'; 500];
        task.feed(sources::ACTIVATION, (0..1_001).map(|number| record(key, format!(r#"{{"n":{number}}}"#))));

        task.feed(sources::INFORMATION, [record(key, r#"{"externalId":"X"}"#)]);

        assert_eq!(task.jobs(), [("notify".to_owned(), "1001".to_owned())]);
        assert_eq!(numbers(&task.run_jobs(5_000)), [1_000]);
    }
}
