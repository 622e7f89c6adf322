//! Pauses that grow with each failure in a row.

use std::time::Duration;

/// How long to wait before the next attempt.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    /// Pauses from `first`, doubled each time, up to `longest`.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0 }
    }

    /// Counts a failure and tells how long to wait.
    pub fn failed(&mut self) -> Duration {
        let factor = 1u32.checked_shl(self.failures.min(16)).unwrap_or(u32::MAX);
        self.failures = self.failures.saturating_add(1);
        self.first.saturating_mul(factor).min(self.longest)
    }

    /// It works again.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_its_bound_and_starts_over_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(350));

        let pauses: Vec<_> = (0..4).map(|_| backoff.failed().as_millis()).collect();
        backoff.succeeded();

        assert_eq!(pauses, [100, 200, 350, 350]);
        assert_eq!(backoff.failed().as_millis(), 100);
    }
}
