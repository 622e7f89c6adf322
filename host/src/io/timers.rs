//! Timers: appointments of a plugin that survive restarts.

use crate::id::Timestamp;

/// What a timer goes by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TimerClock {
    /// The highest timestamp that the task has applied: it follows the records.
    StreamTime,
    /// Wall clock.
    WallClock,
}

impl TimerClock {
    /// Both.
    pub const ALL: [Self; 2] = [Self::StreamTime, Self::WallClock];
}

/// An appointment. A clock and a name tell it from the others of its task.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Timer {
    /// What it goes by.
    pub clock: TimerClock,
    /// Its name; setting it again replaces the timer.
    pub name: Vec<u8>,
    /// When it fires at the earliest.
    pub due: Timestamp,
    /// What it was set with.
    pub payload: Vec<u8>,
}

/// A call with timers that are due.
#[derive(Clone, Copy, Debug)]
pub struct TimersDue<'a> {
    /// The timers, of one clock, in the order of their time; at least one.
    pub due: &'a [Timer],
    /// Wall clock when the call began.
    pub now: Timestamp,
    /// The highest timestamp that the task has seen.
    pub stream_time: Timestamp,
}
