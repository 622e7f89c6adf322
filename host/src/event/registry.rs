//! The numbers that events leave behind, for whoever asks: counters, gauges, and sums with their counts.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// All metrics of the process.
#[derive(Debug, Default)]
pub struct Registry {
    metrics: Mutex<BTreeMap<Key, Metric>>,
}

type Key = (String, Vec<(String, String)>);

/// What a metric holds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Metric {
    /// It only grows.
    Counter(u64),
    /// It is what it was last set to.
    Gauge(f64),
    /// Values that were observed.
    Summary {
        /// How many.
        count: u64,
        /// Their sum.
        sum: f64,
    },
}

/// A metric as it stands.
#[derive(Clone, PartialEq, Debug)]
pub struct Sample {
    /// Its name.
    pub name: String,
    /// Its labels, in the order in which the event gives them.
    pub labels: Vec<(String, String)>,
    /// Its value.
    pub metric: Metric,
}

/// The metrics of this process. One for all, because a process has one page of metrics.
pub fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(Registry::default)
}

impl Registry {
    /// Adds to a counter.
    pub fn add(&self, name: &str, labels: &[(&str, &str)], delta: usize) {
        self.update(name, labels, Metric::Counter(0), |metric| {
            if let Metric::Counter(count) = metric {
                *count = count.saturating_add(delta as u64);
            }
        });
    }

    /// Sets a gauge.
    pub fn set(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.update(name, labels, Metric::Gauge(value), |metric| *metric = Metric::Gauge(value));
    }

    /// Adds a value to a summary.
    pub fn observe(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.update(name, labels, Metric::Summary { count: 0, sum: 0.0 }, |metric| {
            if let Metric::Summary { count, sum } = metric {
                *count = count.saturating_add(1);
                *sum += value;
            }
        });
    }

    /// All metrics, in the order of their names and labels.
    pub fn samples(&self) -> Vec<Sample> {
        let metrics = self.metrics();
        let samples = metrics.iter().map(|((name, labels), metric)| Sample {
            name: name.clone(),
            labels: labels.clone(),
            metric: *metric,
        });
        samples.collect()
    }

    fn update(&self, name: &str, labels: &[(&str, &str)], empty: Metric, change: impl FnOnce(&mut Metric)) {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        change(self.metrics().entry((name.to_owned(), labels)).or_insert(empty));
    }

    /// Numbers stay readable when a thread died while it held them.
    fn metrics(&self) -> MutexGuard<'_, BTreeMap<Key, Metric>> {
        self.metrics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_metrics_apart_by_their_labels() {
        let registry = Registry::default();
        registry.add("in", &[("source", "a")], 2);
        registry.add("in", &[("source", "b")], 1);
        registry.add("in", &[("source", "a")], 3);

        let counts: Vec<_> = registry.samples().iter().map(|sample| sample.metric).collect();

        assert_eq!(counts, [Metric::Counter(5), Metric::Counter(1)]);
    }

    #[test]
    fn sums_what_was_observed() {
        let registry = Registry::default();
        registry.observe("seconds", &[], 0.5);
        registry.observe("seconds", &[], 1.5);

        assert_eq!(registry.samples()[0].metric, Metric::Summary { count: 2, sum: 2.0 });
    }
}
