//! The demo's suppliers: each sends its updates at a steady rate, whatever the host is doing meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::corpus::Corpus;
use crate::clock::Clock;
use crate::config::pipeline::Kafka;
use crate::fault::Fault;
use crate::id::TopicName;
use crate::io::{CauseId, Outgoing};
use crate::kafka::produce::PlainProducer;

/// What all suppliers share.
#[derive(Clone)]
pub(super) struct Market {
    /// What there is to send.
    pub(super) corpus: Corpus,
    /// Where.
    pub(super) kafka: Kafka,
    /// To which topic.
    pub(super) topic: TopicName,
    /// How long after the one before each update is sent, all suppliers together.
    pub(super) pace: Duration,
    /// The demo's clock.
    pub(super) clock: Clock,
    /// When the first update after the stock is due; the others follow with `pace` between them.
    pub(super) begin: Duration,
    /// How many were sent, for the display.
    pub(super) sent: Arc<AtomicUsize>,
    /// The number of the first update that is not sent any more.
    pub(super) end: Arc<AtomicUsize>,
}

impl Market {
    /// When an update is due: latency counts from here, so that a host that holds its suppliers up cannot hide it.
    pub(super) fn due(&self, number: usize) -> Duration {
        let number = u32::try_from(number.saturating_sub(self.corpus.items)).unwrap_or(u32::MAX);
        self.begin.saturating_add(self.pace.saturating_mul(number))
    }

    /// Sends the stock, as fast as the broker takes it.
    ///
    /// # Errors
    /// `kafka_failed` when the broker does not take it.
    pub(super) fn send_stock(&self, is_over: &AtomicBool) -> Result<(), Fault> {
        let mut producer = PlainProducer::open(&self.kafka)?;
        for number in (0..self.corpus.items).take_while(|_| !is_over.load(Ordering::Acquire)) {
            self.send_one(&mut producer, number)?;
        }
        producer.flush()
    }

    /// Sends the updates of one supplier, each when it is due, until the market closes.
    ///
    /// # Errors
    /// As for [`send_stock`](Self::send_stock).
    pub(super) fn send(&self, supplier: usize, is_over: &AtomicBool) -> Result<(), Fault> {
        let mut producer = PlainProducer::open(&self.kafka)?;
        let own = (self.corpus.items..).filter(|number| self.corpus.supplier(*number) == supplier);
        for number in own {
            std::thread::sleep(self.due(number).saturating_sub(self.clock.elapsed()));
            if number >= self.end.load(Ordering::Acquire) || is_over.load(Ordering::Acquire) {
                break;
            }
            self.send_one(&mut producer, number)?;
        }
        producer.flush()
    }

    /// Ends the market in a second, so that no supplier has sent a later update than others will. Tells how many updates
    /// there are, the stock included.
    pub(super) fn close(&self) -> usize {
        let end = self.clock.elapsed().saturating_add(Duration::from_secs(1));
        let mut number = self.corpus.items;
        while self.due(number) < end {
            number += 1;
        }
        self.end.store(number, Ordering::Release);
        number
    }

    fn send_one(&self, producer: &mut PlainProducer, number: usize) -> Result<(), Fault> {
        let update = self.corpus.update(number);
        producer.send(&outgoing(&self.topic, update.key.as_bytes(), update.value.as_deref()))?;
        self.sent.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// A record without headers, partitioned by its key.
pub(super) fn outgoing<'a>(topic: &'a TopicName, key: &'a [u8], value: Option<&'a [u8]>) -> Outgoing<'a> {
    Outgoing {
        topic,
        partition: None,
        key: Some(key),
        value,
        headers: &[],
        timestamp: None,
        cause: CauseId(0),
    }
}
