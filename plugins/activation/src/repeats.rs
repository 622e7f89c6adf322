//! Activations that count as one: those of a product with the same business ID within a window.

use std::time::Duration;

use gristmill::Clock;
use gristmill::Context;
use gristmill::Json;
use gristmill::Key;
use gristmill::Packed;
use gristmill::Store;
use gristmill::Timestamp;
use serde::Deserialize;
use serde::Serialize;

use crate::stores;
use crate::waiting::Sequence;

/// By product ID and business ID.
const SEEN: Store<(&[u8], &str), Json<Seen>> = stores::SEEN.of();

/// The activation that the others of its window are repetitions of.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Seen {
    /// Its timestamp.
    first: i64,
    /// The name of the timer that forgets it.
    number: u64,
}

/// Knows the business IDs of the window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Repeats {
    window_millis: i64,
}

impl Repeats {
    pub(crate) fn new(window_millis: u64) -> Self {
        Self { window_millis: i64::try_from(window_millis).unwrap_or(i64::MAX) }
    }

    /// Whether an activation counts as one with an earlier one. The timestamps of records decide, so the answer is the same
    /// whenever they are processed. One that does not is remembered for the window.
    pub(crate) fn is_repeat(
        self,
        key: &[u8],
        id: &str,
        timestamp: Timestamp,
        sequence: &mut Sequence,
        ctx: &mut Context<'_>,
    ) -> bool {
        let own = timestamp.millis();
        let seen = ctx.store(SEEN).get(&(key, id));
        if let Some(seen) = &seen {
            if own.abs_diff(seen.first) < self.window_millis.unsigned_abs() {
                return true;
            }
            if own < seen.first {
                // It comes late, from a window of its own: the newer one is the one to remember.
                return false;
            }
        }
        let number = seen.map_or_else(|| sequence.next(ctx), |seen| seen.number);
        ctx.store(SEEN).put(&(key, id), &Seen { first: own, number });
        let mut row = Vec::new();
        (key, id).write(&mut row);
        let due = timestamp.after(Duration::from_millis(self.window_millis.unsigned_abs()));
        ctx.timer_at(Clock::StreamTime, &number.to_be_bytes(), due, &row);
        false
    }

    /// Forgets a business ID whose window is over.
    pub(crate) fn forget(row: &Packed, ctx: &mut Context<'_>) {
        ctx.store(stores::SEEN).delete(row);
    }
}
