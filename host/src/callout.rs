//! The HTTP client behind [`crate::io::Callouts`]: hyper on a runtime of its own.
//!
//! ```text
//!   worker --permit--> Gate            concurrency, rate, circuit
//!   worker --send----> Ledger, Flight  one call: attempts, pauses, giving up
//!                        attempt       one attempt: Pool or connect, then HTTP
//!                          Wire        asks Handover before the first byte is written
//!   worker <--poll---- Ledger          answers, until they are settled
//! ```
//! hyper is used one connection at a time, without a client that pools: only so is it known whether a byte of a request was
//! handed to a connection, and only so does nobody but a flight repeat a request.

mod attempt;
mod breaker;
mod connect;
mod flight;
mod gate;
mod handover;
mod ledger;
mod line;
mod pool;
mod rate;
mod reason;
mod request;
mod secret;
mod trust;
mod wire;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};

use crate::callout::flight::{FRESH, Flight, Landed};
use crate::callout::handover::Stage;
use crate::callout::ledger::Ledger;
use crate::callout::line::Line;
use crate::clock::Clock;
use crate::config::endpoint::BoundEndpoint;
use crate::config::env::Lookup;
use crate::event;
use crate::fault::{Code, Fault};
use crate::id::{EndpointIndex, Partition, TransformName};
use crate::io::{Answer, Call, CalloutMode, Callouts, Ended, Permit, Reason};

/// Threads of the runtime. Bodies are bounded and calls wait most of the time; the workers need the processors.
const THREADS: usize = 2;

/// Threads that look up names: the resolver of the system blocks.
const RESOLVERS: usize = 4;

/// How often resting connections are looked at.
const PRUNE_INTERVAL: Duration = Duration::from_secs(1);

/// How long the runtime may take to end: a name that is being looked up cannot be interrupted.
const SHUTDOWN: Duration = Duration::from_secs(1);

/// Makes the calls of one transform. All workers of the process share it.
pub struct HttpCallouts {
    lines: Arc<[Arc<Line>]>,
    ledger: Arc<Ledger>,
    clock: Clock,
    handle: Handle,
    runtime: Mutex<Option<Runtime>>,
}

/// Checks what only the machine can tell about endpoints: that their secrets and certificates are there.
///
/// # Errors
/// `secret_missing`, `certificates_unusable`.
pub fn check(
    transform: &TransformName,
    endpoints: &[BoundEndpoint],
    lookup: Lookup<'_>,
) -> Result<(), Fault> {
    lines(transform, endpoints, &Clock::system(), lookup).map(drop)
}

fn lines(
    transform: &TransformName,
    endpoints: &[BoundEndpoint],
    clock: &Clock,
    lookup: Lookup<'_>,
) -> Result<Arc<[Arc<Line>]>, Fault> {
    endpoints.iter().map(|endpoint| Line::new(transform, endpoint, clock, lookup).map(Arc::new)).collect()
}

impl HttpCallouts {
    /// A client for the endpoints of a transform. `clock` is the one of its workers.
    ///
    /// # Errors
    /// `secret_missing`, `certificates_unusable`, `internal` when there are no threads.
    pub fn new(
        transform: &TransformName,
        endpoints: &[BoundEndpoint],
        clock: &Clock,
        lookup: Lookup<'_>,
    ) -> Result<Self, Fault> {
        let lines = lines(transform, endpoints, clock, lookup)?;
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(THREADS).max_blocking_threads(RESOLVERS).thread_name("callouts");
        let runtime = builder.enable_io().enable_time().build().map_err(|error| {
            Fault::new(Code::Internal, "the threads of callouts cannot be started").because(error)
        })?;
        let handle = runtime.handle().clone();
        handle.spawn(prune(Arc::clone(&lines)));
        let runtime = Mutex::new(Some(runtime));
        Ok(Self { lines, ledger: Arc::default(), clock: clock.clone(), handle, runtime })
    }

    /// Answers of tasks that nobody has claimed for so long. Each is handed out once, and not held any more.
    pub fn orphans(&self, unclaimed_for: Duration) -> Vec<(Partition, Answer)> {
        self.ledger.orphans(self.clock.elapsed(), unclaimed_for)
    }

    /// Ends all connections. What is under way ends in doubt, or as not sent. Blocks for a second at most.
    pub fn shutdown(&self) {
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(runtime) = runtime {
            runtime.shutdown_timeout(SHUTDOWN);
        }
    }

