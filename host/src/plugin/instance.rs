//! One running copy of a plugin.

use std::sync::Arc;

use wasmtime::{Store, UpdateDeadline};

use crate::config::pipeline::Limits;
use crate::id::TaskId;
use crate::io::{Answered, Batch, CallError, Instance, Outcome, State};
use crate::plugin::bindings::v0_1::Transform as Exports;
use crate::plugin::bindings::v0_1::gristmill::transform::types::Failure;
use crate::plugin::component::Component;
use crate::plugin::context::{Context, Times};
use crate::plugin::failure::call_error;
use crate::plugin::input::Input;
use crate::plugin::limits::Deadline;
use crate::plugin::outcome::outcome;
use crate::plugin::text::harmless;
use crate::plugin::ticker;

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
        let _component = Arc::clone(component);
        let (input, high_water_bytes, has_failed) = (Input::default(), usize::MAX, false);
        Ok(Self { store, exports, limits, input, high_water_bytes, has_failed, _component })
    }

    /// Asks for the manifest.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn manifest(&mut self) -> Result<String, CallError> {
        let processor = self.exports.gristmill_transform_processor();
        during_call(&mut self.store, &self.limits, |store| processor.call_manifest(store))
    }

    /// Lets the plugin start.
    ///
    /// # Errors
    /// Why it failed; what the plugin itself has to say is `Fatal`.
    pub(crate) fn init(&mut self) -> Result<(), CallError> {
        let processor = self.exports.gristmill_transform_processor();
        let answer = during_call(&mut self.store, &self.limits, |store| processor.call_init(store))?;
        answer.map_err(|message| CallError::Fatal(harmless(&message, TEXT_BYTES_MAX)))?;
        self.high_water_bytes = high_water(self.store.data().memory.used_bytes(), self.limits.memory_bytes);
        Ok(())
    }

    fn call(&mut self, batch: &Batch<'_>) -> Result<Outcome, CallError> {
        let processor = self.exports.gristmill_transform_processor();
        let input = self.input.fill(batch);
        let answer =
            during_call(&mut self.store, &self.limits, |store| processor.call_process(store, input))?;
        let measurements = self.store.data_mut().measurements.take();
        match answer {
            Ok(lifted) => outcome(lifted, measurements, &self.limits),
            Err(Failure::Retry(message)) => Err(CallError::Retry(harmless(&message, TEXT_BYTES_MAX))),
            Err(Failure::Fatal(message)) => Err(CallError::Fatal(harmless(&message, TEXT_BYTES_MAX))),
        }
    }
}

impl Instance for WasmInstance {
    fn process(&mut self, batch: Batch<'_>, state: Box<dyn State>) -> Answered {
        if self.has_failed {
            let message = "the instance has failed before and is not called again".to_owned();
            return Answered { answer: Err(CallError::Trap { message, location: None }), state };
        }
        // Only a call that comes to its end says otherwise.
        self.has_failed = true;
        let times = Times { now: batch.now, stream_time: batch.stream_time };
        self.store.data_mut().lend(state, times);
        let answer = self.call(&batch);
        self.has_failed = answer.is_err();
        Answered { answer, state: self.store.data_mut().take_back() }
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
