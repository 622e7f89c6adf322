//! The consumer side: a member of a group that reads committed records.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::fault::{Code, Fault};
use crate::id::{Offset, TopicName, TopicPartition};
use crate::io::{Bounds, Committed, Input, Source};
use crate::memory::group::{MemoryMembership, News};
use crate::memory::log::Log;
use crate::memory::{Call, Cluster, Process, Trouble};
use crate::record::Chunk;

/// A consumer.
pub struct MemorySource {
    cluster: Cluster,
    group: String,
    name: String,
    incarnation: u64,
    /// The incarnation that got the partitions.
    assigned_as: u64,
    cursors: BTreeMap<TopicPartition, Cursor>,
    /// When it learns that another process has its name.
    replaced_at: Option<Duration>,
    /// Where the next poll starts to look, so that no partition is always first.
    turn: usize,
    chunk_records: usize,
    process: Process,
}

#[derive(Debug, Default)]
struct Cursor {
    position: Offset,
    is_paused: bool,
    told_end: Option<Offset>,
}

impl MemorySource {
    /// A member `name` of a group that reads these topics, in chunks of so many records at most.
    pub fn new(
        cluster: &Cluster,
        process: &Process,
        (group, name): (&str, &str),
        topics: &[TopicName],
        chunk_records: usize,
    ) -> Self {
        let partitions = topics.iter().flat_map(|topic| cluster.partitions(topic)).collect();
        cluster.state.borrow_mut().groups.entry(group.to_owned()).or_default().subscribe(partitions);
        let mut source = Self {
            cluster: cluster.clone(),
            group: group.to_owned(),
            name: name.to_owned(),
            incarnation: 0,
            assigned_as: 0,
            cursors: BTreeMap::new(),
            replaced_at: None,
            turn: 0,
            chunk_records: chunk_records.max(1),
            process: process.clone(),
        };
        source.join();
        source
    }

    fn join(&mut self) {
        let now = self.cluster.clock.elapsed();
        let mut state = self.cluster.state.borrow_mut();
        let (timeouts, mut stats) = (state.timeouts, state.stats);
        if let Some(group) = state.groups.get_mut(&self.group) {
            self.incarnation = group.join(&self.name, (now, timeouts), &mut stats);
        }
        state.stats = stats;
    }

    /// Leaves the group. Dropping a consumer does not: its name keeps its place until the session time-out.
    pub fn leave_group(self) {
        let now = self.cluster.clock.elapsed();
        let mut state = self.cluster.state.borrow_mut();
        let (timeouts, mut stats) = (state.timeouts, state.stats);
        if let Some(group) = state.groups.get_mut(&self.group).filter(|_| !self.process.is_dead()) {
            group.leave(&self.name, self.incarnation, (now, timeouts), &mut stats);
        }
        state.stats = stats;
    }

    /// Asks the hook; afterwards `apply` tells whether the call has its effect.
    fn enter(&mut self, call: Call) -> Result<Trouble, Fault> {
        if self.process.is_dead() {
            return Err(died());
        }
        let trouble = self.cluster.call(&self.name, call);
        match trouble {
            Trouble::Dies => {
                self.process.die();
                Err(died())
            }
            Trouble::Fails => Err(passing(call)),
            Trouble::None | Trouble::AppliesAndFails | Trouble::AppliesLate(_) | Trouble::AppliesAndDies => {
                Ok(trouble)
            }
        }
    }

    fn leave<T>(&mut self, call: Call, trouble: Trouble, answer: T) -> Result<T, Fault> {
        match trouble {
            Trouble::AppliesAndDies => {
                self.process.die();
                Err(died())
            }
            Trouble::AppliesAndFails | Trouble::AppliesLate(_) => Err(passing(call)),
            Trouble::None | Trouble::Fails | Trouble::Dies => Ok(answer),
        }
    }

