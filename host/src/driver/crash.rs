//! Crashes at a chosen call: the points at which a process can die are the calls that it makes to the cluster.

use std::cell::Cell;

use crate::memory::{Call, Hook, Trouble};

/// A process dies at a call of a worker to the cluster, and is started again at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Crash {
    /// At which call, counted from when the crash was ordered; 1 is the next one. The process that makes it dies.
    pub at: u64,
    /// Whether the call still has its effect.
    pub moment: Moment,
    /// What becomes of the process's disk.
    pub disk: Disk,
}

/// When in a call a process dies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moment {
    /// Before it has any effect.
    Before,
    /// When it has had its effect, and the process never learns of it.
    After,
}

/// What becomes of the disk of a process that dies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disk {
    /// The next process finds it as it was.
    Kept,
    /// It is gone.
    Lost,
}

impl Crash {
    /// Every crash there can be: at each call, before its effect and after it. Stop at the first that did not happen,
    /// because the scenario was over before it ([`Driver::crashes`](super::Driver::crashes)).
    pub fn everywhere(disk: Disk) -> impl Iterator<Item = Self> {
        (1..).flat_map(move |at| [Moment::Before, Moment::After].map(|moment| Self { at, moment, disk }))
    }
}

/// Counts the calls of all processes, and lets one of them be the last of its process.
#[derive(Debug, Default)]
pub(super) struct Calls {
    count: Cell<u64>,
    /// `at` counts from the beginning here.
    ordered: Cell<Option<Crash>>,
    /// The crash that has just happened.
    happened: Cell<Option<Crash>>,
}

impl Calls {
    pub(super) fn count(&self) -> u64 {
        self.count.get()
    }

    pub(super) fn order(&self, crash: Crash) {
        let at = self.count.get().saturating_add(crash.at.max(1));
        self.ordered.set(Some(Crash { at, ..crash }));
    }

    /// The crash that has just happened, told once.
    pub(super) fn take_happened(&self) -> Option<Crash> {
        self.happened.take()
    }
}

impl Hook for Calls {
    fn before(&self, _client: &str, _call: Call) -> Trouble {
        self.count.set(self.count.get().saturating_add(1));
        let Some(crash) = self.ordered.get().filter(|crash| crash.at == self.count.get()) else {
            return Trouble::None;
        };
        self.ordered.set(None);
        self.happened.set(Some(crash));
        match crash.moment {
            Moment::Before => Trouble::Dies,
            Moment::After => Trouble::AppliesAndDies,
        }
    }
}
