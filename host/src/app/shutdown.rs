//! The request to stop: set by a signal or by hand, seen by every worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};

use crate::fault::{Code, Fault};

/// What becomes of a worker's place in its group when the process ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Departure {
    /// It is kept until the session ends: a restart takes the same partitions up again, and nobody else is disturbed.
    Stay,
    /// It is given up: the others get the partitions at once.
    Leave,
}

/// A flag that workers look at between two turns. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    requested: Arc<AtomicBool>,
}

impl Shutdown {
    /// A flag that SIGTERM and SIGINT set. The second signal ends the process at once: nothing uncommitted is lost, it is
    /// processed again at the next start.
    ///
    /// # Errors
    /// `internal` when the handlers cannot be installed.
    pub fn on_signals() -> Result<Self, Fault> {
        let shutdown = Self::default();
        for signal in [SIGTERM, SIGINT] {
            // The order matters: the first handler ends the process if the flag is set already, the second sets it.
            signal_hook::flag::register_conditional_shutdown(signal, 3, Arc::clone(&shutdown.requested))
                .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&shutdown.requested)))
                .map_err(|error| {
                    Fault::new(Code::Internal, "the signal handlers cannot be installed").because(error)
                })?;
        }
        Ok(shutdown)
    }

    /// Asks everybody to stop.
    pub fn request(&self) {
        self.requested.store(true, Ordering::SeqCst);
    }

    /// Whether somebody asked.
    pub fn is_requested(&self) -> bool {
        self.requested.load(Ordering::SeqCst)
    }
}
