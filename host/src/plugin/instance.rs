//! One running copy of a plugin.

use std::sync::Arc;

use wasmtime::{Store, UpdateDeadline};

use crate::config::pipeline::Limits;
use crate::id::TaskId;
use crate::io::{
    Answered, Batch, CallError, Instance, Outcome, Responses, State, Step, StepOutcome, Stepped, Terms,
    TimersDue,
};
use crate::plugin::bindings::v0_1::gristmill::transform::types::Failure;
use crate::plugin::component::Component;
use crate::plugin::context::{Context, Times};
use crate::plugin::exports::Exports;
use crate::plugin::failure::{call_error, trap};
use crate::plugin::input::Input;
use crate::plugin::limits::Deadline;
use crate::plugin::outcome::outcome;
use crate::plugin::terms::{Rows, terms};
use crate::plugin::text::harmless;
use crate::plugin::{notice, step, ticker};
use crate::record::Chunk;

/// Bytes of a failure's message.
const TEXT_BYTES_MAX: usize = 4 << 10;

/// Bytes that the host holds for one output record and its headers while it takes an answer over.
const OUTPUT_SLOT_BYTES: u64 = 128;

/// What rejections, skip codes and arguments of imported functions may take beside the outputs of a call.
const OVERHEAD_BYTES: u64 = 1 << 20;

/// A component that runs, with its memory and its limits.
pub(crate) struct WasmInstance {
    store: Store<Context>,
    exports: Exports,
    limits: Limits,
    input: Input,
    rows: Rows,
    /// Above it a fresh instance is better.
    high_water_bytes: usize,
    /// An earlier call failed: its memory may be in any state.
    has_failed: bool,
    /// The clock of the guests stands still when the last owner of the runtime is gone.
    _component: Arc<Component>,
}

impl WasmInstance {
    /// Makes an instance and does not call it yet. Without a task it is one that is only looked at, and silent.
    ///
    /// # Errors
    /// Why it could not be made: its start function trapped, or it wants more memory than it is granted.
    pub(crate) fn new(
        component: &Arc<Component>,
        task: Option<TaskId>,
        config_json: Arc<str>,
        limits: Limits,
    ) -> Result<Self, CallError> {
        let context = Context::new(task, config_json, limits.memory_bytes);
        let mut store = Store::new(component.engine(), context);
        store.limiter(|context| &mut context.memory);
        store.epoch_deadline_callback(|context| {
            let extension = context.data().deadline.extension();
            Ok(extension.map_or(UpdateDeadline::Interrupt, UpdateDeadline::Continue))
        });
        store.set_hostcall_fuel(hostcall_fuel(&limits));
        let made = during_call(&mut store, &limits, |store| component.exports().instantiate(store));
        let exports = made?;
        Ok(Self {
            store,
            exports,
            limits,
            input: Input::default(),
            rows: Rows::default(),
            high_water_bytes: usize::MAX,
            has_failed: false,
            _component: Arc::clone(component),
        })
    }

    /// Asks for the manifest.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn manifest(&mut self) -> Result<String, CallError> {
        let processor = &self.exports.processor;
        during_call(&mut self.store, &self.limits, |store| processor.call_manifest(store))
    }

    /// Lets the plugin start.
    ///
    /// # Errors
    /// Why it failed; what the plugin itself has to say is `Fatal`.
    pub(crate) fn init(&mut self) -> Result<(), CallError> {
        let processor = &self.exports.processor;
        let answer = during_call(&mut self.store, &self.limits, |store| processor.call_init(store))?;
        answer.map_err(|message| CallError::Fatal(harmless(&message, TEXT_BYTES_MAX)))?;
        self.high_water_bytes = high_water(self.store.data().memory.used_bytes(), self.limits.memory_bytes);
        Ok(())
    }

    /// Makes a call that is lent the state.
    fn lending<T>(
        &mut self,
        state: Box<dyn State>,
        times: Times,
        call: impl FnOnce(&mut Self) -> Result<T, CallError>,
    ) -> (Result<T, CallError>, Box<dyn State>) {
        self.store.data_mut().lend(state, times);
        let answer = self.unless_failed(call);
        (answer, self.store.data_mut().take_back())
    }

    /// Makes a call, unless an earlier one has failed.
    fn unless_failed<T>(
        &mut self,
        call: impl FnOnce(&mut Self) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        if self.has_failed {
            return Err(trap("the instance has failed before and is not called again"));
        }
        // Only a call that comes to its end says otherwise.
        self.has_failed = true;
        let answer = call(self);
        self.has_failed = answer.is_err();
        answer
    }

    fn call_process(&mut self, batch: &Batch<'_>) -> Result<Outcome, CallError> {
        let (processor, input) = (&self.exports.processor, self.input.fill(batch));
        let answer =
            during_call(&mut self.store, &self.limits, |store| processor.call_process(store, input))?;
        let measurements = self.store.data_mut().measurements.take();
        outcome(answer.map_err(failure)?, measurements, &self.limits)
    }

    fn call_timers(&mut self, call: &TimersDue<'_>) -> Result<Outcome, CallError> {
        let Some(handler) = &self.exports.timer_handler else {
            return Err(trap(format!("the plugin takes no timers, and {} are due", call.due.len())));
        };
        let due = notice::timers(call.due);
        let answer = during_call(&mut self.store, &self.limits, |store| handler.call_on_timers(store, &due))?;
        let measurements = self.store.data_mut().measurements.take();
        outcome(answer.map_err(failure)?, measurements, &self.limits)
    }

    fn call_responses(&mut self, call: &Responses<'_>) -> Result<Outcome, CallError> {
        let Some(handler) = &self.exports.callout_handler else {
            return Err(trap(format!("the plugin takes no answers, and there are {}", call.responses.len())));
        };
        let headers = notice::headers(call.responses);
        let responses = notice::responses(call.responses, &headers)?;
        let answer =
            during_call(&mut self.store, &self.limits, |store| handler.call_on_responses(store, &responses))?;
        let measurements = self.store.data_mut().measurements.take();
        outcome(answer.map_err(failure)?, measurements, &self.limits)
    }

    fn call_step(&mut self, step: &Step<'_>) -> Result<StepOutcome, CallError> {
        let Some(handler) = &self.exports.job_handler else {
            return Err(trap(format!("the plugin does no jobs, and none of kind `{}`", step.job.kind)));
        };
        let job = step::job(step.job);
        let answer =
            during_call(&mut self.store, &self.limits, |store| handler.call_on_job(store, job, step.budget))?;
        let measurements = self.store.data_mut().measurements.take();
        step::step(answer.map_err(failure)?, measurements, &self.limits)
    }

    fn call_index(&mut self, index: &str, rows: &Chunk) -> Result<Terms, CallError> {
        let Some(indexer) = &self.exports.indexer else {
            return Err(trap(format!("the plugin has no indexes, and none with the name `{index}`")));
        };
        let entries = self.rows.fill(rows);
        self.store.data_mut().set_pure(true);
        let answer = during_call(&mut self.store, &self.limits, |store| {
            indexer.call_index(store, index, entries, rows.bytes())
        });
        self.store.data_mut().set_pure(false);
        terms(answer?, rows.len(), &self.limits)
    }
}

