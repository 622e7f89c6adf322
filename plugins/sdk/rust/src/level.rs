//! How loud a log line is.

use crate::bindings::gristmill::transform::log;

/// The level of a log line, by its consequence.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Level {
    /// Every record.
    Trace,
    /// For the plugin's developer.
    Debug,
    /// Something began or ended.
    Info,
    /// Odd, and recovered from.
    Warn,
    /// An operator must act.
    Error,
}

impl From<Level> for log::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Trace => Self::Trace,
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warn => Self::Warn,
            Level::Error => Self::Error,
        }
    }
}
