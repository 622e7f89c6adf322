//! A plain producer: records into topics, each once and in order, without transactions.

use std::time::Duration;

use crate::clock::Clock;
use crate::config::pipeline::Kafka;
use crate::fault::Fault;
use crate::io::Outgoing;
use crate::kafka::client;
use crate::kafka::error;
use crate::kafka::native::{ErrorCode, Failure};
use crate::kafka::producer::Producer;

/// How long a record may wait for room, and all records for their acknowledgement.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);

/// The pause before a record is offered again to a full queue.
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(2);

/// Batches stay below what a topic takes by default.
const BATCH_BYTES: usize = 1_000_000;

/// Puts records into topics. What is not flushed when it is dropped may be lost.
pub struct PlainProducer {
    producer: Producer,
}

impl PlainProducer {
    /// Makes a producer; nothing is sent yet.
    ///
    /// # Errors
    /// `client_key_unknown`, `kafka_failed`.
    pub fn open(kafka: &Kafka) -> Result<Self, Fault> {
        Ok(Self { producer: Producer::open(&client::producer(kafka, "gristmill-produce", BATCH_BYTES))? })
    }

    /// Hands a record over; waits while the queue is full.
    ///
    /// # Errors
    /// `kafka_failed`, `not_authorized`, `record_refused`.
    pub fn send(&mut self, record: &Outgoing<'_>) -> Result<(), Fault> {
        let clock = Clock::system();
        while let Err(failure) = self.producer.send(record) {
            let is_full = failure.code == ErrorCode::RD_KAFKA_RESP_ERR__QUEUE_FULL;
            if !is_full || clock.elapsed() > SEND_TIMEOUT {
                return Err(error::delivery_fault(record.topic.as_str(), failure));
            }
            std::thread::sleep(QUEUE_FULL_PAUSE);
        }
        Ok(())
    }

    /// Waits until all records are acknowledged.
    ///
    /// # Errors
    /// `kafka_failed`, `not_authorized`, `record_refused`: of the first record that was not.
    pub fn flush(&mut self) -> Result<(), Fault> {
        let flushed = self.producer.flush(SEND_TIMEOUT);
        if let Some(first) = self.producer.reports().take_undelivered().first() {
            return Err(error::delivery_fault("its topic", Failure::of(first.code)));
        }
        flushed.map_err(|failure| error::fault("records were not acknowledged in time", failure))
    }
}
