//! When an ingest runs by itself.

use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use croner::Cron;

use crate::config::ingest::Schedule;
use crate::id::Timestamp;

/// When the next run comes. An interval goes by time that passes, a cron expression by the wall clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Due {
    /// Not by itself.
    Never,
    /// When the clock has run so long.
    Elapsed(Duration),
    /// When the wall clock says so.
    Wall(Timestamp),
}

/// What time it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment {
    /// By the wall clock, which can jump.
    pub wall: Timestamp,
    /// By a clock that only goes on.
    pub elapsed: Duration,
}

impl Due {
    /// The first run of a process: at once where an interval is set, at its time where a cron expression is.
    pub fn first(schedule: &Schedule, now: Moment) -> Self {
        match schedule {
            Schedule::Every(_) => Self::Elapsed(now.elapsed),
            Schedule::ByHand | Schedule::Cron(_) => Self::after_run(schedule, now),
        }
    }

    /// The run that follows one that has just ended.
    pub fn after_run(schedule: &Schedule, now: Moment) -> Self {
        match schedule {
            Schedule::ByHand => Self::Never,
            Schedule::Every(interval) => Self::Elapsed(now.elapsed.saturating_add(*interval)),
            Schedule::Cron(expression) => next(expression, now.wall).map_or(Self::Never, Self::Wall),
        }
    }

    /// How long it is until then; nothing when it never comes. A wall clock that is set back makes it longer, one that is set
    /// ahead makes it come at once; neither loses it.
    pub fn left(self, now: Moment) -> Option<Duration> {
        match self {
            Self::Never => None,
            Self::Elapsed(due) => Some(due.saturating_sub(now.elapsed)),
            Self::Wall(due) => Some(Duration::from_millis(u64::try_from(due.0 - now.wall.0).unwrap_or(0))),
        }
    }
}

fn next(expression: &str, now: Timestamp) -> Option<Timestamp> {
    let now = DateTime::<Utc>::from_timestamp_millis(now.0)?;
    let next = Cron::from_str(expression).ok()?.find_next_occurrence(&now, false).ok()?;
    Some(Timestamp(next.timestamp_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn wall(text: &str) -> Moment {
        let wall = Timestamp(DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis());
        Moment { wall, elapsed: Duration::ZERO }
    }

    fn elapsed(elapsed: Duration) -> Moment {
        Moment { wall: Timestamp(0), elapsed }
    }

    #[test]
    fn runs_at_once_and_then_after_its_interval() {
        let every = Schedule::Every(10 * MINUTE);

        assert_eq!(Due::first(&every, elapsed(MINUTE)).left(elapsed(MINUTE)), Some(Duration::ZERO));
        let next = Due::after_run(&every, elapsed(2 * MINUTE));
        assert_eq!(next.left(elapsed(6 * MINUTE)), Some(6 * MINUTE));
        assert_eq!(next.left(elapsed(40 * MINUTE)), Some(Duration::ZERO));
    }

    #[test]
    fn waits_for_the_time_of_a_cron_expression() {
        let six = Schedule::Cron("0 6 * * 1-5".to_owned());

        // A Thursday.
        let early = wall("2026-11-26T05:59:00Z");
        assert_eq!(Due::first(&six, early).left(early), Some(MINUTE));
        // At six it has just run; on a Friday the next one is a Monday.
        let at_six = wall("2026-11-27T06:00:00Z");
        assert_eq!(Due::after_run(&six, at_six).left(at_six), Some(3 * 24 * 60 * MINUTE));
    }

    #[test]
    fn never_comes_by_itself_when_it_runs_by_hand() {
        let now = elapsed(MINUTE);

        assert_eq!(Due::first(&Schedule::ByHand, now), Due::Never);
        assert_eq!(Due::after_run(&Schedule::ByHand, now).left(now), None);
    }

    #[test]
    fn keeps_its_appointment_when_the_wall_clock_is_set() {
        let hourly = Schedule::Cron("0 * * * *".to_owned());
        let due = Due::first(&hourly, wall("2026-11-26T04:59:00Z"));

        assert_eq!(due.left(wall("2026-11-26T03:00:00Z")), Some(120 * MINUTE));
        assert_eq!(due.left(wall("2026-11-26T09:30:00Z")), Some(Duration::ZERO));
    }
}