    fn news(&mut self) -> Result<Option<Input>, Fault> {
        let now = self.cluster.clock.elapsed();
        if !self.cursors.is_empty() && self.assigned_as != self.incarnation {
            // The client has joined again by itself: what it had is lost.
            return Ok(Some(Input::Lost(self.cursors.keys().cloned().collect())));
        }
        let news = match self.cluster.state.borrow_mut().groups.get_mut(&self.group) {
            Some(group) => group.news(&self.name, self.incarnation, now),
            None => News::Removed,
        };
        let mine = || self.cursors.keys().cloned().collect();
        match news {
            // It takes a heartbeat to learn that.
            News::Replaced if now < *self.replaced_at.get_or_insert(now + self.cluster.heartbeat()) => {
                Ok(None)
            }
            News::Replaced => {
                let message = format!("another process has joined the group as `{}`", self.name);
                Err(Fault::new(Code::InstanceInUse, message))
            }
            News::Removed if self.cursors.is_empty() => {
                self.join();
                Ok(None)
            }
            News::Removed => Ok(Some(Input::Lost(mine()))),
            News::Revoked => Ok(Some(Input::Revoked(mine()))),
            News::Assigned(places) => {
                self.assigned_as = self.incarnation;
                for place in &places {
                    self.cursors.insert(place.clone(), Cursor { is_paused: true, ..Cursor::default() });
                }
                Ok(Some(Input::Assigned(places)))
            }
            News::Nothing => Ok(None),
        }
    }

    /// What a real client answers when it asks for an offset that does not exist.
    fn check_positions(&self) -> Result<(), Fault> {
        let mut state = self.cluster.state.borrow_mut();
        let mut reading = self.cursors.iter().filter(|(_, cursor)| !cursor.is_paused);
        let is_lost = |(place, cursor): &(&TopicPartition, &Cursor)| {
            state.log(place).is_some_and(|log| !log.has(cursor.position))
        };
        match reading.find(is_lost) {
            None => Ok(()),
            Some((place, cursor)) => {
                let message = format!("{place} has no offset {} any more", cursor.position);
                Err(Fault::new(Code::PositionLost, message))
            }
        }
    }

    fn fetch(&mut self) -> Option<Input> {
        let count = self.cursors.len();
        self.turn = self.turn.wrapping_add(1);
        let places: Vec<_> = self.cursors.keys().cloned().collect();
        let start = self.turn % count.max(1);
        let mut state = self.cluster.state.borrow_mut();
        places.iter().cycle().skip(start).take(count).find_map(|place| {
            let cursor = self.cursors.get_mut(place).filter(|cursor| !cursor.is_paused)?;
            read(state.log(place)?, place, cursor, self.chunk_records)
        })
    }
}

/// The next records of a partition, or the news that there are none.
fn read(log: &Log, place: &TopicPartition, cursor: &mut Cursor, most: usize) -> Option<Input> {
    let mut chunk = Chunk::new();
    for entry in log.stable_from(cursor.position) {
        if chunk.len() == most {
            return Some(Input::Records(place.clone(), chunk));
        }
        cursor.position = entry.offset.next();
        entry.push_to(&mut chunk);
    }
    if !chunk.is_empty() {
        return Some(Input::Records(place.clone(), chunk));
    }
    let end = log.stable_end();
    cursor.position = cursor.position.max(end);
    let is_new = cursor.told_end.replace(end) != Some(end);
    is_new.then(|| Input::End(place.clone(), end))
}

impl Source for MemorySource {
    type Membership = MemoryMembership;

    fn poll(&mut self, wait: Duration) -> Result<Option<Input>, Fault> {
        let trouble = self.enter(Call::Poll)?;
        if trouble == Trouble::AppliesAndDies {
            self.process.die();
            return Err(died());
        }
        let input = match self.news()? {
            Some(news) => Some(news),
            None => {
                self.check_positions()?;
                self.fetch()
            }
        };
        if input.is_none() {
            self.cluster.clock.advance(wait);
        }
        Ok(input)
    }

