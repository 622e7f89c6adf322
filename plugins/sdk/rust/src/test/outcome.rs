//! What a call did, in a form that tests can compare.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::Sink;
use crate::Timestamp;
use crate::arena;
use crate::bindings::gristmill::transform::types;
use crate::test::Callout;

/// What a call did.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Outcome {
    /// In the order in which they were sent.
    pub outputs: Vec<Output>,
    /// In the order of their records.
    pub rejected: Vec<Rejected>,
    /// How many records were skipped, by code.
    pub skipped: BTreeMap<String, u32>,
    /// In the order in which they were made, those with known ids included.
    pub callouts: Vec<Callout>,
}

/// A record that was sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Output {
    /// Where to.
    pub sink: Sink,
    /// None is a record without a key.
    pub key: Option<Vec<u8>>,
    /// None is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Names and values.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// None takes that of the cause.
    pub timestamp: Option<Timestamp>,
    /// The position, among the records that were fed, the timers that fired or the answers that came, of what caused it.
    pub cause: Option<usize>,
}

/// What a step of a job did.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Stepped {
    /// In the order in which they were sent.
    pub outputs: Vec<Output>,
    /// How many rows were skipped, by code.
    pub skipped: BTreeMap<String, u32>,
    /// Whether the job has ended.
    pub done: bool,
    /// Rows looked at.
    pub visited: u64,
    /// Rows of the whole job, if known.
    pub total: Option<u64>,
}

/// A record that was rejected.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rejected {
    /// Its position among the records that were fed, the timers that fired or the answers that came.
    pub index: usize,
    /// The stable code.
    pub code: String,
    /// The text for a person.
    pub message: String,
}

impl Output {
    /// The key as text; empty if there is none.
    #[must_use]
    pub fn key(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.key.as_deref().unwrap_or_default())
    }

    /// The value as text; empty for a tombstone, which [`Output::is_tombstone`] tells apart.
    #[must_use]
    pub fn value(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.value.as_deref().unwrap_or_default())
    }

    /// Whether it deletes its key.
    #[must_use]
    pub fn is_tombstone(&self) -> bool {
        self.value.is_none()
    }
}

impl Outcome {
    pub(super) fn read(raw: &types::Outcome) -> Self {
        let bytes = |span: types::Span| arena::slice(&raw.bytes, span).to_vec();
        let output = |output: &types::OutputRecord| Output {
            sink: Sink::new(output.sink),
            key: output.key.map(bytes),
            value: output.value.map(bytes),
            headers: arena::items(&raw.headers, output.headers)
                .iter()
                .map(|header| {
                    let name = String::from_utf8_lossy(arena::slice(&raw.bytes, header.name)).into_owned();
                    (name, header.value.map(bytes))
                })
                .collect(),
            timestamp: output.timestamp.map(Timestamp::from_millis),
            cause: output.cause.map(|cause| cause as usize),
        };
        let rejected = |rejection: &types::Rejection| Rejected {
            index: rejection.index as usize,
            code: rejection.code.clone(),
            message: rejection.message.clone(),
        };
        Self {
            outputs: raw.outputs.iter().map(output).collect(),
            rejected: raw.rejected.iter().map(rejected).collect(),
            skipped: raw.skipped.iter().cloned().collect(),
            callouts: raw.callouts.iter().map(Callout::read).collect(),
        }
    }

    /// Adds the outcome of a later batch, whose first record has this position.
    pub(super) fn append(&mut self, mut later: Self, position: usize) {
        later.renumber(|own| own + position);
        self.outputs.append(&mut later.outputs);
        self.rejected.append(&mut later.rejected);
        self.callouts.append(&mut later.callouts);
        for (code, count) in later.skipped {
            *self.skipped.entry(code).or_default() += count;
        }
    }

    /// Gives the records other positions.
    pub(super) fn renumber(&mut self, position: impl Fn(usize) -> usize) {
        for output in &mut self.outputs {
            output.cause = output.cause.map(&position);
        }
        for callout in &mut self.callouts {
            callout.cause = callout.cause.map(&position);
        }
        for rejected in &mut self.rejected {
            rejected.index = position(rejected.index);
        }
    }

    /// The codes of the rejected records, in order.
    #[must_use]
    pub fn codes(&self) -> Vec<&str> {
        self.rejected.iter().map(|rejected| rejected.code.as_str()).collect()
    }
}
