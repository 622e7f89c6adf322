//! Checks what a plugin wants done before anything is made of it: nothing that comes from a guest is trusted.

mod intent;

use std::time::Duration;

use crate::fault::Code;
use crate::id::Timestamp;
use crate::io::{Outcome, OutputSlot, Rejection};
use crate::record::{Chunk, Range, Span};
use crate::task::spec::{SinkSpec, Spec};

/// What a call was given, as far as its outcome is measured against it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given<'a> {
    /// The records of the call.
    pub(crate) records: &'a Chunk,
    /// Wall clock when the call began.
    pub(crate) now: Timestamp,
    /// The highest timestamp that the task has seen.
    pub(crate) stream_time: Timestamp,
}

/// What is left of an outcome that can be trusted.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// Records that are dead-lettered: the plugin rejects them, or an output of theirs would be refused. Positions in the
    /// records of the call.
    pub(crate) rejected: Vec<Rejection>,
    /// Whether every output and callout names its cause, so that those of the rejected ones can be told from the others.
    pub(crate) causes_known: bool,
    /// Keys, values and headers of all outputs, and all of the callouts, in bytes.
    pub(crate) bytes: usize,
}

/// An outcome of which nothing can be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Violation {
    /// `outcome_invalid`, `output_limit` or `record_refused`.
    pub(crate) code: Code,
    /// What is wrong.
    pub(crate) message: String,
}

impl Violation {
    fn invalid(message: impl Into<String>) -> Self {
        Self { code: Code::OutcomeInvalid, message: message.into() }
    }
}

/// Longer rejection codes are no labels any more.
const CODE_LENGTH_MAX: usize = 64;

/// Checks an outcome against the interface, the limits and the facts of the sink topics.
///
/// # Errors
/// The whole outcome is void.
pub(crate) fn check(outcome: &Outcome, given: Given<'_>, spec: &Spec) -> Result<Checked, Violation> {
    let records = given.records.len();
    check_names(outcome, records)?;
    if outcome.outputs.len() > spec.limits.output_records as usize {
        let message = format!(
            "{} records of output, {} are granted",
            outcome.outputs.len(),
            spec.limits.output_records
        );
        return Err(Violation { code: Code::OutputLimit, message });
    }
    let mut checked = Checked { rejected: outcome.rejected.clone(), causes_known: true, bytes: 0 };
    check_callouts(outcome, records, spec, &mut checked)?;
    for (position, output) in outcome.outputs.iter().enumerate() {
        let cause = cause(output.cause, records).map_err(|cause| {
            Violation::invalid(format!("output {position} names cause {cause} of {records}"))
        })?;
        checked.causes_known &= cause.is_some();
        let size = check_parts(outcome, output).map_err(|what| {
            Violation::invalid(format!("{what} of output {position} does not lie in the outcome's bytes"))
        })?;
        checked.bytes = checked.bytes.saturating_add(size);
        if checked.bytes as u64 > spec.limits.output_bytes {
            // Spans may overlap: a small arena can stand for any amount of output.
            let message = format!("more than the granted {} bytes of output", spec.limits.output_bytes);
            return Err(Violation { code: Code::OutputLimit, message });
        }
        let Some(sink) = spec.sink(output.sink) else {
            return Err(Violation::invalid(format!("output {position} goes to sink {}", output.sink)));
        };
        if let Some(message) = refusal((output, cause), size, sink, given) {
            let Some(index) = cause else {
                return Err(Violation { code: Code::RecordRefused, message });
            };
            let code = Code::RecordRefused.as_str().to_owned();
            checked.rejected.push(Rejection { index, code, message });
        }
    }
    Ok(checked)
}

fn check_callouts(
    outcome: &Outcome,
    records: usize,
    spec: &Spec,
    checked: &mut Checked,
) -> Result<(), Violation> {
    let granted = spec.limits.output_records as usize;
    if outcome.outputs.len().saturating_add(outcome.callouts.len()) > granted {
        let (outputs, callouts) = (outcome.outputs.len(), outcome.callouts.len());
        let message = format!("{outputs} records of output and {callouts} callouts, {granted} are granted");
        return Err(Violation { code: Code::OutputLimit, message });
    }
    for (position, callout) in outcome.callouts.iter().enumerate() {
        let cause = cause(callout.cause, records).map_err(|cause| {
            Violation::invalid(format!("callout {position} names cause {cause} of {records}"))
        })?;
        checked.causes_known &= cause.is_some();
        let size = intent::check(callout, &spec.callouts)
            .map_err(|what| Violation::invalid(format!("callout {position} {what}")))?;
        checked.bytes = checked.bytes.saturating_add(size);
    }
    Ok(())
}

