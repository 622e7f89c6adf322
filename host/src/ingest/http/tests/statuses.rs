//! What is written, and every refusal with its status and its code.

use serde_json::{Value, json};

use super::house::{POST, PUT, SCHEMA, Setup};
use crate::fault::Code;

#[test]
fn writes_a_value_as_it_was_sent_and_answers_when_it_is_committed() {
    let house = Setup::new().start();

    let put = house.put("bulky", "", " {\"b\" : 1.0,\n\"a\":\"\u{e4}\"} \r\n");
    let deleted = house.request(&format!("DELETE /ingest/classes/bulky\n{PUT}"), b"");

    assert_eq!((put.status, put.json()), (200, json!({ "records": 1 })));
    assert_eq!(put.header("content-type"), Some("application/json"));
    assert_eq!((deleted.status, deleted.json()), (200, json!({ "records": 1 })));
    let value = "{\"b\" : 1.0,\n\"a\":\"\u{e4}\"}".to_owned();
    assert_eq!(house.written(), [("bulky".to_owned(), Some(value)), ("bulky".to_owned(), None)]);
}

#[test]
fn decodes_keys_of_paths() {
    let house = Setup::new().start();

    for (segment, key) in [("a%2Fb%20c", "a/b c"), ("a+b", "a+b"), ("%C3%A4", "\u{e4}"), ("x%25", "x%")] {
        assert_eq!(house.put(segment, "", "1").status, 200);
        assert_eq!(house.written().last().unwrap().0, key);
    }
}

#[test]
fn refuses_keys_that_are_none() {
    let house = Setup::new().start();

    for segment in ["", "%FF", &"k".repeat(1025)] {
        let reply = house.put(segment, "", "1");
        assert_eq!((reply.status, reply.error().0.as_str()), (400, Code::RecordKeyInvalid.as_str()));
    }
    assert_eq!(house.put(&"k".repeat(1024), "", "1").status, 200);
    assert_eq!(house.written().len(), 1);
}

#[test]
fn writes_a_batch_in_its_order_in_one_transaction() {
    let house = Setup::new().start();
    let batch = "{\"key\":\"a\",\"value\":{\"n\": 1}}\r\n\n{\"delete\":true,\"key\":\"b\"}\n{\"key\":\"a\",\"value\":null}";

    let reply = house.request(&format!("POST /ingest/classes\n{POST}"), batch.as_bytes());

    assert_eq!((reply.status, reply.json()), (200, json!({ "records": 3 })));
    let text = |text: &str| Some(text.to_owned());
    let expected = [("a", text("{\"n\": 1}")), ("b", None), ("a", text("null"))];
    assert_eq!(house.written(), expected.map(|(key, value)| (key.to_owned(), value)));
    let transactions = house.topics.transactions();
    assert_eq!(transactions.last().unwrap().len(), 3);
}

#[test]
fn refuses_a_whole_batch_for_one_line_and_names_it() {
    let house = Setup::new().with_schema(SCHEMA).start();
    let good = "{\"key\":\"a\",\"value\":{\"minimumDeliveryTime\":1}}";
    let large = format!("{{\"key\":\"a\",\"value\":\"{}\"}}", "x".repeat(1_000));

    for (line, status, code, part) in [
        ("{", 400, Code::BodyMalformed, "line 2: column 1: it ends too early"),
        ("{\"key\":\"b\",\"value\":{}} {}", 400, Code::BodyMalformed, "it is no JSON"),
        ("{\"value\":{}}", 400, Code::BodyMalformed, "missing"),
        ("{\"key\":\"b\",\"valeu\":1}", 400, Code::BodyMalformed, "unknown"),
        ("{\"key\":\"b\",\"key\":\"c\",\"delete\":true}", 400, Code::BodyMalformed, "twice"),
        ("{\"key\":7,\"delete\":true}", 400, Code::BodyMalformed, "another type"),
        ("{\"key\":\"b\"}", 400, Code::BodyMalformed, "neither"),
        ("{\"key\":\"b\",\"delete\":false}", 400, Code::BodyMalformed, "neither"),
        ("{\"key\":\"b\",\"delete\":true,\"value\":1}", 400, Code::BodyMalformed, "and is a `delete`"),
        ("{\"key\":\"\",\"delete\":true}", 400, Code::RecordKeyInvalid, "the key is empty"),
        ("{\"key\":\"b\",\"value\":{}}", 422, Code::BodyInvalid, "\"minimumDeliveryTime\" is a required"),
        (large.as_str(), 413, Code::BodyTooLarge, "its value has more than 1000 bytes"),
    ] {
        let reply =
            house.request(&format!("POST /ingest/classes\n{POST}"), [good, line, good].join("\n").as_bytes());
        let (found, message) = reply.error();
        assert_eq!((reply.status, found.as_str()), (status, code.as_str()), "{line}: {message}");
        assert!(message.starts_with("line 2: ") && message.contains(part), "{line}: {message}");
    }
    assert_eq!(house.written(), []);
}

