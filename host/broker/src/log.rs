//! The log of one partition: batches as the producers sent them, in memory, with transactions, reads and look-ups.

pub(crate) mod batch;
pub(crate) mod compact;
pub(crate) mod producers;
pub(crate) mod records;

use std::collections::VecDeque;

use bytes::Bytes;
use bytes::BytesMut;
use kafka_protocol::error::ResponseError;

use crate::clock::Millis;
use batch::Batch;
use batch::BatchHeader;
use batch::Outcome;
use producers::Producers;
use producers::Sequence;

/// What a batch costs beside its bytes: its entry here and the allocator's share. Counted, so that a
/// client that sends tiny batches meets the limit on stored bytes as well.
const BATCH_OVERHEAD: usize = 128;

/// Which records a reader may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isolation {
    ReadUncommitted,
    ReadCommitted,
}

impl Isolation {
    pub(crate) fn from_wire(level: i8) -> Self {
        if level == 1 { Self::ReadCommitted } else { Self::ReadUncommitted }
    }
}

/// A transaction whose records readers must skip: its producer, its first record and its marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Aborted {
    pub(crate) producer_id: i64,
    pub(crate) first: i64,
    pub(crate) marker: i64,
}

/// How much a read may return.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadBudget {
    pub(crate) bytes: usize,
    /// The first batch is returned even when it is larger than the budget, or a reader could get stuck before it.
    pub(crate) oversized_first: bool,
}

/// What a read found.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub(crate) records: Bytes,
    pub(crate) aborted: Vec<Aborted>,
}

/// A timestamp and the offset of the record that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimedOffset {
    pub(crate) timestamp: i64,
    pub(crate) offset: i64,
}

/// The log of one partition. Offsets are next-to-write: `end` is one past the last record.
#[derive(Debug, Default)]
pub(crate) struct PartitionLog {
    start: i64,
    end: i64,
    stored_bytes: usize,
    /// In order of offsets, without overlap; compaction leaves gaps.
    batches: VecDeque<Batch>,
    producers: Producers,
    /// In order of their markers.
    aborted: Vec<Aborted>,
    cleaning: compact::Progress,
}

impl PartitionLog {
    pub(crate) fn start(&self) -> i64 {
        self.start
    }

    pub(crate) fn end(&self) -> i64 {
        self.end
    }

    /// Record data and its overhead in memory.
    pub(crate) fn stored_bytes(&self) -> usize {
        self.stored_bytes
    }

    /// Up to where no transaction is open; what `read_committed` readers see ends here.
    pub(crate) fn last_stable_offset(&self) -> i64 {
        self.producers.first_open().unwrap_or(self.end).max(self.start)
    }

    /// What an append of a batch of this size would add to `stored_bytes`.
    pub(crate) fn cost(batch_size: usize) -> usize {
        batch_size + BATCH_OVERHEAD
    }

    /// Appends one checked batch of a producer and gives its first offset; for a retried batch, the offset of its first time.
    ///
    /// # Errors
    /// `INVALID_PRODUCER_EPOCH`, `OUT_OF_ORDER_SEQUENCE_NUMBER`.
    pub(crate) fn append(&mut self, batch: &[u8], header: &BatchHeader) -> Result<i64, ResponseError> {
        if header.producer_id >= 0 {
            if let Sequence::Duplicate(offset) = self.producers.check(header)? {
                return Ok(offset);
            }
            self.producers.appended(header, self.end);
        }
        Ok(self.push(batch, header))
    }

    /// Ends a producer's transaction in this partition.
    pub(crate) fn append_marker(&mut self, producer_id: i64, epoch: i16, outcome: Outcome, now: Millis) {
        let marker = batch::marker(producer_id, epoch, outcome, now);
        let Some(header) = BatchHeader::parse(&marker) else { return };
        let first = self.producers.end_transaction(producer_id, epoch);
        let offset = self.push(&marker, &header);
        if let (Outcome::Abort, Some(first)) = (outcome, first) {
            self.aborted.push(Aborted { producer_id, first, marker: offset });
        }
    }

    fn push(&mut self, bytes: &[u8], header: &BatchHeader) -> i64 {
        let batch = Batch::place(self.end, bytes, header);
        let base = batch.base;
        self.end = batch.last + 1;
        self.stored_bytes += Self::cost(batch.data.len());
        self.batches.push_back(batch);
        base
    }

