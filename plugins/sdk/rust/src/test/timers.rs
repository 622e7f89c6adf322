//! Timers in the test driver.

use std::panic::Location;
use std::time::Duration;

use crate::Clock;
use crate::Exported;
use crate::Timestamp;
use crate::bindings::gristmill::transform::timers;
use crate::test::Outcome;
use crate::test::Task;
use crate::test::call;
use crate::test::stop;

/// Calls after which timers are said to set each other for ever.
const CALLS: usize = 100_000;

/// A timer that is set.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Timer {
    /// What it goes by.
    pub clock: Clock,
    /// Its name.
    pub name: Vec<u8>,
    /// When it fires at the earliest.
    pub due: Timestamp,
    /// What it was set with.
    pub payload: Vec<u8>,
}

impl Timer {
    pub(super) fn raw(&self) -> timers::Timer {
        timers::Timer {
            clock: self.clock.into(),
            name: self.name.clone(),
            due: self.due.millis(),
            payload: self.payload.clone(),
        }
    }
}

impl<P: Exported + 'static> Task<P> {
    /// The timers that are set, by clock and name.
    #[must_use]
    pub fn timers(&self) -> Vec<Timer> {
        self.memory.state.timers().collect()
    }

    /// Moves the wall clock on, and fires what is due then.
    ///
    /// # Panics
    /// As [`Task::fire`].
    #[track_caller]
    pub fn wait(&mut self, time: Duration) -> Outcome {
        self.memory.now = self.memory.now.after(time);
        self.fire()
    }

    /// Fires the timers that are due, those of stream time first, each kind in the order of the times, until none is. Positions in
    /// the outcome count all of them.
    ///
    /// # Panics
    /// The call fails, other pieces give another outcome, or timers set each other for ever.
    #[track_caller]
    pub fn fire(&mut self) -> Outcome {
        let mut whole = Outcome::default();
        let mut fired = 0;
        for _ in 0..CALLS {
            let mut due = self.memory.state.due(Clock::StreamTime, self.memory.stream_time);
            if due.is_empty() {
                due = self.memory.state.due(Clock::WallClock, self.memory.now);
            }
            if due.is_empty() {
                return whole;
            }
            let place = Location::caller();
            let called = self.in_pieces(&due, place, "the timers fired", |plugin, remake, memory, due| {
                call::timers(plugin, remake, memory, due)
            });
            match called {
                Ok(outcome) => whole.append(outcome, fired),
                Err(failure) => stop(&format!("the call failed: {failure}")),
            }
            fired += due.len();
        }
        stop("the timers do not end")
    }
}
