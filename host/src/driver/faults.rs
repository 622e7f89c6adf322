//! Faults at a chosen call: what can go wrong goes wrong in the calls that hosts make to the cluster.

use std::cell::Cell;

use crate::memory::{Call, Hook, Trouble};

/// A host dies at a call to the cluster, and is started again at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Crash {
    /// At which call, counted from when the crash was ordered; 1 is the next one. The host that makes it dies.
    pub at: u64,
    /// Whether the call still has its effect.
    pub moment: Moment,
    /// What becomes of the host's disk.
    pub disk: Disk,
}

/// A call to the cluster fails, and the host that makes it has to go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Which call, counted from when the failure was ordered; 1 is the next one.
    pub at: u64,
    /// Whether the call has its effect all the same.
    pub moment: Moment,
}

/// When something goes wrong with a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moment {
    /// Before it has any effect.
    Before,
    /// When it has had its effect, and whoever made it does not learn of it.
    After,
}

/// What becomes of the disk of a host that dies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disk {
    /// It is found again as it was.
    Kept,
    /// It is gone.
    Lost,
}

impl Crash {
    /// Every crash there can be: at each call, before its effect and after it. Stop at the first that did not happen,
    /// because the scenario was over before it ([`Driver::crashes`](super::Driver::crashes)).
    pub fn everywhere(disk: Disk) -> impl Iterator<Item = Self> {
        everywhere().map(move |(at, moment)| Self { at, moment, disk })
    }
}

impl Failure {
    /// Every failure there can be, like [`Crash::everywhere`] ([`Driver::failures`](super::Driver::failures)).
    pub fn everywhere() -> impl Iterator<Item = Self> {
        everywhere().map(|(at, moment)| Self { at, moment })
    }
}

fn everywhere() -> impl Iterator<Item = (u64, Moment)> {
    (1..).flat_map(|at| [Moment::Before, Moment::After].map(|moment| (at, moment)))
}

/// Counts the calls of all hosts, and lets something go wrong with some of them.
#[derive(Debug, Default)]
pub(super) struct Calls {
    count: Cell<u64>,
    /// The crash to come, at this call from the beginning.
    crash: Cell<Option<(u64, Crash)>>,
    /// The crash that has just happened.
    crashed: Cell<Option<Crash>>,
    /// The failure to come, at this call from the beginning.
    failure: Cell<Option<(u64, Failure)>>,
    failures: Cell<usize>,
}

impl Calls {
    pub(super) fn count(&self) -> u64 {
        self.count.get()
    }

    pub(super) fn failures(&self) -> usize {
        self.failures.get()
    }

    pub(super) fn order_crash(&self, crash: Crash) {
        self.crash.set(Some((self.number(crash.at), crash)));
    }

    pub(super) fn order_failure(&self, failure: Failure) {
        self.failure.set(Some((self.number(failure.at), failure)));
    }

    fn number(&self, at: u64) -> u64 {
        self.count.get().saturating_add(at.max(1))
    }

    /// The crash that has just happened, told once.
    pub(super) fn take_crashed(&self) -> Option<Crash> {
        self.crashed.take()
    }
}

impl Hook for Calls {
    fn before(&self, _client: &str, call: Call) -> Trouble {
        let number = self.count.get().saturating_add(1);
        self.count.set(number);
        let is_now = |(at, _): &(u64, Crash)| *at == number;
        if let Some((_, crash)) = self.crash.get().filter(is_now) {
            self.crash.set(None);
            self.crashed.set(Some(crash));
            return match crash.moment {
                Moment::Before => Trouble::Dies,
                Moment::After => Trouble::AppliesAndDies,
            };
        }
        let is_now = |(at, _): &(u64, Failure)| *at == number;
        let Some((_, failure)) = self.failure.get().filter(is_now) else { return Trouble::None };
        self.failure.set(None);
        self.failures.set(self.failures.get().saturating_add(1));
        match (call, failure.moment) {
            // A client has its membership at hand, and a poll that fails has nothing to give.
            (Call::Membership, _) => Trouble::None,
            (Call::Poll, _) | (_, Moment::Before) => Trouble::Fails,
            (_, Moment::After) => Trouble::AppliesAndFails,
        }
    }
}