    fn release(&mut self, partitions: &[TopicPartition]) -> Result<(), Fault> {
        let trouble = self.enter(Call::Release)?;
        partitions.iter().for_each(|place| {
            self.cursors.remove(place);
        });
        if self.cursors.is_empty() {
            let now = self.cluster.clock.elapsed();
            let mut state = self.cluster.state.borrow_mut();
            let mut stats = state.stats;
            if let Some(group) = state.groups.get_mut(&self.group) {
                group.release(&self.name, self.incarnation, now, &mut stats);
            }
            state.stats = stats;
        }
        self.leave(Call::Release, trouble, ())
    }

    /// A client that was removed joins again by itself, in the background; the membership that it then shows is valid,
    /// and not the one under which its partitions were assigned.
    fn membership(&mut self) -> Result<MemoryMembership, Fault> {
        let trouble = self.enter(Call::Membership)?;
        let now = self.cluster.clock.elapsed();
        let news = {
            let state = self.cluster.state.borrow();
            state.groups.get(&self.group).map(|group| group.membership(&self.name, self.incarnation))
        };
        let mut membership = news.flatten();
        if membership.is_none() {
            let is_replaced = {
                let mut state = self.cluster.state.borrow_mut();
                let group = state.groups.get_mut(&self.group);
                group.is_some_and(|group| {
                    matches!(group.news(&self.name, self.incarnation, now), News::Replaced)
                })
            };
            if !is_replaced {
                self.join();
                let state = self.cluster.state.borrow();
                let group = state.groups.get(&self.group);
                membership = group.and_then(|group| group.membership(&self.name, self.incarnation));
            }
        }
        let membership = membership
            .ok_or_else(|| Fault::new(Code::MembershipLost, "another process has the member's name"))?;
        self.leave(Call::Membership, trouble, membership)
    }

    fn committed(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Option<Committed>>, Fault> {
        let trouble = self.enter(Call::Committed)?;
        let answer = {
            let state = self.cluster.state.borrow();
            let Some(group) = state.groups.get(&self.group) else { return Err(passing(Call::Committed)) };
            if group.pending.iter().any(|(place, _)| partitions.contains(place)) {
                return Err(Fault::new(
                    Code::KafkaFailed,
                    "a transaction with offsets of these partitions is open",
                ));
            }
            partitions.iter().map(|place| group.offsets.get(place).cloned()).collect()
        };
        self.leave(Call::Committed, trouble, answer)
    }

    fn bounds(&mut self, partition: &TopicPartition) -> Result<Bounds, Fault> {
        let trouble = self.enter(Call::Bounds)?;
        let bounds = self.cluster.bounds(partition);
        self.leave(Call::Bounds, trouble, bounds)
    }

    fn seek(&mut self, positions: &[(TopicPartition, Offset)]) -> Result<(), Fault> {
        let trouble = self.enter(Call::Seek)?;
        for (place, position) in positions {
            if let Some(cursor) = self.cursors.get_mut(place) {
                (cursor.position, cursor.told_end) = (*position, None);
            }
        }
        self.leave(Call::Seek, trouble, ())
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), Fault> {
        let trouble = self.enter(Call::Pause)?;
        self.set_paused(partitions, true);
        self.leave(Call::Pause, trouble, ())
    }

    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), Fault> {
        let trouble = self.enter(Call::Resume)?;
        self.set_paused(partitions, false);
        self.leave(Call::Resume, trouble, ())
    }
}

impl MemorySource {
    fn set_paused(&mut self, partitions: &[TopicPartition], is_paused: bool) {
        for place in partitions {
            if let Some(cursor) = self.cursors.get_mut(place) {
                cursor.is_paused = is_paused;
            }
        }
    }
}

fn passing(call: Call) -> Fault {
    Fault::new(Code::KafkaFailed, format!("the call `{call:?}` failed"))
}

fn died() -> Fault {
    Fault::new(Code::Internal, "the simulated process has died")
}
