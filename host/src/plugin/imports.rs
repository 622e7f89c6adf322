//! The functions that guests import: a file for each interface.

pub(crate) mod config;
pub(crate) mod jobs;
pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod state;
pub(crate) mod timers;
mod types;
