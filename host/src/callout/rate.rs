//! The rate of an endpoint: never more than so many requests in any second.

use std::collections::VecDeque;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// When the last requests were allowed. Times are those of [`crate::clock::Clock::elapsed`].
#[derive(Debug)]
pub(super) struct Rate {
    per_second: Option<usize>,
    allowed: VecDeque<Duration>,
}

impl Rate {
    /// No limit when there is none.
    pub(super) fn new(per_second: Option<u32>) -> Self {
        Self { per_second: per_second.map(|count| count as usize), allowed: VecDeque::new() }
    }

    /// Allows a request now.
    ///
    /// # Errors
    /// How long it has to wait.
    pub(super) fn take(&mut self, now: Duration) -> Result<(), Duration> {
        let Some(per_second) = self.per_second else { return Ok(()) };
        while self.allowed.front().is_some_and(|first| now.saturating_sub(*first) >= SECOND) {
            self.allowed.pop_front();
        }
        match self.allowed.front() {
            Some(first) if self.allowed.len() >= per_second => Err((*first + SECOND).saturating_sub(now)),
            _ => {
                self.allowed.push_back(now);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_allows_more_than_its_number_in_any_second() {
        let mut rate = Rate::new(Some(3));
        let times = (0..100).map(|step| Duration::from_millis(step * 70));

        let allowed: Vec<_> = times.filter(|now| rate.take(*now).is_ok()).collect();

        assert!(allowed.len() > 15, "{allowed:?}");
        assert!(allowed.windows(4).all(|four| four[3] - four[0] >= SECOND), "{allowed:?}");
    }

    #[test]
    fn says_how_long_to_wait() {
        let mut rate = Rate::new(Some(1));
        assert_eq!(rate.take(Duration::from_millis(100)), Ok(()));
        assert_eq!(rate.take(Duration::from_millis(400)), Err(Duration::from_millis(700)));
        assert_eq!(rate.take(Duration::from_millis(1100)), Ok(()));
    }

    #[test]
    fn has_no_limit_unless_one_is_set() {
        let mut rate = Rate::new(None);
        assert!((0..10_000).all(|_| rate.take(Duration::ZERO).is_ok()));
    }
}
