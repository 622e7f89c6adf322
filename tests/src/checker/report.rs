//! What an invariant's check has found.

use std::fmt;

use anyhow::{Result, bail};

/// Examples that a report keeps; the rest is only counted.
const EXAMPLES: usize = 5;

/// The result of checking one invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    invariant: &'static str,
    looked_at: usize,
    violations: usize,
    examples: Vec<String>,
}

impl Report {
    pub(super) fn new(invariant: &'static str) -> Self {
        Self { invariant, looked_at: 0, violations: 0, examples: Vec::new() }
    }

    /// Counts things that were looked at.
    pub(super) fn look(&mut self, count: usize) {
        self.looked_at += count;
    }

    /// Adds a violation.
    pub(super) fn violated(&mut self, example: impl FnOnce() -> String) {
        self.violations += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(example());
        }
    }

    /// Adds a violation unless the condition holds.
    pub(super) fn expect(&mut self, holds: bool, example: impl FnOnce() -> String) {
        self.look(1);
        if !holds {
            self.violated(example);
        }
    }

    /// The number of the invariant: `I1`.
    pub fn invariant(&self) -> &'static str {
        self.invariant
    }

    /// How many violations there are.
    pub fn violations(&self) -> usize {
        self.violations
    }

    /// What was wrong, at most a few of all.
    pub fn examples(&self) -> &[String] {
        &self.examples
    }

    /// Whether the invariant was looked at and holds.
    pub fn holds(&self) -> bool {
        self.violations == 0 && self.looked_at > 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { invariant, looked_at, violations, examples } = self;
        if *looked_at == 0 {
            return write!(f, "{invariant} was not checked: there was nothing to look at");
        }
        if *violations == 0 {
            return write!(f, "{invariant} holds ({looked_at} looked at)");
        }
        write!(f, "{invariant} is violated {violations} times ({looked_at} looked at)")?;
        for example in examples {
            write!(f, "\n    {example}")?;
        }
        Ok(())
    }
}

/// Fails unless every invariant was looked at and holds.
///
/// # Errors
/// With all reports.
pub fn all_hold(reports: &[Report]) -> Result<()> {
    if reports.iter().all(Report::holds) {
        return Ok(());
    }
    let text: Vec<_> = reports.iter().map(Report::to_string).collect();
    bail!("not every promise was kept:\n  {}", text.join("\n  "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_not_green_when_nothing_was_looked_at() {
        let report = Report::new("I0");

        assert!(!report.holds());
        assert!(all_hold(&[report]).unwrap_err().to_string().contains("nothing to look at"));
    }

    #[test]
    fn keeps_a_few_examples_and_counts_all() {
        let mut report = Report::new("I0");
        (0..100).for_each(|n| report.expect(false, || n.to_string()));

        assert_eq!((report.violations(), report.examples().len()), (100, EXAMPLES));
    }
}
