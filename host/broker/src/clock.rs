//! The only file that asks for the time: the system's, or one that a test advances by hand.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

/// Milliseconds since 1970, as Kafka stamps records. All state takes time as this type, as an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Millis(pub(crate) i64);

impl Millis {
    pub(crate) fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }
}

/// Whole milliseconds of a duration, saturating.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A clock that stands still until it is advanced; clones share their time.
///
/// Sessions, rebalances, transactions, retention and compaction follow it. How long a fetch
/// waits for data does not: that is the client's real time.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// A clock that stands at the present time.
    pub fn new() -> Self {
        Self(Arc::new(AtomicI64::new(system_millis())))
    }

    /// Moves the time on. The broker acts on it within its next tick, a few milliseconds later.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(millis(by), Ordering::SeqCst);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

/// Where the broker's time comes from.
#[derive(Debug, Clone)]
pub(crate) enum Clock {
    System,
    Manual(ManualClock),
}

impl Clock {
    pub(crate) fn now(&self) -> Millis {
        match self {
            Self::System => Millis(system_millis()),
            Self::Manual(clock) => Millis(clock.0.load(Ordering::SeqCst)),
        }
    }
}

/// A clock before 1970 reads as 1970.
fn system_millis() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map(millis).unwrap_or(0)
}
