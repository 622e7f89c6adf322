//! The only file that may ask for the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::id::Timestamp;

/// Where a part of the host takes the time from: the system, or a test's hand.
///
/// Cheap to clone; the clones of a manual clock share its hands.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The computer's clock.
    System {
        /// When this clock was made: `elapsed` counts from here.
        started: Instant,
    },
    /// A clock that moves only when it is told to.
    Manual(Arc<ManualHands>),
}

/// The hands of a manual clock, in microseconds.
#[derive(Debug)]
pub struct ManualHands {
    started: i64,
    now: AtomicI64,
}

impl Clock {
    /// The computer's clock.
    pub fn system() -> Self {
        Self::System { started: Instant::now() }
    }

    /// A clock that stands at `now` until it is advanced.
    pub fn manual(now: Timestamp) -> Self {
        let micros = now.0.saturating_mul(1000);
        Self::Manual(Arc::new(ManualHands { started: micros, now: AtomicI64::new(micros) }))
    }

    /// The wall clock. It can jump; measure with [`Clock::elapsed`].
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System { .. } => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
            }
            Self::Manual(hands) => Timestamp(hands.now.load(Ordering::SeqCst) / 1000),
        }
    }

    /// Time since this clock was made. It never goes back.
    pub fn elapsed(&self) -> Duration {
        match self {
            Self::System { started } => started.elapsed(),
            Self::Manual(hands) => {
                let micros = hands.now.load(Ordering::SeqCst).saturating_sub(hands.started);
                Duration::from_micros(u64::try_from(micros).unwrap_or(0))
            }
        }
    }

    /// Moves a manual clock forward; does nothing to the system's.
    pub fn advance(&self, by: Duration) {
        if let Self::Manual(hands) = self {
            let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
            hands.now.fetch_add(micros, Ordering::SeqCst);
        }
    }
}

/// CPU time that the calling thread has used since it started.
///
/// Plugins are charged for what they computed, not for what a busy machine made them wait.
pub fn thread_cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec that outlives the call, and the clock id is a constant of the platform.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    if status != 0 {
        return Duration::ZERO;
    }
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_only_when_it_is_told_to() {
        let clock = Clock::manual(Timestamp(1_000));
        let other = clock.clone();

        clock.advance(Duration::from_millis(250));

        assert_eq!(other.now(), Timestamp(1_250));
        assert_eq!(other.elapsed(), Duration::from_millis(250));
    }
}
