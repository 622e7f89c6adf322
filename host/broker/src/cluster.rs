//! The broker's whole state, and what touches more than one part of it; the lock around it and what waits for its changes.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::clock::Millis;
use crate::faults::Faults;
use crate::groups::registry::Groups;
use crate::limits::Limits;
use crate::log::batch::Outcome;
use crate::server::budget::Budget;
use crate::topics::Topics;
use crate::transactions::Ended;
use crate::transactions::Transactions;

/// The number of the one node.
pub(crate) const NODE_ID: i32 = 1;

/// What the owner chose, beside the limits.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// For topics that are created without a count, and for those that create themselves.
    pub(crate) default_partitions: i32,
    pub(crate) auto_create_topics: bool,
    pub(crate) initial_rebalance_delay: Duration,
    pub(crate) cleaning_interval: Duration,
    pub(crate) cluster_id: String,
}

/// Everything that clients can change.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) topics: Topics,
    pub(crate) groups: Groups,
    pub(crate) transactions: Transactions,
    /// Whether the refusal of data at the limit has been logged; once is enough until there is room again.
    pub(crate) is_full: bool,
}

impl Cluster {
    pub(crate) fn new(settings: &Settings, now: Millis) -> Self {
        Self {
            topics: Topics::new(now),
            groups: Groups::new(settings.initial_rebalance_delay),
            transactions: Transactions::default(),
            is_full: false,
        }
    }

    /// Writes the markers of a transaction and settles its offsets.
    pub(crate) fn settle(&mut self, ended: &Ended, now: Millis) {
        for (topic, partition) in &ended.partitions {
            // A topic may have been deleted while the transaction was open.
            if let Some(log) = self.topics.partition_mut(topic, *partition) {
                let before = log.stored_bytes();
                log.append_marker(ended.producer.id, ended.producer.epoch, ended.outcome, now);
                let added = log.stored_bytes() - before;
                self.topics.count_appended(added);
            }
        }
        for group in &ended.groups {
            let Some(group) = self.groups.get_mut(group) else { continue };
            match ended.outcome {
                Outcome::Commit => group.offsets.commit_staged(ended.producer.id),
                Outcome::Abort => group.offsets.drop_staged(ended.producer.id),
            }
        }
    }

    /// Deletes a topic with its data and the offsets committed for it.
    pub(crate) fn delete_topic(&mut self, name: &str) -> bool {
        self.groups.values_mut().for_each(|group| group.offsets.delete_topic(name));
        self.topics.delete(name)
    }

    /// Acts on what time brings; true when readers may see more than before.
    pub(crate) fn tick(&mut self, now: Millis) -> bool {
        self.groups.tick(now);
        let expired = self.transactions.expire(now);
        expired.iter().for_each(|ended| self.settle(ended, now));
        !expired.is_empty()
    }
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) address: SocketAddr,
    pub(crate) settings: Settings,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    pub(crate) faults: Faults,
    pub(crate) budget: Budget,
    cluster: Mutex<Cluster>,
    /// Counts the changes that a waiting fetch may be waiting for.
    changes: watch::Sender<u64>,
}

impl Shared {
    pub(crate) fn new(address: SocketAddr, settings: Settings, limits: Limits, clock: Clock) -> Self {
        let cluster = Mutex::new(Cluster::new(&settings, clock.now()));
        let budget = Budget::new(limits.inflight_bytes);
        let (changes, _) = watch::channel(0);
        Self { address, settings, limits, clock, faults: Faults::default(), budget, cluster, changes }
    }

    /// Locks the state. A handler that panicked must not stop the others: each change is small, and
    /// what it left is as good as what a client could have asked for.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Cluster> {
        self.cluster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the fetches that wait for data.
    pub(crate) fn announce_change(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Changes from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
