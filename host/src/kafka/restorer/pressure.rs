//! When reading stops because the worker does not take what was read.

use std::time::Duration;

/// How much of all partitions waits for the worker before reading stops; the worker takes it in no time, or is busy. One
/// call to librdkafka may go beyond it.
const QUEUED_BYTES_MAX: usize = 16 << 20;

/// How long the worker may leave a full queue alone before the partitions that fill it are held back, so that the others,
/// which it may be waiting for, go on.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether the queue is full, and since when.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    full_since: Option<Duration>,
}

/// What follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Room {
    /// There is room: read.
    Read,
    /// There is none: wait for the worker.
    Wait,
    /// The worker takes nothing: hold back what fills the queue.
    Hold,
}

impl Pressure {
    /// Looks at how many bytes wait of the partitions that are not held back.
    pub(super) fn look(&mut self, waiting_bytes: usize, now: Duration) -> Room {
        if waiting_bytes < QUEUED_BYTES_MAX {
            self.full_since = None;
            return Room::Read;
        }
        let since = *self.full_since.get_or_insert(now);
        if now.saturating_sub(since) < PATIENCE {
            return Room::Wait;
        }
        self.full_since = None;
        Room::Hold
    }

    /// Whether there was no room at the last look.
    pub(super) fn is_full(&self) -> bool {
        self.full_since.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn stops_at_the_bound_and_goes_on_below_it() {
        let mut pressure = Pressure::default();

        let rooms = [QUEUED_BYTES_MAX - 1, QUEUED_BYTES_MAX, QUEUED_BYTES_MAX - 1]
            .map(|bytes| (pressure.look(bytes, SECOND), pressure.is_full()));

        assert_eq!(rooms, [(Room::Read, false), (Room::Wait, true), (Room::Read, false)]);
    }

    #[test]
    fn holds_back_only_when_the_queue_was_full_all_the_time() {
        let (mut left_alone, mut taken) = (Pressure::default(), Pressure::default());
        let full = QUEUED_BYTES_MAX;

        let alone = [0, 500, 1_000].map(|at| left_alone.look(full, Duration::from_millis(at)));
        let served = [(0, full), (500, 0), (1_000, full)]
            .map(|(at, bytes)| taken.look(bytes, Duration::from_millis(at)));

        assert_eq!(alone, [Room::Wait, Room::Wait, Room::Hold]);
        assert_eq!(served, [Room::Wait, Room::Read, Room::Wait]);
    }
}
