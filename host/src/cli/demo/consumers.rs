//! Three who consume the enriched items, each with a view of its own as real ones have: a shop, a search engine, a partner.

mod partner;
mod search;
mod shop;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::errand::Errand;
use super::expected::{self, Expected, Standing, Times};
use super::observer::open_reader;
use super::place::Place;
use crate::fault::Fault;
use crate::io::Input;
use crate::kafka::tail::{Isolation, TopicReader};

/// How long a consumer waits for records before it looks whether the demo has ended.
const WAIT: Duration = Duration::from_millis(100);

/// What a record tells of an item.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Offer {
    /// Its classes, one for most items.
    pub(super) classes: Vec<String>,
    /// Its times; none while its class is unknown.
    pub(super) times: Option<Times>,
}

/// Somebody with a view of the items.
pub(super) trait Consumer: Send {
    /// Takes a record: an item as it is now, or none when it is deleted.
    fn take(&mut self, sku: &str, offer: Option<Offer>);

    /// What it sees, in a line.
    fn sight(&self) -> String;

    /// What it knows of an item, in the form in which it can be compared: it need not know everything.
    fn knows(&self, sku: &str, standing: &Standing) -> bool;

    /// How many items it has that nobody expects.
    fn strangers(&self, expected: &Expected) -> usize;
}

/// A consumer on its own thread.
pub(super) struct Desk {
    /// Who it is.
    pub(super) name: &'static str,
    work: Arc<Mutex<Work>>,
    errand: Errand,
}

struct Work {
    consumer: Box<dyn Consumer>,
    taken: usize,
}

impl Desk {
    /// The three, each with a reader of its own.
    ///
    /// # Errors
    /// `topic_missing`, `kafka_failed`.
    pub(super) fn open_all(place: &Place) -> Result<Vec<Self>, Fault> {
        let consumers: [(_, Box<dyn Consumer>); 3] = [
            ("shop", Box::new(shop::Shop::default())),
            ("search", Box::new(search::Search::default())),
            ("partner", Box::new(partner::Partner::default())),
        ];
        consumers.into_iter().map(|(name, consumer)| Self::open(place, name, consumer)).collect()
    }

    fn open(place: &Place, name: &'static str, consumer: Box<dyn Consumer>) -> Result<Self, Fault> {
        let topic = place.names.topic("items-enriched");
        let reader = open_reader(&place.kafka, &topic, Isolation::Committed)?;
        let work = Arc::new(Mutex::new(Work { consumer, taken: 0 }));
        let own = Arc::clone(&work);
        let errand = Errand::start(name, move |is_over| read(reader, &own, is_over))?;
        Ok(Self { name, work, errand })
    }

    /// What it sees, in a line.
    pub(super) fn sight(&self) -> String {
        self.work().consumer.sight()
    }

    /// How many records it has taken.
    pub(super) fn taken(&self) -> usize {
        self.work().taken
    }

    /// How many items it sees otherwise than they are.
    pub(super) fn errors(&self, expected: &Expected) -> usize {
        let work = self.work();
        let wrong = expected.iter().filter(|(sku, standing)| !work.consumer.knows(sku, standing)).count();
        wrong + work.consumer.strangers(expected)
    }

    /// Why it has stopped, if it has.
    pub(super) fn failure(&self) -> Option<Fault> {
        self.errand.failure()
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(mut reader: TopicReader, work: &Mutex<Work>, is_over: &AtomicBool) -> Result<(), Fault> {
    while !is_over.load(Ordering::Acquire) {
        let Some(Input::Records(_, chunk)) = reader.poll(WAIT)? else { continue };
        let mut work = work.lock().unwrap_or_else(PoisonError::into_inner);
        for record in chunk.iter() {
            let sku = String::from_utf8_lossy(record.key().unwrap_or_default());
            work.consumer.take(&sku, record.value().and_then(offer));
            work.taken += 1;
        }
    }
    Ok(())
}

fn offer(value: &[u8]) -> Option<Offer> {
    let item: Value = serde_json::from_slice(value).ok()?;
    let days = |name: &str| item.get(name).and_then(Value::as_u64);
    Some(Offer {
        classes: expected::classes(&item).map(str::to_owned).collect(),
        times: days("minimumDeliveryTime").zip(days("maximumDeliveryTime")),
    })
}
