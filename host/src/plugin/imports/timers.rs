//! `timers`: the time of the call. Appointments are refused, because this version of the host keeps none.

use crate::plugin::bindings::v0_1::gristmill::transform::timers;
use crate::plugin::context::{Context, refusal};
use crate::plugin::imports::NOT_YET;

impl timers::Host for Context {
    fn now(&mut self, clock: timers::Clock) -> wasmtime::Result<i64> {
        let times = self.times()?;
        Ok(match clock {
            timers::Clock::WallClock => times.now.0,
            timers::Clock::StreamTime => times.stream_time.0,
        })
    }

    fn set(&mut self, _timer: timers::Timer) -> wasmtime::Result<()> {
        Err(refusal(format!("`timers.set` is {NOT_YET}")))
    }

    fn cancel(&mut self, _clock: timers::Clock, _name: Vec<u8>) -> wasmtime::Result<()> {
        Err(refusal(format!("`timers.cancel` is {NOT_YET}")))
    }
}
