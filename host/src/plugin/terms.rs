//! The terms of rows: what goes in, and what comes out, all of it checked.

use crate::config::pipeline::Limits;
use crate::fault::Code;
use crate::io::{CallError, Terms};
use crate::plugin::bindings::v0_1::exports::gristmill::transform::indexer;
use crate::plugin::bindings::v0_1::gristmill::transform::types;
use crate::plugin::failure::trap;
use crate::plugin::input::span;
use crate::record::{Chunk, RecordSlot, Span};

/// Bytes of a term: it is a part of a key.
const TERM_BYTES_MAX: usize = 4 << 10;

/// Terms of one call: each is an entry to write.
const TERMS_MAX: usize = 1_000_000;

/// Rows in the shapes of the interface, with a buffer that is kept from call to call.
#[derive(Default)]
pub(crate) struct Rows(Vec<indexer::Entry>);

impl Rows {
    /// The rows as the guest gets them.
    pub(crate) fn fill(&mut self, rows: &Chunk) -> &[indexer::Entry] {
        // A row has a key and a value; what lacks one would be none.
        let part = |part: Option<Span>| part.map_or(types::Span { start: 0, len: 0 }, span);
        let entry = |slot: &RecordSlot| indexer::Entry { key: part(slot.key), value: part(slot.value) };
        self.0.clear();
        self.0.extend(rows.slots().iter().map(entry));
        &self.0
    }
}

/// Takes over the terms of so many rows.
///
/// # Errors
/// `output_limit` when there is more of them than granted; a trap for what the interface does not allow.
pub(crate) fn terms(lifted: indexer::Terms, rows: usize, limits: &Limits) -> Result<Terms, CallError> {
    let indexer::Terms { spans, ends, bytes } = lifted;
    check_ends(&ends, spans.len(), rows)?;
    if spans.len() > TERMS_MAX {
        return Err(too_much(format!("it gave {} terms, at most {TERMS_MAX} are kept", spans.len())));
    }
    let mut total_bytes = 0_u64;
    for (number, span) in spans.iter().enumerate() {
        let end = u64::from(span.start) + u64::from(span.len);
        if end > bytes.len() as u64 {
            return Err(trap(format!(
                "term {number} lies outside of the {} bytes of its arena",
                bytes.len()
            )));
        }
        if span.len as usize > TERM_BYTES_MAX {
            let len = span.len;
            return Err(trap(format!("term {number} has {len} bytes, at most {TERM_BYTES_MAX} are kept")));
        }
        total_bytes += u64::from(span.len);
    }
    if total_bytes > limits.output_bytes {
        let granted = limits.output_bytes;
        return Err(too_much(format!("it gave {total_bytes} bytes of terms and is granted {granted}")));
    }
    let spans = spans.into_iter().map(|span| Span { start: span.start, len: span.len }).collect();
    Ok(Terms { spans, ends, bytes })
}

fn check_ends(ends: &[u32], terms: usize, rows: usize) -> Result<(), CallError> {
    if ends.len() != rows {
        return Err(trap(format!("it gave terms for {} rows and was asked for {rows}", ends.len())));
    }
    if !ends.is_sorted() {
        return Err(trap("the ends of its rows' terms do not ascend"));
    }
    let end = ends.last().map_or(0, |end| *end as usize);
    if end != terms {
        return Err(trap(format!("the terms of its rows end at {end}, and it gave {terms}")));
    }
    Ok(())
}

fn too_much(message: String) -> CallError {
    CallError::Limit { code: Code::OutputLimit, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: &[u8] = b"abcd";

    fn lift(spans: &[(u32, u32)], ends: &[u32], rows: usize) -> Result<Terms, String> {
        let spans = spans.iter().map(|(start, len)| types::Span { start: *start, len: *len }).collect();
        let lifted = indexer::Terms { spans, ends: ends.to_vec(), bytes: BYTES.to_vec() };
        let limits = Limits { output_bytes: 10, ..Limits::default() };
        terms(lifted, rows, &limits).map_err(|error| match error {
            CallError::Trap { message, .. } => message,
            other => format!("{other:?}"),
        })
    }

    #[test]
    fn takes_over_terms_that_share_their_bytes_and_rows_without_any() {
        let terms = lift(&[(0, 2), (1, 2), (4, 0)], &[0, 2, 2, 3], 4).unwrap();

        assert_eq!(terms.ends, [0, 2, 2, 3]);
        assert_eq!(terms.spans[1], Span { start: 1, len: 2 });
        assert_eq!(terms.bytes, BYTES);
        assert_eq!(lift(&[], &[], 0).unwrap().ends, [0_u32; 0]);
    }

    #[test]
    fn refuses_ends_that_do_not_belong_to_the_rows() {
        assert_eq!(lift(&[(0, 1)], &[1], 2).unwrap_err(), "it gave terms for 1 rows and was asked for 2");
        assert_eq!(
            lift(&[(0, 1)], &[1, 1, 1], 2).unwrap_err(),
            "it gave terms for 3 rows and was asked for 2"
        );
        assert_eq!(lift(&[(0, 1)], &[1, 0], 2).unwrap_err(), "the ends of its rows' terms do not ascend");
        assert_eq!(lift(&[(0, 1)], &[0, 2], 2).unwrap_err(), "the terms of its rows end at 2, and it gave 1");
        assert_eq!(lift(&[(0, 1)], &[0, 0], 2).unwrap_err(), "the terms of its rows end at 0, and it gave 1");
    }

    #[test]
    fn refuses_terms_outside_of_the_arena() {
        let outside = "term 0 lies outside of the 4 bytes of its arena";
        assert_eq!(lift(&[(0, 5)], &[1], 1).unwrap_err(), outside);
        assert_eq!(lift(&[(5, 0)], &[1], 1).unwrap_err(), outside);
        assert_eq!(lift(&[(u32::MAX, u32::MAX)], &[1], 1).unwrap_err(), outside);
    }

    #[test]
    fn counts_the_bytes_of_terms_that_share_their_arena() {
        let error = lift(&[(0, 4), (0, 4), (0, 4)], &[3], 1).unwrap_err();

        assert!(error.contains("OutputLimit") && error.contains("it gave 12 bytes of terms"), "{error}");
        assert!(lift(&[(0, 4), (0, 4)], &[2], 1).is_ok());
    }
}
