//! The outcome of a call while it is being made.

use crate::Failure;
use crate::Reject;
use crate::bindings::gristmill::transform::types::Callout;
use crate::bindings::gristmill::transform::types::Header;
use crate::bindings::gristmill::transform::types::Outcome;
use crate::bindings::gristmill::transform::types::OutputRecord;
use crate::bindings::gristmill::transform::types::Rejection;

/// Outputs, callouts, rejections and skips of a call. All lists only grow, so a [`Mark`] can be returned to.
#[derive(Default)]
pub(crate) struct Draft {
    pub(crate) outputs: Vec<OutputRecord>,
    pub(crate) headers: Vec<Header>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) callouts: Vec<Callout>,
    rejected: Vec<Rejection>,
    /// One entry for each skip.
    skipped: Vec<&'static str>,
    /// Why nothing of the call may be committed.
    spoilt: Option<String>,
}

/// How far a draft had grown.
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    outputs: usize,
    headers: usize,
    bytes: usize,
    callouts: usize,
    skipped: usize,
}

impl Draft {
    /// A draft with room for about as much as came in, since most transforms send that.
    pub(crate) fn with_room_for(records: usize, bytes: usize) -> Self {
        Self {
            outputs: Vec::with_capacity(records),
            bytes: Vec::with_capacity(bytes + bytes / 8 + 64 * records),
            ..Self::default()
        }
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark {
            outputs: self.outputs.len(),
            headers: self.headers.len(),
            bytes: self.bytes.len(),
            callouts: self.callouts.len(),
            skipped: self.skipped.len(),
        }
    }

    /// Forgets everything since the mark, but no rejection.
    pub(crate) fn undo(&mut self, mark: Mark) {
        self.outputs.truncate(mark.outputs);
        self.headers.truncate(mark.headers);
        self.bytes.truncate(mark.bytes);
        self.callouts.truncate(mark.callouts);
        self.skipped.truncate(mark.skipped);
    }

    pub(crate) fn reject(&mut self, index: u32, reject: Reject) {
        let (code, message) = reject.into_parts();
        self.rejected.push(Rejection { index, code, message });
    }

    pub(crate) fn skip(&mut self, code: &'static str) {
        self.skipped.push(code);
    }

    /// Lets the call fail when it ends, with the first of these messages.
    pub(crate) fn spoil(&mut self, message: String) {
        self.spoilt.get_or_insert(message);
    }

    pub(crate) fn finish(self) -> Result<Outcome, Failure> {
        if let Some(message) = self.spoilt {
            return Err(Failure::Fatal(message));
        }
        let mut skipped: Vec<(String, u32)> = Vec::new();
        for code in self.skipped {
            match skipped.iter_mut().find(|(known, _)| known == code) {
                Some((_, count)) => *count += 1,
                None => skipped.push((code.to_owned(), 1)),
            }
        }
        Ok(Outcome {
            outputs: self.outputs,
            headers: self.headers,
            bytes: self.bytes,
            rejected: self.rejected,
            skipped,
            callouts: self.callouts,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sink;
    use crate::output::Output;

    #[test]
    fn leaves_no_bytes_behind_when_it_is_undone() {
        let mut draft = Draft::default();
        let mark = draft.mark();
        Output::new(&mut draft, Sink::new(0), None).key(b"k").header("h", b"v").value(b"x");
        draft.skip("code");

        draft.undo(mark);

        let outcome = draft.finish().unwrap();
        assert!(outcome.outputs.is_empty() && outcome.headers.is_empty() && outcome.bytes.is_empty());
        assert!(outcome.skipped.is_empty());
    }
}
