//! Bodies: read under a bound and a time limit, and taken apart into writes.

use std::time::Duration;

use bytes::BytesMut;
use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Incoming};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::refusal::Refusal;
use super::schema::Schema;
use crate::fault::Code;

/// The longest key, in bytes.
const KEY_BYTES_MAX: usize = 1024;

/// A client that is refused may still be sending: so much more is read before the connection closes, because a close with
/// something unread takes the answer away from it.
const DRAINED_BYTES_MAX: usize = 1 << 20;
const DRAIN_TIME_MAX: Duration = Duration::from_secs(1);

/// One record that a request writes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Write {
    /// The key.
    pub(super) key: Vec<u8>,
    /// The value, as the client wrote it; none deletes the key.
    pub(super) value: Option<Bytes>,
}

impl Write {
    /// What it takes in Kafka, roughly.
    pub(super) fn bytes(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Bytes::len)
    }
}

/// What values and batches may be.
pub(super) struct Bounds {
    /// The largest value.
    pub(super) value_bytes: usize,
    /// The largest batch.
    pub(super) batch_bytes: usize,
    /// Records in a batch.
    pub(super) batch_records: usize,
}

/// Reads a whole body.
///
/// # Errors
/// `body_too_large`, before more than the limit is in memory; `body_too_slow`; `body_malformed` when the client goes away.
pub(super) async fn read(body: &mut Incoming, limit: usize, timeout: Duration) -> Result<Bytes, Refusal> {
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large(limit));
    }
    match tokio::time::timeout(timeout, collect(body, limit)).await {
        Ok(read) => read,
        Err(_) => {
            let message = format!("the body did not arrive within {} s", timeout.as_secs());
            Err(Refusal::new(Code::BodyTooSlow, message))
        }
    }
}

async fn collect(body: &mut Incoming, limit: usize) -> Result<Bytes, Refusal> {
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| malformed("the body ends too early"))?;
        let Ok(data) = frame.into_data() else { continue };
        if all.len() + data.len() > limit {
            return Err(too_large(limit));
        }
        if all.is_empty() && body.is_end_stream() {
            return Ok(data);
        }
        all.extend_from_slice(&data);
    }
    Ok(all.freeze())
}

/// Reads what a refused client is sending, within bounds.
pub(super) async fn drain(body: &mut Incoming) {
    let mut left = DRAINED_BYTES_MAX;
    let drained = async {
        while let Some(Ok(frame)) = body.frame().await {
            let count = frame.into_data().map_or(0, |data| data.len());
            let Some(rest) = left.checked_sub(count) else { return };
            left = rest;
        }
    };
    // Whoever has not stopped by then loses the connection.
    drop(tokio::time::timeout(DRAIN_TIME_MAX, drained).await);
}

fn too_large(limit: usize) -> Refusal {
    Refusal::new(Code::BodyTooLarge, format!("the body has more than {limit} bytes"))
}

fn malformed(message: impl Into<String>) -> Refusal {
    Refusal::new(Code::BodyMalformed, message)
}

/// The key in the last segment of a path.
///
/// # Errors
/// `record_key_invalid`.
pub(super) fn key(segment: &str) -> Result<String, Refusal> {
    let decoded = percent_encoding::percent_decode_str(segment).decode_utf8();
    let key =
        decoded.map_err(|_| Refusal::new(Code::RecordKeyInvalid, "the key in the path is not UTF-8"))?;
    check_key(&key)?;
    Ok(key.into_owned())
}

fn check_key(key: &str) -> Result<(), Refusal> {
    match key.len() {
        1..=KEY_BYTES_MAX => Ok(()),
        0 => Err(Refusal::new(Code::RecordKeyInvalid, "the key is empty")),
        length => Err(Refusal::new(
            Code::RecordKeyInvalid,
            format!("the key has {length} bytes, more than {KEY_BYTES_MAX}"),
        )),
    }
}

/// The write of a PUT: the body without the white space around it.
///
/// # Errors
/// `body_malformed`, `body_invalid`.
pub(super) fn value(key: &str, body: &Bytes, schema: Option<&Schema>) -> Result<Write, Refusal> {
    let text = body.slice_ref(body.trim_ascii());
    check_value(&text, schema)?;
    Ok(Write { key: key.as_bytes().to_vec(), value: Some(text) })
}

/// Whether bytes are JSON that this host, and so what reads the topic, can read; and fit the schema.
fn check_value(text: &[u8], schema: Option<&Schema>) -> Result<(), Refusal> {
    let value: Value =
        serde_json::from_slice(text).map_err(|error| not_json(&error).of_line(error.line()))?;
    schema.map_or(Ok(()), |schema| schema.check(&value))
}

/// What is wrong with JSON, and where; its own words could quote the value.
fn not_json(error: &serde_json::Error) -> Refusal {
    let what = match error.classify() {
        serde_json::error::Category::Eof => "it ends too early",
        serde_json::error::Category::Data => {
            "it has members that are unknown, missing, twice there or of another type"
        }
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => "it is no JSON",
    };
    malformed(format!("column {}: {what}", error.column()))
}

/// A line of a batch.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    key: String,
    #[serde(borrow, default, deserialize_with = "present")]
    value: Option<&'a RawValue>,
    #[serde(default)]
    delete: bool,
}

/// A value of null is a value.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// The writes of a batch, in its order; a line for each, empty lines aside.
///
/// # Errors
/// The first line that is wrong refuses all of them: `body_malformed`, `record_key_invalid`, `body_invalid`, `body_too_large`.
pub(super) fn batch(body: &Bytes, bounds: &Bounds, schema: Option<&Schema>) -> Result<Vec<Write>, Refusal> {
    let mut writes = Vec::new();
    for (index, line) in body.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        if writes.len() == bounds.batch_records {
            let message = format!("the batch has more than {} records", bounds.batch_records);
            return Err(Refusal::new(Code::BodyTooLarge, message));
        }
        let write = parse_line(body, line, bounds, schema).map_err(|refusal| refusal.of_line(index + 1))?;
        writes.push(write);
    }
    if writes.is_empty() { Err(malformed("the batch has no record")) } else { Ok(writes) }
}

fn parse_line(body: &Bytes, line: &[u8], bounds: &Bounds, schema: Option<&Schema>) -> Result<Write, Refusal> {
    let parsed: Line<'_> = serde_json::from_slice(line).map_err(|error| not_json(&error))?;
    check_key(&parsed.key)?;
    let value = match (parsed.value, parsed.delete) {
        (Some(value), false) => Some(value.get().as_bytes()),
        (None, true) => None,
        (Some(_), true) => return Err(malformed("it has a `value` and is a `delete`")),
        (None, false) => return Err(malformed("it has neither a `value` nor `\"delete\": true`")),
    };
    if let Some(value) = value {
        if value.len() > bounds.value_bytes {
            let message = format!("its value has more than {} bytes", bounds.value_bytes);
            return Err(Refusal::new(Code::BodyTooLarge, message));
        }
        // A line is one line of JSON: only the schema has anything to say here, or the depth of the value.
        check_value(value, schema)?;
    }
    Ok(Write { key: parsed.key.into_bytes(), value: value.map(|value| body.slice_ref(value)) })
}