    /// Reads whole batches from the one that holds `from`, or the first after it.
    ///
    /// One batch is returned without copying; several are joined, because a response needs them in one piece.
    pub(crate) fn read(&self, from: i64, isolation: Isolation, budget: ReadBudget) -> Read {
        let bound = match isolation {
            Isolation::ReadCommitted => self.last_stable_offset(),
            Isolation::ReadUncommitted => self.end,
        };
        let mut size = 0;
        let mut upto = from;
        let mut found: Vec<&Bytes> = Vec::new();
        let first = self.batches.partition_point(|batch| batch.last < from);
        for batch in self.batches.range(first..).take_while(|batch| batch.base < bound) {
            let is_over = size + batch.data.len() > budget.bytes;
            if is_over && !(found.is_empty() && budget.oversized_first) {
                break;
            }
            size += batch.data.len();
            upto = batch.last + 1;
            found.push(&batch.data);
        }
        let aborted = match isolation {
            Isolation::ReadCommitted if !found.is_empty() => self.aborted_between(from, upto),
            Isolation::ReadCommitted | Isolation::ReadUncommitted => Vec::new(),
        };
        Read { records: join(&found, size), aborted }
    }

    fn aborted_between(&self, from: i64, upto: i64) -> Vec<Aborted> {
        let first = self.aborted.partition_point(|aborted| aborted.marker < from);
        let later = self.aborted.get(first..).unwrap_or_default();
        later.iter().filter(|aborted| aborted.first < upto).copied().collect()
    }

    /// The first record at or after a timestamp. Inside a compressed batch it is the batch's first record.
    pub(crate) fn offset_at(&self, timestamp: i64) -> Option<TimedOffset> {
        let batch = self.batches.iter().find(|batch| !batch.control && batch.max_timestamp >= timestamp)?;
        let record = records::records(&batch.data)
            .and_then(|records| records.into_iter().find(|record| record.timestamp >= timestamp));
        Some(match record {
            Some(record) => {
                TimedOffset { timestamp: record.timestamp, offset: batch.base + record.offset_delta }
            }
            None => TimedOffset { timestamp: batch.max_timestamp, offset: batch.base },
        })
    }

    /// The record with the highest timestamp. Inside a compressed batch it is the batch's last record.
    pub(crate) fn offset_of_newest(&self) -> Option<TimedOffset> {
        let data = self.batches.iter().filter(|batch| !batch.control);
        let newest =
            data.reduce(|best, batch| if batch.max_timestamp > best.max_timestamp { batch } else { best })?;
        let record = records::records(&newest.data)
            .and_then(|records| records.into_iter().find(|record| record.timestamp == newest.max_timestamp));
        let offset = record.map_or(newest.last, |record| newest.base + record.offset_delta);
        Some(TimedOffset { timestamp: newest.max_timestamp, offset })
    }

    /// Makes `offset` the first that readers can get, and drops the batches that lie wholly before it.
    ///
    /// # Errors
    /// `OFFSET_OUT_OF_RANGE` beyond the end.
    pub(crate) fn delete_before(&mut self, offset: i64) -> Result<(), ResponseError> {
        if offset > self.end {
            return Err(ResponseError::OffsetOutOfRange);
        }
        self.start = self.start.max(offset);
        while self.batches.front().is_some_and(|batch| batch.last < self.start) {
            self.drop_first();
        }
        let gone = self.aborted.partition_point(|aborted| aborted.marker < self.start);
        self.aborted.drain(..gone);
        Ok(())
    }

    /// Applies `retention.bytes` and `retention.ms`: whole batches go from the front, the newest stays.
    pub(crate) fn retain(&mut self, max_bytes: Option<usize>, oldest: Option<i64>) {
        let stable = self.last_stable_offset();
        while let [first, second, ..] = self.batches.make_contiguous() {
            let is_too_much = max_bytes.is_some_and(|max| self.stored_bytes > max);
            let is_too_old = oldest.is_some_and(|oldest| first.max_timestamp < oldest);
            let next = second.base;
            if !(is_too_much || is_too_old) || next > stable || self.delete_before(next).is_err() {
                return;
            }
        }
    }

    fn drop_first(&mut self) {
        if let Some(batch) = self.batches.pop_front() {
            self.stored_bytes = self.stored_bytes.saturating_sub(Self::cost(batch.data.len()));
        }
    }
}

fn join(parts: &[&Bytes], size: usize) -> Bytes {
    match parts {
        [] => Bytes::new(),
        [one] => (*one).clone(),
        several => {
            let mut joined = BytesMut::with_capacity(size);
            several.iter().for_each(|part| joined.extend_from_slice(part));
            joined.freeze()
        }
    }
}

#[cfg(test)]
pub(crate) mod testing;

#[cfg(test)]
mod tests {
    use super::testing::BatchBuilder;
    use super::*;

    const ALL: ReadBudget = ReadBudget { bytes: 1 << 20, oversized_first: true };

    fn append(log: &mut PartitionLog, batch: BatchBuilder) -> Result<i64, ResponseError> {
        let bytes = batch.build();
        let header = batch::check_produced(&bytes).unwrap();
        log.append(&bytes, &header)
    }

