//! The job that Logistics runs: reads the table and publishes what has changed since the last time.

use std::collections::BTreeMap;

use super::corpus::times;
use super::expected::Times;
use super::place::Place;
use super::supplier::outgoing;
use crate::fault::Fault;
use crate::id::TopicName;
use crate::kafka::produce::PlainProducer;

/// The share of the classes that a run may delete.
const DELETES_MAX: f64 = 0.2;

/// The job.
pub(super) struct Carrier {
    producer: PlainProducer,
    topic: TopicName,
    published: BTreeMap<String, Times>,
    /// Whether it has refused to follow a table.
    pub(super) is_refused: bool,
}

impl Carrier {
    /// Nothing is published yet.
    ///
    /// # Errors
    /// `kafka_failed`.
    pub(super) fn open(place: &Place) -> Result<Self, Fault> {
        let (producer, topic) = (PlainProducer::open(&place.kafka)?, place.names.topic("delivery-classes"));
        Ok(Self { producer, topic, published: BTreeMap::new(), is_refused: false })
    }

    /// Publishes what has changed.
    ///
    /// # Errors
    /// `kafka_failed`.
    pub(super) fn run(&mut self, table: Vec<(String, Times)>) -> Result<(), Fault> {
        let table: BTreeMap<_, _> = table.into_iter().collect();
        let gone: Vec<_> = self.published.keys().filter(|name| !table.contains_key(*name)).cloned().collect();
        if gone.len() as f64 > self.published.len() as f64 * DELETES_MAX {
            self.is_refused = true;
            return Ok(());
        }
        for (name, (minimum, maximum)) in &table {
            if self.published.get(name) != Some(&(*minimum, *maximum)) {
                let value = times(*minimum, *maximum);
                self.producer.send(&outgoing(&self.topic, name.as_bytes(), Some(&value)))?;
            }
        }
        for name in gone {
            self.producer.send(&outgoing(&self.topic, name.as_bytes(), None))?;
        }
        self.published = table;
        self.producer.flush()
    }
}
