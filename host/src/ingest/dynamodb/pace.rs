//! Pauses of a carry-over: between pages, so that the table's own readers are not throttled, and after what failed.

use std::time::Duration;

use crate::clock::Clock;

/// The first pause after a failure; each further one is twice as long.
const BACKOFF_MIN: Duration = Duration::from_millis(100);

/// The longest pause.
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// Decides when the next request may be made.
#[derive(Debug)]
pub struct Pace {
    clock: Clock,
    per_second: Option<u32>,
    /// When the next page may be asked for, by the clock.
    next: Duration,
    /// Pauses since something went well.
    pauses: u32,
    /// When the first of the failures in a row was.
    failing_since: Option<Duration>,
}

impl Pace {
    /// A pace of so many items in a second; none is no limit.
    pub fn new(clock: Clock, per_second: Option<u32>) -> Self {
        Self { clock, per_second, next: Duration::ZERO, pauses: 0, failing_since: None }
    }

    /// Waits until a page may be asked for.
    pub fn await_page(&self) {
        self.sleep(self.next.saturating_sub(self.clock.elapsed()));
    }

    /// A page of so many items has come: it pays for the time before the next one.
    pub fn page(&mut self, items: usize) {
        if let Some(per_second) = self.per_second {
            let price = Duration::from_secs_f64(items as f64 / f64::from(per_second.max(1)));
            self.next = self.clock.elapsed().max(self.next) + price;
        }
    }

    /// Something went well: the next failure is a first one.
    pub fn succeeded(&mut self) {
        (self.pauses, self.failing_since) = (0, None);
    }

    /// The table asks for a pause: how long it should be.
    pub fn throttled(&mut self) -> Duration {
        self.failing_since = None;
        self.pause()
    }

    /// Something failed: how long to wait before the next try, and since when nothing but failures has come.
    pub fn failed(&mut self) -> (Duration, Duration) {
        let now = self.clock.elapsed();
        let since = *self.failing_since.get_or_insert(now);
        (self.pause(), now.saturating_sub(since))
    }

    fn pause(&mut self) -> Duration {
        let pause = BACKOFF_MIN.saturating_mul(1 << self.pauses.min(16)).min(BACKOFF_MAX);
        self.pauses += 1;
        pause
    }

    /// Waits. A manual clock is moved instead.
    pub fn sleep(&self, pause: Duration) {
        match &self.clock {
            Clock::System { .. } => std::thread::sleep(pause),
            Clock::Manual(_) => self.clock.advance(pause),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Timestamp;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn gives_so_many_items_in_a_second_on_average() {
        let clock = Clock::manual(Timestamp(0));
        let mut pace = Pace::new(clock.clone(), Some(100));

        for _ in 0..5 {
            pace.await_page();
            pace.page(50);
        }
        pace.await_page();

        assert_eq!(clock.elapsed(), 5 * SECOND / 2);
    }

    #[test]
    fn does_not_save_up_for_a_burst() {
        let clock = Clock::manual(Timestamp(0));
        let mut pace = Pace::new(clock.clone(), Some(100));

        clock.advance(60 * SECOND);
        pace.await_page();
        pace.page(100);
        pace.await_page();

        assert_eq!(clock.elapsed(), 61 * SECOND);
    }

    #[test]
    fn waits_longer_after_each_failure_and_says_how_long_nothing_went_well() {
        let mut pace = Pace::new(Clock::manual(Timestamp(0)), None);
        let mut fail = || {
            let (pause, since) = pace.failed();
            pace.sleep(pause);
            (pause.as_millis(), since.as_millis())
        };

        assert_eq!([fail(), fail(), fail()], [(100, 0), (200, 100), (400, 300)]);
        for _ in 0..10 {
            fail();
        }
        assert_eq!(fail().0, 10_000);
        pace.succeeded();
        assert_eq!(pace.failed(), (BACKOFF_MIN, Duration::ZERO));
    }

    #[test]
    fn does_not_take_throttling_for_a_failure() {
        let clock = Clock::manual(Timestamp(0));
        let mut pace = Pace::new(clock.clone(), None);
        pace.failed();
        clock.advance(100 * SECOND);

        assert_eq!(pace.throttled(), 2 * BACKOFF_MIN);
        assert_eq!(pace.failed(), (4 * BACKOFF_MIN, Duration::ZERO));
    }
}