    fn line(&self, endpoint: EndpointIndex) -> Option<&Arc<Line>> {
        self.lines.get(endpoint.0 as usize)
    }
}

impl fmt::Debug for HttpCallouts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpCallouts").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}

impl Drop for HttpCallouts {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl Callouts for HttpCallouts {
    fn permit(&self, endpoint: EndpointIndex) -> Option<Permit> {
        let line = self.line(endpoint).filter(|_| self.ledger.has_room())?;
        line.gate.permit(self.clock.elapsed())
    }

    fn send(&self, task: Partition, call: Call, permit: Permit) {
        let Some(line) = self.line(call.endpoint).map(Arc::clone) else {
            let reason = reason::reason("endpoint-unknown", "the transform has no such endpoint");
            let answer = Answer { id: call.id, ended: Ended::GaveUp(reason), attempts: call.attempts };
            return self.ledger.end(task, answer);
        };
        let flight = Arc::new(Flight::new(&line, &call));
        if !self.ledger.begin(task, &call.id, &flight) {
            return;
        }
        let attempts = call.attempts;
        let trip = Trip {
            ledger: Arc::clone(&self.ledger),
            task,
            id: call.id.clone(),
            attempts,
            flight,
            permit: Some(permit),
        };
        self.handle.spawn(async move {
            let began = line.now();
            let landed = flight::fly(&line, &trip.flight, &call).await;
            let took = line.now().saturating_sub(began);
            let (transform, endpoint) = (&line.transform, line.endpoint.name.as_str());
            event::CalloutLanded { transform, endpoint, ended: &landed.ended, took }.emit();
            trip.end(landed);
        });
    }

    fn poll(&self, task: Partition) -> Option<Answer> {
        self.ledger.poll(task)
    }

    fn settled(&self, task: Partition, id: &str) {
        self.ledger.settle(task, id);
    }

    fn holds(&self, task: Partition, id: &str) -> bool {
        self.ledger.holds(task, id)
    }

    fn claim(&self, task: Partition) {
        self.ledger.claim(task);
    }

    fn withdraw(&self, task: Partition) {
        self.ledger.withdraw(task, self.clock.elapsed());
    }

    fn under_way(&self, task: Partition) -> usize {
        self.ledger.under_way(task)
    }

    fn wait(&self, at_most: Duration) {
        self.ledger.wait(at_most);
    }

    fn longest(&self, endpoint: EndpointIndex) -> Duration {
        let before = |line: &Line| match line.endpoint.mode {
            // No byte leaves later than this after the commit.
            CalloutMode::AtMostOnce => FRESH,
            CalloutMode::Idempotent => line.endpoint.connect_timeout,
        };
        self.line(endpoint).map_or(Duration::ZERO, |line| before(line).saturating_add(line.endpoint.timeout))
    }
}

/// A call on its way through the runtime. It always comes to an end in the ledger: also when the runtime ends first.
struct Trip {
    ledger: Arc<Ledger>,
    task: Partition,
    id: String,
    attempts: u32,
    flight: Arc<Flight>,
    /// None when it has ended.
    permit: Option<Permit>,
}

impl Trip {
    fn end(mut self, landed: Landed) {
        // First, so that whoever hears of the end finds the place free.
        drop(self.permit.take());
        let id = std::mem::take(&mut self.id);
        self.ledger.end(self.task, Answer { id, ended: landed.ended, attempts: landed.attempts });
    }
}

impl Drop for Trip {
    fn drop(&mut self) {
        if self.permit.take().is_none() {
            return;
        }
        self.flight.withdraw();
        let is_handed = self.flight.request.stage() == Stage::Handed;
        let reason = || Reason {
            code: "host-stopped".to_owned(),
            message: "the host stopped".to_owned(),
            last_status: None,
        };
        let ended = if is_handed { Ended::InDoubt(reason()) } else { Ended::NotSent };
        let attempts = self.attempts.saturating_add(u32::from(is_handed));
        self.ledger.end(self.task, Answer { id: std::mem::take(&mut self.id), ended, attempts });
    }
}

/// Closes connections that have rested too long.
async fn prune(lines: Arc<[Arc<Line>]>) {
    loop {
        tokio::time::sleep(PRUNE_INTERVAL).await;
        lines.iter().for_each(|line| line.pool.prune(line.now()));
    }
}

#[cfg(test)]
mod tests;
