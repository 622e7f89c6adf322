//! A call under way: one attempt, or several where that is allowed.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::callout::attempt::{Tried, attempt};
use crate::callout::handover::{Handover, Stage};
use crate::callout::line::Line;
use crate::callout::request::Prepared;
use crate::event;
use crate::io::{Call, CalloutMode, Ended, Reason};

/// So long after its commit an at-most-once call is not begun any more. A process that was paused for longer may have been
/// taken for dead, and an operator been told that the call is in doubt.
pub(super) const FRESH: Duration = Duration::from_secs(5);

/// The pause before the second attempt. It doubles with each one.
const PAUSE: Duration = Duration::from_millis(100);

/// The longest pause between attempts.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// A call under way, as others see it.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) request: Arc<Handover>,
    shut: Notify,
}

impl Flight {
    pub(super) fn new(line: &Line, call: &Call) -> Self {
        let deadline = match line.endpoint.mode {
            CalloutMode::AtMostOnce => Some(call.committed.saturating_add(FRESH)),
            CalloutMode::Idempotent => None,
        };
        Self { request: Arc::new(Handover::new(line.clock.clone(), deadline)), shut: Notify::new() }
    }

    /// What was not handed to a connection is not sent any more.
    pub(super) fn withdraw(&self) {
        if self.request.withdraw() {
            self.shut.notify_one();
        }
    }

    async fn until_shut(&self) {
        while self.request.stage() != Stage::Shut {
            self.shut.notified().await;
        }
    }
}

/// What is known of a call at its end.
pub(super) struct Landed {
    pub(super) ended: Ended,
    /// Requests of which a byte was handed to a connection, those before this call included.
    pub(super) attempts: u32,
}

/// Makes a call: the only thing in the host that decides whether a request is repeated.
pub(super) async fn fly(line: &Line, flight: &Flight, call: &Call) -> Landed {
    let prepared =
        match Prepared::new(call, &line.endpoint.base_url, line.has_plain_proxy(), line.secret.as_ref()) {
            Ok(prepared) => prepared,
            Err(reason) => return Landed { ended: Ended::GaveUp(reason), attempts: call.attempts },
        };
    let mut pilot = Pilot { line, flight, call, prepared, attempts: call.attempts, tries: 0 };
    let ended = tokio::select! {
        biased;
        () = flight.until_shut() => None,
        ended = pilot.go() => Some(ended),
    };
    // A call that is shut may have had attempts before, where they are allowed.
    Landed { ended: ended.unwrap_or(Ended::NotSent), attempts: pilot.attempts }
}

struct Pilot<'a> {
    line: &'a Line,
    flight: &'a Flight,
    call: &'a Call,
    prepared: Prepared,
    attempts: u32,
    /// Attempts of this flight, with those of which nothing was handed over.
    tries: u32,
}

impl Pilot<'_> {
    async fn go(&mut self) -> Ended {
        // The endpoint could not be reached for so long already: others find out whether it can be now.
        if let Some(code) = self.line.gate.trouble().filter(|_| self.is_overdue()) {
            let message = "it waited too long for an endpoint that could not be reached";
            return self.give_up(Reason { code, message: message.to_owned(), last_status: None });
        }
        loop {
            if self.flight.request.is_late() {
                return Ended::NotSent;
            }
            match self.try_once().await {
                Tried::Answered(ended) => return ended,
                Tried::Refused(reason) => return Ended::InDoubt(reason),
                Tried::Over => return Ended::NotSent,
                Tried::Lost(reason) => {
                    if self.line.endpoint.mode == CalloutMode::AtMostOnce {
                        return Ended::InDoubt(reason);
                    }
                    if self.is_overdue() {
                        return self.give_up(reason);
                    }
                    if !self.flight.request.again() {
                        return Ended::NotSent;
                    }
                }
                Tried::Unsent(reason) if self.is_overdue() => return self.give_up(reason),
                Tried::Unsent(_) => {}
            }
            self.pause().await;
        }
    }

    async fn try_once(&mut self) -> Tried {
        let (line, request) = (self.line, &self.flight.request);
        self.tries = self.tries.saturating_add(1);
        let counter = Counter { line, request, attempts: &mut self.attempts };
        let tried = attempt(line, request, || self.prepared.request()).await;
        drop(counter);
        if let Tried::Unsent(reason) | Tried::Lost(reason) = &tried
            && reason.last_status.is_none()
            && reason.code != "bad-response"
        {
            line.gate.fail(line.now(), &reason.code);
        }
        tried
    }

    /// Certainly not executed, or not known: that depends on what was handed over, by whoever.
    fn give_up(&self, reason: Reason) -> Ended {
        if self.attempts > 0 { Ended::InDoubt(reason) } else { Ended::GaveUp(reason) }
    }

    fn is_overdue(&self) -> bool {
        let Some(after) = self.line.endpoint.give_up_after else { return false };
        let age = self.line.clock.now().0.saturating_sub(self.call.intended.0);
        Duration::from_millis(u64::try_from(age).unwrap_or(0)) >= after
    }

    /// Waits before the next attempt: longer each time, and never as long as another call.
    async fn pause(&self) {
        let line = self.line;
        event::AttemptFailed { transform: &line.transform, endpoint: &line.endpoint.name }.emit();
        let doubled =
            PAUSE.saturating_mul(1u32.checked_shl(self.tries.saturating_sub(1)).unwrap_or(u32::MAX));
        let pause = doubled.min(PAUSE_MAX);
        let part = RandomState::new().hash_one((&self.call.id, self.tries)) % 1000;
        let jitter = pause.saturating_mul(u32::try_from(part).unwrap_or(0)) / 2000;
        tokio::time::sleep(pause / 2 + jitter).await;
        while let Err(wait) = line.gate.again(line.now()) {
            tokio::time::sleep(wait).await;
        }
    }
}

/// Counts a request once a byte of it was handed over, also when the attempt is dropped.
struct Counter<'a> {
    line: &'a Line,
    request: &'a Handover,
    attempts: &'a mut u32,
}

impl Drop for Counter<'_> {
    fn drop(&mut self) {
        if self.request.stage() == Stage::Handed {
            *self.attempts = self.attempts.saturating_add(1);
            let (transform, endpoint) = (&self.line.transform, self.line.endpoint.name.as_str());
            event::CalloutSent { transform, endpoint }.emit();
        }
    }
}
