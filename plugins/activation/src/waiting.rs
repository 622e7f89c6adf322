//! The activations that wait: rows by product ID and number, each with a timer that has the row's key.

use std::time::Duration;

use gristmill::Clock;
use gristmill::Context;
use gristmill::First;
use gristmill::Json;
use gristmill::Kept;
use gristmill::Key;
use gristmill::Packed;
use gristmill::Reject;
use gristmill::Store;

use crate::sinks;
use crate::stores;

/// By product ID and number.
const WAITING: Store<(&[u8], u64), Kept> = stores::WAITING.of();
const SEQUENCE: Store<str, Json<u64>> = stores::SEQUENCE.of();

/// The header that says why an activation has expired.
const BECAUSE: &str = "expired-because";

/// Numbers that are given once. Not the offsets of records: those begin anew when a topic is made anew.
#[derive(Debug, Default)]
pub(crate) struct Sequence {
    /// What the store has; none before it was looked at.
    next: Option<u64>,
}

impl Sequence {
    pub(crate) fn next(&mut self, ctx: &mut Context<'_>) -> u64 {
        let mut store = ctx.store(SEQUENCE);
        let number = self.next.or_else(|| store.get("next")).unwrap_or_default();
        store.put("next", &(number + 1));
        self.next = Some(number + 1);
        number
    }

    /// Lets an activation wait, behind the others of its product.
    pub(crate) fn wait(&mut self, key: &[u8], kept: &Kept, wait: Duration, ctx: &mut Context<'_>) {
        let number = self.next(ctx);
        ctx.store(WAITING).put(&(key, number), kept);
        let mut row = Vec::new();
        (key, number).write(&mut row);
        ctx.timer_after(&number.to_be_bytes(), wait, &row);
    }
}

/// The first activations of a product that wait.
pub(crate) fn first(key: &[u8], limit: u32, ctx: &mut Context<'_>) -> First<(Vec<u8>, u64), Kept> {
    ctx.store(WAITING).first(&(key,), limit)
}

pub(crate) fn is_any(key: &[u8], ctx: &mut Context<'_>) -> bool {
    !first(key, 1, ctx).rows.is_empty()
}

/// Takes an activation out, and its timer away.
pub(crate) fn remove(key: &[u8], number: u64, ctx: &mut Context<'_>) {
    ctx.store(WAITING).delete(&(key, number));
    ctx.cancel_timer(Clock::WallClock, &number.to_be_bytes());
}

/// Takes out the activation whose timer fires, with its product ID.
pub(crate) fn take(row: &Packed, ctx: &mut Context<'_>) -> Result<Option<(Vec<u8>, Kept)>, Reject> {
    let (key, _) = <(&[u8], u64)>::read(&row.0)
        .map_err(|why| Reject::new("timer-invalid", format!("the timer names no activation: {why}")))?;
    let mut store = ctx.store(stores::WAITING);
    let kept = store.get(row);
    if kept.is_some() {
        store.delete(row);
    }
    Ok(kept.map(|kept| (key, kept)))
}

/// Sends an activation to where those go that have waited in vain.
pub(crate) fn expire(key: &[u8], kept: &Kept, reason: &str, ctx: &mut Context<'_>) {
    let output = ctx.send(sinks::EXPIRED).key(key).headers_of(kept.headers());
    output.header(BECAUSE, reason.as_bytes()).value(kept.value.as_deref().unwrap_or_default());
}
