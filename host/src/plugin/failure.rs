//! Why a call failed: the engine's errors in the words of the port.

use wasmtime::{Trap, WasmBacktrace};

use crate::fault::{Code, Fault};
use crate::io::CallError;
use crate::plugin::context::{Context, Refusal};
use crate::plugin::imports::log::LastWords;

/// Finds out why a call ended with an error. `words` are what the guest said before.
pub(crate) fn call_error(error: &wasmtime::Error, words: Option<LastWords>, context: &Context) -> CallError {
    if let Some(Trap::Interrupt) = error.downcast_ref::<Trap>() {
        return CallError::Timeout { limit: context.deadline.limit() };
    }
    if let Some(refusal) = error.downcast_ref::<Refusal>() {
        return trap(refusal.to_string());
    }
    if let Some(fault) = error.downcast_ref::<Fault>() {
        return state_error(fault);
    }
    if let Some(wanted) = context.memory.refused_bytes() {
        // Guests end when they get no memory, each in its own way; what counts is why.
        let granted = context.memory.limit_bytes();
        let message = format!("it asked for {wanted} bytes of memory and is granted {granted}");
        return CallError::Limit { code: Code::MemoryLimit, message };
    }
    if is_flood(error) {
        let message = "it handed more data to the host at once than it is granted".to_owned();
        return CallError::Limit { code: Code::OutputLimit, message };
    }
    match words {
        Some(LastWords { message, location }) => CallError::Trap { message, location },
        None => CallError::Trap { message: engine_words(error), location: None },
    }
}

/// The host's own trouble, with its causes: whoever gets the error has no other way to them.
fn state_error(fault: &Fault) -> CallError {
    let message = match fault.cause() {
        cause if cause.is_empty() => fault.message().to_owned(),
        cause => format!("{}: {cause}", fault.message()),
    };
    CallError::State { code: fault.code(), message }
}

/// Whether the guest made the host copy more than the store's fuel for that allows. The engine keeps the type of this
/// error to itself, so its text has to do; the test of an output bomb holds it.
fn is_flood(error: &wasmtime::Error) -> bool {
    error.root_cause().to_string().contains("fuel allocated for hostcalls has been exhausted")
}

/// The engine's name for a trap, and the function that it happened in.
fn engine_words(error: &wasmtime::Error) -> String {
    let cause = error.root_cause();
    let frames = error.downcast_ref::<WasmBacktrace>().map(WasmBacktrace::frames).unwrap_or_default();
    match frames.iter().find_map(|frame| frame.func_name()) {
        Some(function) => format!("{cause}, in `{function}`"),
        None => cause.to_string(),
    }
}

/// A trap of which the host itself says why.
pub(crate) fn trap(message: impl Into<String>) -> CallError {
    CallError::Trap { message: message.into(), location: None }
}

/// Why a call failed, as the cause of a fault.
pub(crate) fn cause(error: CallError) -> String {
    match error {
        CallError::Trap { message, location: Some(location) } => {
            format!("it panicked at {location}: {message}")
        }
        CallError::Trap { message, location: None } => format!("it trapped: {message}"),
        CallError::Timeout { limit } => format!("it computed longer than {limit:?}"),
        CallError::Limit { message, .. }
        | CallError::State { message, .. }
        | CallError::Retry(message)
        | CallError::Fatal(message) => message,
    }
}
