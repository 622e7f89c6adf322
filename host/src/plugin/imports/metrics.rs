//! `metrics`: what a plugin measures, kept back until its call is kept.

use crate::io::{Measured, Measurement};
use crate::plugin::bindings::v0_1::gristmill::transform::metrics;
use crate::plugin::context::Context;

/// Measurements of one call; the rest is dropped. Ten for each record of an ordinary batch.
const MEASUREMENTS_MAX: usize = 5_000;

/// Labels of one measurement; one with more is dropped.
const LABELS_MAX: usize = 8;

/// Bytes of a name, a label or its value; a measurement with a longer one is dropped.
const TEXT_BYTES_MAX: usize = 200;

/// What the current call has measured.
#[derive(Debug, Default)]
pub(crate) struct Measurements(Vec<Measurement>);

impl Measurements {
    fn add(&mut self, name: String, value: Measured, labels: Vec<(String, String)>) {
        let is_short = |text: &String| text.len() <= TEXT_BYTES_MAX;
        let fits = labels.len() <= LABELS_MAX
            && is_short(&name)
            && labels.iter().all(|(name, value)| is_short(name) && is_short(value));
        if fits && self.0.len() < MEASUREMENTS_MAX {
            self.0.push(Measurement { name, value, labels });
        }
    }

    /// Hands out what the call has measured; the next call starts with nothing.
    pub(crate) fn take(&mut self) -> Vec<Measurement> {
        std::mem::take(&mut self.0)
    }
}

type Labels = Vec<(String, String)>;

impl metrics::Host for Context {
    fn count(&mut self, name: String, delta: u64, labels: Labels) -> wasmtime::Result<()> {
        self.check_impure()?;
        self.measurements.add(name, Measured::Count(delta), labels);
        Ok(())
    }

    fn gauge(&mut self, name: String, value: f64, labels: Labels) -> wasmtime::Result<()> {
        self.check_impure()?;
        self.measurements.add(name, Measured::Gauge(value), labels);
        Ok(())
    }

    fn observe(&mut self, name: String, value: f64, labels: Labels) -> wasmtime::Result<()> {
        self.check_impure()?;
        self.measurements.add(name, Measured::Observe(value), labels);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_no_more_than_its_bounds() {
        let mut measurements = Measurements::default();
        let label = ("a".to_owned(), "b".to_owned());

        measurements.add("ok".to_owned(), Measured::Count(1), vec![label.clone()]);
        measurements.add("x".repeat(TEXT_BYTES_MAX + 1), Measured::Count(1), vec![]);
        measurements.add("many".to_owned(), Measured::Count(1), vec![label; LABELS_MAX + 1]);
        assert_eq!(measurements.take().len(), 1);

        (0..=MEASUREMENTS_MAX).for_each(|_| measurements.add("n".to_owned(), Measured::Gauge(1.0), vec![]));
        assert_eq!(measurements.take().len(), MEASUREMENTS_MAX);
    }
}
