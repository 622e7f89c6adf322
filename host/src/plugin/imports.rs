//! The functions that guests import: a file for each interface.

pub(crate) mod config;
pub(crate) mod jobs;
pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod state;
pub(crate) mod timers;
mod types;

/// Why a function traps whose room in the host is not built yet.
const NOT_YET: &str = "not available in this host version";
