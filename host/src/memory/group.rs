//! A consumer group with eager rebalances and static members.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::id::{Partition, TopicPartition};
use crate::io::Committed;
use crate::memory::{Stats, Timeouts};

/// What a member shows with its offsets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemoryMembership {
    pub(crate) name: String,
    pub(crate) incarnation: u64,
    pub(crate) generation: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) offsets: BTreeMap<TopicPartition, Committed>,
    /// Offsets of transactions that are not decided, with the epoch of their producer.
    pub(crate) pending: BTreeSet<(TopicPartition, u64)>,
    partitions: Vec<TopicPartition>,
    members: BTreeMap<String, Member>,
    generation: u64,
    /// A rebalance is under way, and ends at this time at the latest.
    rebalancing: Option<Duration>,
    next_incarnation: u64,
}

#[derive(Debug)]
struct Member {
    incarnation: u64,
    seen: Duration,
    /// What it was told that it owns.
    owned: Vec<TopicPartition>,
    /// What it owns and was not told yet.
    news: Option<Vec<TopicPartition>>,
}

/// What a member learns when it asks.
#[derive(Debug)]
pub(crate) enum News {
    Nothing,
    Assigned(Vec<TopicPartition>),
    /// Give everything back.
    Revoked,
    /// It is no member any more.
    Removed,
    /// Another process has its name.
    Replaced,
}

impl Group {
    pub(crate) fn subscribe(&mut self, partitions: Vec<TopicPartition>) {
        self.partitions = partitions;
    }

    /// Joins under a name. Whoever had the name is replaced, and its partitions are taken over without a rebalance.
    pub(crate) fn join(
        &mut self,
        name: &str,
        (now, timeouts): (Duration, Timeouts),
        stats: &mut Stats,
    ) -> u64 {
        self.next_incarnation += 1;
        let incarnation = self.next_incarnation;
        if let Some(member) = self.members.get_mut(name) {
            member.incarnation = incarnation;
            member.seen = now;
            let owned = std::mem::take(&mut member.owned);
            if self.rebalancing.is_none() {
                member.news = Some(member.news.take().unwrap_or(owned));
            }
        } else {
            let member = Member { incarnation, seen: now, owned: Vec::new(), news: None };
            self.members.insert(name.to_owned(), member);
            self.rebalance(now, timeouts);
        }
        self.complete(now, stats);
        incarnation
    }

    /// A member that asks is alive.
    pub(crate) fn news(&mut self, name: &str, incarnation: u64, now: Duration) -> News {
        let is_rebalancing = self.rebalancing.is_some();
        let Some(member) = self.members.get_mut(name) else { return News::Removed };
        if member.incarnation != incarnation {
            return News::Replaced;
        }
        member.seen = now;
        if is_rebalancing {
            return if member.owned.is_empty() { News::Nothing } else { News::Revoked };
        }
        match member.news.take() {
            Some(partitions) => {
                member.owned.clone_from(&partitions);
                News::Assigned(partitions)
            }
            None => News::Nothing,
        }
    }

    /// A member has given everything back.
    pub(crate) fn release(&mut self, name: &str, incarnation: u64, now: Duration, stats: &mut Stats) {
        if let Some(member) = self.members.get_mut(name).filter(|member| member.incarnation == incarnation) {
            member.owned.clear();
        }
        self.complete(now, stats);
    }

    /// A member was heard of all the time, although nobody looked.
    pub(crate) fn keep_alive(&mut self, name: &str, now: Duration) {
        if let Some(member) = self.members.get_mut(name) {
            member.seen = now;
        }
    }

    /// A member goes for good: it has committed what it had, and the others share it at once.
    pub(crate) fn leave(
        &mut self,
        name: &str,
        incarnation: u64,
        (now, timeouts): (Duration, Timeouts),
        stats: &mut Stats,
    ) {
        if self.members.get(name).is_some_and(|member| member.incarnation == incarnation) {
            self.members.remove(name);
            self.rebalance(now, timeouts);
            self.complete(now, stats);
        }
    }

    pub(crate) fn membership(&self, name: &str, incarnation: u64) -> Option<MemoryMembership> {
        let member = self.members.get(name).filter(|member| member.incarnation == incarnation)?;
        let (name, generation) = (name.to_owned(), self.generation);
        Some(MemoryMembership { name, incarnation: member.incarnation, generation })
    }

    pub(crate) fn has(&self, membership: &MemoryMembership) -> bool {
        self.membership(&membership.name, membership.incarnation).as_ref() == Some(membership)
    }

    pub(crate) fn pass_time(&mut self, now: Duration, timeouts: Timeouts, stats: &mut Stats) {
        let is_silent = |member: &Member| now.saturating_sub(member.seen) > timeouts.session;
        let before = self.members.len();
        self.members.retain(|_, member| !is_silent(member));
        let removed = before - self.members.len();
        if removed > 0 {
            stats.removals += removed as u64;
            self.rebalance(now, timeouts);
        }
        self.complete(now, stats);
    }

    fn rebalance(&mut self, now: Duration, timeouts: Timeouts) {
        self.rebalancing.get_or_insert(now.saturating_add(timeouts.rebalance));
        self.members.values_mut().for_each(|member| member.news = None);
    }

    /// Ends a rebalance once everything was given back, or time is up: then who kept something is removed.
    fn complete(&mut self, now: Duration, stats: &mut Stats) {
        let Some(deadline) = self.rebalancing else { return };
        if now >= deadline {
            let before = self.members.len();
            self.members.retain(|_, member| member.owned.is_empty());
            stats.removals += (before - self.members.len()) as u64;
        }
        if self.members.values().all(|member| member.owned.is_empty()) {
            self.rebalancing = None;
            self.generation += 1;
            stats.rebalances += 1;
            self.assign();
        }
    }

    /// Ranges of partition numbers, the same for all topics, so that each task's partitions come together.
    fn assign(&mut self) {
        let numbers: BTreeSet<Partition> = self.partitions.iter().map(|place| place.partition).collect();
        let numbers: Vec<_> = numbers.into_iter().collect();
        let (count, members) = (numbers.len(), self.members.len().max(1));
        for (index, member) in self.members.values_mut().enumerate() {
            let range = (index * count / members)..((index + 1) * count / members);
            let own: BTreeSet<_> = numbers.get(range).unwrap_or_default().iter().collect();
            let mine = self.partitions.iter().filter(|place| own.contains(&place.partition));
            member.news = Some(mine.cloned().collect());
        }
    }
}
