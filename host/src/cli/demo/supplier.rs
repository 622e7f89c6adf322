//! The demo's suppliers: each sends its updates at a steady rate, whatever the host is doing meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
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
    /// The demo's clock: update `n` is due at `begin + n * pace`.
    pub(super) clock: Clock,
    /// When the first update is due.
    pub(super) begin: Duration,
    /// How many were sent, for the progress display.
    pub(super) sent: Arc<AtomicUsize>,
}

impl Market {
    /// When an update is due: latency counts from here, so that a host that holds its suppliers up cannot hide it.
    pub(super) fn due(&self, number: usize) -> Duration {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        self.begin.saturating_add(self.pace.saturating_mul(number))
    }

    /// Sends the updates of one supplier, each when it is due.
    ///
    /// # Errors
    /// `kafka_failed` when the broker does not take them.
    pub(super) fn send(&self, supplier: usize) -> Result<(), Fault> {
        let mut producer = PlainProducer::open(&self.kafka)?;
        let own = (0..self.corpus.items).filter(|number| self.corpus.supplier(*number) == supplier);
        for number in own {
            std::thread::sleep(self.due(number).saturating_sub(self.clock.elapsed()));
            let update = self.corpus.update(number);
            producer.send(&outgoing(&self.topic, update.key.as_bytes(), update.value.as_deref()))?;
            self.sent.fetch_add(1, Ordering::Relaxed);
        }
        producer.flush()
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
