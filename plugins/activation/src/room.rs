//! How much of what waits is sent in one call.

use gristmill::Kept;

/// Rows and bytes of one call: far below what a host grants an outcome, and quick. What is beyond it is left to a job.
const ROWS: u32 = 1_000;
const BYTES: usize = 4 << 20;

/// Rows that are asked for at once.
const PAGE_ROWS: u32 = 256;

/// The room that is left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    rows: u32,
    bytes: usize,
    taken: u64,
}

impl Room {
    pub(crate) fn of_a_call() -> Self {
        Self { rows: ROWS, bytes: BYTES, taken: 0 }
    }

    /// The room of a step of a job with this budget.
    pub(crate) fn of_a_step(budget: u32) -> Self {
        Self { rows: budget.clamp(1, ROWS), ..Self::of_a_call() }
    }

    /// How many rows are to be asked for: at least one, to see whether there is any.
    pub(crate) fn rows(self) -> u32 {
        if self.is_used_up() { 1 } else { self.rows.min(PAGE_ROWS) }
    }

    pub(crate) fn is_used_up(self) -> bool {
        self.rows == 0 || self.bytes == 0
    }

    pub(crate) fn take(&mut self, kept: &Kept) {
        let headers =
            kept.headers().map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len)).sum::<usize>();
        let bytes = kept.value.as_ref().map_or(0, Vec::len) + headers;
        self.rows = self.rows.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        self.taken += 1;
    }

    /// How many rows were taken.
    pub(crate) fn taken(self) -> u64 {
        self.taken
    }
}