/// The record that caused an output. A single record causes everything, whether the plugin says so or not.
fn cause(named: Option<u32>, records: usize) -> Result<Option<u32>, u32> {
    match named {
        Some(index) if (index as usize) < records => Ok(Some(index)),
        Some(index) => Err(index),
        None if records == 1 => Ok(Some(0)),
        None => Ok(None),
    }
}

fn check_names(outcome: &Outcome, records: usize) -> Result<(), Violation> {
    if outcome.rejected.len() > records {
        return Err(Violation::invalid(format!(
            "{} rejections of {records} records",
            outcome.rejected.len()
        )));
    }
    for rejection in &outcome.rejected {
        if rejection.index as usize >= records {
            return Err(Violation::invalid(format!("rejects record {} of {records}", rejection.index)));
        }
        check_code(&rejection.code)?;
    }
    let mut skipped = 0u64;
    for (code, count) in &outcome.skipped {
        check_code(code)?;
        skipped = skipped.saturating_add(u64::from(*count));
    }
    if skipped > records as u64 {
        return Err(Violation::invalid(format!("skips {skipped} of {records} records")));
    }
    Ok(())
}

/// Codes become labels of metrics and keys of policies: kebab-case, not too long.
fn check_code(code: &str) -> Result<(), Violation> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=CODE_LENGTH_MAX).contains(&code.len()) && code.bytes().all(is_plain) {
        return Ok(());
    }
    let shown: String = code.chars().take(CODE_LENGTH_MAX).collect();
    Err(Violation::invalid(format!(
        "the code `{shown}` is not kebab-case of 1 to {CODE_LENGTH_MAX} characters"
    )))
}

/// The size of an output, or which part of it lies outside.
fn check_parts(outcome: &Outcome, output: &OutputSlot) -> Result<usize, &'static str> {
    let arena = outcome.bytes.len();
    let size = |span: Option<Span>, what| match span {
        None => Ok(0),
        Some(span) if ends_within(span.start, span.len, arena) => Ok(span.len as usize),
        Some(_) => Err(what),
    };
    let mut total = size(output.key, "the key")?.saturating_add(size(output.value, "the value")?);
    let Range { start, len } = output.headers;
    if len == 0 {
        return Ok(total);
    }
    if !ends_within(start, len, outcome.headers.len()) {
        return Err("the list of headers");
    }
    for slot in outcome.headers.iter().skip(start as usize).take(len as usize) {
        total = total.saturating_add(size(Some(slot.name), "a header's name")?);
        total = total.saturating_add(size(slot.value, "a header's value")?);
        if is_reserved(&outcome.bytes, slot.name) {
            return Err("a header whose name starts with `gristmill-`, which is the host's, ");
        }
    }
    Ok(total)
}

fn ends_within(start: u32, len: u32, end: usize) -> bool {
    u64::from(start) + u64::from(len) <= end as u64
}

fn is_reserved(bytes: &[u8], name: Span) -> bool {
    let rest = bytes.get(name.start as usize..).unwrap_or_default();
    name.len as usize >= RESERVED.len() && rest.starts_with(RESERVED)
}

/// Headers with this prefix are the host's.
const RESERVED: &[u8] = b"gristmill-";

/// Why the broker would refuse an output.
fn refusal(
    (output, cause): (&OutputSlot, Option<u32>),
    size: usize,
    sink: &SinkSpec,
    given: Given<'_>,
) -> Option<String> {
    let size = record_size(size, output.headers.len as usize);
    if size > sink.facts.max_bytes {
        return Some(format!("{size} bytes for `{}`, which takes {}", sink.topic, sink.facts.max_bytes));
    }
    if output.key.is_none() && sink.facts.compacted {
        return Some(format!("no key for `{}`, which is compacted", sink.topic));
    }
    let cause = || cause.and_then(|index| given.records.get(index as usize));
    let timestamp = output.timestamp.or_else(|| cause().map(|record| record.timestamp()));
    let timestamp = timestamp.unwrap_or(given.stream_time);
    if is_too_far_ahead(timestamp, given.now, sink.facts.ahead_max) {
        return Some(format!("timestamp {timestamp} lies too far ahead for `{}`", sink.topic));
    }
    None
}

/// The size of a batch with one record as the broker measures it, at most: 61 bytes for the batch, 26 for the record, two
/// lengths of up to 5 bytes for each header.
pub(crate) fn record_size(payload: usize, headers: usize) -> usize {
    payload.saturating_add(87).saturating_add(headers.saturating_mul(10))
}

/// Whether a topic refuses this timestamp. A second is left for clocks that differ.
pub(crate) fn is_too_far_ahead(timestamp: Timestamp, now: Timestamp, ahead_max: Option<Duration>) -> bool {
    ahead_max.is_some_and(|most| {
        let most = i64::try_from(most.as_millis()).unwrap_or(i64::MAX);
        timestamp.0.saturating_sub(now.0) > most.saturating_sub(1000).max(0)
    })
}

#[cfg(test)]
mod tests;
