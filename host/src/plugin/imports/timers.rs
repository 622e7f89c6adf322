//! `timers`: the time of the call, and appointments, through the port that the call was lent.

use crate::id::Timestamp;
use crate::io::{Timer, TimerClock};
use crate::plugin::bindings::v0_1::gristmill::transform::timers;
use crate::plugin::context::{Context, no_answer, refusal};
use crate::plugin::step::CURSOR_BYTES_MAX;

/// Bytes of a timer's name: it is a part of a key.
const NAME_BYTES_MAX: usize = 16 << 10;

impl timers::Host for Context {
    fn now(&mut self, clock: timers::Clock) -> wasmtime::Result<i64> {
        let times = self.times()?;
        Ok(match clock {
            timers::Clock::WallClock => times.now.0,
            timers::Clock::StreamTime => times.stream_time.0,
        })
    }

    fn set(&mut self, timer: timers::TimerResult) -> wasmtime::Result<()> {
        let state = self.state_mut()?;
        check_name(&timer.name)?;
        if timer.payload.len() > CURSOR_BYTES_MAX {
            let len = timer.payload.len();
            return Err(refusal(format!(
                "the payload of a timer has {len} bytes, at most {CURSOR_BYTES_MAX} are kept"
            )));
        }
        let timers::TimerResult { clock: by, name, due, payload } = timer;
        state.set_timer(&Timer { clock: clock(by), name, due: Timestamp(due), payload }).map_err(no_answer)
    }

    fn cancel(&mut self, by: timers::Clock, name: Vec<u8>) -> wasmtime::Result<()> {
        let state = self.state_mut()?;
        check_name(&name)?;
        state.cancel_timer(clock(by), &name).map_err(no_answer)
    }
}

fn clock(clock: timers::Clock) -> TimerClock {
    match clock {
        timers::Clock::WallClock => TimerClock::WallClock,
        timers::Clock::StreamTime => TimerClock::StreamTime,
    }
}

fn check_name(name: &[u8]) -> wasmtime::Result<()> {
    if name.len() <= NAME_BYTES_MAX {
        return Ok(());
    }
    let len = name.len();
    Err(refusal(format!("the name of a timer has {len} bytes, at most {NAME_BYTES_MAX} are kept")))
}