/// What a plugin says of a whole call.
fn failure(failure: Failure) -> CallError {
    match failure {
        Failure::Retry(message) => CallError::Retry(harmless(&message, TEXT_BYTES_MAX)),
        Failure::Fatal(message) => CallError::Fatal(harmless(&message, TEXT_BYTES_MAX)),
    }
}

impl Instance for WasmInstance {
    fn process(&mut self, batch: Batch<'_>, state: Box<dyn State>) -> Answered {
        let times = Times { now: batch.now, stream_time: batch.stream_time };
        let (answer, state) = self.lending(state, times, |instance| instance.call_process(&batch));
        Answered { answer, state }
    }

    fn index(&mut self, index: &str, rows: &Chunk) -> Result<Terms, CallError> {
        self.unless_failed(|instance| instance.call_index(index, rows))
    }

    fn step(&mut self, step: Step<'_>, state: Box<dyn State>) -> Stepped {
        let times = Times { now: step.now, stream_time: step.stream_time };
        let (answer, state) = self.lending(state, times, |instance| instance.call_step(&step));
        Stepped { answer, state }
    }

    fn timers(&mut self, call: TimersDue<'_>, state: Box<dyn State>) -> Answered {
        let times = Times { now: call.now, stream_time: call.stream_time };
        let (answer, state) = self.lending(state, times, |instance| instance.call_timers(&call));
        Answered { answer, state }
    }

    fn responses(&mut self, call: Responses<'_>, state: Box<dyn State>) -> Answered {
        let times = Times { now: call.now, stream_time: call.stream_time };
        let (answer, state) = self.lending(state, times, |instance| instance.call_responses(&call));
        Answered { answer, state }
    }

    fn is_spent(&self) -> bool {
        self.store.data().memory.used_bytes() > self.high_water_bytes
    }
}

/// Calls the guest, within its limits.
fn during_call<T>(
    store: &mut Store<Context>,
    limits: &Limits,
    call: impl FnOnce(&mut Store<Context>) -> wasmtime::Result<T>,
) -> Result<T, CallError> {
    let context = store.data_mut();
    context.memory.forget_refused();
    context.voice.begin(limits.log_bytes);
    context.deadline = Deadline::start(limits.call);
    store.set_epoch_deadline(ticker::ticks(limits.call));
    let answer = call(store);
    let words = store.data_mut().voice.end();
    answer.map_err(|error| call_error(&error, words, store.data()))
}

/// How much the guest may make the host copy in one call of either side.
fn hostcall_fuel(limits: &Limits) -> usize {
    let slots = u64::from(limits.output_records).saturating_mul(OUTPUT_SLOT_BYTES);
    let fuel = limits.output_bytes.saturating_add(slots).saturating_add(OVERHEAD_BYTES);
    usize::try_from(fuel).unwrap_or(usize::MAX)
}

/// A guest that keeps three quarters of what it had left after its start has most likely fragmented or lost it: memory
/// never shrinks.
fn high_water(used_bytes: usize, limit_bytes: u64) -> usize {
    let limit_bytes = usize::try_from(limit_bytes).unwrap_or(usize::MAX);
    used_bytes.saturating_add(limit_bytes.saturating_sub(used_bytes) / 4 * 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn puts_the_high_water_mark_between_the_start_and_the_limit() {
        assert_eq!(high_water(0, 100), 75);
        assert_eq!(high_water(60, 100), 90);
        assert_eq!(high_water(100, 100), 100);
    }
}
