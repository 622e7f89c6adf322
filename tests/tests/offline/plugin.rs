//! The plugin runtime, with real components: what it accepts, what a guest can do, and what it cannot.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "these helpers are only called by tests"
)]

mod cache;
mod callouts;
mod calls;
mod double;
mod jobs;
mod limits;
mod load;
pub(super) mod stage;
mod state;
mod terms;
mod timers;
