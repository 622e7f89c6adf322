//! What a plugin answered, in the words of the port. Nothing is checked here but the counts: the task does that.

use crate::config::pipeline::Limits;
use crate::fault::Code;
use crate::id::{SinkIndex, Timestamp};
use crate::io::{CallError, Measurement, Outcome, OutputSlot, Rejection};
use crate::plugin::bindings::v0_1::gristmill::transform::types;
use crate::plugin::failure::trap;
use crate::plugin::text::harmless;
use crate::record::{HeaderSlot, Range, Span};

/// Bytes of a rejection's code or message: they become headers and labels.
const TEXT_BYTES_MAX: usize = 4 << 10;

/// Takes an answer over.
///
/// # Errors
/// `output_limit` when there is more of it than granted; a trap for callouts, which this host does not make yet.
pub(crate) fn outcome(
    lifted: types::Outcome,
    measurements: Vec<Measurement>,
    limits: &Limits,
) -> Result<Outcome, CallError> {
    if lifted.outputs.len() as u64 > u64::from(limits.output_records) {
        let message =
            format!("it gave {} records and is granted {}", lifted.outputs.len(), limits.output_records);
        return Err(CallError::Limit { code: Code::OutputLimit, message });
    }
    if lifted.bytes.len() as u64 > limits.output_bytes {
        let message = format!("it gave {} bytes and is granted {}", lifted.bytes.len(), limits.output_bytes);
        return Err(CallError::Limit { code: Code::OutputLimit, message });
    }
    if !lifted.callouts.is_empty() {
        return Err(trap("callouts are not available in this host version"));
    }
    Ok(Outcome {
        outputs: lifted.outputs.into_iter().map(output).collect(),
        headers: lifted.headers.into_iter().map(header).collect(),
        bytes: lifted.bytes,
        rejected: lifted.rejected.into_iter().map(rejection).collect(),
        skipped: lifted.skipped.into_iter().map(|(code, count)| (shown(&code), count)).collect(),
        measurements,
        callouts: Vec::new(),
    })
}

fn output(lifted: types::OutputRecord) -> OutputSlot {
    OutputSlot {
        sink: SinkIndex(lifted.sink),
        key: lifted.key.map(span),
        value: lifted.value.map(span),
        headers: Range { start: lifted.headers.start, len: lifted.headers.len },
        timestamp: lifted.timestamp.map(Timestamp),
        cause: lifted.cause,
    }
}

fn header(lifted: types::Header) -> HeaderSlot {
    HeaderSlot { name: span(lifted.name), value: lifted.value.map(span) }
}

fn span(lifted: types::Span) -> Span {
    Span { start: lifted.start, len: lifted.len }
}

fn rejection(lifted: types::Rejection) -> Rejection {
    Rejection { index: lifted.index, code: shown(&lifted.code), message: shown(&lifted.message) }
}

fn shown(text: &str) -> String {
    harmless(text, TEXT_BYTES_MAX)
}
