//! What becomes of messages.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use gristmill::test::Input;
use gristmill::test::Task;
use gristmill::test::record;
use gristmill::test::tombstone;
use product_intake::MANIFEST;
use product_intake::ProductIntake;
use product_intake::sinks;
use product_intake::sources;
use proptest::prelude::*;
use serde_json::Value;
use serde_json::json;

fn task_with(config: Value) -> Task<ProductIntake> {
    Task::new(MANIFEST, config).unwrap()
}

fn task() -> Task<ProductIntake> {
    task_with(json!({
        "product_id_pointer": "/product/id",
        "copy": ["/title", "/lists/0"],
        "rename": { "/supplier/ref": "externalId", "/a~1b": "slashed \"name\"" },
        "required": ["externalId"],
    }))
}

/// Key and value of the information that a message becomes.
#[track_caller]
fn information(message: &str) -> (String, String) {
    let outcome = task().feed(sources::MESSAGES, [record("whatever", message)]);
    assert_eq!((outcome.rejected.len(), outcome.outputs.len()), (0, 1), "{outcome:?}");
    let output = &outcome.outputs[0];
    assert_eq!(output.sink, sinks::INFORMATION);
    (output.key().into_owned(), output.value().into_owned())
}

#[test]
fn copies_and_renames_in_the_order_of_the_settings() {
    let message = r#"{ "supplier": {"ref": "X-1"}, "a/b": null, "lists": [ [1, 1e400] ], "title": "T\u00e4g", "product": {"id": "P-1"}, "more": 1 }"#;

    let expected = r#"{"title":"T\u00e4g","0":[1, 1e400],"externalId":"X-1","slashed \"name\"":null}"#;
    assert_eq!(information(message), ("P-1".to_owned(), expected.to_owned()));
}

#[test]
fn leaves_out_what_a_message_does_not_have() {
    let message = r#"{"product":{"id":17},"supplier":{"ref":1}}"#;

    assert_eq!(information(message), ("17".to_owned(), r#"{"externalId":1}"#.to_owned()));
}

#[test]
fn takes_the_product_id_as_text_whatever_its_escapes() {
    let message = r#"{"product":{"id":"\u0050\/\u00fc"},"supplier":{"ref":1}}"#;

    assert_eq!(information(message).0, "P/ü");
}

#[test]
fn passes_headers_on() {
    let input = record("k", r#"{"product":{"id":1},"supplier":{"ref":1}}"#).header("h", "v");

    let outcome = task().feed(sources::MESSAGES, [input]);

    assert_eq!(outcome.outputs[0].headers, [("h".to_owned(), Some(b"v".to_vec()))]);
}

#[test]
fn rejects_what_cannot_be_understood() {
    let rejected = |input: Input| {
        let outcome = task().feed(sources::MESSAGES, [input]);
        assert_eq!(outcome.outputs, []);
        (outcome.rejected[0].code.clone(), outcome.rejected[0].message.clone())
    };

    for (input, code) in [
        (tombstone("k"), "no-value"),
        (record("k", ""), "not-json"),
        (record("k", "{"), "not-json"),
        (record("k", b"\xff"), "not-json"),
        (record("k", "[]"), "not-an-object"),
        (record("k", "[".repeat(200)), "too-deep"),
        (record("k", r#"{"supplier":{"ref":1}}"#), "product-id-missing"),
        (record("k", r#"{"product":{"id":null},"supplier":{"ref":1}}"#), "product-id-missing"),
        (record("k", r#"{"product":{"id":""},"supplier":{"ref":1}}"#), "product-id-invalid"),
        (record("k", r#"{"product":{"id":{}},"supplier":{"ref":1}}"#), "product-id-invalid"),
        (record("k", r#"{"product":{"id":"\ud800"},"supplier":{"ref":1}}"#), "product-id-invalid"),
        (record("k", r#"{"product":{"id":1}}"#), "required-missing"),
        (record("k", r#"{"product":{"id":1},"supplier":{"ref":null}}"#), "required-missing"),
    ] {
        assert_eq!(rejected(input).0, code);
    }
    let message = rejected(record("k", r#"{"product":{"id":1}}"#)).1;
    assert_eq!(message, "the message has no value for `externalId`, at `/supplier/ref`");
}

#[test]
fn does_not_care_about_the_key() {
    let input = record("k", r#"{"product":{"id":1},"supplier":{"ref":1}}"#).without_key();

    assert_eq!(task().feed(sources::MESSAGES, [input]).outputs.len(), 1);
}

#[test]
fn does_not_start_with_settings_that_make_no_sense() {
    let refused = |settings: Value| {
        let mut config = json!({ "product_id_pointer": "/id", "copy": ["/a"] });
        config.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        Task::<ProductIntake>::new(MANIFEST, config).err().unwrap()
    };
    let many: Vec<_> = (0..32).map(|number| format!("/{number}")).collect();

    for (settings, part) in [
        (json!({ "copy": [] }), "are empty"),
        (json!({ "copy": ["a"] }), "`a` in `copy`: not a JSON pointer"),
        (json!({ "copy": [""] }), "the whole message"),
        (json!({ "copy": ["/a", "/b/a"] }), "two members with the name `a`"),
        (json!({ "rename": { "/b": "a" } }), "two members with the name `a`"),
        (json!({ "rename": { "b": "c" } }), "not a JSON pointer"),
        (json!({ "rename": { "/b": 1 } }), "is no text"),
        (json!({ "required": ["b"] }), "`required` has `b`"),
        (json!({ "product_id_pointer": "id" }), "not a JSON pointer"),
        (json!({ "copy": many }), "more than 31 pointers"),
    ] {
        let error = refused(settings);
        assert!(error.contains(part), "{part}: {error}");
    }
}

/// Any JSON that is not too deep.
fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z\"\\\\ü]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec(("(id|title|b|x)", inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn says_of_every_message_what_a_reader_of_trees_says(message in document()) {
        let config = json!({
            "product_id_pointer": "/id", "copy": ["/title", "/b/x"], "rename": { "/b": "renamed" }, "required": ["x"],
        });

        let outcome = task_with(config).feed(sources::MESSAGES, [record("k", message.to_string())]);

        let key = match message.pointer("/id") {
            Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        let x = message.pointer("/b/x").filter(|x| !x.is_null());
        match (key, x, message.is_object()) {
            (Some(key), Some(x), true) => {
                let mut expected = json!({});
                if let Some(title) = message.pointer("/title") {
                    expected["title"] = title.clone();
                }
                expected["x"] = x.clone();
                expected["renamed"] = message["b"].clone();
                prop_assert_eq!(outcome.outputs[0].key().into_owned(), key);
                prop_assert_eq!(outcome.outputs[0].value().into_owned(), expected.to_string());
            }
            _ => prop_assert_eq!(outcome.rejected.len(), 1),
        }
    }
}
