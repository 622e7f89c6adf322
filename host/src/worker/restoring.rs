//! Tasks on their way: local stores are brought up to date before tasks are opened, and dropped when they are of no use.
//!
//! Reading is the restorer's and takes place elsewhere; what was read is applied here, a little in each turn, so that the
//! worker's other tasks go on and the group hears of it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::event;
use crate::fault::{Code, Fault, Scope};
use crate::id::{Offset, Partition, TaskId, TopicPartition};
use crate::io::{Sink, Source, Until};
use crate::sabotage::{self, Rule};
use crate::task::restore::{Beginning, Restoration, Setback, Wanted};
use crate::task::state::says_state;
use crate::task::{Opening, Task};
use crate::worker::{Turned, Worker, surroundings};

/// How many pieces of news a turn takes in at most.
const NEWS_MAX: usize = 4;

/// How often the log says how far restores are.
const SHOW_INTERVAL: Duration = Duration::from_secs(2);

impl<S: Source, K: Sink<Membership = S::Membership>> Worker<S, K> {
    /// Begins with tasks of which all partitions are here.
    ///
    /// # Errors
    /// Something failed that may pass, or scope host.
    pub(super) fn begin_tasks(&mut self, partitions: &[Partition]) -> Result<(), Fault> {
        let places: Vec<_> = partitions.iter().flat_map(|partition| self.places(*partition)).collect();
        let found = self.ports.source.committed(&places)?;
        let mut committed: BTreeMap<Partition, BTreeMap<TopicPartition, Offset>> = BTreeMap::new();
        let mut with_state = std::collections::BTreeSet::new();
        for (place, found) in places.iter().zip(found) {
            let own = committed.entry(place.partition).or_default();
            let Some(found) = found else { continue };
            own.insert(place.clone(), found.position);
            if says_state(&found.note) {
                with_state.insert(place.partition);
            }
        }
        for (partition, committed) in committed {
            let has_state = with_state.contains(&partition);
            if self.spec.state.changelog.is_none() {
                let opening = Opening { positions: committed.clone(), committed, ..Opening::default() };
                self.open_task(partition, opening, None)?;
            } else {
                self.begin_restore(partition, committed, has_state)?;
            }
        }
        Ok(())
    }

    /// With more partitions, keys lie in others than before: their state would be that of another task.
    /// Asked before a task has all of its partitions: the inbox lacks that one.
    pub(super) fn refuse_added(&self) -> Result<(), Fault> {
        let count = self.spec.tasks;
        let is_added = |partition: &Partition| u32::try_from(partition.0).is_ok_and(|number| number >= count);
        let mut assigned = self.assigned.iter().map(|place| place.partition);
        let added = assigned.find(is_added).filter(|_| self.spec.state.changelog.is_some());
        let Some(added) = added else { return Ok(()) };
        let what = format!("transform `{}` cannot go on: a source got more partitions", self.spec.transform);
        let cause = format!("there is a partition {added}, and the changelog has {count} partitions");
        Err(Fault::new(Code::ChangelogPartitionMismatch, what).because(cause))
    }

    fn begin_restore(
        &mut self,
        partition: Partition,
        committed: BTreeMap<TopicPartition, Offset>,
        has_state: bool,
    ) -> Result<(), Fault> {
        let id = self.task_id(partition);
        // Whoever has the store open still has let go of it when the task was closed.
        for is_first in [true, false] {
            let store = match self.ports.stores.open(partition) {
                Ok(store) => store,
                Err(fault) => {
                    self.wait_for_disk(&id, &fault.to_string());
                    return Ok(());
                }
            };
            let clock = &self.ports.clock;
            let (now, elapsed) = (clock.now(), clock.elapsed());
            let committed = committed.clone();
            let beginning = Beginning { id: &id, spec: &self.spec, committed, has_state, now, elapsed };
            match Restoration::begin(beginning, store) {
                Ok(Some(restoration)) => {
                    self.read(&restoration.wanted());
                    self.restoring.insert(partition, restoration);
                    return Ok(());
                }
                Ok(None) => return Ok(()),
                Err(Setback::Unfit(reason)) if is_first => self.discard(partition, reason),
                Err(Setback::Failed(fault)) if is_first => self.discard(partition, &fault.to_string()),
                Err(Setback::Unfit(reason)) => {
                    let fault = Fault::new(
                        Code::StoreFailed,
                        format!("the local store of task `{id}` cannot be used"),
                    );
                    return self.refuse(partition, fault.because(reason));
                }
                Err(Setback::Failed(fault) | Setback::Refused(fault)) => {
                    return self.refuse(partition, fault);
                }
            }
        }
        Ok(())
    }

    /// A local store could not be made or written: tasks are not opened for a while, which grows. A full disk is somebody
    /// else's to empty, and to restore again and again without a pause would keep it full.
    fn wait_for_disk(&mut self, task: &TaskId, reason: &str) {
        let pause = self.store_backoff.failed();
        event::StoreAwaited { task, reason, pause }.emit();
        self.open_at = self.ports.clock.elapsed().saturating_add(pause);
    }

    fn read(&mut self, wanted: &[Wanted]) {
        for Wanted { place, from, until } in wanted {
            let until = match from {
                Some(from) if sabotage::breaks(Rule::ReadTheTail) => Until::Position(*from),
                _ => *until,
            };
            self.ports.restorer.begin(place, *from, until);
        }
    }

