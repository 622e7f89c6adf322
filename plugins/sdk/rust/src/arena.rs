//! Spans and ranges: how records lie in the byte arenas that cross the boundary.

use crate::bindings::gristmill::transform::types::Range;
use crate::bindings::gristmill::transform::types::Span;

/// The bytes of a span; empty if it does not lie in the arena, which [`holds`] excludes first.
pub(crate) fn slice(bytes: &[u8], span: Span) -> &[u8] {
    let start = span.start as usize;
    bytes.get(start..start.saturating_add(span.len as usize)).unwrap_or_default()
}

/// The items of a range; none if it does not lie in the list.
pub(crate) fn items<T>(list: &[T], range: Range) -> &[T] {
    let start = range.start as usize;
    list.get(start..start.saturating_add(range.len as usize)).unwrap_or_default()
}

/// Whether a span lies in an arena of this length.
pub(crate) fn holds(length: usize, span: Span) -> bool {
    u64::from(span.start) + u64::from(span.len) <= length as u64
}

/// The span of what was appended to an arena since it had this length.
///
/// An arena beyond 4 GiB, which a 32-bit guest cannot have, gives a span that no host accepts.
pub(crate) fn since(bytes: &[u8], start: usize) -> Span {
    Span { start: number(start), len: number(bytes.len().saturating_sub(start)) }
}

/// Appends bytes to an arena.
pub(crate) fn push(bytes: &mut Vec<u8>, data: &[u8]) -> Span {
    let start = bytes.len();
    bytes.extend_from_slice(data);
    since(bytes, start)
}

/// A length or position as it crosses.
pub(crate) fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
