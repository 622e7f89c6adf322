//! Calls leave after the commit of their intent, and answers are waited for before a task is given away.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::fault::Fault;
use crate::id::Partition;
use crate::io::{Sink, Source};
use crate::task::Task;
use crate::worker::{Turned, Worker};

/// So long a task that is wanted back waits for the answers of its calls at most: the group waits for it.
const DRAIN_LONGEST: Duration = Duration::from_secs(10);

/// A drain looks for answers this often at least.
const DRAIN_PAUSE: Duration = Duration::from_millis(50);

impl<S: Source, K: Sink<Membership = S::Membership>> Worker<S, K> {
    /// What a task did is committed, in a commit that began at `started`: its answers are settled, and its calls are made.
    pub(super) fn depart(&mut self, partition: Partition, started: Duration) {
        let Some(task) = self.tasks.get_mut(&partition) else { return };
        let departures = task.departures(started);
        let callouts = &self.ports.callouts;
        // First, because a call that was not sent after all is made again under its id.
        departures.settled.iter().for_each(|id| callouts.settled(partition, id));
        for (call, permit) in departures.calls {
            callouts.send(partition, call, permit);
        }
    }

    /// Breaks the rule that a call is made when its intent is committed.
    pub(super) fn depart_unsafely(&mut self, partition: Partition) {
        if let Some(task) = self.tasks.get_mut(&partition) {
            task.depart_unsafely();
        }
        self.depart(partition, self.ports.clock.elapsed());
    }

    /// A task is closed: nothing of it leaves this process any more.
    pub(super) fn close_task(&mut self, partition: Partition) {
        if let Some(task) = self.tasks.get_mut(&partition) {
            task.close();
        }
        self.ports.callouts.withdraw(partition);
    }

    /// Waits for the answers of calls that are under way, so that they are committed before the tasks are given away. What
    /// takes longer goes to its new owner through the inbox.
    ///
    /// # Errors
    /// Scope host.
    pub(super) fn drain(&mut self, partitions: &BTreeSet<Partition>) -> Result<(), Fault> {
        let endpoints = self.spec.callouts.endpoints.iter();
        let longest = endpoints.map(|endpoint| self.ports.callouts.longest(endpoint.index)).max();
        let Some(longest) = longest else { return Ok(()) };
        for partition in partitions {
            self.ports.callouts.withdraw(*partition);
            self.tasks.get_mut(partition).into_iter().for_each(Task::drain);
        }
        let until = self.ports.clock.elapsed().saturating_add(longest.min(DRAIN_LONGEST));
        while self.is_ready() && self.are_awaiting(partitions) && self.ports.clock.elapsed() < until {
            let mut turned = Turned::Idle;
            for partition in partitions {
                turned = self.let_work(*partition)?.or(turned);
            }
            if turned == Turned::Idle {
                // Answers that are handed out and not committed wait for nothing else.
                self.commit()?;
                self.ports.callouts.wait(DRAIN_PAUSE);
            }
        }
        Ok(())
    }

    fn are_awaiting(&self, partitions: &BTreeSet<Partition>) -> bool {
        partitions.iter().any(|partition| self.tasks.get(partition).is_some_and(Task::is_awaiting_answers))
    }
}
