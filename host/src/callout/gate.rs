//! Who may go: the concurrency, the rate and the circuit of one endpoint.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::callout::breaker::{Admission, Breaker, Change};
use crate::callout::rate::Rate;
use crate::config::endpoint::BoundEndpoint;
use crate::event;
use crate::id::TransformName;
use crate::io::Permit;

/// The gate of an endpoint.
#[derive(Debug)]
pub(super) struct Gate {
    transform: TransformName,
    endpoint: String,
    concurrency: u32,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Permits that were not given back.
    given: u32,
    rate: Rate,
    breaker: Breaker,
}

/// Gives a place back when it is dropped.
struct Place {
    gate: Arc<Gate>,
    is_probe: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inner = self.gate.inner();
        inner.given = inner.given.saturating_sub(1);
        // Does nothing if its request has said something about the server.
        if self.is_probe {
            inner.breaker.give_back();
        }
    }
}

impl Gate {
    pub(super) fn new(transform: &TransformName, endpoint: &BoundEndpoint) -> Self {
        let inner = Inner { given: 0, rate: Rate::new(endpoint.per_second), breaker: Breaker::default() };
        Self {
            transform: transform.clone(),
            endpoint: endpoint.name.clone(),
            concurrency: endpoint.concurrency,
            inner: Mutex::new(inner),
        }
    }

    /// A place for one call, if there is one now.
    pub(super) fn permit(self: &Arc<Self>, now: Duration) -> Option<Permit> {
        let mut inner = self.inner();
        if inner.given >= self.concurrency {
            return None;
        }
        let admission = inner.breaker.admit(now);
        if admission == Admission::Refused {
            return None;
        }
        let is_probe = admission == Admission::Probe;
        if inner.rate.take(now).is_err() {
            if is_probe {
                inner.breaker.give_back();
            }
            return None;
        }
        inner.given += 1;
        Some(Permit::new(Place { gate: Arc::clone(self), is_probe }))
    }

    /// Allows a call that has its place to try again.
    ///
    /// # Errors
    /// How long it has to wait.
    pub(super) fn again(&self, now: Duration) -> Result<(), Duration> {
        self.inner().rate.take(now)
    }

    /// The server has answered.
    pub(super) fn succeed(&self) {
        let change = self.inner().breaker.succeed();
        self.tell(change, None);
    }

    /// The server could not be reached, or did not answer.
    pub(super) fn fail(&self, now: Duration, code: &str) {
        let change = self.inner().breaker.fail(now, code);
        self.tell(change, Some(code));
    }

    /// How requests fail, while the circuit is not closed.
    pub(super) fn trouble(&self) -> Option<String> {
        self.inner().breaker.trouble().map(str::to_owned)
    }

    fn tell(&self, change: Change, code: Option<&str>) {
        let (transform, endpoint) = (&self.transform, self.endpoint.as_str());
        match change {
            Change::None => {}
            Change::Opened => {
                event::CircuitOpened { transform, endpoint, code: code.unwrap_or_default() }.emit();
            }
            Change::Closed => event::CircuitClosed { transform, endpoint }.emit(),
        }
    }

    /// Counts stay readable when a thread died while it held them.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
