//! Logistics: changes classes, and the catalogue of items that is meant to follow.

use anyhow::Result;
use rdkafka::producer::BaseRecord;

use crate::client::Producer;
use crate::shop::Shop;
use crate::workload;

/// The class of every second item.
pub const BULKY: &str = "bulky";

/// A class that some of the items have beside it.
pub const FAST: &str = "fast";

/// Maximum times of the states that are made here begin with it: no other class has one of them.
const FIRST: usize = 1_000;

/// Changes classes. Each state of a class has a maximum of its own, which tells it from all others.
#[derive(Debug)]
pub struct Logistics<'a> {
    shop: &'a Shop,
    producer: Producer,
    states: usize,
}

impl<'a> Logistics<'a> {
    /// For a shop.
    ///
    /// # Errors
    /// When the producer cannot be made.
    pub fn new(shop: &'a Shop) -> Result<Self> {
        Ok(Self { shop, producer: shop.producer()?, states: 0 })
    }

    /// Inserts or updates a class.
    ///
    /// # Errors
    /// When the record cannot be sent.
    pub fn set(&mut self, class: &str, minimum: usize) -> Result<()> {
        self.states += 1;
        self.repeat(class, minimum)
    }

    /// Sends a class again as the last [`Logistics::set`] made it.
    ///
    /// # Errors
    /// When the record cannot be sent.
    pub fn repeat(&mut self, class: &str, minimum: usize) -> Result<()> {
        let value = format!(r#"{{"minimumTime":{minimum},"maximumTime":{}}}"#, FIRST + self.states);
        self.producer.put(&self.shop.classes, 0, class, &value)?;
        self.producer.drain()
    }

    /// Deletes a class.
    ///
    /// # Errors
    /// When the record cannot be sent.
    pub fn delete(&mut self, class: &str) -> Result<()> {
        self.producer.send::<str, str>(BaseRecord::to(&self.shop.classes).partition(0).key(class))?;
        self.producer.drain()
    }
}

/// So many items. Every second one is of [`BULKY`], every twentieth of [`FAST`] as well; the others are of the classes that
/// the shop began with.
#[derive(Debug)]
pub struct Catalogue<'a> {
    shop: &'a Shop,
    producer: Producer,
    size: usize,
    sent: usize,
}

impl<'a> Catalogue<'a> {
    /// For a shop.
    ///
    /// # Errors
    /// When the producer cannot be made.
    pub fn new(shop: &'a Shop, size: usize) -> Result<Self> {
        Ok(Self { shop, producer: shop.producer()?, size, sent: 0 })
    }

    /// Items of [`BULKY`].
    pub fn bulky(&self) -> usize {
        self.size.div_ceil(2)
    }

    /// Items of both classes.
    pub fn both(&self) -> usize {
        self.size.div_ceil(20)
    }

    /// How many records were sent.
    pub fn sent(&self) -> usize {
        self.sent
    }

    /// Sends all items.
    ///
    /// # Errors
    /// When a record cannot be sent.
    pub fn send_all(&mut self) -> Result<()> {
        (0..self.size).try_for_each(|n| self.send(n))?;
        self.producer.drain()
    }

    /// Sends so many items again, spread over the catalogue, each with something new. Every second one is of [`BULKY`].
    ///
    /// # Errors
    /// When a record cannot be sent.
    pub fn update(&mut self, count: usize) -> Result<()> {
        let stride = (self.size / count.max(1)) | 1;
        (0..count).try_for_each(|n| self.send(n * stride % self.size))?;
        self.producer.drain()
    }

    /// Deletes so many items of [`BULKY`] alone.
    ///
    /// # Errors
    /// When a record cannot be sent.
    pub fn delete(&mut self, count: usize) -> Result<()> {
        for n in 0..count {
            let key = key(20 * n + 2);
            self.producer.send::<str, str>(BaseRecord::to(&self.shop.items).key(&*key))?;
        }
        self.sent += count;
        self.producer.drain()
    }

    fn send(&mut self, n: usize) -> Result<()> {
        let class = match n {
            _ if n.is_multiple_of(20) => format!(r#"["{BULKY}","{FAST}"]"#),
            _ if n.is_multiple_of(2) => format!(r#""{BULKY}""#),
            _ => format!(r#""{}""#, workload::class_name(n % workload::CLASSES)),
        };
        let value = format!(
            r#"{{"n":{},"deliveryClass":{class},"description":"a description of some length"}}"#,
            self.sent
        );
        self.producer.send(BaseRecord::to(&self.shop.items).key(&*key(n)).payload(&*value))?;
        self.sent += 1;
        Ok(())
    }
}

/// The key of an item.
pub fn key(n: usize) -> String {
    format!("sku-{n:06}")
}
