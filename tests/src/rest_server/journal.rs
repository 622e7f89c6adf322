//! What the server writes down: a line for each step of a request, before the next step.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// A step of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// It was read whole.
    Received,
    /// Its effect was done.
    Executed,
    /// An answer with this status is about to be written.
    Answered(u16),
}

/// A line of the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Which request, counted over all connections.
    pub number: u64,
    /// What happened.
    pub step: Step,
    /// The HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The value of `Idempotency-Key`.
    pub key: Option<String>,
    /// Whether it had `Authorization`, whose value is not written down.
    pub authorized: bool,
    /// Of the body.
    pub digest: u64,
}

/// A request with all its steps.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// Which, counted over all connections.
    pub number: u64,
    /// The HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The value of `Idempotency-Key`.
    pub key: Option<String>,
    /// Whether it had `Authorization`.
    pub authorized: bool,
    /// Of the body.
    pub digest: u64,
    /// Whether its effect was done.
    pub executed: bool,
    /// The status of the answer, if one was written.
    pub status: Option<u16>,
}

/// The log, to be written. A line is one write, so that threads do not mix theirs.
pub(super) struct Journal(Mutex<File>);

impl Journal {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::options().create(true).append(true).open(path);
        Ok(Self(Mutex::new(file.with_context(|| format!("cannot open `{}`", path.display()))?)))
    }

    pub(super) fn write(&self, entry: &Entry) -> Result<()> {
        let (step, status) = match entry.step {
            Step::Received => ("received", None),
            Step::Executed => ("executed", None),
            Step::Answered(status) => ("answered", Some(status)),
        };
        let line = json!({
            "request": entry.number, "step": step, "status": status, "method": entry.method, "path": entry.path,
            "key": entry.key, "authorized": entry.authorized, "digest": entry.digest,
        });
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(file.write_all(format!("{line}\n").as_bytes())?)
    }
}

/// Reads the log of a server, which may be writing.
///
/// # Errors
/// When it cannot be read or makes no sense.
pub fn read(log: &Path) -> Result<Vec<Entry>> {
    let text = fs::read_to_string(log).with_context(|| format!("cannot read `{}`", log.display()))?;
    // What has no end of line yet is being written.
    let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    lines.map(|line| parse(line).with_context(|| format!("no line of a server's log: {line}"))).collect()
}

fn parse(line: &str) -> Result<Entry> {
    let line: Value = serde_json::from_str(line)?;
    let text = |name: &str| line.get(name).and_then(Value::as_str).map(str::to_owned);
    let number = |name: &str| line.get(name).and_then(Value::as_u64);
    let step = match (text("step").as_deref(), number("status")) {
        (Some("received"), None) => Step::Received,
        (Some("executed"), None) => Step::Executed,
        (Some("answered"), Some(status)) => Step::Answered(u16::try_from(status)?),
        _ => anyhow::bail!("no such step"),
    };
    Ok(Entry {
        number: number("request").context("no number")?,
        step,
        method: text("method").context("no method")?,
        path: text("path").context("no path")?,
        key: text("key"),
        authorized: line.get("authorized").and_then(Value::as_bool).context("no word on authorization")?,
        digest: number("digest").context("no digest")?,
    })
}

/// Puts the steps of each request together, in the order of arrival.
pub fn requests(entries: &[Entry]) -> Vec<Request> {
    let mut requests: BTreeMap<u64, Request> = BTreeMap::new();
    for entry in entries {
        let request = requests.entry(entry.number).or_insert_with(|| Request {
            number: entry.number,
            method: entry.method.clone(),
            path: entry.path.clone(),
            key: entry.key.clone(),
            authorized: entry.authorized,
            digest: entry.digest,
            executed: false,
            status: None,
        });
        match entry.step {
            Step::Received => {}
            Step::Executed => request.executed = true,
            Step::Answered(status) => request.status = Some(status),
        }
    }
    requests.into_values().collect()
}
