//! Compaction: of each key the newest record stays; offsets never move.
//!
//! As in Kafka: nothing at or after the last stable offset is touched, nor the newest batch (Kafka's active
//! segment); records of aborted transactions go; tombstones, and markers of transactions whose records are
//! gone, stay for `delete.retention.ms` after the first pass that found them. Compressed batches stay whole.

use std::collections::HashMap;
use std::collections::HashSet;
use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::Aborted;
use super::PartitionLog;
use super::batch::Batch;
use super::records::RecordRef;
use super::records::records;
use crate::clock::Millis;

/// What compaction needs to know of the topic's settings and of the time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CompactionRules {
    pub(crate) now: Millis,
    pub(crate) delete_retention: Duration,
    /// Records younger than this stay (`min.compaction.lag.ms`).
    pub(crate) min_lag: Duration,
}

/// How far a log is compacted, and when it is worth doing again.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    clean_to: i64,
    clean_bytes: usize,
    next_horizon: Option<Millis>,
}

impl PartitionLog {
    /// Whether a pass would pay: the dirty part has reached `min_dirty_ratio` of the whole, or tombstones have come of age.
    pub(crate) fn is_dirty(&self, min_dirty_ratio: f64, now: Millis) -> bool {
        if self.cleaning.next_horizon.is_some_and(|horizon| horizon <= now) {
            return true;
        }
        let dirty = self.stored_bytes.saturating_sub(self.cleaning.clean_bytes);
        // Lossy for logs of more than 2^52 bytes, which memory does not hold.
        #[allow(clippy::cast_precision_loss)]
        let ratio = dirty as f64 / self.stored_bytes.max(1) as f64;
        self.last_stable_offset() > self.cleaning.clean_to && dirty > 0 && ratio >= min_dirty_ratio
    }

    /// Runs one pass over the whole log.
    pub(crate) fn compact(&mut self, rules: &CompactionRules) {
        let limit = self.compaction_limit(rules);
        let plan = Plan::new(self, limit);
        let mut kept = VecDeque::with_capacity(self.batches.len());
        let mut stored_bytes = 0;
        let mut live_producers = HashSet::new();
        let mut next_horizon: Option<Millis> = None;
        for mut batch in std::mem::take(&mut self.batches) {
            let stays = if batch.base >= limit {
                true
            } else if batch.control {
                keep_marker(&mut batch, &mut live_producers, rules)
            } else {
                plan.keep_data(&mut batch, rules)
            };
            if !stays {
                continue;
            }
            if batch.transactional && !batch.control {
                live_producers.insert(batch.producer_id);
            }
            next_horizon = [next_horizon, batch.delete_horizon].into_iter().flatten().min();
            stored_bytes += Self::cost(batch.data.len());
            kept.push_back(batch);
        }
        self.batches = kept;
        self.stored_bytes = stored_bytes;
        self.cleaning = Progress { clean_to: limit, clean_bytes: stored_bytes, next_horizon };
        self.forget_aborted_without_marker();
    }

    /// Where compaction ends: an open transaction, the newest batch or a record that is too young.
    fn compaction_limit(&self, rules: &CompactionRules) -> i64 {
        let newest = self.batches.back().map_or(self.end, |batch| batch.base);
        let youngest = rules.now.0.saturating_sub(crate::clock::millis(rules.min_lag));
        let lagging = self
            .batches
            .iter()
            .find(|batch| !rules.min_lag.is_zero() && batch.max_timestamp > youngest)
            .map_or(self.end, |batch| batch.base);
        self.last_stable_offset().min(newest).min(lagging)
    }

    fn forget_aborted_without_marker(&mut self) {
        let batches = &self.batches;
        self.aborted
            .retain(|aborted| batches.binary_search_by_key(&aborted.marker, |batch| batch.base).is_ok());
    }
}

/// Which record of each key stays.
struct Plan {
    newest: HashMap<Bytes, i64>,
    aborted: HashMap<i64, Vec<Aborted>>,
}

