//! Partitions come and go: tasks are opened where everything of theirs is here, and closed before it leaves.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::config::pipeline::Start;
use crate::event;
use crate::fault::{Code, Fault, Scope};
use crate::id::{Offset, Partition, TopicPartition};
use crate::io::{Sink, Source, StoreEngine};
use crate::sabotage::{self, Rule};
use crate::task::state::Positions;
use crate::task::{Opening, Task};
use crate::worker::Worker;

/// So long a committed position may lie beyond the end of its partition: a broker that has just started may not know yet
/// how far its log is stable.
const BEYOND_LONGEST: Duration = Duration::from_secs(10);

impl<S: Source, K: Sink<Membership = S::Membership>> Worker<S, K> {
    /// The group gave partitions to this worker. Everything slow happens outside of this.
    pub(super) fn assigned(&mut self, places: Vec<TopicPartition>) {
        self.report("assigned", places.len());
        self.assigned.extend(places);
        // Closed tasks were kept for the case that their partitions come back; now it is known which do.
        let numbers: BTreeSet<_> = self.assigned.iter().map(|place| place.partition).collect();
        self.tasks.retain(|partition, _| numbers.contains(partition));
        // Asked now and not later: a membership of later would hide that the partitions were taken away in between.
        self.membership = self.ports.source.membership().ok();
    }

    /// The group wants partitions back: everything is committed first.
    pub(super) fn revoked(&mut self, places: &[TopicPartition]) -> Result<(), Fault> {
        self.report("revoked", places.len());
        if self.is_ready() {
            self.drain(&places.iter().map(|place| place.partition).collect())?;
        }
        if self.is_ready() {
            self.commit()?;
        }
        self.let_go(places)
    }

    /// Partitions are somebody else's already: nothing of the open transaction can be committed.
    pub(super) fn lost(&mut self, places: &[TopicPartition]) -> Result<(), Fault> {
        self.report("lost", places.len());
        self.close_tasks(places);
        self.forget(places);
        if self.is_ready() {
            self.abort_and_rewind()?;
        }
        self.retire_producer();
        self.let_go(places)
    }

    /// The membership is not the one under which the partitions were assigned: they must not be touched until they are
    /// assigned again, or the membership turns out to be the old one after all.
    pub(super) fn membership_lost(&mut self, fault: Fault) -> Result<(), Fault> {
        if fault.code().scope() == Scope::Host {
            return Err(fault);
        }
        event::TransactionFailed { transform: &self.spec.transform, next: "lost", fault: &fault }.emit();
        self.close_all();
        self.abort_and_rewind()
    }

    fn let_go(&mut self, places: &[TopicPartition]) -> Result<(), Fault> {
        self.close_tasks(places);
        self.forget(places);
        self.spare_producer();
        let released = self.ports.source.release(places);
        released.or_else(|fault| self.troubled(fault))
    }

    fn forget(&mut self, places: &[TopicPartition]) {
        self.assigned.retain(|place| !places.contains(place));
    }

    fn close_tasks(&mut self, places: &[TopicPartition]) {
        let partitions: BTreeSet<_> = places.iter().map(|place| place.partition).collect();
        for partition in partitions {
            self.stop_restoring(partition);
            self.close_task(partition);
        }
    }

    /// Opens the tasks of which all partitions are here, and commits the positions of those that begin.
    ///
    /// # Errors
    /// Scope host.
    pub(super) fn open_tasks(&mut self) -> Result<(), Fault> {
        self.refuse_added()?;
        let partitions = self.closed_partitions();
        if partitions.is_empty() || self.ports.clock.elapsed() < self.open_at {
            return Ok(());
        }
        if let Err(fault) = self.try_open(&partitions) {
            return self.troubled(fault);
        }
        if self.tasks.values().any(Task::is_fresh) {
            self.commit()?;
        }
        Ok(())
    }

    /// Closes all tasks, those on their way too.
    pub(super) fn close_all(&mut self) {
        let restoring: Vec<_> = self.restoring.keys().copied().collect();
        restoring.into_iter().for_each(|partition| self.stop_restoring(partition));
        let partitions: Vec<_> = self.tasks.keys().copied().collect();
        partitions.into_iter().for_each(|partition| self.close_task(partition));
    }

    /// Partitions of which every source is here, and whose task is not open.
    fn closed_partitions(&self) -> Vec<Partition> {
        let numbers: BTreeSet<_> = self.assigned.iter().map(|place| place.partition).collect();
        let is_complete =
            |partition: &Partition| self.places(*partition).all(|place| self.assigned.contains(&place));
        let is_closed = |partition: &Partition| {
            let task = self.tasks.get(partition);
            !self.restoring.contains_key(partition)
                && task.is_none_or(|task| !task.is_open() && task.fault().is_none())
        };
        numbers.into_iter().filter(|partition| is_complete(partition) && is_closed(partition)).collect()
    }

    pub(super) fn places(&self, partition: Partition) -> impl Iterator<Item = TopicPartition> {
        self.spec.partitioned().map(move |source| TopicPartition::new(&source.topic, partition))
    }

    fn try_open(&mut self, partitions: &[Partition]) -> Result<(), Fault> {
        let membership = self.ports.source.membership()?;
        if *self.membership.get_or_insert_with(|| membership.clone()) != membership {
            // The group will say what it has done with the partitions.
            return Ok(());
        }
        self.begin_tasks(partitions)
    }

