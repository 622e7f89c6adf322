//! How many heavy scenarios run at a time. They share the processors with a broker and several hosts, and they wait for most
//! of their time: for sessions to expire, for slow servers, for brokers to start.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// More would lengthen what each host waits for its broker, and gain little.
const AT_A_TIME: usize = 3;

static RUNNING: Mutex<usize> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();

/// The right to run, until this is dropped.
#[derive(Debug)]
pub struct Turn(());

/// Waits until few enough heavy scenarios run in this program.
pub fn take() -> Turn {
    let running = ENDED.wait_while(running(), |running| *running >= AT_A_TIME);
    *running.unwrap_or_else(PoisonError::into_inner) += 1;
    Turn(())
}

impl Drop for Turn {
    fn drop(&mut self) {
        *running() -= 1;
        ENDED.notify_one();
    }
}

/// A scenario that failed has left nothing behind that matters to the next one.
fn running() -> MutexGuard<'static, usize> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}
