//! What the host keeps beside an instance: its limits, and what a call is lent and leaves behind.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::id::{TaskId, Timestamp};
use crate::io::{NoState, State};
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
    /// What time it is during the current call; none between calls.
    times: Option<Times>,
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

    /// What time it is.
    ///
    /// # Errors
    /// A trap outside of `process`.
    pub(crate) fn times(&self) -> wasmtime::Result<Times> {
        self.times.ok_or_else(|| refusal("state and time are not available outside of `process`"))
    }

    /// The task's state.
    ///
    /// # Errors
    /// A trap outside of `process`.
    pub(crate) fn state(&self) -> wasmtime::Result<&dyn State> {
        self.times().map(|_| &*self.state)
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

/// A refusal as the error of an imported function.
pub(crate) fn refusal(message: impl Into<String>) -> wasmtime::Error {
    wasmtime::Error::new(Refusal(message.into()))
}
