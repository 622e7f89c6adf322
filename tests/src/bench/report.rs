//! The report: a line for each subject, and the ratios of neighbours.

use std::time::Duration;

use super::subject::{Figures, Subject};

/// Gathers runs and prints them.
#[derive(Debug, Default)]
pub struct Report {
    runs: Vec<(Subject, Figures)>,
}

impl Report {
    /// Adds a run; runs that were neighbours are compared with each other.
    pub fn add(&mut self, subject: Subject, figures: Figures) {
        self.runs.push((subject, figures));
    }

    fn of(&self, subject: Subject, read: impl Fn(&Figures) -> f64) -> Vec<f64> {
        self.runs.iter().filter(|(s, _)| *s == subject).map(|(_, figures)| read(figures)).collect()
    }

    /// The medians of a subject, as a row of the table.
    pub fn row(&self, subject: Subject) -> String {
        let median = |read: fn(&Figures) -> f64| median(&mut self.of(subject, read));
        format!(
            "{:<24} {:>10.0} {:>10.2} {:>12.2} {:>8.0} {:>12.2}",
            subject.name(),
            median(|f| f.rate),
            median(|f| f.cpu_us),
            median(|f| f.broker_us),
            median(|f| f.resident_mib),
            median(|f| f.changelog),
        )
    }

    /// The headings of [`Report::row`].
    pub fn headings() -> String {
        format!(
            "{:<24} {:>10} {:>10} {:>12} {:>8} {:>12}",
            "", "items/s", "CPU us", "broker us", "MiB", "changelog B"
        )
    }

    /// How a subject compares with its baseline, run by run.
    pub fn comparison(&self, subject: Subject, baseline: Subject) -> String {
        let rates = ratio(&self.of(subject, |f| f.rate), &self.of(baseline, |f| f.rate));
        let cpu = ratio(&self.of(subject, |f| f.cpu_us), &self.of(baseline, |f| f.cpu_us));
        format!("{} / {}: items/s {rates}, CPU an item {cpu}", subject.name(), baseline.name())
    }
}

/// The median of the ratios of pairs, with the smallest and the largest.
pub fn ratio(above: &[f64], below: &[f64]) -> String {
    let mut ratios: Vec<_> = above.iter().zip(below).map(|(a, b)| a / b).collect();
    let middle = median(&mut ratios);
    let (least, most) =
        (ratios.first().copied().unwrap_or(f64::NAN), ratios.last().copied().unwrap_or(f64::NAN));
    format!("{middle:.2} ({least:.2} to {most:.2})")
}

/// Sorts, and takes the one in the middle, or the mean of the two in the middle.
pub(super) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    (at(values.len().saturating_sub(1) / 2) + at(values.len() / 2)) / 2.0
}

/// The median and the 99th percentile, in milliseconds.
pub(super) fn percentiles(times: &[Duration]) -> (f64, f64) {
    let mut times: Vec<_> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
    let middle = median(&mut times);
    (middle, times.get(times.len() * 99 / 100).copied().unwrap_or(f64::NAN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_neighbours_and_not_medians() {
        assert_eq!(ratio(&[2.0, 6.0], &[1.0, 1.0]), "4.00 (2.00 to 6.00)");
        assert_eq!(ratio(&[1.0, 20.0, 3.0], &[2.0, 10.0, 3.0]), "1.00 (0.50 to 2.00)");
    }
}
