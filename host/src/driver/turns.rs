//! Turns of hosts: one, many, until something is so, until nothing is left to do.

use crate::driver::{Driver, Message, Stuck};
use crate::status::TaskState;
use crate::task::order::Order;
use crate::worker::Turned;

/// So many turns of every host a scenario waits at most. A turn in which nothing happens takes 50 ms of the driver's time, so
/// that this is enough for the longest time-out of a group.
pub(super) const TURNS_MAX: usize = 5_000;

impl Driver {
    /// One turn of every worker of every host, in the order of their names.
    pub fn turn(&mut self) -> Turned {
        let mut turned = Turned::Idle;
        let names: Vec<_> = self.awake().map(|(name, _)| name.clone()).collect();
        for name in names {
            let Some(host) = self.hosts.get_mut(&name) else { continue };
            match host.turn(&self.held) {
                Ok(Turned::Idle) => {}
                Ok(Turned::Busy) => turned = Turned::Busy,
                Err(fault) => {
                    turned = Turned::Busy;
                    self.hosts.remove(&name);
                    match self.calls.take_crashed() {
                        Some(crash) => {
                            self.crashed(&name, crash);
                            self.start(name.as_str());
                        }
                        None => drop(self.ended.insert(name, fault)),
                    }
                }
            }
        }
        self.send_orphans();
        turned
    }

    /// Answers to callouts whose tasks have left a host go to their inbox.
    fn send_orphans(&self) {
        for (inbox, task, answer) in self.awake().flat_map(|(_, host)| host.orphans()) {
            let order = Order::CalloutAnswer {
                id: answer.id,
                attempts: answer.attempts,
                end: (&answer.ended).into(),
            };
            let message = Message::keyless(order.write()).to_partition(task);
            // The inbox was made with the driver.
            drop(self.send(inbox.as_str(), message));
        }
    }

    /// So many turns.
    pub fn turns(&mut self, count: usize) {
        (0..count).for_each(|_| {
            self.turn();
        });
    }

    /// Lets the hosts work until nothing is left to do: everything that they read is handled and committed, all tasks are open
    /// somewhere, no job is left.
    ///
    /// # Errors
    /// What still waits, when it takes too long, or when it waits for somebody: a task that has stopped, a job that has
    /// failed, a host that has ended.
    pub fn run_until_idle(&mut self) -> Result<(), Stuck> {
        let mut waits = Vec::new();
        // A commit may fail at the end of an idle turn, and then its work is there again: one idle turn more tells.
        let mut was_at_rest = false;
        for _ in 0..TURNS_MAX {
            let is_idle = self.turn() == Turned::Idle;
            if !is_idle {
                was_at_rest = false;
                continue;
            }
            waits = self.waits();
            if waits.is_empty() && was_at_rest {
                return Ok(());
            }
            was_at_rest = waits.is_empty();
            if self.awake().next().is_none() || self.is_for_an_operator() {
                break;
            }
        }
        if waits.is_empty() {
            waits = self.waits();
        }
        if waits.is_empty() {
            waits.push("the hosts never cease to be busy".to_owned());
        }
        Err(Stuck { what: "the end of all work".to_owned(), waits })
    }

    /// Lets the hosts work until something is so, seen between two turns.
    ///
    /// # Errors
    /// It is never so. What waits then is told.
    pub fn run_until(&mut self, what: &str, mut is_so: impl FnMut(&Self) -> bool) -> Result<(), Stuck> {
        for _ in 0..TURNS_MAX {
            if is_so(self) {
                return Ok(());
            }
            self.turn();
        }
        let mut waits = self.waits();
        if waits.is_empty() {
            waits.push("nothing is left to do".to_owned());
        }
        Err(Stuck { what: what.to_owned(), waits })
    }

    /// Whether some of what waits will wait for ever.
    fn is_for_an_operator(&self) -> bool {
        !self.ended.is_empty()
            || self.status().any(|(_, task)| matches!(task.state, TaskState::Stopped { .. }))
    }
}
