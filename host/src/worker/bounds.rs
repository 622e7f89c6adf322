//! When a transaction is full, and how it gets smaller when the broker gave one up.

use std::time::Duration;

use crate::config::pipeline::CommitBounds;

/// So many times transactions are halved at most: a thousandth of the configured size.
const HALVINGS_MAX: u32 = 10;

/// So many commits in a row earn one halving back.
const COMMITS_TO_RECOVER: u32 = 100;

/// The bounds of a transaction, as they are now.
#[derive(Debug)]
pub(crate) struct Bounds {
    configured: CommitBounds,
    halvings: u32,
    commits: u32,
    last_took: Duration,
    last_end: Duration,
}

impl Bounds {
    pub(crate) fn new(configured: CommitBounds) -> Self {
        Self { configured, halvings: 0, commits: 0, last_took: Duration::ZERO, last_end: Duration::ZERO }
    }

    /// How long effects wait for their commit.
    pub(crate) fn interval(&self) -> Duration {
        self.configured.interval / (1 << self.halvings)
    }

    /// Whether a transaction with so many records and bytes has to be committed.
    pub(crate) fn are_reached(&self, records: usize, bytes: usize) -> bool {
        records >= (self.configured.records >> self.halvings).max(1)
            || bytes >= (self.configured.bytes >> self.halvings).max(1)
    }

    /// When a worker with nothing left to do may commit, if it may before the interval ends.
    pub(crate) fn eager_at(&self) -> Option<Duration> {
        let at = self.last_end.saturating_add(self.last_took.saturating_mul(2));
        self.configured.eager.then_some(at)
    }

    /// A commit was done.
    pub(crate) fn committed(&mut self, started: Duration, ended: Duration) {
        self.last_took = ended.saturating_sub(started);
        self.last_end = ended;
        self.commits = self.commits.saturating_add(1);
        if self.commits >= COMMITS_TO_RECOVER {
            self.commits = 0;
            self.halvings = self.halvings.saturating_sub(1);
        }
    }

    /// The broker gave a transaction up because it took too long.
    pub(crate) fn timed_out(&mut self) {
        self.commits = 0;
        self.halvings = self.halvings.saturating_add(1).min(HALVINGS_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn halves_after_a_time_out_and_recovers_after_many_commits() {
        let mut bounds = Bounds::new(CommitBounds { records: 100, ..CommitBounds::default() });

        bounds.timed_out();
        assert!(bounds.are_reached(50, 0) && !bounds.are_reached(49, 0));
        assert_eq!(bounds.interval(), Duration::from_millis(50));

        (0..100).for_each(|_| bounds.committed(SECOND, SECOND));
        assert!(!bounds.are_reached(99, 0));
    }

    #[test]
    fn spaces_eager_commits_by_twice_the_duration_of_the_last() {
        let mut bounds = Bounds::new(CommitBounds { eager: true, ..CommitBounds::default() });

        bounds.committed(SECOND, SECOND * 3);

        assert_eq!(bounds.eager_at(), Some(SECOND * 7));
    }
}
