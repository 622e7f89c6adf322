//! Events of callouts: requests, what became of them, and circuits.

use std::time::Duration;

use super::registry;
use crate::id::TransformName;
use crate::io::Ended;

/// A byte of a request was handed to a connection.
#[derive(Debug)]
pub struct CalloutSent<'a> {
    /// The transform.
    pub transform: &'a TransformName,
    /// The endpoint.
    pub endpoint: &'a str,
}

impl CalloutSent<'_> {
    /// Counts it.
    pub fn emit(self) {
        registry().add("gristmill_callouts_sent_total", &labels(self.transform, self.endpoint), 1);
    }
}

/// An attempt at a call failed; there will be another one after a pause.
#[derive(Debug)]
pub struct AttemptFailed<'a> {
    /// The transform.
    pub transform: &'a TransformName,
    /// The endpoint.
    pub endpoint: &'a str,
}

impl AttemptFailed<'_> {
    /// Counts it.
    pub fn emit(self) {
        registry().add("gristmill_callout_retries_total", &labels(self.transform, self.endpoint), 1);
    }
}

/// A call has come to its end.
#[derive(Debug)]
pub struct CalloutLanded<'a> {
    /// The transform.
    pub transform: &'a TransformName,
    /// The endpoint.
    pub endpoint: &'a str,
    /// How.
    pub ended: &'a Ended,
    /// How long it took, pauses and all.
    pub took: Duration,
}

impl CalloutLanded<'_> {
    /// Counts it; the log is for whoever looks for one call.
    pub fn emit(self) {
        let (outcome, code) = match self.ended {
            Ended::Answered { status, .. } => (class(*status), ""),
            Ended::GaveUp(reason) => ("gave-up", reason.code.as_str()),
            Ended::InDoubt(reason) => ("in-doubt", reason.code.as_str()),
            Ended::NotSent => ("not-sent", ""),
        };
        tracing::trace!(transform = %self.transform, endpoint = self.endpoint, outcome, code, "a call has ended");
        let [transform, endpoint] = labels(self.transform, self.endpoint);
        let labels = [transform, endpoint, ("outcome", outcome)];
        registry().add("gristmill_callout_answers_total", &labels, 1);
        if matches!(self.ended, Ended::Answered { .. }) {
            let labels = [transform, endpoint];
            registry().observe("gristmill_callout_seconds", &labels, self.took.as_secs_f64());
        }
    }
}

/// So many requests in a row did not reach an endpoint that none is made for a while.
#[derive(Debug)]
pub struct CircuitOpened<'a> {
    /// The transform.
    pub transform: &'a TransformName,
    /// The endpoint.
    pub endpoint: &'a str,
    /// How the last request failed.
    pub code: &'a str,
}

impl CircuitOpened<'_> {
    /// Logs it and shows it.
    pub fn emit(self) {
        tracing::warn!(transform = %self.transform, endpoint = self.endpoint, code = self.code,
            "an endpoint cannot be reached; its callouts wait");
        registry().set("gristmill_callout_circuit_open", &labels(self.transform, self.endpoint), 1.0);
    }
}

/// An endpoint answers again.
#[derive(Debug)]
pub struct CircuitClosed<'a> {
    /// The transform.
    pub transform: &'a TransformName,
    /// The endpoint.
    pub endpoint: &'a str,
}

impl CircuitClosed<'_> {
    /// Logs it and shows it.
    pub fn emit(self) {
        tracing::info!(transform = %self.transform, endpoint = self.endpoint, "an endpoint answers again");
        registry().set("gristmill_callout_circuit_open", &labels(self.transform, self.endpoint), 0.0);
    }
}

fn labels<'a>(transform: &'a TransformName, endpoint: &'a str) -> [(&'static str, &'a str); 2] {
    [("transform", transform.as_str()), ("endpoint", endpoint)]
}

/// The first digit of a status: servers make up others.
fn class(status: u16) -> &'static str {
    match status / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        5 => "5xx",
        _ => "other",
    }
}
