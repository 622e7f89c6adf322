//! Work on a thread of its own that ends with whoever has started it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::fault::{Code, Fault};

/// A thread. Dropping this asks it to end and waits until it has.
pub(super) struct Errand {
    is_over: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<Result<(), Fault>>>>,
}

impl Errand {
    /// Starts it. `work` looks at the flag now and then, and ends when it is set.
    ///
    /// # Errors
    /// `internal`.
    pub(super) fn start(
        name: &str,
        work: impl FnOnce(&AtomicBool) -> Result<(), Fault> + Send + 'static,
    ) -> Result<Self, Fault> {
        let is_over = Arc::new(AtomicBool::new(false));
        let own = Arc::clone(&is_over);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || work(&own));
        let thread = thread
            .map_err(|error| Fault::new(Code::Internal, "a thread cannot be started").because(error))?;
        Ok(Self { is_over, thread: Mutex::new(Some(thread)) })
    }

    /// Why it has failed, if it has ended and did.
    pub(super) fn failure(&self) -> Option<Fault> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        thread.take_if(|thread| thread.is_finished()).and_then(|thread| join(thread).err())
    }

    /// Waits for its own end.
    ///
    /// # Errors
    /// What the work ends with.
    pub(super) fn finish(self) -> Result<(), Fault> {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        thread.map_or(Ok(()), join)
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Nobody asks any more what it ends with.
        drop(thread.map(join));
    }
}

fn join(thread: JoinHandle<Result<(), Fault>>) -> Result<(), Fault> {
    thread.join().map_err(|_| Fault::new(Code::Internal, "a thread of the demo panicked"))?
}