    /// Opens a task at its committed positions, with its local store up to date.
    pub(super) fn open_task(
        &mut self,
        partition: Partition,
        mut opening: Opening,
        store: Option<Box<dyn StoreEngine>>,
    ) -> Result<(), Fault> {
        let places: Vec<_> = self.places(partition).collect();
        for place in places {
            let known = opening.positions.get(&place).copied();
            let position = self.position(&place, known)?;
            opening.positions.insert(place, position);
        }
        self.forget_restarted(partition, &mut opening.record.broadcasts)?;
        let positions: Vec<_> = opening.positions.clone().into_iter().collect();
        let id = self.task_id(partition);
        let task = self.tasks.entry(partition).or_insert_with(|| Task::new(&self.spec, id));
        self.ports.callouts.claim(partition);
        task.open(opening, store);
        if sabotage::breaks(Rule::SettleFirst) {
            task.settle_unsafely();
        }
        self.ports.source.seek(&positions)?;
        let places: Vec<_> = positions.into_iter().map(|(place, _)| place).collect();
        self.ports.source.resume(&places)
    }

    /// Where a source goes on, or begins.
    fn position(&mut self, place: &TopicPartition, committed: Option<Offset>) -> Result<Offset, Fault> {
        let bounds = self.ports.source.bounds(place)?;
        let Some(committed) = committed else {
            let start =
                self.spec.partitioned().find(|source| source.topic == place.topic).map(|source| source.start);
            return Ok(match start {
                Some(Start::Latest) => bounds.stable_end,
                Some(Start::Earliest) | None => bounds.start,
            });
        };
        if (bounds.start..=bounds.stable_end).contains(&committed) {
            self.beyond_since = None;
            return Ok(committed);
        }
        let now = self.ports.clock.elapsed();
        if committed > bounds.stable_end
            && now.saturating_sub(*self.beyond_since.get_or_insert(now)) < BEYOND_LONGEST
        {
            let message = format!("the committed position {committed} of `{place}` lies beyond its end");
            return Err(Fault::new(Code::KafkaFailed, message));
        }
        let message = format!("the committed position {committed} of `{place}` lies outside the topic");
        let range = format!("it holds the offsets {} to {}", bounds.start, bounds.stable_end);
        Err(Fault::new(Code::PositionLost, message).because(range))
    }

    /// Forgets positions beyond the end of their topic: it was made anew, and is applied from its start.
    fn forget_restarted(&mut self, partition: Partition, broadcasts: &mut Positions) -> Result<(), Fault> {
        let mut restarted = Vec::new();
        for (place, position) in &*broadcasts {
            if self.ports.source.bounds(place)?.stable_end < *position {
                restarted.push(place.clone());
            }
        }
        for place in restarted {
            let position = broadcasts.remove(&place).unwrap_or_default();
            let task = self.task_id(partition);
            event::BroadcastRestarted { task: &task, place: &place, position }.emit();
        }
        Ok(())
    }

    /// Asks the cluster what tasks want to know.
    ///
    /// # Errors
    /// Scope host.
    pub(super) fn answer_tasks(&mut self) -> Result<(), Fault> {
        for task in self.tasks.values_mut() {
            let Some((place, _)) = task.unsure() else { continue };
            match self.ports.source.bounds(place) {
                Ok(bounds) => task.answered(bounds.stable_end),
                Err(fault) => return self.troubled(fault),
            }
        }
        let told = self.tell_ends();
        told.or_else(|fault| self.troubled(fault))
    }

    /// Tells tasks whose timers are due how far their partitions go.
    fn tell_ends(&mut self) -> Result<(), Fault> {
        for task in self.tasks.values_mut().filter(|task| task.wants_ends()) {
            // Before the ends are asked for: what comes later is no concern of the timers that are due now.
            let asked = (self.ports.clock.now(), self.ports.clock.elapsed());
            let places: Vec<_> = task.partitions().cloned().collect();
            let mut ends = Vec::with_capacity(places.len());
            for place in places {
                let end = self.ports.source.bounds(&place)?.stable_end;
                ends.push((place, end));
            }
            task.ends(ends, asked);
        }
        Ok(())
    }

    /// Pauses partitions whose task is behind, resumes them when it has caught up.
    pub(super) fn direct_flow(&mut self) -> Result<(), Fault> {
        let (mut pause, mut resume) = (Vec::new(), Vec::new());
        for task in self.tasks.values_mut().filter(|task| task.is_open()) {
            let (more, less) = task.flow();
            pause.extend(more);
            resume.extend(less);
        }
        let mut directed = Ok(());
        if !pause.is_empty() {
            directed = self.ports.source.pause(&pause);
        }
        if directed.is_ok() && !resume.is_empty() {
            directed = self.ports.source.resume(&resume);
        }
        directed.or_else(|fault| self.troubled(fault))
    }

    /// Nobody reads the partitions of a task that has stopped.
    pub(super) fn stop_flow(&mut self, partition: Partition) -> Result<(), Fault> {
        let places: Vec<_> = self.places(partition).collect();
        let paused = self.ports.source.pause(&places);
        paused.or_else(|fault| self.troubled(fault))
    }

    fn report(&self, change: &'static str, partitions: usize) {
        event::AssignmentChanged { transform: &self.spec.transform, change, partitions }.emit();
    }
}
