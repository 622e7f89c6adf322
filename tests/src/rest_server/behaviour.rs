//! How often the server has which bad day.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What the server does with a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deed {
    /// Executes it and answers 200.
    Serve,
    /// The same, later.
    ServeSlowly(Duration),
    /// Answers 500 and does not execute it.
    Error,
    /// Answers 503 and does not execute it.
    Busy,
    /// Answers 429 with `Retry-After` and does not execute it.
    Limited,
    /// Resets the connection before it has read the request.
    ResetBefore,
    /// Executes it and resets the connection without an answer.
    ResetAfter,
    /// Executes it and never answers.
    Silent,
}

/// The parts of the requests that get something else than an answer at once. They are rolled from the seed and the number of the
/// request; all parts together are at most 1.
#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    /// What is rolled depends on it.
    pub seed: u64,
    /// The longest time that a slow answer takes.
    pub slow: Duration,
    parts: Vec<(&'static str, f64)>,
}

const NAMES: [&str; 7] = ["slow", "error", "busy", "limited", "reset-before", "reset-after", "silent"];

impl Behaviour {
    /// A server that has bad days of all kinds, 3 % of each, and is slow in 20 %.
    pub fn bad(seed: u64) -> Self {
        let behaviour = Self { seed, slow: Duration::from_millis(300), parts: Vec::new() };
        let bad = NAMES.iter().skip(1).fold(behaviour, |all, name| all.with(name, 0.03));
        bad.with("slow", 0.2)
    }

    /// The part of the requests to which this happens: `slow`, `error`, `busy`, `limited`, `reset-before`, `reset-after`, `silent`.
    /// Another name is for nothing.
    #[must_use]
    pub fn with(mut self, name: &str, part: f64) -> Self {
        self.parts.extend(NAMES.iter().find(|known| **known == name).map(|known| (*known, part)));
        self
    }

    /// What becomes of the request of this number.
    pub fn roll(&self, number: u64) -> Deed {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(number);
        let mut rolled: f64 = random.random();
        let found = self.parts.iter().find(|(_, part)| {
            rolled -= part;
            rolled < 0.0
        });
        match found.map(|(name, _)| *name) {
            Some("slow") => Deed::ServeSlowly(self.slow.mul_f64(random.random())),
            Some("error") => Deed::Error,
            Some("busy") => Deed::Busy,
            Some("limited") => Deed::Limited,
            Some("reset-before") => Deed::ResetBefore,
            Some("reset-after") => Deed::ResetAfter,
            Some("silent") => Deed::Silent,
            _ => Deed::Serve,
        }
    }

    /// As arguments of the program.
    pub(super) fn arguments(&self) -> Vec<String> {
        let parts = self.parts.iter().map(|(name, part)| format!("{name}={part}"));
        let head = [format!("seed={}", self.seed), format!("slow-ms={}", self.slow.as_millis())];
        head.into_iter().chain(parts).collect()
    }

    /// Reads the arguments of the program.
    ///
    /// # Errors
    /// When one of them is not understood.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self> {
        let mut behaviour = Self::default();
        for argument in arguments {
            let (name, value) =
                argument.split_once('=').with_context(|| format!("no value: `{argument}`"))?;
            match name {
                "seed" => behaviour.seed = value.parse()?,
                "slow-ms" => behaviour.slow = Duration::from_millis(value.parse()?),
                name if NAMES.contains(&name) => behaviour = behaviour.with(name, value.parse()?),
                _ => bail!("`{name}` is nothing that a server does"),
            }
        }
        Ok(behaviour)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rolls_the_same_for_a_seed_and_each_bad_day_as_often_as_it_should() {
        let bad = Behaviour::bad(7);
        let rolled: Vec<_> = (0..10_000).map(|number| bad.roll(number)).collect();

        assert!((0..100).all(|number| Behaviour::bad(7).roll(number) == rolled[number as usize]));
        for deed in
            [Deed::Error, Deed::Busy, Deed::Limited, Deed::ResetBefore, Deed::ResetAfter, Deed::Silent]
        {
            let count = rolled.iter().filter(|rolled| **rolled == deed).count();
            assert!((200..400).contains(&count), "{deed:?}: {count}");
        }
    }

    #[test]
    fn survives_the_way_through_arguments() {
        let parsed = Behaviour::parse(Behaviour::bad(3).arguments()).unwrap();

        assert!((0..100).all(|number| parsed.roll(number) == Behaviour::bad(3).roll(number)));
        assert!(Behaviour::parse(["explode=1".to_owned()]).is_err());
    }
}
