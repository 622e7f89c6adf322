//! Callouts in the test driver.

use std::panic::Location;

use crate::Exported;
use crate::Path;
use crate::bindings::gristmill::transform::types;
use crate::bindings::with_callouts::exports::gristmill::transform::callout_handler as raw;
use crate::test::Outcome;
use crate::test::Task;
use crate::test::call;
use crate::test::memory::Memory;
use crate::test::stop;

/// Headers that are the host's.
const RESERVED: [&str; 3] = ["host", "authorization", "idempotency-key"];

/// A callout that a plugin has made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Callout {
    /// Unique for the effect.
    pub id: String,
    /// The endpoint's name in the manifest.
    pub endpoint: String,
    /// The HTTP method.
    pub method: String,
    /// Path and query below the base URL.
    pub path: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Option<Vec<u8>>,
    /// The key of the review record.
    pub key: Option<Vec<u8>>,
    /// The value of the review record.
    pub context: Vec<u8>,
    /// The position of what caused it, as in [`Output::cause`](crate::test::Output::cause); none once the call is over.
    pub cause: Option<usize>,
}

/// What becomes of a callout.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    ended: Ended,
    attempts: u32,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Ended {
    Status(u16),
    GaveUp(String),
    InDoubt(String),
}

impl Answer {
    /// The endpoint answers, with this HTTP status.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self { ended: Ended::Status(status), attempts: 1, headers: Vec::new(), body: Vec::new() }
    }

    /// The host gives up, with this code: it was certainly not executed.
    #[must_use]
    pub fn gave_up(code: &str) -> Self {
        Self { ended: Ended::GaveUp(code.to_owned()), ..Self::status(0) }
    }

    /// Nobody knows whether it was executed; the code says why.
    #[must_use]
    pub fn in_doubt(code: &str) -> Self {
        Self { ended: Ended::InDoubt(code.to_owned()), ..Self::status(0) }
    }

    /// Appends a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body, which is empty otherwise.
    #[must_use]
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    /// Sets how many requests were made; 1 otherwise.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    pub(super) fn raw(&self, callout: Callout) -> raw::Response {
        let reason = |code: &String| raw::Reason {
            code: code.clone(),
            message: format!("the test says `{code}`"),
            last_status: None,
        };
        raw::Response {
            id: callout.id,
            endpoint: callout.endpoint,
            mode: raw::Mode::AtMostOnce,
            answer: match &self.ended {
                Ended::Status(status) => raw::Answer::Status(*status),
                Ended::GaveUp(code) => raw::Answer::GaveUp(reason(code)),
                Ended::InDoubt(code) => raw::Answer::InDoubt(reason(code)),
            },
            attempts: self.attempts,
            headers: self.headers.clone(),
            body: self.body.clone(),
            key: callout.key,
            context: callout.context,
        }
    }
}

impl Callout {
    pub(super) fn read(raw: &types::Callout) -> Self {
        let types::Callout { id, endpoint, method, path, headers, body, key, context, cause } = raw.clone();
        let cause = cause.map(|cause| cause as usize);
        Self { id, endpoint, method, path, headers, body, key, context, cause }
    }
}

impl Memory {
    /// Takes over the callouts of a call, and fails the test for one that a host would refuse.
    pub(super) fn call(&mut self, callouts: &[Callout]) {
        for callout in callouts {
            let Callout { id, endpoint, method, path, .. } = callout;
            let Some(methods) = self.methods(endpoint) else {
                stop(&format!("the plugin calls `{endpoint}`, which is no endpoint of the manifest"))
            };
            if !methods.contains(method) {
                stop(&format!(
                    "the plugin calls `{endpoint}` with {method}, which the manifest does not list"
                ));
            }
            if let Err(reject) = Path::new(path, &[]) {
                stop(&format!("the plugin calls `{endpoint}` with the path `{path}`: {reject}"));
            }
            let reserved =
                |(name, _): &&(String, String)| RESERVED.iter().any(|own| name.eq_ignore_ascii_case(own));
            if let Some((name, _)) = callout.headers.iter().find(reserved) {
                stop(&format!("the callout `{id}` has a header `{name}`, which is the host's"));
            }
        }
        self.state.call(callouts);
    }
}

impl<P: Exported + 'static> Task<P> {
    /// The callouts that have not ended, in the order in which they were made. One whose id was known before is not among
    /// them.
    #[must_use]
    pub fn callouts(&self) -> &[Callout] {
        &self.memory.state.callouts
    }

    /// Tells the plugin what became of a callout.
    ///
    /// # Panics
    /// No such callout is under way, the call fails, or other pieces give another outcome.
    #[track_caller]
    pub fn answer(&mut self, id: &str, answer: Answer) -> Outcome {
        self.answer_all([(id, answer)])
    }

    /// As [`Task::answer`], for several callouts in one call.
    ///
    /// # Panics
    /// As [`Task::answer`].
    #[track_caller]
    pub fn answer_all<'i>(&mut self, answers: impl IntoIterator<Item = (&'i str, Answer)>) -> Outcome {
        let answers: Vec<_> = answers.into_iter().map(|(id, answer)| (id.to_owned(), answer)).collect();
        let place = Location::caller();
        let called =
            self.in_pieces(&answers, place, "the answers given", |plugin, remake, memory, answers| {
                call::responses(plugin, remake, memory, answers)
            });
        match called {
            Ok(outcome) => outcome,
            Err(failure) => stop(&format!("the call failed: {failure}")),
        }
    }
}
