//! What the host keeps beside an instance: its limits, and what a call is lent and leaves behind.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::id::{TaskId, Timestamp};
use crate::io::{NoState, State, StateError};
use crate::plugin::imports::log::Voice;
use crate::plugin::imports::metrics::Measurements;
use crate::plugin::limits::{Deadline, Memory};

/// The host's side of one instance.
pub(crate) struct Context {
    /// What it may use.
    pub(crate) memory: Memory,
    /// Until when the current call may compute.
    pub(crate) deadline: Deadline,
    /// The plugin's configuration.
    pub(crate) config_json: Arc<str>,
    /// The state that the current call is lent; nothing between calls.
    state: Box<dyn State>,
    /// What time it is during the current call; none when it is lent no state.
    times: Option<Times>,
    /// Whether the current call is one that must be pure.
    is_pure: bool,
    /// What it has said.
    pub(crate) voice: Voice,
    /// What it has measured.
    pub(crate) measurements: Measurements,
    /// Handles of stores that the guest has not given back.
    pub(crate) open_stores: u32,
}

/// What time it is during a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// Wall clock when the call began.
    pub(crate) now: Timestamp,
    /// The highest timestamp that the task has seen.
    pub(crate) stream_time: Timestamp,
}

impl Context {
    /// The host's side of a new instance. Without a task it is one that is only looked at.
    pub(crate) fn new(task: Option<TaskId>, config_json: Arc<str>, memory_bytes: u64) -> Self {
        Self {
            memory: Memory::new(memory_bytes),
            deadline: Deadline::start(Duration::ZERO),
            config_json,
            state: Box::new(NoState),
            times: None,
            is_pure: false,
            voice: Voice::new(task),
            measurements: Measurements::default(),
            open_stores: 0,
        }
    }

    /// Lends the task's state to a call.
    pub(crate) fn lend(&mut self, state: Box<dyn State>, times: Times) {
        self.state = state;
        self.times = Some(times);
    }

    /// Takes back what was lent.
    pub(crate) fn take_back(&mut self) -> Box<dyn State> {
        self.times = None;
        std::mem::replace(&mut self.state, Box::new(NoState))
    }

    /// Says whether the call that begins must be pure.
    pub(crate) fn set_pure(&mut self, is_pure: bool) {
        self.is_pure = is_pure;
    }

    /// Checks that the current call may do more than compute.
    ///
    /// # Errors
    /// A trap inside `indexer.index`.
    pub(crate) fn check_impure(&self) -> wasmtime::Result<()> {
        if self.is_pure {
            return Err(refusal("`indexer.index` is pure: it may use `log` and `config`, and nothing else"));
        }
        Ok(())
    }

    /// What time it is.
    ///
    /// # Errors
    /// A trap in a call that is lent no state.
    pub(crate) fn times(&self) -> wasmtime::Result<Times> {
        self.check_impure()?;
        self.times.ok_or_else(|| refusal("state and time are not available while an instance starts"))
    }

    /// The task's state.
    ///
    /// # Errors
    /// As [`Context::times`].
    pub(crate) fn state(&self) -> wasmtime::Result<&dyn State> {
        self.times().map(|_| &*self.state)
    }

    /// The task's state, to change it.
    ///
    /// # Errors
    /// As [`Context::times`].
    pub(crate) fn state_mut(&mut self) -> wasmtime::Result<&mut dyn State> {
        self.times()?;
        Ok(&mut *self.state)
    }
}

/// What the host refuses a guest: ends the call, and its text is what the trap says.
#[derive(Debug)]
pub(crate) struct Refusal(String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

/// Why the state has no answer, as the error of an imported function. A fault of the host stays one: it is not the guest's.
pub(crate) fn no_answer(error: StateError) -> wasmtime::Error {
    match error {
        StateError::Refused(message) => refusal(message),
        StateError::Failed(fault) => wasmtime::Error::new(fault),
    }
}

/// A refusal as the error of an imported function.
pub(crate) fn refusal(message: impl Into<String>) -> wasmtime::Error {
    wasmtime::Error::new(Refusal(message.into()))
}
