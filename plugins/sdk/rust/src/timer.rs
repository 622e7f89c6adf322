//! What a plugin with timers writes.

use crate::Context;
use crate::Plugin;
use crate::Reject;
use crate::Timestamp;
use crate::bindings::gristmill::transform::timers;

/// A plugin with timers: appointments that survive restarts. List it in `export!(MyPlugin: Timers)`; the host refuses
/// the timers of a plugin that does not.
pub trait Timers: Plugin {
    /// Takes a timer that is due: once, at or after its time, in the order of the times, and not before the task has read
    /// what lay in its sources when it started. The timer is gone; setting its name again makes a new one.
    ///
    /// # Errors
    /// The timer makes no sense and never will: it goes to the dead-letter topic, and what was sent and written for it
    /// is dropped.
    fn timer(&mut self, timer: &Timer<'_>, ctx: &mut Context<'_>) -> Result<(), Reject>;
}

/// What a timer goes by.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Clock {
    /// The highest timestamp that the task has applied: it follows the records, and stands still when none come.
    StreamTime,
    /// The wall clock.
    WallClock,
}

/// A timer that is due.
#[derive(Clone, Copy, Debug)]
pub struct Timer<'a> {
    /// What it goes by.
    pub clock: Clock,
    /// Its name.
    pub name: &'a [u8],
    /// When it was due; now is later, mostly.
    pub due: Timestamp,
    /// What it was set with.
    pub payload: &'a [u8],
}

impl<'a> Timer<'a> {
    pub(crate) fn new(raw: &'a timers::Timer) -> Self {
        Self {
            clock: raw.clock.into(),
            name: &raw.name,
            due: Timestamp::from_millis(raw.due),
            payload: &raw.payload,
        }
    }
}

impl From<timers::Clock> for Clock {
    fn from(clock: timers::Clock) -> Self {
        match clock {
            timers::Clock::StreamTime => Self::StreamTime,
            timers::Clock::WallClock => Self::WallClock,
        }
    }
}

impl From<Clock> for timers::Clock {
    fn from(clock: Clock) -> Self {
        match clock {
            Clock::StreamTime => Self::StreamTime,
            Clock::WallClock => Self::WallClock,
        }
    }
}
