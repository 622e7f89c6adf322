//! The rate of an ingest of HTTP: so many requests in a second, in a few bytes however many they are.

use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Requests may come this much sooner than evenly spread, so that those that come together are not refused for it.
const SLACK: Duration = Duration::from_millis(100);

/// When the next request is due. Times are those of [`crate::clock::Clock::elapsed`].
#[derive(Debug)]
pub(super) struct Rate {
    /// Time between requests that are evenly spread; none is no limit.
    gap: Option<Duration>,
    due: Duration,
}

impl Rate {
    /// No limit when there is none.
    pub(super) fn new(per_second: Option<u32>) -> Self {
        Self { gap: per_second.filter(|count| *count > 0).map(|count| SECOND / count), due: Duration::ZERO }
    }

    /// Lets a request in now.
    ///
    /// # Errors
    /// How long it has to wait.
    pub(super) fn take(&mut self, now: Duration) -> Result<(), Duration> {
        let Some(gap) = self.gap else { return Ok(()) };
        let earliest = self.due.saturating_sub(SLACK);
        if now < earliest {
            return Err(earliest - now);
        }
        self.due = self.due.max(now) + gap;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(per_second: u32, every: Duration, seconds: u32) -> usize {
        let mut rate = Rate::new(Some(per_second));
        let steps = Duration::from_secs(u64::from(seconds)).as_micros() / every.as_micros();
        let mut now = Duration::ZERO;
        (0..steps)
            .filter(|_| {
                now += every;
                rate.take(now).is_ok()
            })
            .count()
    }

    #[test]
    fn lets_in_so_many_in_a_second_and_a_tenth_more_at_once() {
        let count = allowed(1_000, Duration::from_micros(100), 10);

        assert!((10_000..=10_101).contains(&count), "{count}");
    }

    #[test]
    fn says_how_long_to_wait_and_lets_the_next_one_in_then() {
        let mut rate = Rate::new(Some(1));
        let now = Duration::from_secs(5);
        assert_eq!(rate.take(now), Ok(()));

        let wait = rate.take(now).unwrap_err();

        assert_eq!(wait, Duration::from_millis(900));
        assert_eq!(rate.take(now + wait), Ok(()));
    }

    #[test]
    fn has_no_limit_unless_one_is_set() {
        let mut rate = Rate::new(None);

        assert!((0..100_000).all(|_| rate.take(Duration::ZERO).is_ok()));
    }
}
