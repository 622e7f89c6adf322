//! The clock of all guests: a thread that moves the engine's epoch on.

use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use wasmtime::Engine;

use crate::fault::{Code, Fault};

/// Time between two moves. It bounds how late a deadline is noticed; a move costs nothing worth measuring.
pub(crate) const TICK: Duration = Duration::from_millis(5);

/// Moves the epoch of an engine on, until it is dropped.
pub(crate) struct Ticker {
    /// Its end is the sign to stop.
    alive: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Starts the thread.
    ///
    /// # Errors
    /// `internal`: the system gives no thread.
    pub(crate) fn start(engine: &Engine) -> Result<Self, Fault> {
        let (alive, ended) = mpsc::channel();
        let engine = engine.weak();
        let run = move || {
            while ended.recv_timeout(TICK) == Err(mpsc::RecvTimeoutError::Timeout) {
                let Some(engine) = engine.upgrade() else { return };
                engine.increment_epoch();
            }
        };
        let thread = std::thread::Builder::new().name("plugin-epochs".to_owned()).spawn(run);
        let thread = thread
            .map_err(|error| Fault::new(Code::Internal, "no thread for the plugins' clock").because(error))?;
        Ok(Self { alive: Some(alive), thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.alive.take());
        // A panic of the thread has been printed already, and there is nobody left to tell.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// How many moves a wait takes, rounded up, at least one.
pub(crate) fn ticks(wait: Duration) -> u64 {
    u64::try_from(wait.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_moves_upwards() {
        assert_eq!(ticks(Duration::ZERO), 1);
        assert_eq!(ticks(TICK), 1);
        assert_eq!(ticks(TICK + Duration::from_nanos(1)), 2);
    }
}
