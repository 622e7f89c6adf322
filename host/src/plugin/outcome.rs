//! What a plugin answered, in the words of the port. Nothing is checked here but the counts: the task does that.

use crate::config::pipeline::Limits;
use crate::fault::Code;
use crate::id::{SinkIndex, Timestamp};
use crate::io::{CallError, Intent, Measurement, Outcome, OutputSlot, Rejection};
use crate::plugin::bindings::v0_1::gristmill::transform::types;
use crate::plugin::text::harmless;
use crate::record::{HeaderSlot, Range, Span};

/// Bytes of a rejection's code or message: they become headers and labels.
const TEXT_BYTES_MAX: usize = 4 << 10;

/// Takes an answer over.
///
/// # Errors
/// `output_limit` when there is more of it than granted. Callouts count as records, and their texts and bytes as those of
/// records do.
pub(crate) fn outcome(
    lifted: types::Outcome,
    measurements: Vec<Measurement>,
    limits: &Limits,
) -> Result<Outcome, CallError> {
    let count = lifted.outputs.len() as u64 + lifted.callouts.len() as u64;
    if count > u64::from(limits.output_records) {
        return Err(too_much(format!("it gave {count} records and is granted {}", limits.output_records)));
    }
    let size_bytes = lifted.bytes.len() as u64 + lifted.callouts.iter().map(callout_bytes).sum::<u64>();
    if size_bytes > limits.output_bytes {
        return Err(too_much(format!("it gave {size_bytes} bytes and is granted {}", limits.output_bytes)));
    }
    Ok(Outcome {
        outputs: lifted.outputs.into_iter().map(output).collect(),
        headers: lifted.headers.into_iter().map(header).collect(),
        bytes: lifted.bytes,
        rejected: lifted.rejected.into_iter().map(rejection).collect(),
        skipped: lifted.skipped.into_iter().map(|(code, count)| (shown(&code), count)).collect(),
        measurements,
        callouts: lifted.callouts.into_iter().map(intent).collect(),
    })
}

fn too_much(message: String) -> CallError {
    CallError::Limit { code: Code::OutputLimit, message }
}

/// What a callout takes: it is kept in the state until it has ended.
fn callout_bytes(callout: &types::Callout) -> u64 {
    let headers: usize = callout.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    let texts = callout.id.len() + callout.endpoint.len() + callout.method.len() + callout.path.len();
    let bytes =
        [callout.body.as_ref(), callout.key.as_ref()].into_iter().flatten().map(Vec::len).sum::<usize>();
    (headers + texts + bytes + callout.context.len()) as u64
}

/// A callout as it is: it goes to a server, and its id comes back, so nothing in it may be altered.
fn intent(lifted: types::Callout) -> Intent {
    let types::Callout { id, endpoint, method, path, headers, body, key, context, cause } = lifted;
    Intent { id, endpoint, method, path, headers, body, key, context, cause }
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
