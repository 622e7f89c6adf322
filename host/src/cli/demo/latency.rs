//! How long updates took, and how long the kill held them up.

use std::collections::HashMap;
use std::time::Duration;

use super::observer::Observer;
use super::supplier::Market;

/// An update counts as held up by the kill if it was due before updates came out this quickly again.
const QUICK: Duration = Duration::from_millis(500);

/// So long all updates must be quick.
const FOR_GOOD: Duration = Duration::from_millis(500);

/// When what happened, by the demo's clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// The large class changed.
    pub(super) changed: Duration,
    /// The host was killed.
    pub(super) killed: Duration,
    /// The fan-out was done.
    pub(super) done: Duration,
}

/// From the moment when updates were due to that when their records were seen.
#[derive(Debug)]
pub(super) struct Latencies {
    before: Vec<Duration>,
    during: Vec<Duration>,
    /// From the kill to the next record that came out.
    silence: Duration,
    /// From the kill until updates were as quick as before.
    recovery: Duration,
}

impl Latencies {
    /// Looks at the first record of each update after the stock.
    pub(super) fn of(enriched: &Observer, market: &Market, times: Times) -> Self {
        let mut first: HashMap<usize, Duration> = HashMap::new();
        for seen in enriched.seen() {
            let Some(number) = seen.record.value.as_deref().and_then(number) else { continue };
            if number >= market.corpus.items {
                let at = first.entry(number).or_insert(seen.at);
                *at = seen.at.min(*at);
            }
        }
        let updates: Vec<_> = first.into_iter().map(|(number, at)| (market.due(number), at)).collect();
        Self::split(&updates, enriched.seen().map(|seen| seen.at), times)
    }

    /// `updates` are pairs of when they were due and when they were seen; `seen` is when any record was.
    fn split(updates: &[(Duration, Duration)], seen: impl Iterator<Item = Duration>, times: Times) -> Self {
        let resumed = resumed(seen, times);
        let took = |(due, at): &(Duration, Duration)| at.saturating_sub(*due);
        let recovered = recovered(updates, times);
        let of = |from: Duration, to: Duration| {
            let is_held_up = |(due, at): &(Duration, Duration)| *due < recovered && *at > times.killed;
            let within = updates.iter().filter(|update| update.0 >= from && update.0 < to);
            let mut all: Vec<_> = within.filter(|update| !is_held_up(update)).map(took).collect();
            all.sort();
            all
        };
        Self {
            before: of(Duration::ZERO, times.changed),
            during: of(times.changed, times.done),
            silence: resumed.saturating_sub(times.killed),
            recovery: recovered.max(resumed).saturating_sub(times.killed),
        }
    }
}

/// From when on updates came through quickly again, for a while and in every partition.
fn recovered(updates: &[(Duration, Duration)], times: Times) -> Duration {
    let mut updates: Vec<_> = updates.iter().filter(|update| update.0 >= times.killed).collect();
    updates.sort();
    let is_good = |from: &Duration| {
        let until = from.saturating_add(FOR_GOOD);
        let of_it = updates.iter().filter(|(due, _)| due >= from && *due < until);
        of_it.into_iter().all(|(due, at)| at.saturating_sub(*due) < QUICK)
    };
    updates.iter().map(|(due, _)| *due).find(is_good).unwrap_or(times.done)
}

/// The end of the longest silence after the kill. What the host had committed before it may be seen a little after it.
fn resumed(seen: impl Iterator<Item = Duration>, times: Times) -> Duration {
    let mut after: Vec<_> = seen.filter(|at| (times.killed..=times.done).contains(at)).collect();
    after.push(times.killed);
    after.sort();
    let gaps = after.iter().zip(after.iter().skip(1));
    gaps.max_by_key(|(from, to)| to.saturating_sub(**from)).map_or(times.killed, |(_, to)| *to)
}

impl Latencies {
    /// What was measured, a line each.
    pub(super) fn lines(&self) -> [String; 2] {
        let pair = |sorted: &[Duration]| {
            format!("{} / {} ms", percentile(sorted, 50).as_millis(), percentile(sorted, 99).as_millis())
        };
        let (silence, recovery) = (self.silence.as_millis(), self.recovery.as_millis());
        let (before, during) = (pair(&self.before), pair(&self.during));
        [
            format!("an update took {before} (p50 / p99) at rest, {during} during the fan-out"),
            format!("from the kill to the next record {silence} ms, until as quick as before {recovery} ms"),
        ]
    }
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let at = sorted.len().saturating_sub(1) * percent / 100;
    sorted.get(at).copied().unwrap_or_default()
}

/// The number of the update that a record came from.
fn number(value: &[u8]) -> Option<usize> {
    let value: serde_json::Value = serde_json::from_slice(value).ok()?;
    usize::try_from(value.get("update")?.as_u64()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(pairs: &[(u64, u64)]) -> Vec<(Duration, Duration)> {
        pairs.iter().map(|(due, at)| (Duration::from_secs(*due), Duration::from_secs(*at))).collect()
    }

    #[test]
    fn leaves_updates_out_that_the_kill_held_up() {
        let [changed, killed, done] = [10, 20, 40].map(Duration::from_secs);
        let updates = seconds(&[
            (5, 5),
            (12, 13),
            (19, 20),
            (19, 24),
            (22, 25),
            (26, 26),
            (28, 29),
            (29, 29),
            (50, 50),
        ]);

        let seen = updates.iter().map(|(_, at)| *at);
        let found = Latencies::split(&updates, seen, Times { changed, killed, done });

        assert_eq!(found.before, [Duration::ZERO]);
        assert_eq!(found.during, [0, 0, 1, 1, 1].map(Duration::from_secs));
        assert_eq!((found.silence, found.recovery), (Duration::from_secs(4), Duration::from_secs(6)));
    }
}
