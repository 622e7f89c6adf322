//! The OpenAPI document: what clients may ask of the ingests, with the schemas of their values in it.

use serde_json::{Map, Value, json};

use super::refusal::Refusal;
use super::route::Rules;
use crate::fault::Code;

/// The description of all ingests of an application.
pub(super) fn document<'a>(app: &str, ingests: impl Iterator<Item = &'a Rules>) -> Value {
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    for rules in ingests {
        let name = rules.name.as_str();
        schemas.insert(name.to_owned(), value_schema(rules));
        schemas.insert(format!("{name}.line"), line_schema(name));
        paths.insert(rules.path.clone(), json!({ "post": batch(rules) }));
        paths.insert(format!("{}/{{key}}", rules.path), record(rules));
    }
    schemas.insert("Written".to_owned(), written_schema());
    schemas.insert("Refused".to_owned(), refused_schema());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": format!("Ingests of {app}"),
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Records for Kafka topics. An answer of 200 means that the records are committed.",
        },
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": schemas,
        },
    })
}

/// The schema of an ingest's values. It gets an id, so that what it refers to in itself is found there.
fn value_schema(rules: &Rules) -> Value {
    let Some(schema) = &rules.schema else { return json!({}) };
    let mut document = schema.document().clone();
    if let Value::Object(members) = &mut document
        && !members.contains_key("$id")
    {
        members.insert("$id".to_owned(), json!(format!("urn:gristmill:ingest:{}", rules.name)));
    }
    document
}

fn line_schema(name: &str) -> Value {
    json!({
        "type": "object",
        "properties": {
            "key": { "type": "string", "minLength": 1 },
            "value": { "$ref": format!("#/components/schemas/{name}") },
            "delete": { "type": "boolean" },
        },
        "required": ["key"],
        "additionalProperties": false,
    })
}

fn written_schema() -> Value {
    json!({
        "type": "object",
        "properties": { "records": { "type": "integer", "description": "How many records were written." } },
        "required": ["records"],
    })
}

fn refused_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "error": {
                "type": "object",
                "properties": {
                    "code": { "type": "string", "description": "Stable; `gristmill explain CODE` says more." },
                    "message": { "type": "string" },
                    "hint": { "type": "string" },
                },
                "required": ["code", "message", "hint"],
            },
        },
        "required": ["error"],
    })
}

/// The operations of one record.
fn record(rules: &Rules) -> Value {
    let name = &rules.name;
    let key = json!({
        "name": "key",
        "in": "path",
        "required": true,
        "description": "The record's key: 1 to 1024 bytes of UTF-8, percent-encoded.",
        "schema": { "type": "string", "minLength": 1 },
    });
    let body = json!({
        "required": true,
        "content": { "application/json": { "schema": { "$ref": format!("#/components/schemas/{name}") } } },
    });
    let put = "Writes a record.";
    json!({
        "parameters": [key],
        "put": operation(&format!("put-{name}"), put, Some(body), &WITH_BODY),
        "delete": operation(&format!("delete-{name}"), "Deletes a record.", None, &WITHOUT_BODY),
    })
}

fn batch(rules: &Rules) -> Value {
    let (name, bounds) = (&rules.name, &rules.bounds);
    let description = format!(
        "A JSON object on each line, at most {} of them and {} bytes; all are written, or none.",
        bounds.batch_records, bounds.batch_bytes
    );
    let body = json!({
        "required": true,
        "description": description,
        "content": {
            "application/x-ndjson": { "schema": { "$ref": format!("#/components/schemas/{name}.line") } },
        },
    });
    operation(&format!("batch-{name}"), "Writes and deletes records, all or none.", Some(body), &WITH_BODY)
}

/// The codes that an operation without a body can answer with.
const WITHOUT_BODY: [Code; 7] = [
    Code::RecordKeyInvalid,
    Code::TokenMissing,
    Code::IdempotencyUnderWay,
    Code::BodyTooLarge,
    Code::IdempotencyConflict,
    Code::RateExceeded,
    Code::IngestUnavailable,
];

/// One code for each status.
const WITH_BODY: [Code; 9] = [
    Code::BodyMalformed,
    Code::TokenMissing,
    Code::BodyTooSlow,
    Code::IdempotencyUnderWay,
    Code::BodyTooLarge,
    Code::ContentTypeUnfit,
    Code::BodyInvalid,
    Code::RateExceeded,
    Code::IngestUnavailable,
];

fn operation(id: &str, summary: &str, body: Option<Value>, codes: &[Code]) -> Value {
    let answer = |description: &str, schema: &str| {
        let schema = json!({ "$ref": format!("#/components/schemas/{schema}") });
        json!({ "description": description, "content": { "application/json": { "schema": schema } } })
    };
    let mut responses = Map::new();
    responses.insert("200".to_owned(), answer("Committed.", "Written"));
    for code in codes {
        let status = Refusal::new(*code, "").status();
        responses.insert(status.to_string(), answer(code.meaning(), "Refused"));
    }
    let mut operation = json!({
        "operationId": id,
        "summary": summary,
        "security": [{ "token": [] }],
        "parameters": [{
            "name": "Idempotency-Key",
            "in": "header",
            "description": "The same for each repetition of a request: it is written once.",
            "schema": { "type": "string", "minLength": 1, "maxLength": 200 },
        }],
        "responses": responses,
    });
    if let (Some(body), Value::Object(members)) = (body, &mut operation) {
        members.insert("requestBody".to_owned(), body);
    }
    operation
}
