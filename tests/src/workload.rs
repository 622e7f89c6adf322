//! Items and classes for a run: the same for the same seed.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rdkafka::producer::BaseRecord;

use anyhow::Result;

use crate::client::Producer;

/// Classes that Logistics keeps.
pub const CLASSES: usize = 50;

/// Where the class lies in an item.
pub const POINTER: &str = "/deliveryClass";

/// The name of a class.
pub fn class_name(n: usize) -> String {
    format!("class-{n:02}")
}

/// A class's record: every class has times of its own.
pub fn class(n: usize) -> (String, String) {
    (class_name(n), format!(r#"{{"minimumTime":{},"maximumTime":{}}}"#, n % 7, n % 7 + 1 + n))
}

/// Makes items, without end. Each one is different; keys come again.
#[derive(Debug)]
pub struct Items {
    random: ChaCha8Rng,
    keys: usize,
    made: usize,
}

impl Items {
    /// Items of so many SKUs.
    pub fn new(seed: u64, keys: usize) -> Self {
        Self { random: ChaCha8Rng::seed_from_u64(seed), keys, made: 0 }
    }

    /// Sends the next `count` items, to the partitions where Java producers would put them.
    ///
    /// # Errors
    /// When a record cannot be sent.
    pub fn send(&mut self, producer: &Producer, topic: &str, count: usize) -> Result<()> {
        for (key, value) in self.take(count) {
            let record = BaseRecord::to(topic).key(key.as_str());
            match &value {
                Some(value) => producer.send::<str, str>(record.payload(value))?,
                None => producer.send::<str, str>(record)?,
            }
        }
        Ok(())
    }

    /// Mostly items of one class; some of several, of unknown ones or of none, some deletions, some that are no items.
    fn value(&mut self) -> Option<String> {
        let (n, padding) = (self.made, "x".repeat(self.random.random_range(100..300)));
        let class = match self.random.random_range(0..100) {
            0..2 => return None,
            2..3 => return Some(format!("no item {n}")),
            3..4 => return Some(format!(r#"{{"n":{n},"deliveryClass":{n}}}"#)),
            4..6 => r#""unknown""#.to_owned(),
            6..8 => "null".to_owned(),
            8..11 => format!(r#"["{}","{}"]"#, self.class(), self.class()),
            _ => format!(r#""{}""#, self.class()),
        };
        Some(format!(r#"{{"n":{n},"deliveryClass":{class},"description":"{padding}"}}"#))
    }

    fn class(&mut self) -> String {
        class_name(self.random.random_range(0..CLASSES))
    }
}

impl Iterator for Items {
    type Item = (String, Option<String>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = format!("sku-{}", self.random.random_range(0..self.keys));
        let value = self.value();
        self.made += 1;
        Some((key, value))
    }
}

/// A seed: that of the environment variable `SEED`, or a new one. It is printed, so that a failing run can be repeated.
pub fn seed() -> u64 {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("SEED={seed}");
    seed
}