    #[test]
    fn numbers_records_in_the_order_of_arrival() {
        let mut log = PartitionLog::default();

        let first = append(&mut log, BatchBuilder::new().record("a", "1").record("b", "2"));
        let second = append(&mut log, BatchBuilder::new().record("c", "3"));

        assert_eq!((first, second, log.end()), (Ok(0), Ok(2), 3));
    }

    #[test]
    fn hides_an_open_transaction_from_committed_readers_only() {
        let mut log = PartitionLog::default();
        append(&mut log, BatchBuilder::new().record("a", "1")).unwrap();
        append(&mut log, BatchBuilder::new().record("b", "2").transactional(7, 0, 0)).unwrap();
        append(&mut log, BatchBuilder::new().record("c", "3")).unwrap();

        let committed = log.read(0, Isolation::ReadCommitted, ALL);
        let uncommitted = log.read(0, Isolation::ReadUncommitted, ALL);

        assert_eq!(log.last_stable_offset(), 1);
        assert_eq!(BatchHeader::parse(&committed.records).unwrap().size, committed.records.len());
        assert!(uncommitted.records.len() > 2 * committed.records.len());
    }

    #[test]
    fn names_the_aborted_transactions_that_a_read_touches() {
        let mut log = PartitionLog::default();
        append(&mut log, BatchBuilder::new().record("a", "1").transactional(7, 0, 0)).unwrap();
        log.append_marker(7, 0, Outcome::Abort, Millis(5));
        append(&mut log, BatchBuilder::new().record("b", "2").transactional(7, 0, 1)).unwrap();
        log.append_marker(7, 0, Outcome::Commit, Millis(6));

        let from_start = log.read(0, Isolation::ReadCommitted, ALL).aborted;
        let from_second = log.read(2, Isolation::ReadCommitted, ALL).aborted;

        assert_eq!(from_start, [Aborted { producer_id: 7, first: 0, marker: 1 }]);
        assert_eq!(from_second, []);
        assert_eq!(log.last_stable_offset(), 4);
    }

    #[test]
    fn returns_a_first_batch_larger_than_the_budget_and_nothing_more() {
        let mut log = PartitionLog::default();
        for _ in 0..3 {
            append(&mut log, BatchBuilder::new().record("key", "value")).unwrap();
        }

        let one = log.read(0, Isolation::ReadUncommitted, ReadBudget { bytes: 1, oversized_first: true });
        let none = log.read(0, Isolation::ReadUncommitted, ReadBudget { bytes: 1, oversized_first: false });

        assert_eq!(BatchHeader::parse(&one.records).unwrap().size, one.records.len());
        assert!(none.records.is_empty());
    }

    #[test]
    fn finds_offsets_by_time_inside_a_batch() {
        let mut log = PartitionLog::default();
        let batch = BatchBuilder::new().at(1_000).record("a", "1").at(2_000).record("b", "2").at(1_500);
        append(&mut log, batch.record("c", "3")).unwrap();

        assert_eq!(log.offset_at(500), Some(TimedOffset { timestamp: 1_000, offset: 0 }));
        assert_eq!(log.offset_at(1_001), Some(TimedOffset { timestamp: 2_000, offset: 1 }));
        assert_eq!(log.offset_at(2_001), None);
        assert_eq!(log.offset_of_newest(), Some(TimedOffset { timestamp: 2_000, offset: 1 }));
    }

    #[test]
    fn deletes_records_up_to_an_offset_and_refuses_one_beyond_the_end() {
        let mut log = PartitionLog::default();
        for _ in 0..3 {
            append(&mut log, BatchBuilder::new().record("key", "value")).unwrap();
        }
        let before = log.stored_bytes();

        log.delete_before(2).unwrap();

        assert_eq!((log.start(), log.end(), log.batches.len()), (2, 3, 1));
        assert_eq!(log.stored_bytes(), before / 3);
        assert_eq!(log.delete_before(4), Err(ResponseError::OffsetOutOfRange));
    }

    #[test]
    fn retains_the_newest_batch_and_what_an_open_transaction_needs() {
        let mut log = PartitionLog::default();
        append(&mut log, BatchBuilder::new().at(1).record("a", "1")).unwrap();
        append(&mut log, BatchBuilder::new().at(2).record("b", "2").transactional(7, 0, 0)).unwrap();
        append(&mut log, BatchBuilder::new().at(3).record("c", "3")).unwrap();

        log.retain(None, Some(100));
        let while_open = log.start();
        log.append_marker(7, 0, Outcome::Commit, Millis(4));
        log.retain(Some(0), None);

        assert_eq!((while_open, log.start(), log.end()), (1, 3, 4));
    }
}