#[test]
fn refuses_batches_without_records_or_with_too_many() {
    let mut setup = Setup::new();
    setup.http.batch_records = 2;
    let house = setup.start();
    let line = "{\"key\":\"a\",\"delete\":true}\n";
    let post = |body: String| {
        let reply = house.request(&format!("POST /ingest/classes\n{POST}"), body.as_bytes());
        (reply.status, reply.status != 200 && reply.error().0 == Code::BodyTooLarge.as_str())
    };

    assert_eq!(post("\n \n".to_owned()), (400, false));
    assert_eq!(post(line.repeat(2)), (200, false));
    assert_eq!(post(line.repeat(3)), (413, true));
    assert_eq!(house.written().len(), 2);
}

#[test]
fn refuses_values_that_are_not_json() {
    let house = Setup::new().start();
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));

    for value in ["", "  ", "{", "{} {}", "nul", "'a'", "{\"a\":1,}", "\u{feff}{}", "1e999", &deep] {
        let reply = house.put("bulky", "", value);
        assert_eq!((reply.status, reply.error().0.as_str()), (400, Code::BodyMalformed.as_str()), "{value}");
    }
    let reply = house.request(&format!("PUT /ingest/classes/bulky\n{PUT}"), b"\"\xff\"");
    assert_eq!((reply.status, reply.error().0.as_str()), (400, Code::BodyMalformed.as_str()));
    assert_eq!(house.written(), []);
}

#[test]
fn refuses_values_against_the_schema_and_names_the_place() {
    let house = Setup::new().with_schema(SCHEMA).start();

    let wrong = house.put("bulky", "", "{\"minimumDeliveryTime\": -5}");
    let right = house.put("bulky", "", "{\"minimumDeliveryTime\": 5}");

    let (code, message) = wrong.error();
    assert_eq!((wrong.status, code.as_str()), (422, Code::BodyInvalid.as_str()));
    assert_eq!(message, "at `/minimumDeliveryTime`: value is less than the minimum of 0");
    assert_eq!(right.status, 200);
    assert_eq!(house.written().len(), 1);
}

#[test]
fn refuses_requests_without_the_token() {
    let house = Setup::new().start();

    for (header, code, challenge) in [
        ("X: y", Code::TokenMissing, "Bearer"),
        ("Authorization: Bearer ", Code::TokenMissing, "Bearer"),
        ("Authorization: Basic czNjcmV0", Code::TokenMissing, "Bearer"),
        ("Authorization: Bearer wrong", Code::TokenWrong, "Bearer error=\"invalid_token\""),
        ("Authorization: Bearer s3cret-token-of-classe", Code::TokenWrong, "Bearer error=\"invalid_token\""),
    ] {
        let reply =
            house.request(&format!("PUT /ingest/classes/a\nContent-Type: application/json\n{header}"), b"1");
        assert_eq!((reply.status, reply.error().0.as_str()), (401, code.as_str()), "{header}");
        assert_eq!(reply.header("www-authenticate"), Some(challenge));
    }
    let lower = "Content-Type: application/json\nauthorization: bearer   s3cret-token-of-classes";
    assert_eq!(house.request(&format!("PUT /ingest/classes/a\n{lower}"), b"1").status, 200);
    assert_eq!(house.written().len(), 1);
}