impl Plan {
    fn new(log: &PartitionLog, limit: i64) -> Self {
        let mut aborted: HashMap<i64, Vec<Aborted>> = HashMap::new();
        for entry in &log.aborted {
            aborted.entry(entry.producer_id).or_default().push(*entry);
        }
        let mut plan = Self { newest: HashMap::new(), aborted };
        for batch in log.batches.iter().filter(|batch| batch.base < limit && !batch.control) {
            if plan.is_aborted(batch) {
                continue;
            }
            for record in records(&batch.data).unwrap_or_default() {
                if let Some(key) = record.key {
                    plan.newest.insert(batch.data.slice_ref(key), batch.base + record.offset_delta);
                }
            }
        }
        plan
    }

    fn is_aborted(&self, batch: &Batch) -> bool {
        let of_producer = self.aborted.get(&batch.producer_id).map(Vec::as_slice).unwrap_or_default();
        batch.transactional
            && of_producer.iter().any(|aborted| (aborted.first..aborted.marker).contains(&batch.base))
    }

    /// Drops superseded records of a data batch; false when nothing of it stays.
    fn keep_data(&self, batch: &mut Batch, rules: &CompactionRules) -> bool {
        if self.is_aborted(batch) {
            return false;
        }
        let data = batch.data.clone();
        let Some(all) = records(&data) else { return true };
        let horizon = batch.delete_horizon;
        let is_expired = horizon.is_some_and(|horizon| horizon <= rules.now);
        let kept: Vec<&RecordRef<'_>> = all
            .iter()
            .filter(|record| self.is_newest(batch.base, record) && !(record.is_tombstone && is_expired))
            .collect();
        batch.delete_horizon = match kept.iter().any(|record| record.is_tombstone) {
            true => horizon.or(Some(rules.now.plus(rules.delete_retention))),
            false => None,
        };
        if kept.len() < all.len() && !kept.is_empty() {
            batch.keep_records(kept.iter().map(|record| record.raw));
        }
        !kept.is_empty()
    }

    /// Records without a key cannot be superseded.
    fn is_newest(&self, base: i64, record: &RecordRef<'_>) -> bool {
        record.key.is_none_or(|key| self.newest.get(key) == Some(&(base + record.offset_delta)))
    }
}

/// A marker stays while records of its transaction do, and for the retention of tombstones after that.
fn keep_marker(batch: &mut Batch, live_producers: &mut HashSet<i64>, rules: &CompactionRules) -> bool {
    if live_producers.remove(&batch.producer_id) {
        batch.delete_horizon = None;
        return true;
    }
    let horizon = *batch.delete_horizon.get_or_insert(rules.now.plus(rules.delete_retention));
    horizon > rules.now
}

#[cfg(test)]
mod tests {
    use super::super::Isolation;
    use super::super::ReadBudget;
    use super::super::batch::Outcome;
    use super::super::batch::check_produced;
    use super::super::testing::BatchBuilder;
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn rules(now: i64) -> CompactionRules {
        CompactionRules {
            now: Millis(now),
            delete_retention: Duration::from_millis(1_000),
            min_lag: Duration::ZERO,
        }
    }

    fn append(log: &mut PartitionLog, batch: BatchBuilder) {
        let bytes = batch.build();
        let header = check_produced(&bytes).unwrap();
        log.append(&bytes, &header).unwrap();
    }

    /// (offset, key, is tombstone) of every data record in the log.
    fn contents(log: &PartitionLog) -> Vec<(i64, String, bool)> {
        let data = log.batches.iter().filter(|batch| !batch.control);
        data.flat_map(|batch| {
            records(&batch.data).unwrap().into_iter().map(|record| {
                let key = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
                (batch.base + record.offset_delta, key, record.is_tombstone)
            })
        })
        .collect()
    }

    fn entry(offset: i64, key: &str) -> (i64, String, bool) {
        (offset, key.to_owned(), false)
    }

    #[test]
    fn keeps_the_newest_record_of_each_key_at_its_offset() {
        let mut log = PartitionLog::default();
        append(&mut log, BatchBuilder::new().record("a", "1").record("b", "1").record("a", "2"));
        append(&mut log, BatchBuilder::new().record("b", "2"));
        append(&mut log, BatchBuilder::new().record("z", "1"));

        log.compact(&rules(0));

        assert_eq!(contents(&log), [entry(2, "a"), entry(3, "b"), entry(4, "z")]);
        assert_eq!((log.start(), log.end()), (0, 5));
    }

