//! What a partition remembers of its idempotent producers: epochs, the last sequences, open transactions.

use std::collections::HashMap;
use std::collections::VecDeque;

use kafka_protocol::error::ResponseError;

use super::batch::BatchHeader;

/// Batches remembered for each producer: a client may have five requests in flight and retry any of them.
const REMEMBERED: usize = 5;
/// Producers remembered for each partition; beyond it the one that was idle longest is forgotten, as Kafka
/// forgets after a day. A forgotten producer may start with any sequence.
const MAX_PRODUCERS: usize = 256;

/// What to do with a batch of an idempotent producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sequence {
    /// The next one in order: append.
    Next,
    /// It is in the log already, from this offset: answer as the first time.
    Duplicate(i64),
}

#[derive(Debug)]
struct Appended {
    first: i32,
    last: i32,
    base_offset: i64,
}

#[derive(Debug)]
struct Producer {
    epoch: i16,
    recent: VecDeque<Appended>,
    last_used: u64,
}

/// The producers of one partition.
#[derive(Debug, Default)]
pub(crate) struct Producers {
    known: HashMap<i64, Producer>,
    /// First offset of each open transaction, by producer id.
    open: HashMap<i64, i64>,
    uses: u64,
}

impl Producers {
    /// Decides what becomes of a batch, without remembering it.
    ///
    /// # Errors
    /// `INVALID_PRODUCER_EPOCH` for a fenced producer, `OUT_OF_ORDER_SEQUENCE_NUMBER` for a gap.
    pub(crate) fn check(&self, batch: &BatchHeader) -> Result<Sequence, ResponseError> {
        let Some(producer) = self.known.get(&batch.producer_id) else { return Ok(Sequence::Next) };
        if batch.producer_epoch < producer.epoch {
            return Err(ResponseError::InvalidProducerEpoch);
        }
        if batch.producer_epoch > producer.epoch {
            return in_order(batch.base_sequence == 0);
        }
        let (first, last) = (batch.base_sequence, last_sequence(batch));
        if let Some(known) = producer.recent.iter().find(|known| known.first == first && known.last == last) {
            return Ok(Sequence::Duplicate(known.base_offset));
        }
        in_order(producer.recent.back().is_none_or(|known| first == next_sequence(known.last)))
    }

    /// Remembers a batch that was appended at an offset.
    pub(crate) fn appended(&mut self, batch: &BatchHeader, base_offset: i64) {
        let producer = self.producer(batch.producer_id, batch.producer_epoch);
        producer.recent.push_back(Appended {
            first: batch.base_sequence,
            last: last_sequence(batch),
            base_offset,
        });
        if producer.recent.len() > REMEMBERED {
            producer.recent.pop_front();
        }
        if batch.is_transactional() {
            self.open.entry(batch.producer_id).or_insert(base_offset);
        }
    }

    /// Ends a producer's transaction here and takes over its epoch, which fences older ones.
    /// Gives the offset at which the transaction began, if it wrote anything.
    pub(crate) fn end_transaction(&mut self, producer_id: i64, epoch: i16) -> Option<i64> {
        self.producer(producer_id, epoch);
        self.open.remove(&producer_id)
    }

    /// Where the oldest open transaction begins.
    pub(crate) fn first_open(&self) -> Option<i64> {
        self.open.values().min().copied()
    }

    fn producer(&mut self, id: i64, epoch: i16) -> &mut Producer {
        self.uses += 1;
        if !self.known.contains_key(&id) && self.known.len() >= MAX_PRODUCERS {
            self.forget_one();
        }
        let fresh = Producer { epoch, recent: VecDeque::new(), last_used: 0 };
        let producer = self.known.entry(id).or_insert(fresh);
        producer.last_used = self.uses;
        if epoch > producer.epoch {
            producer.epoch = epoch;
            producer.recent.clear();
        }
        producer
    }

    fn forget_one(&mut self) {
        let idle = self.known.iter().filter(|(id, _)| !self.open.contains_key(id));
        if let Some(id) = idle.min_by_key(|(_, producer)| producer.last_used).map(|(id, _)| *id) {
            self.known.remove(&id);
        }
    }
}

fn in_order(is_in_order: bool) -> Result<Sequence, ResponseError> {
    if is_in_order { Ok(Sequence::Next) } else { Err(ResponseError::OutOfOrderSequenceNumber) }
}

/// Sequence numbers go from `i32::MAX` back to 0.
fn next_sequence(last: i32) -> i32 {
    last.checked_add(1).unwrap_or(0)
}

fn last_sequence(batch: &BatchHeader) -> i32 {
    batch.base_sequence.wrapping_add(batch.last_offset_delta) & i32::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(producer_epoch: i16, base_sequence: i32, records: i32) -> BatchHeader {
        BatchHeader {
            size: 100,
            attributes: 0,
            last_offset_delta: records - 1,
            base_timestamp: 0,
            max_timestamp: 0,
            producer_id: 7,
            producer_epoch,
            base_sequence,
            record_count: records,
        }
    }

    #[test]
    fn answers_a_retried_batch_with_its_first_offset() {
        let mut producers = Producers::default();
        producers.appended(&batch(0, 0, 10), 100);

        assert_eq!(producers.check(&batch(0, 0, 10)), Ok(Sequence::Duplicate(100)));
        assert_eq!(producers.check(&batch(0, 10, 1)), Ok(Sequence::Next));
    }

    #[test]
    fn refuses_a_gap_and_a_batch_older_than_it_remembers() {
        let mut producers = Producers::default();
        for sequence in 0..6 {
            producers.appended(&batch(0, sequence, 1), i64::from(sequence));
        }

        assert_eq!(producers.check(&batch(0, 7, 1)), Err(ResponseError::OutOfOrderSequenceNumber));
        assert_eq!(producers.check(&batch(0, 0, 1)), Err(ResponseError::OutOfOrderSequenceNumber));
        assert_eq!(producers.check(&batch(0, 1, 1)), Ok(Sequence::Duplicate(1)));
    }

    #[test]
    fn refuses_an_older_epoch_and_restarts_the_sequence_with_a_newer_one() {
        let mut producers = Producers::default();
        producers.appended(&batch(3, 0, 1), 0);

        assert_eq!(producers.check(&batch(2, 1, 1)), Err(ResponseError::InvalidProducerEpoch));
        assert_eq!(producers.check(&batch(4, 1, 1)), Err(ResponseError::OutOfOrderSequenceNumber));
        assert_eq!(producers.check(&batch(4, 0, 1)), Ok(Sequence::Next));
    }

    #[test]
    fn wraps_sequence_numbers_round_to_zero() {
        let mut producers = Producers::default();
        producers.appended(&batch(0, i32::MAX - 1, 2), 0);

        assert_eq!(producers.check(&batch(0, 0, 1)), Ok(Sequence::Next));
        assert_eq!(last_sequence(&batch(0, i32::MAX, 2)), 0);
    }

    #[test]
    fn remembers_a_bounded_number_of_producers() {
        let mut producers = Producers::default();
        for id in 0..1_000 {
            producers.appended(&BatchHeader { producer_id: id, ..batch(0, 0, 1) }, id);
        }

        assert_eq!(producers.known.len(), MAX_PRODUCERS);
        assert!(producers.known.contains_key(&999));
    }
}