    /// Applies some of what was read, and opens the tasks that are up to date.
    ///
    /// # Errors
    /// Scope host.
    pub(super) fn restore(&mut self) -> Result<Turned, Fault> {
        self.show_restores();
        let mut turned = Turned::Idle;
        let partitions: Vec<_> = self.restoring.keys().copied().collect();
        for partition in partitions {
            match self.restore_some(partition) {
                Ok(now) => turned = turned.or(now),
                Err(Setback::Unfit(reason)) => {
                    self.stop_restoring(partition);
                    self.discard(partition, reason);
                    self.wait_for_disk(&self.task_id(partition), reason);
                }
                Err(Setback::Refused(fault)) => {
                    let has_moved = self.has_moved(partition);
                    self.stop_restoring(partition);
                    match has_moved {
                        Ok(true) => {}
                        Ok(false) => self.refuse(partition, fault)?,
                        Err(fault) => self.troubled(fault)?,
                    }
                }
                Err(Setback::Failed(fault)) => {
                    self.stop_restoring(partition);
                    self.troubled(fault)?;
                }
            }
        }
        if self.tasks.values().any(Task::is_fresh) && self.is_ready() {
            self.commit()?;
        }
        Ok(turned)
    }

    /// Says how far restores are, if they take long.
    fn show_restores(&mut self) {
        let elapsed = self.ports.clock.elapsed();
        if self.restoring.is_empty() {
            self.restores_shown = elapsed;
        } else if elapsed.saturating_sub(self.restores_shown) >= SHOW_INTERVAL {
            self.restores_shown = elapsed;
            let offsets = self.restoring.values().map(Restoration::offsets);
            let (read, expected) = offsets.fold((0, 0), |sum, own| (sum.0 + own.0, sum.1 + own.1));
            let progress = read as f64 / (expected as f64).max(1.0);
            let (transform, tasks) = (&self.spec.transform, self.restoring.len());
            event::RestoreMoved { transform, tasks, progress }.emit();
        }
    }

    /// Whether somebody has committed for a task since its restore began: then the group gave it away, this worker has not
    /// heard of it yet, and what it has found out means nothing.
    fn has_moved(&mut self, partition: Partition) -> Result<bool, Fault> {
        let places: Vec<_> = self.places(partition).collect();
        let found = self.ports.source.committed(&places)?;
        let Some(restoration) = self.restoring.get(&partition) else { return Ok(true) };
        let then = places.iter().map(|place| restoration.began_with().get(place).copied());
        Ok(!found.into_iter().map(|found| found.map(|found| found.position)).eq(then))
    }

    fn restore_some(&mut self, partition: Partition) -> Result<Turned, Setback> {
        let mut turned = Turned::Idle;
        for _ in 0..NEWS_MAX {
            let Some(restoration) = self.restoring.get_mut(&partition) else { return Ok(turned) };
            if restoration.is_done() {
                self.open_restored(partition).map_err(Setback::Failed)?;
                return Ok(Turned::Busy);
            }
            let places: Vec<_> = restoration.progress().map(|(place, _)| place.clone()).collect();
            let restorer = &mut self.ports.restorer;
            let Some((place, news)) = places.into_iter().find_map(|place| {
                let news = restorer.poll(&place)?;
                Some((place, news))
            }) else {
                return Ok(turned);
            };
            turned = Turned::Busy;
            let wanted = restoration.take(&place, news, &surroundings(&self.ports))?;
            if !restoration.progress().any(|(reading, _)| *reading == place) {
                self.ports.restorer.end(&place);
            }
            self.read(&wanted);
        }
        Ok(turned)
    }

    fn open_restored(&mut self, partition: Partition) -> Result<(), Fault> {
        let Some(restoration) = self.restoring.remove(&partition) else { return Ok(()) };
        let source = &mut self.ports.source;
        let end_of = |place: &TopicPartition| {
            let end = source.bounds(place)?.stable_end;
            Ok(if sabotage::breaks(Rule::CatchUpFirst) { Offset(0) } else { end })
        };
        let (opening, store) = restoration.finish(self.ports.clock.elapsed(), end_of)?;
        self.store_backoff.succeeded();
        self.open_task(partition, opening, Some(store))
    }

    /// The task is closed already, or has never been open: nothing more is read for it.
    pub(super) fn stop_restoring(&mut self, partition: Partition) {
        if let Some(restoration) = self.restoring.remove(&partition) {
            let places: Vec<_> = restoration.progress().map(|(place, _)| place.clone()).collect();
            places.iter().for_each(|place| self.ports.restorer.end(place));
        }
    }

    /// Drops a local store; nobody has it open. One that cannot be dropped is met again, and judged again, when it is opened.
    fn discard(&mut self, partition: Partition, reason: &str) {
        let task = self.task_id(partition);
        event::StoreDiscarded { task: &task, reason }.emit();
        if let Err(fault) = self.ports.stores.discard(partition) {
            self.wait_for_disk(&task, &fault.to_string());
        }
    }

    /// A task cannot be opened until somebody acts.
    fn refuse(&mut self, partition: Partition, fault: Fault) -> Result<(), Fault> {
        if fault.code().scope() == Scope::Host {
            return Err(fault);
        }
        let id = self.task_id(partition);
        let task = self.tasks.entry(partition).or_insert_with(|| Task::new(&self.spec, id));
        task.refuse(fault);
        self.stop_flow(partition)
    }

    /// The local store of a task failed: nothing of the transaction can be kept, and the store is made anew.
    ///
    /// # Errors
    /// Scope host.
    pub(super) fn damaged(&mut self, partition: Partition, fault: &Fault) -> Result<(), Fault> {
        self.close_task(partition);
        self.discard(partition, &fault.to_string());
        self.abort_and_rewind()
    }
}