    #[test]
    fn leaves_batches_that_clients_still_read_whole() {
        let mut log = PartitionLog::default();
        append(&mut log, BatchBuilder::new().record("a", "1").record("b", "1"));
        append(&mut log, BatchBuilder::new().record("a", "2"));
        append(&mut log, BatchBuilder::new().record("z", "1"));

        log.compact(&rules(0));

        let all = ReadBudget { bytes: 1 << 20, oversized_first: true };
        let read = log.read(0, Isolation::ReadUncommitted, all).records;
        let first = super::super::batch::BatchHeader::parse(&read).unwrap();
        assert_eq!((first.record_count, first.last_offset_delta), (1, 1));
        assert_eq!(crc32c::crc32c(&read[21..first.size]).to_be_bytes(), read[17..21]);
    }

    #[test]
    fn keeps_tombstones_until_their_retention_is_over() {
        let mut log = PartitionLog::default();
        append(&mut log, BatchBuilder::new().record("a", "1"));
        append(&mut log, BatchBuilder::new().tombstone("a"));
        append(&mut log, BatchBuilder::new().record("z", "1"));

        log.compact(&rules(0));
        let at_first = contents(&log);
        log.compact(&rules(999));
        let just_before = contents(&log);
        assert!(!log.is_dirty(0.5, Millis(999)) && log.is_dirty(0.5, Millis(1_000)));
        log.compact(&rules(1_000));

        assert_eq!(at_first, [(1, "a".to_owned(), true), entry(2, "z")]);
        assert_eq!(just_before, at_first);
        assert_eq!(contents(&log), [entry(2, "z")]);
    }

    #[test]
    fn does_not_let_an_aborted_record_supersede_a_committed_one() {
        let mut log = PartitionLog::default();
        append(&mut log, BatchBuilder::new().record("a", "1"));
        append(&mut log, BatchBuilder::new().record("a", "2").transactional(7, 0, 0));
        log.append_marker(7, 0, Outcome::Abort, Millis(0));
        append(&mut log, BatchBuilder::new().record("z", "1"));

        log.compact(&rules(0));

        assert_eq!(contents(&log), [entry(0, "a"), entry(3, "z")]);
        assert_eq!(log.aborted.len(), 1);
        log.compact(&rules(1_000));
        assert_eq!((log.batches.len(), log.aborted.len()), (2, 0));
    }

    #[test]
    fn stops_before_an_open_transaction() {
        let mut log = PartitionLog::default();
        append(&mut log, BatchBuilder::new().record("a", "1"));
        append(&mut log, BatchBuilder::new().record("b", "1").transactional(7, 0, 0));
        append(&mut log, BatchBuilder::new().record("a", "2"));
        append(&mut log, BatchBuilder::new().record("a", "3"));

        log.compact(&rules(0));

        let expected = [entry(0, "a"), entry(1, "b"), entry(2, "a"), entry(3, "a")];
        assert_eq!(contents(&log), expected);
    }

    #[test]
    fn honours_the_minimum_lag() {
        let mut log = PartitionLog::default();
        append(&mut log, BatchBuilder::new().at(100).record("a", "1"));
        append(&mut log, BatchBuilder::new().at(900).record("a", "2"));
        append(&mut log, BatchBuilder::new().at(900).record("a", "3"));

        log.compact(&CompactionRules { min_lag: Duration::from_millis(500), ..rules(1_000) });

        assert_eq!(contents(&log).len(), 3);
    }

    proptest! {
        #[test]
        fn agrees_with_a_fold_over_all_records(
            batches in prop::collection::vec(prop::collection::vec(("[a-e]", any::<bool>()), 1..5), 1..12)
        ) {
            let mut log = PartitionLog::default();
            for batch in &batches {
                append(&mut log, batch.iter().fold(BatchBuilder::new(), |builder, (key, is_tombstone)| {
                    if *is_tombstone { builder.tombstone(key) } else { builder.record(key, "v") }
                }));
            }
            append(&mut log, BatchBuilder::new().record("last", "v"));
            let fold = |log: &PartitionLog| {
                let records = contents(log).into_iter();
                records.map(|(offset, key, tombstone)| (key, (offset, tombstone))).collect::<BTreeMap<_, _>>()
            };
            let before = fold(&log);

            log.compact(&rules(0));

            prop_assert_eq!(contents(&log).len(), before.len());
            prop_assert_eq!(fold(&log), before);
        }
    }
}
