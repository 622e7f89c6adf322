//! Products, their information and its updates, and activations, in an order that is random and the same for a seed.

use anyhow::Result;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rdkafka::producer::BaseRecord;
use serde_json::json;

use super::Desk;
use crate::client::Producer;

/// How intake finds its way through the messages below.
pub(super) const INTAKE: &str = "config.product_id_pointer = \"/payload/product/id\"\n\
    config.copy = [\"/payload/externalId\", \"/payload/name\"]\n";

/// Something that happens to a product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A message about it, from which intake makes information.
    Message {
        /// Which product.
        product: usize,
        /// How often it was told of before.
        version: usize,
    },
    /// It is activated.
    Activation {
        /// Which product.
        product: usize,
        /// Which activation, of all.
        number: usize,
    },
}

/// What is still to be sent.
pub struct Feed {
    events: Vec<Event>,
    sent: usize,
}

impl Feed {
    /// So many activations: most products have one, some several; each product is told of one to three times, before,
    /// between or after them.
    pub fn new(seed: u64, activations: usize) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut events: Vec<(u32, Event)> = Vec::new();
        // How far apart in time what concerns a product is, where the next product comes 100 later.
        let spread = u32::try_from(activations * 2).unwrap_or(u32::MAX).clamp(1_000, 20_000);
        let (mut number, mut product) = (0, 0);
        while number < activations {
            // Near to each other in time: a product whose information comes much later is only one more that waits.
            let base = u32::try_from(product).unwrap_or(u32::MAX);
            let mut at = || base.saturating_mul(100) + random.random_range(0..spread);
            let mut versions: Vec<_> = (0..1 + product % 3).map(|_| at()).collect();
            versions.sort_unstable();
            let told = (0..).zip(versions).map(|(version, at)| (at, Event::Message { product, version }));
            events.extend(told);
            let count = if product % 10 == 0 { 2 } else { 1 };
            for _ in 0..count.min(activations - number) {
                events.push((at(), Event::Activation { product, number }));
                number += 1;
            }
            product += 1;
        }
        events.sort_by_key(|(at, _)| *at);
        Self { events: events.into_iter().map(|(_, event)| event).collect(), sent: 0 }
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// How many activations there are.
    pub fn activations(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, Event::Activation { .. })).count()
    }

    /// Sends the next events, `count` at most.
    ///
    /// # Errors
    /// When a record cannot be sent.
    pub fn send(&mut self, desk: &Desk, producer: &Producer, count: usize) -> Result<()> {
        let (inbox, activation) = (desk.topic("product-inbox"), desk.topic("product-activation"));
        for event in self.events.iter().skip(self.sent).take(count) {
            let (topic, product, value) = match event {
                Event::Message { product, version } => (&inbox, product, message(*product, *version)),
                Event::Activation { product, number } => {
                    (&activation, product, json!({ "activationId": format!("a-{number}"), "shop": "de" }))
                }
            };
            let (key, value) = (key(*product), value.to_string());
            producer.send(BaseRecord::to(topic).key(&key).payload(&value))?;
        }
        self.sent = self.events.len().min(self.sent.saturating_add(count));
        producer.drain()
    }
}

fn key(product: usize) -> String {
    format!("p-{product}")
}

fn message(product: usize, version: usize) -> serde_json::Value {
    json!({
        "kind": "product",
        "payload": {
            "product": { "id": key(product) },
            "externalId": format!("X-{product}-{version}"),
            "name": format!("Product {product}"),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_information_before_and_after_activations_and_updates_in_their_order() {
        let feed = Feed::new(1, 1_000);

        assert_eq!(feed.activations(), 1_000);
        let mut told = std::collections::BTreeMap::new();
        let (mut before, mut after) = (0, 0);
        for event in &feed.events {
            match event {
                Event::Message { product, version } => {
                    assert_eq!(told.insert(*product, *version), version.checked_sub(1));
                }
                Event::Activation { product, .. } if told.contains_key(product) => before += 1,
                Event::Activation { .. } => after += 1,
            }
        }
        assert!(before > 100 && after > 100, "{before} after their information, {after} before it");
    }

    #[test]
    fn is_the_same_for_a_seed() {
        assert_eq!(Feed::new(3, 100).events, Feed::new(3, 100).events);
        assert_ne!(Feed::new(3, 100).events, Feed::new(4, 100).events);
    }
}
