//! Transactions: who may write under an id, what is open, and how it ends.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::id::{Offset, TopicName, TopicPartition};
use crate::io::Committed;
use crate::memory::State;
use crate::memory::group::MemoryMembership;
use crate::memory::log::{Content, Fate};

/// What the coordinator knows of a transactional id.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    /// Of the producer that may write now.
    pub(crate) epoch: u64,
    /// When the open transaction got its first partition.
    started: Option<Duration>,
    partitions: BTreeSet<TopicPartition>,
    /// Offsets that are committed with it, by group.
    offsets: BTreeMap<String, BTreeMap<TopicPartition, Committed>>,
}

impl Transaction {
    /// The topic is gone, with what was written to it and the positions in it.
    pub(crate) fn forget_topic(&mut self, topic: &TopicName) {
        self.partitions.retain(|place| place.topic != *topic);
        self.offsets.values_mut().for_each(|positions| positions.retain(|place, _| place.topic != *topic));
    }
}

/// How a transaction ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    Commit,
    Abort,
}

/// The producer is not the current one of its id.
#[derive(Debug)]
pub(crate) struct Fenced;

/// Why offsets do not become part of a transaction.
#[derive(Debug)]
pub(crate) enum OffsetsRefused {
    Fenced,
    Stale,
}

impl State {
    /// A new producer takes an id over; what the one before left open is aborted.
    pub(crate) fn init_producer(&mut self, id: &str) -> u64 {
        let old = self.transactions.get(id).map(|transaction| transaction.epoch);
        if let Some(old) = old {
            // An id that had nothing open has nothing to abort.
            let _ended = self.end_transaction(id, old, End::Abort);
        }
        self.next_epoch += 1;
        let epoch = self.next_epoch;
        self.transactions.entry(id.to_owned()).or_default().epoch = epoch;
        epoch
    }

    /// The producer is about to write to a partition: its transaction begins here, if it has not. A producer that is
    /// fenced learns it when it writes.
    pub(crate) fn add_partition(&mut self, (id, epoch): (&str, u64), place: &TopicPartition, now: Duration) {
        let transaction = self.transactions.get_mut(id).filter(|transaction| transaction.epoch == epoch);
        if let Some(transaction) = transaction {
            transaction.started.get_or_insert(now);
            transaction.partitions.insert(place.clone());
        }
    }

    /// Appends a record in the producer's transaction, and tells where; nowhere if the topic is gone.
    pub(crate) fn write(
        &mut self,
        (id, epoch): (&str, u64),
        place: &TopicPartition,
        content: Content,
        now: Duration,
    ) -> Result<Option<Offset>, Fenced> {
        let transaction = self.current(id, epoch)?;
        transaction.started.get_or_insert(now);
        transaction.partitions.insert(place.clone());
        Ok(self.log(place).map(|log| log.append(content, Fate::Open(epoch))))
    }

    /// Makes positions part of the producer's transaction, if they come from a current member of the group.
    pub(crate) fn add_offsets(
        &mut self,
        (id, epoch): (&str, u64),
        group: &str,
        positions: &[(TopicPartition, Committed)],
        (membership, now): (&MemoryMembership, Duration),
    ) -> Result<(), OffsetsRefused> {
        let is_current = self.groups.get(group).is_some_and(|group| group.has(membership));
        let transaction = self.current(id, epoch).map_err(|Fenced| OffsetsRefused::Fenced)?;
        if !is_current {
            self.stats.stale_offsets += 1;
            return Err(OffsetsRefused::Stale);
        }
        transaction.started.get_or_insert(now);
        transaction.offsets.entry(group.to_owned()).or_default().extend(positions.iter().cloned());
        let pending = positions.iter().map(|(place, _)| (place.clone(), epoch));
        if let Some(group) = self.groups.get_mut(group) {
            group.pending.extend(pending);
        }
        Ok(())
    }

    /// Ends the producer's transaction; tells whether there was one.
    pub(crate) fn end_transaction(&mut self, id: &str, epoch: u64, end: End) -> Result<bool, Fenced> {
        let transaction = self.current(id, epoch)?;
        if transaction.started.take().is_none() {
            return Ok(false);
        }
        let partitions = std::mem::take(&mut transaction.partitions);
        let offsets = std::mem::take(&mut transaction.offsets);
        let fate = match end {
            End::Commit => Fate::Committed,
            End::Abort => Fate::Aborted,
        };
        for place in &partitions {
            if let Some(log) = self.log(place) {
                log.decide(epoch, &fate);
            }
        }
        for (group, positions) in offsets {
            let Some(group) = self.groups.get_mut(&group) else { continue };
            group.pending.retain(|(_, pending)| *pending != epoch);
            if end == End::Commit {
                group.offsets.extend(positions);
            }
        }
        match end {
            End::Commit => self.stats.commits += 1,
            End::Abort => self.stats.aborts += 1,
        }
        Ok(true)
    }

    /// The coordinator aborts transactions that are too old, and fences their producers.
    pub(crate) fn end_old_transactions(&mut self, now: Duration) {
        let limit = self.timeouts.transaction;
        let is_old = |transaction: &Transaction| {
            transaction.started.is_some_and(|started| now.saturating_sub(started) > limit)
        };
        let old: Vec<_> = self
            .transactions
            .iter()
            .filter(|(_, transaction)| is_old(transaction))
            .map(|(id, _)| id.clone())
            .collect();
        for id in old {
            self.stats.timeouts += 1;
            self.init_producer(&id);
        }
    }

    fn current(&mut self, id: &str, epoch: u64) -> Result<&mut Transaction, Fenced> {
        match self.transactions.get_mut(id).filter(|transaction| transaction.epoch == epoch) {
            Some(transaction) => Ok(transaction),
            None => {
                self.stats.fenced += 1;
                Err(Fenced)
            }
        }
    }
}
