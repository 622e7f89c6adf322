//! The demo's Logistics: publishes classes, changes them, and remembers what it has published.

use super::corpus::{BULKY, Corpus, Update, class_name, times};
use super::supplier::outgoing;
use crate::config::pipeline::Kafka;
use crate::fault::Fault;
use crate::id::TopicName;
use crate::kafka::produce::PlainProducer;

/// The times of the large class at first, and after its change. No other class has them.
const BULKY_TIMES: [(u64, u64); 2] = [(12, 19), (21, 34)];

/// Who publishes classes.
pub(super) struct Logistics {
    producer: PlainProducer,
    topic: TopicName,
    corpus: Corpus,
    /// What was published at the beginning, before any item.
    pub(super) first: Vec<Update>,
    /// What was published afterwards, in this order.
    pub(super) changes: Vec<Update>,
}

impl Logistics {
    /// Publishes all classes for the first time.
    ///
    /// # Errors
    /// `kafka_failed` when the broker does not take them.
    pub(super) fn begin(corpus: Corpus, kafka: &Kafka) -> Result<Self, Fault> {
        let producer = PlainProducer::open(kafka)?;
        let topic = TopicName::new("delivery-classes");
        let mut own = Self { producer, topic, corpus, first: Vec::new(), changes: Vec::new() };
        let [(minimum, maximum), _] = BULKY_TIMES;
        let bulky = (BULKY.to_owned(), times(minimum, maximum));
        let classes = (0..corpus.classes).map(|number| corpus.class(number)).chain([bulky]);
        own.first = classes.map(|(key, value)| Update { key, value: Some(value) }).collect();
        own.first.iter().try_for_each(|class| send(&mut own.producer, &own.topic, class))?;
        own.producer.flush()?;
        Ok(own)
    }

    /// Changes one class, publishes one that items have named all the time, and deletes one. Tells which.
    ///
    /// # Errors
    /// As for [`begin`](Self::begin).
    pub(super) fn change_small_ones(&mut self) -> Result<[String; 3], Fault> {
        let last = self.corpus.classes.saturating_sub(1);
        let names = [class_name(0), class_name(self.corpus.classes), class_name(last)];
        let [changed, inserted, deleted] = names.clone();
        self.publish(Update { key: changed, value: Some(times(10, 16)) })?;
        self.publish(Update { key: inserted, value: Some(times(11, 17)) })?;
        self.publish(Update { key: deleted, value: None })?;
        Ok(names)
    }

    /// Changes the large class.
    ///
    /// # Errors
    /// As for [`begin`](Self::begin).
    pub(super) fn change_the_large_one(&mut self) -> Result<(), Fault> {
        let [_, (minimum, maximum)] = BULKY_TIMES;
        self.publish(Update { key: BULKY.to_owned(), value: Some(times(minimum, maximum)) })
    }

    /// How an item ends that has the new times of the large class. Good enough to show progress, not to judge.
    pub(super) fn mark() -> Vec<u8> {
        let [_, (minimum, maximum)] = BULKY_TIMES;
        format!("\"minimumDeliveryTime\":{minimum},\"maximumDeliveryTime\":{maximum}}}").into_bytes()
    }

    fn publish(&mut self, class: Update) -> Result<(), Fault> {
        send(&mut self.producer, &self.topic, &class)?;
        self.changes.push(class);
        self.producer.flush()
    }
}

fn send(producer: &mut PlainProducer, topic: &TopicName, class: &Update) -> Result<(), Fault> {
    producer.send(&outgoing(topic, class.key.as_bytes(), class.value.as_deref()))
}