#[test]
fn refuses_paths_and_methods_that_there_are_not() {
    let house = Setup::new().start();

    for path in ["/", "/ingest", "/ingest/other", "/ingest/classes/a/b", "/ingest/classesx", "*"] {
        let reply = house.request(&format!("PUT {path}\n{PUT}"), b"1");
        assert_eq!((reply.status, reply.error().0.as_str()), (404, Code::PathUnknown.as_str()), "{path}");
    }
    for (request, allowed) in [
        ("GET /ingest/classes/a", "PUT, DELETE"),
        ("POST /ingest/classes/a", "PUT, DELETE"),
        ("PUT /ingest/classes", "POST"),
        ("PATCH /ingest/classes", "POST"),
        ("PUT /openapi.json", "GET, HEAD"),
    ] {
        let reply = house.request(&format!("{request}\n{PUT}"), b"1");
        assert_eq!((reply.status, reply.error().0.as_str()), (405, Code::MethodNotAllowed.as_str()));
        assert_eq!(reply.header("allow"), Some(allowed), "{request}");
    }
    assert_eq!(house.written(), []);
}

#[test]
fn refuses_bodies_of_other_types() {
    let house = Setup::new().start();
    let token = "Authorization: Bearer s3cret-token-of-classes";

    for (request, headers, status) in [
        ("PUT /ingest/classes/a", "X: y", 415),
        ("PUT /ingest/classes/a", "Content-Type: application/x-www-form-urlencoded", 415),
        ("PUT /ingest/classes/a", "Content-Type: application/json\nContent-Encoding: gzip", 415),
        ("PUT /ingest/classes/a", "Content-Type: application/x-ndjson", 415),
        ("POST /ingest/classes", "Content-Type: application/json", 415),
        ("PUT /ingest/classes/a", "content-type: Application/JSON; charset=utf-8", 200),
    ] {
        let reply = house.request(&format!("{request}\n{token}\n{headers}"), b"1");
        assert_eq!(reply.status, status, "{headers}");
        if status == 415 {
            assert_eq!(reply.error().0, Code::ContentTypeUnfit.as_str());
        }
    }
    assert_eq!(house.written().len(), 1);
}

#[test]
fn refuses_what_the_cluster_refuses_and_writes_what_came_with_it() {
    let house = Setup::new().start();
    let hold = house.kafka.hold();
    let mut clients = ["first", "a", "refused", "b"].map(|key| {
        let mut client = house.client();
        client.ask(&format!("PUT /ingest/classes/{key}\n{PUT}"), b"1");
        if key == "first" {
            hold.wait();
        }
        client
    });
    // All others wait behind the first one, and so they come into one transaction.
    house.await_waiting(4);
    drop(hold);

    let replies = clients.each_mut().map(super::client::Client::reply);

    assert_eq!(replies.each_ref().map(|reply| reply.status), [200, 200, 422, 200]);
    assert_eq!(replies[2].error().0, Code::RecordRefused.as_str());
    let mut keys: Vec<_> = house.written().into_iter().map(|(key, _)| key).collect();
    keys.sort();
    assert_eq!(keys, ["a", "b", "first"]);
}

#[test]
fn describes_itself_without_a_token() {
    let house = Setup::new().with_schema(SCHEMA).start();

    let reply = house.request("GET /openapi.json", b"");

    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
    let document = reply.json();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(paths.keys().collect::<Vec<_>>(), ["/ingest/classes", "/ingest/classes/{key}"]);
    let record = &paths["/ingest/classes/{key}"];
    for (operation, statuses) in [
        (&record["put"], "200 400 401 408 409 413 415 422 429 503"),
        (&paths["/ingest/classes"]["post"], "200 400 401 408 409 413 415 422 429 503"),
        (&record["delete"], "200 400 401 409 413 422 429 503"),
    ] {
        let mut found: Vec<_> = operation["responses"].as_object().unwrap().keys().cloned().collect();
        found.sort();
        assert_eq!(found.join(" "), statuses);
        assert!(!operation["operationId"].as_str().unwrap().is_empty());
    }
    let schema = &document["components"]["schemas"]["classes"];
    assert_eq!(schema["required"], json!(["minimumDeliveryTime"]));
    assert_eq!(schema["$id"], "urn:gristmill:ingest:classes");
    assert_references_resolve(&document, &document);
}

/// Whether everything that the document refers to is in it.
fn assert_references_resolve(document: &Value, part: &Value) {
    match part {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                let pointer = reference.strip_prefix('#').unwrap();
                assert!(document.pointer(pointer).is_some(), "{reference}");
            }
            members.values().for_each(|member| assert_references_resolve(document, member));
        }
        Value::Array(elements) => elements.iter().for_each(|one| assert_references_resolve(document, one)),
        _ => {}
    }
}
