//! The progress of the fan-out, as the host's admin API tells it to anybody.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::corpus::BULKY;
use crate::api::shapes::Jobs;
use crate::cli::running;
use crate::clock::Clock;
use crate::fault::Fault;

/// The host publishes what its workers do about once a second.
const EVERY: Duration = Duration::from_millis(250);

/// A job that is so often not there any more, is done: longer than a host that was just started needs to tell of it.
const GONE: u32 = 8;

/// Who asks for the job of the large class, all tasks together.
pub(super) struct JobProgress {
    file: PathBuf,
    clock: Clock,
    host: Option<running::Host>,
    next: Duration,
    /// By task.
    walks: BTreeMap<String, Walk>,
    told: Option<Told>,
    /// Whether all tasks have told of their job since the host was started.
    is_whole: bool,
}

struct Walk {
    visited: u64,
    total: Option<u64>,
    /// How often in a row it was not there.
    missed: u32,
}

/// What the host has told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Told {
    /// How many rows were visited.
    pub(super) visited: u64,
    /// Of how many; 0 while the job counts them.
    pub(super) total: u64,
    /// Whether there is such a job at this moment.
    pub(super) is_there: bool,
    /// Whether all tasks have told of theirs since the host was started.
    pub(super) is_whole: bool,
}

impl JobProgress {
    /// Asks the host that runs with this pipeline file.
    pub(super) fn new(file: &Path, clock: &Clock) -> Self {
        let (file, walks) = (file.to_owned(), BTreeMap::new());
        Self {
            file,
            clock: clock.clone(),
            host: None,
            next: Duration::ZERO,
            walks,
            told: None,
            is_whole: true,
        }
    }

    /// What the host says, none while it does not answer.
    pub(super) fn ask(&mut self) -> Option<Told> {
        if self.clock.elapsed() < self.next {
            return self.told;
        }
        self.next = self.clock.elapsed().saturating_add(EVERY);
        // A host that was killed does not answer, and one that has just been started has not said yet where it listens.
        self.told = self.page().ok().map(|page| self.take(&page));
        self.told
    }

    /// The host is gone: what it said is not what the next one says.
    pub(super) fn forget_host(&mut self) {
        (self.host, self.told, self.next, self.is_whole) = (None, None, Duration::ZERO, false);
        self.walks.values_mut().for_each(|walk| walk.missed = walk.missed.max(1));
    }

    fn page(&mut self) -> Result<Jobs, Fault> {
        let host = match self.host.take() {
            Some(host) => host,
            None => running::Host::find(Some(&self.file), None)?,
        };
        let page = host.get("/api/v1/jobs")?;
        self.host = Some(host);
        Ok(page)
    }

    fn take(&mut self, page: &Jobs) -> Told {
        self.walks.values_mut().for_each(|walk| walk.missed += 1);
        let own: Vec<_> = page.jobs.iter().filter(|job| job.name.contains(BULKY)).collect();
        for job in &own {
            let walk = Walk { visited: job.visited, total: job.total, missed: 0 };
            self.walks.insert(job.task.clone(), walk);
        }
        let visited =
            |walk: &Walk| if walk.missed < GONE { walk.visited } else { walk.total.unwrap_or(walk.visited) };
        let is_settled = |walk: &Walk| walk.missed == 0 || walk.missed >= GONE;
        let total: Option<u64> = self.walks.values().map(|walk| walk.total).sum();
        self.is_whole |= !own.is_empty() && self.walks.values().all(is_settled);
        Told {
            visited: self.walks.values().map(visited).sum(),
            total: total.unwrap_or(0),
            is_there: !own.is_empty(),
            is_whole: self.is_whole,
        }
    }
}
