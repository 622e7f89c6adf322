//! What a call did, in a form that tests can compare.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::Sink;
use crate::Timestamp;
use crate::arena;
use crate::bindings::gristmill::transform::types;

/// What a call did.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Outcome {
    /// In the order in which they were sent.
    pub outputs: Vec<Output>,
    /// In the order of their records.
    pub rejected: Vec<Rejected>,
    /// How many records were skipped, by code.
    pub skipped: BTreeMap<String, u32>,
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
    /// The position, among the records that were fed, of the one that caused it.
    pub cause: Option<usize>,
}

/// A record that was rejected.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rejected {
    /// Its position among the records that were fed.
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
        }
    }

    /// Adds the outcome of a later batch, whose first record has this position.
    pub(super) fn append(&mut self, later: Self, position: usize) {
        self.outputs.extend(
            later
                .outputs
                .into_iter()
                .map(|output| Output { cause: output.cause.map(|cause| cause + position), ..output }),
        );
        self.rejected.extend(
            later
                .rejected
                .into_iter()
                .map(|rejected| Rejected { index: rejected.index + position, ..rejected }),
        );
        for (code, count) in later.skipped {
            *self.skipped.entry(code).or_default() += count;
        }
    }

    /// The codes of the rejected records, in order.
    #[must_use]
    pub fn codes(&self) -> Vec<&str> {
        self.rejected.iter().map(|rejected| rejected.code.as_str()).collect()
    }
}
