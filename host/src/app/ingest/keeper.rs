//! The thread of an SQL ingest: runs it when its schedule says so or somebody asks for it, and shows what came of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::app::ingest::job::SqlJob;
use crate::clock::Clock;
use crate::event;
use crate::fault::{Code, Fault};
use crate::id::Timestamp;
use crate::ingest::difference::Counts;
use crate::ingest::run::{Deletes, Progress};
use crate::ingest::schedule::{Due, Moment};
use crate::status::{Board, IngestBoard, IngestState, PublishedCounts, RunRequest, RunStatus};

/// How long it sleeps at a stretch: the wall clock may be set meanwhile, and a cron expression goes by it.
const SLEEP_MAX: Duration = Duration::from_secs(30);

/// How often a run that goes on shows how far it is.
const SHOW_INTERVAL: Duration = Duration::from_millis(100);

/// A running thread.
pub(super) struct Keeper(JoinHandle<()>);

impl Keeper {
    /// Starts it; the ingest has the number `place.1` on the board.
    ///
    /// # Errors
    /// `internal`.
    pub(super) fn start(
        job: SqlJob,
        place: (Arc<Board>, usize),
        stop: &Arc<AtomicBool>,
    ) -> Result<Self, Fault> {
        let name = format!("ingest-{}", job.ingest().name);
        let stop = Arc::clone(stop);
        let keep = move || {
            let (board, number) = place;
            if let Some(board) = board.ingests().get(number) {
                Shift { job, board, stop: &stop, clock: Clock::system() }.keep();
            }
        };
        let thread = std::thread::Builder::new().name(name).spawn(keep);
        thread
            .map(Self)
            .map_err(|error| Fault::new(Code::Internal, "a thread cannot be started").because(error))
    }

    /// Waits for its end; the run that is under way comes to its end first.
    pub(super) fn join(self) {
        // A thread that panicked has said so already.
        drop(self.0.join());
    }
}

/// What a keeper works with.
struct Shift<'a> {
    job: SqlJob,
    board: &'a IngestBoard,
    stop: &'a AtomicBool,
    clock: Clock,
}

impl Shift<'_> {
    fn keep(&self) {
        let mut due = Due::first(&self.job.sql().schedule, self.moment());
        while !self.is_over() {
            let left = due.left(self.moment());
            self.show_waiting(left);
            let asked = self.board.await_request(left.unwrap_or(SLEEP_MAX).min(SLEEP_MAX), || self.is_over());
            let is_due = due.left(self.moment()) == Some(Duration::ZERO);
            if !self.is_over() && (asked.is_some() || is_due) {
                self.run(asked.unwrap_or_default());
                due = Due::after_run(&self.job.sql().schedule, self.moment());
            }
        }
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    fn moment(&self) -> Moment {
        Moment { wall: self.clock.now(), elapsed: self.clock.elapsed() }
    }

    fn run(&self, request: RunRequest) {
        let started = self.clock.elapsed();
        let deletes = if request.allow_deletes { Deletes::Allowed } else { Deletes::Bounded };
        let mut shown = None;
        let board = self.board;
        let clock = &self.clock;
        let ended = self.job.run(deletes, &mut |progress| {
            let now = clock.elapsed();
            if shown.is_none_or(|shown| now.saturating_sub(shown) >= SHOW_INTERVAL) {
                shown = Some(now);
                show_running(board, progress);
            }
        });
        self.tell(ended, self.clock.elapsed().saturating_sub(started), request.ticket);
    }

    fn tell(&self, ended: Result<Counts, Fault>, took: Duration, ticket: u64) {
        let ingest = &self.job.ingest().name;
        match &ended {
            Ok(Counts { inserts, updates, deletes, unchanged }) => {
                let (inserts, updates, deletes, unchanged) = (*inserts, *updates, *deletes, *unchanged);
                event::IngestRan { ingest, inserts, updates, deletes, unchanged, took }.emit();
            }
            // Another host of the same file has begun later: its run is the one that counts.
            Err(fault) if fault.code() == Code::IngestSuperseded => {}
            Err(fault) => event::IngestRunFailed { ingest, fault }.emit(),
        }
        let published = ended.as_ref().ok().map(|counts| PublishedCounts {
            inserts: counts.inserts,
            updates: counts.updates,
            deletes: counts.deletes,
            unchanged: counts.unchanged,
        });
        let fault = ended.as_ref().err().map(Into::into);
        let run = RunStatus { ended: self.clock.now(), took, published, fault };
        self.board.show(|status| {
            status.runs += 1;
            status.last = Some(run);
            status.served = status.served.max(ticket);
        });
    }

    fn show_waiting(&self, left: Option<Duration>) {
        let next = left.map(|left| {
            let left = i64::try_from(left.as_millis()).unwrap_or(i64::MAX);
            Timestamp(self.clock.now().0.saturating_add(left))
        });
        self.board.show(|status| {
            status.state = if next.is_some() { IngestState::Waiting } else { IngestState::ByHand };
            status.next = next;
        });
    }
}

fn show_running(board: &IngestBoard, progress: Progress) {
    let (stage, done) = match progress {
        Progress::Topic(done) => ("topic", done),
        Progress::Table(done) => ("table", done),
        Progress::Publish(done, _) => ("publish", done),
    };
    board.show(|status| status.state = IngestState::Running { stage, done });
}
