//! Timers that are due, and what they wait for.
//!
//! A timer must not overtake records that were there before it: an activation does not expire whose information lies in the
//! topic already, unread after eight days of standstill. So before timers fire, the ends of all sources are asked for, and
//! those that were due when that was asked fire once the task has handled everything up to there. While there are such timers,
//! nobody asks again: records that keep coming hold no timer up for ever.
//!
//! ```text
//!          due            the worker asks          everything before the ends is handled
//!   rest -------> wanted ----------------> waiting ------------------------------------> firing
//!     ^                                                                                   |
//!     +------------------------ nothing is left that was due then ------------------------+
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use crate::fault::Fault;
use crate::id::{Offset, Timestamp, TopicPartition};
use crate::io::{Limit, TimerClock};
use crate::sabotage::{self, Rule};
use crate::task::run::{Goal, Run};
use crate::task::spec::TIMERS;
use crate::task::state::agenda::Matter;
use crate::task::{Surroundings, Task, Turn};

/// Ends are asked for this often at most: a request for each partition, while the worker's records wait.
const ASK_INTERVAL: Duration = Duration::from_millis(500);

/// What timers wait for.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// The times when the ends were asked for: timers that were due then may fire behind them.
    until: Option<Times>,
    ends: BTreeMap<TopicPartition, Offset>,
    /// When the ends were told.
    told: Option<Duration>,
    is_wanted: bool,
}

#[derive(Clone, Copy, Debug)]
struct Times {
    stream: Timestamp,
    wall: Timestamp,
}

impl Times {
    fn of(self, clock: TimerClock) -> Timestamp {
        match clock {
            TimerClock::StreamTime => self.stream,
            TimerClock::WallClock => self.wall,
        }
    }
}

impl Task {
    /// Whether timers wait for somebody to tell the ends of its partitions.
    pub fn wants_ends(&self) -> bool {
        self.gate.is_wanted && self.is_open()
    }

    /// The stable ends of its partitions, asked for not before these times of the wall clock and of the clock that never goes
    /// back.
    pub fn ends(&mut self, ends: Vec<(TopicPartition, Offset)>, (wall, elapsed): (Timestamp, Duration)) {
        let until = Some(Times { stream: self.stream_time, wall });
        let ends = ends.into_iter().collect();
        self.gate = Gate { until, ends, told: Some(elapsed), is_wanted: false };
    }

    /// Makes a run of timers that are due, when it is their turn.
    pub(super) fn timer_turn(&mut self, around: &Surroundings<'_>) -> Result<Option<Turn>, Fault> {
        if !self.spec.state.timers {
            return Ok(None);
        }
        let times = Times { stream: self.stream_time, wall: around.now };
        for clock in TimerClock::ALL {
            let now = times.of(clock);
            let due = self.state.next_due(Matter::of(clock))?.filter(|due| *due <= now);
            let Some(due) = due else { continue };
            if let Some(until) = self.open_until(clock, due, now, around.elapsed) {
                return self.fire(clock, until).map(Some);
            }
        }
        Ok(None)
    }

    /// Until when timers of a clock may fire, if the first of them may, which is due.
    fn open_until(
        &mut self,
        clock: TimerClock,
        due: Timestamp,
        now: Timestamp,
        elapsed: Duration,
    ) -> Option<Timestamp> {
        if sabotage::breaks(Rule::TimerBehindRecords) {
            return Some(now);
        }
        let is_passed = self.is_behind_gate();
        let until = self.gate.until.map(|times| times.of(clock)).filter(|until| due <= *until);
        if until.is_some() && is_passed {
            return until;
        }
        let may_ask = self.gate.told.is_none_or(|told| elapsed.saturating_sub(told) >= ASK_INTERVAL);
        // While records before the ends are still to be handled, the answer would only move away.
        self.gate.is_wanted |= until.is_none() && (self.gate.until.is_none() || is_passed) && may_ask;
        None
    }

    fn is_behind_gate(&self) -> bool {
        self.buffer
            .inputs()
            .iter()
            .all(|input| self.gate.ends.get(input.place()).is_none_or(|end| input.position() >= *end))
    }

    fn fire(&mut self, clock: TimerClock, until: Timestamp) -> Result<Turn, Fault> {
        let limit = Limit { rows: self.spec.batch.records.max(1), bytes: self.spec.batch.bytes };
        let timers = self.state.due_timers(clock, until, limit)?;
        if timers.is_empty() {
            return Ok(Turn::Searching);
        }
        let until = timers.last().map(|last| last.offset()).unwrap_or_default();
        let mut run = Run::new((TIMERS, self.id.partition), timers, until);
        run.goal = Goal::Timers(clock);
        self.culprits.mark(&mut run);
        self.runs.push_front(run);
        Ok(Turn::Searching)
    }
}
