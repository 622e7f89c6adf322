//! A partition that is being read: how far it is, and what it means when it does not get on.

use std::time::Duration;

use crate::id::Offset;

/// How often the last stable offset is asked for while a reading stands still.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How long a reading whose end is stable gets nothing, with nothing else in its way, before there is nothing to get: a
/// hundred fetches have come back empty meanwhile.
const EMPTY_PATIENCE: Duration = Duration::from_secs(10);

/// How long a reading may stand still before it is reported, and how often from then on. An open transaction is decided
/// sooner, unless it hangs.
const STILL_MAX: Duration = Duration::from_secs(20);

/// A reading. Times are of the reader's clock.
#[derive(Debug)]
pub(super) struct Reading {
    /// Tells it from an earlier one of the same partition.
    pub(super) number: u64,
    /// How far it is.
    pub(super) position: Offset,
    /// Where it ends.
    pub(super) until: Offset,
    /// Held back, because the worker does not take what is there.
    pub(super) is_held: bool,
    stability: Stability,
    /// When the last stable offset was asked for, or the reading moved.
    looked_at: Duration,
    moved_at: Duration,
    told_at: Duration,
}

/// What is known of the last stable offset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stability {
    Unknown,
    /// It lies before the end: a transaction is open.
    Open,
    /// It has reached the end, seen since then.
    Stable(Duration),
}

/// What is to be done about a reading that stands still.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Wait,
    /// Nothing is left before its end.
    Done,
    /// Tell the operator: for how long it has stood still, and whether a transaction is open.
    Report(Duration, bool),
}

impl Reading {
    /// A reading that begins.
    pub(super) fn new(number: u64, (position, until): (Offset, Offset), now: Duration) -> Self {
        Self {
            number,
            position,
            until,
            is_held: false,
            stability: Stability::Unknown,
            looked_at: now,
            moved_at: now,
            told_at: now,
        }
    }

    /// It has come to a position.
    pub(super) fn move_to(&mut self, position: Offset, now: Duration) {
        if position > self.position {
            self.position = position;
            (self.moved_at, self.told_at, self.looked_at) = (now, now, now);
            self.stability = Stability::Unknown;
        }
    }

    /// Whether everything before its end was read.
    pub(super) fn is_done(&self) -> bool {
        self.position >= self.until
    }

    /// Whether it has stood still for so long that the last stable offset should be asked for.
    pub(super) fn is_due(&self, now: Duration) -> bool {
        !self.is_held && now.saturating_sub(self.looked_at) >= LOOK_INTERVAL
    }

    /// The last stable offset was asked for; none when there was no answer. `busy_at` is when the last record of any
    /// partition came: while others are read, this one may have to wait for its turn.
    pub(super) fn judge(&mut self, stable_end: Option<Offset>, now: Duration, busy_at: Duration) -> Verdict {
        self.looked_at = now;
        self.stability = match (stable_end, self.stability) {
            (None, _) => Stability::Unknown,
            (Some(end), _) if end < self.until => Stability::Open,
            (Some(_), Stability::Stable(since)) if since >= busy_at => Stability::Stable(since),
            (Some(_), _) => Stability::Stable(now),
        };
        if let Stability::Stable(since) = self.stability
            && now.saturating_sub(since) >= EMPTY_PATIENCE
        {
            self.position = self.until;
            return Verdict::Done;
        }
        if now.saturating_sub(self.told_at) < STILL_MAX {
            return Verdict::Wait;
        }
        self.told_at = now;
        Verdict::Report(now.saturating_sub(self.moved_at), self.stability == Stability::Open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: Option<Offset> = Some(Offset(9));

    fn reading() -> Reading {
        Reading::new(1, (Offset(5), Offset(9)), Duration::ZERO)
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn is_done_when_nothing_comes_although_its_end_is_stable() {
        let mut reading = reading();

        let verdicts: Vec<_> = (1..=11).map(|now| reading.judge(END, at(now), at(0))).collect();

        assert!(verdicts.iter().take(10).all(|verdict| *verdict == Verdict::Wait));
        assert_eq!(verdicts.last(), Some(&Verdict::Done));
        assert!(reading.is_done());
    }

    #[test]
    fn is_not_done_while_others_are_read_or_the_broker_does_not_answer() {
        let (mut busy, mut silent) = (reading(), reading());

        for now in 1..=19 {
            assert_eq!(busy.judge(END, at(now), at(now)), Verdict::Wait);
            let answer = if now % 5 == 0 { None } else { END };
            assert_eq!(silent.judge(answer, at(now), at(0)), Verdict::Wait);
        }
    }

    #[test]
    fn waits_for_an_open_transaction_and_reports_it() {
        let mut reading = reading();

        let verdicts: Vec<_> = (1..=40).map(|now| reading.judge(Some(Offset(7)), at(now), at(0))).collect();

        let reports: Vec<_> = verdicts.into_iter().filter(|verdict| *verdict != Verdict::Wait).collect();
        assert_eq!(reports, [Verdict::Report(at(20), true), Verdict::Report(at(40), true)]);
        assert!(!reading.is_done());
    }

    #[test]
    fn is_due_a_while_after_it_moved_unless_it_is_held_back() {
        let mut reading = reading();
        reading.move_to(Offset(6), at(10));

        assert!(!reading.is_due(at(10)) && reading.is_due(at(11)));
        reading.is_held = true;
        assert!(!reading.is_due(at(11)));
    }
}
