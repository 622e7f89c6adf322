//! Waiting for a condition, with a deadline and a message that says what was seen instead.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// A deadline that a slow, shared machine keeps with ease; a healthy run needs a fraction of it.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(20);

/// What a look at a condition found.
#[derive(Debug)]
pub enum Seen<T> {
    /// The condition holds.
    Yes(T),
    /// It does not hold yet; what there is instead.
    NotYet(String),
}

/// Looks until the condition holds, for [`PATIENCE`] at most.
///
/// # Errors
/// When the deadline passes, with what was seen last; when a look fails.
pub fn until<T>(what: &str, look: impl FnMut() -> Result<Seen<T>>) -> Result<T> {
    until_within(PATIENCE, what, look)
}

/// Looks until the condition holds, for `limit` at most.
///
/// # Errors
/// When the deadline passes, with what was seen last; when a look fails.
pub fn until_within<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Result<Seen<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        let seen = match look()? {
            Seen::Yes(value) => return Ok(value),
            Seen::NotYet(seen) => seen,
        };
        if start.elapsed() > limit {
            bail!("waited {} s for {what}; seen instead: {seen}", limit.as_secs());
        }
        std::thread::sleep(INTERVAL);
    }
}

/// Looks until the value equals the one that is wanted.
///
/// # Errors
/// As [`until`].
pub fn until_equal<T: PartialEq + Debug>(
    what: &str,
    want: &T,
    mut look: impl FnMut() -> Result<T>,
) -> Result<()> {
    until(what, || {
        let value = look()?;
        Ok(if value == *want { Seen::Yes(()) } else { Seen::NotYet(format!("{value:?}, not {want:?}")) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_was_seen_when_the_deadline_passes() {
        let error = until_within(Duration::ZERO, "the moon", || Ok(Seen::<()>::NotYet("a cloud".into())))
            .unwrap_err();

        assert_eq!(error.to_string(), "waited 0 s for the moon; seen instead: a cloud");
    }

    #[test]
    fn looks_again_until_the_condition_holds() {
        let mut looks = 0;

        let value = until("the third look", || {
            looks += 1;
            Ok(if looks == 3 { Seen::Yes(looks) } else { Seen::NotYet(looks.to_string()) })
        });

        assert_eq!(value.unwrap(), 3);
    }
}
