//! When an ingest runs by itself.

use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use croner::Cron;

use crate::config::ingest::Schedule;
use crate::id::Timestamp;

/// How long to wait until the next run; none when it never comes by itself. `ran` says how long ago the last run of this
/// process ended, if there was one: a host that starts runs at once where an interval is set, and waits for its time where a
/// cron expression is.
pub fn wait(schedule: &Schedule, now: Timestamp, ran: Option<Duration>) -> Option<Duration> {
    match schedule {
        Schedule::ByHand => None,
        Schedule::Every(interval) => Some(ran.map_or(Duration::ZERO, |ran| interval.saturating_sub(ran))),
        Schedule::Cron(expression) => {
            let now = DateTime::<Utc>::from_timestamp_millis(now.0)?;
            let next = Cron::from_str(expression).ok()?.find_next_occurrence(&now, false).ok()?;
            (next - now).to_std().ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(text: &str) -> Timestamp {
        Timestamp(DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis())
    }

    #[test]
    fn runs_at_once_and_then_after_its_interval() {
        let every = Schedule::Every(10 * MINUTE);

        assert_eq!(wait(&every, Timestamp(0), None), Some(Duration::ZERO));
        assert_eq!(wait(&every, Timestamp(0), Some(4 * MINUTE)), Some(6 * MINUTE));
        assert_eq!(wait(&every, Timestamp(0), Some(40 * MINUTE)), Some(Duration::ZERO));
    }

    #[test]
    fn waits_for_the_time_of_a_cron_expression() {
        let six = Schedule::Cron("0 6 * * 1-5".to_owned());

        // A Thursday.
        assert_eq!(wait(&six, at("2026-11-26T05:59:00Z"), None), Some(MINUTE));
        // On the minute it has just run; on a Friday the next one is a Monday.
        assert_eq!(wait(&six, at("2026-11-27T06:00:00Z"), None), Some(3 * 24 * 60 * MINUTE));
    }

    #[test]
    fn never_comes_by_itself_when_it_runs_by_hand() {
        assert_eq!(wait(&Schedule::ByHand, Timestamp(0), Some(MINUTE)), None);
    }

    #[test]
    fn a_clock_that_jumps_moves_a_run_and_loses_none() {
        let hourly = Schedule::Cron("0 * * * *".to_owned());

        // Back over a time that has come already: it comes again. Ahead of one: the next is taken.
        assert_eq!(wait(&hourly, at("2026-11-26T04:59:00Z"), Some(MINUTE)), Some(MINUTE));
        assert_eq!(wait(&hourly, at("2026-11-26T09:30:00Z"), Some(MINUTE)), Some(30 * MINUTE));
    }
}
