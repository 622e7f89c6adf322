//! What ingests show of themselves, and how they are asked to run.

use std::net::SocketAddr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::config::ingest::Ingest;
use crate::fault::Fault;
use crate::id::Timestamp;
use crate::status::snapshot::FaultStatus;

/// An ingest on the board: written by its thread, read and rung by whoever asks.
#[derive(Debug)]
pub struct IngestBoard {
    ingest: Ingest,
    shown: Mutex<IngestStatus>,
    asked: Mutex<Asked>,
    bell: Condvar,
}

#[derive(Debug, Default)]
struct Asked {
    /// What is asked for and not begun.
    request: Option<RunRequest>,
    /// How many requests there were.
    tickets: u64,
}

/// An ingest as it was seen last.
#[derive(Clone, Debug, Default)]
pub struct IngestStatus {
    /// What it is doing.
    pub state: IngestState,
    /// When it runs next by itself, by the wall clock.
    pub next: Option<Timestamp>,
    /// How many runs of this process have ended.
    pub runs: u64,
    /// The last of them.
    pub last: Option<RunStatus>,
    /// The highest ticket that a run has served.
    pub served: u64,
}

/// What an ingest is doing.
#[derive(Clone, Debug, Default)]
pub enum IngestState {
    /// Nothing yet.
    #[default]
    Starting,
    /// It waits for its time, or to be asked.
    Waiting,
    /// It runs: a stage, and how far it is in it.
    Running {
        /// `topic`, `table` or `publish`.
        stage: &'static str,
        /// Records so far.
        done: u64,
    },
    /// It takes requests here.
    Serving(SocketAddr),
    /// It is done for good, or only a command runs it.
    ByHand,
    /// It cannot work.
    Stopped(FaultStatus),
}

/// A run that has ended.
#[derive(Clone, Debug)]
pub struct RunStatus {
    /// When, by the wall clock.
    pub ended: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// What it published; nothing is known of a run that failed.
    pub published: Option<PublishedCounts>,
    /// Why it failed.
    pub fault: Option<FaultStatus>,
}

/// What a run has published.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PublishedCounts {
    /// Keys that are new.
    pub inserts: u64,
    /// Keys whose value changed.
    pub updates: u64,
    /// Keys that are deleted.
    pub deletes: u64,
    /// Keys that are as they were.
    pub unchanged: u64,
}

/// Somebody wants a run now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RunRequest {
    /// Whether it may delete more than `deletes_max`.
    pub allow_deletes: bool,
    /// The number of the latest request that the run serves; 0 when nobody asked.
    pub ticket: u64,
}

impl IngestBoard {
    pub(super) fn new(ingest: &Ingest) -> Self {
        Self {
            ingest: ingest.clone(),
            shown: Mutex::default(),
            asked: Mutex::default(),
            bell: Condvar::new(),
        }
    }

    /// What is ingested.
    pub fn ingest(&self) -> &Ingest {
        &self.ingest
    }

    /// What it shows.
    pub fn status(&self) -> IngestStatus {
        lock(&self.shown).clone()
    }

    /// Changes what it shows.
    pub fn show(&self, change: impl FnOnce(&mut IngestStatus)) {
        change(&mut lock(&self.shown));
    }

    /// It cannot work.
    pub fn stop(&self, fault: &Fault) {
        self.show(|status| status.state = IngestState::Stopped(fault.into()));
    }

    /// Asks for a run and gives a ticket, which is served when a run has ended that began later. Of several requests that
    /// come before a run begins, one run is made.
    pub fn request(&self, allow_deletes: bool) -> u64 {
        let mut asked = lock(&self.asked);
        asked.tickets += 1;
        let ticket = asked.tickets;
        let allow_deletes = allow_deletes || asked.request.is_some_and(|request| request.allow_deletes);
        asked.request = Some(RunRequest { allow_deletes, ticket });
        self.bell.notify_all();
        ticket
    }

    /// Wakes whoever waits for a request, without one.
    pub fn wake(&self) {
        // Under the lock: a waiter is either not waiting yet and sees what changed, or hears the bell.
        let _asked = lock(&self.asked);
        self.bell.notify_all();
    }

    /// Waits for a request, or for the bell, for so long at most; takes the request.
    pub fn await_request(&self, at_most: Duration, is_over: impl Fn() -> bool) -> Option<RunRequest> {
        let asked = lock(&self.asked);
        let idle = |asked: &mut Asked| asked.request.is_none() && !is_over();
        let waited = self.bell.wait_timeout_while(asked, at_most, idle);
        waited.unwrap_or_else(PoisonError::into_inner).0.request.take()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
