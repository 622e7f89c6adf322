//! A timer as it is kept in state.
//!
//! ```text
//! 01        version of the format
//! number    tells it from the timers of the same name before it
//! due       8 bytes, the highest first
//! payload   the rest
//! ```

use crate::fault::Fault;
use crate::id::{Offset, Timestamp};
use crate::io::{Limit, StateError, Timer, TimerClock};
use crate::record::Chunk;
use crate::sabotage::{self, Rule};
use crate::task::state::TaskState;
use crate::task::state::agenda::Matter;
use crate::task::state::bytes::{Reader, put_number};
use crate::task::state::key::{self, Kind};

const VERSION: u8 = 1;

/// A timer without what is in its key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct TimerRow {
    pub(crate) number: u64,
    pub(crate) due: Timestamp,
    pub(crate) payload: Vec<u8>,
}

impl TimerRow {
    fn write(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_number(&mut out, self.number);
        out.extend_from_slice(&self.due.0.to_be_bytes());
        out.extend_from_slice(&self.payload);
        out
    }

    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        (reader.byte()? == VERSION).then_some(())?;
        let number = reader.number()?;
        let (due, payload) = reader.rest().split_first_chunk()?;
        Some(Self { number, due: Timestamp(i64::from_be_bytes(*due)), payload: payload.to_vec() })
    }
}

fn prefix(clock: TimerClock) -> Vec<u8> {
    let clock = match clock {
        TimerClock::StreamTime => "stream",
        TimerClock::WallClock => "wall",
    };
    key::prefix(Kind::Timer, clock)
}

fn key_of(clock: TimerClock, name: &[u8]) -> Vec<u8> {
    key::below(&prefix(clock), name)
}

/// The clock and the name in a key of a timer.
pub(super) fn name_in(key: &[u8]) -> Option<(TimerClock, &[u8])> {
    if key.first() != Some(&(Kind::Timer as u8)) {
        return None;
    }
    TimerClock::ALL.into_iter().find_map(|clock| Some((clock, key.strip_prefix(prefix(clock).as_slice())?)))
}

impl TaskState {
    /// Sets a timer, as part of the call.
    pub(super) fn write_timer(&mut self, timer: &Timer) -> Result<(), StateError> {
        self.check_timer(&timer.name)?;
        let Timer { clock, name, due, payload } = timer;
        let own = key_of(*clock, name);
        self.drop_timer_entry(*clock, name).map_err(StateError::Failed)?;
        self.generation.call += 1;
        let row = TimerRow { number: self.generation.call, due: *due, payload: payload.clone() }.write();
        self.charge(own.len().saturating_mul(2).saturating_add(row.len()))?;
        self.call.set(own, Some(row));
        self.put_entry(Matter::of(*clock), *due, name);
        self.has_written = true;
        Ok(())
    }

    /// Forgets a timer, as part of the call.
    pub(super) fn remove_timer(&mut self, clock: TimerClock, name: &[u8]) -> Result<(), StateError> {
        self.check_timer(name)?;
        if self.drop_timer_entry(clock, name).map_err(StateError::Failed)? {
            self.call.set(key_of(clock, name), None);
            self.has_written = true;
        }
        Ok(())
    }

    fn check_timer(&self, name: &[u8]) -> Result<(), StateError> {
        if !self.layout.timers {
            return Err(StateError::Refused("the plugin exports no `timer-handler`".to_owned()));
        }
        let (len, most) = (name.len(), key::ROW_KEY_MAX);
        if len > most {
            return Err(StateError::Refused(format!(
                "a timer's name of {len} bytes, and {most} are the most"
            )));
        }
        Ok(())
    }

    /// Removes the entry of a timer, and tells whether there is such a timer.
    fn drop_timer_entry(&mut self, clock: TimerClock, name: &[u8]) -> Result<bool, Fault> {
        let row = self.get_local(&key_of(clock, name))?;
        let Some(row) = row.and_then(|row| TimerRow::read(&row)) else { return Ok(false) };
        self.drop_entry(Matter::of(clock), row.due, name);
        Ok(true)
    }

    /// The first timers of a clock that are due until a time, as records: name, payload, due, number. Entries of timers that
    /// were set anew or forgotten are removed on the way.
    pub(crate) fn due_timers(
        &mut self,
        clock: TimerClock,
        until: Timestamp,
        limit: Limit,
    ) -> Result<Chunk, Fault> {
        let matter = Matter::of(clock);
        let mut timers = Chunk::new();
        for (due, name) in self.due(matter, until, limit.rows)?.entries {
            let row = self.get_local(&key_of(clock, &name))?;
            let row = row.and_then(|row| TimerRow::read(&row)).filter(|row| row.due == due);
            let Some(row) = row else {
                // It is wrong in the committed state too: within a transaction entries go with their rows.
                self.transaction.set(matter.entry(due, &name), None);
                self.agenda.drop_head(matter);
                continue;
            };
            let offset = Offset(i64::try_from(row.number).unwrap_or(i64::MAX));
            timers.push(Some(&name), Some(&row.payload), [], (due, offset));
            if timers.size_bytes() >= limit.bytes {
                break;
            }
        }
        Ok(timers)
    }

    /// Removes timers that are about to be handed to the plugin, as part of the call.
    pub(crate) fn take_timers(&mut self, clock: TimerClock, timers: &Chunk) {
        let matter = Matter::of(clock);
        for timer in timers.iter() {
            let Some(name) = timer.key() else { continue };
            self.call.set(key_of(clock, name), None);
            self.drop_entry(matter, timer.timestamp(), name);
            self.pass_entry(matter, timer.timestamp(), name);
            if sabotage::breaks(Rule::TimerWithCommit) {
                self.remove_unsafely(&key_of(clock, name));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_wrote() {
        let row = TimerRow { number: 300, due: Timestamp(-5), payload: b"p".to_vec() };

        assert_eq!(TimerRow::read(&row.write()), Some(row));
        assert_eq!(TimerRow::read(&[VERSION, 1, 0, 0]), None);
        assert_eq!(name_in(&key_of(TimerClock::WallClock, b"n")), Some((TimerClock::WallClock, &b"n"[..])));
    }
}
