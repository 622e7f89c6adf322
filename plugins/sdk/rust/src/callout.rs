//! What a plugin with callouts writes.

use crate::Context;
use crate::Endpoint;
use crate::Plugin;
use crate::Reject;
use crate::bindings::with_callouts::exports::gristmill::transform::callout_handler as raw;

/// A plugin with callouts: HTTP requests that the host makes for it, outside of the stream. List it in
/// `export!(MyPlugin: Callouts)`.
pub trait Callouts: Plugin {
    /// Takes what became of a callout: each id comes once.
    ///
    /// # Errors
    /// The plugin can do nothing with the answer and never will: it goes to the dead-letter topic, and what was sent and
    /// written for it is dropped. The callout has ended all the same.
    fn response(&mut self, response: &Response<'_>, ctx: &mut Context<'_>) -> Result<(), Reject>;
}

/// What became of a callout.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    /// The id that it was made with.
    pub id: &'a str,
    /// Where it went: one of the constants in `endpoints`.
    pub endpoint: Endpoint<'a>,
    /// What the operator lets the host promise.
    pub mode: CalloutMode,
    /// How it ended.
    pub answer: Answer<'a>,
    /// How many requests were made.
    pub attempts: u32,
    /// Empty unless the answer is a status.
    pub body: &'a [u8],
    /// As given with the callout.
    pub key: Option<&'a [u8]>,
    /// As given with the callout.
    pub context: &'a [u8],
    headers: &'a [(String, String)],
}

/// What is promised about the number of requests.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum CalloutMode {
    /// Never more than one for an id.
    AtMostOnce,
    /// The same one, with the same key, until there is an answer.
    Idempotent,
}

/// How a callout ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answer<'a> {
    /// The endpoint answered, with this HTTP status.
    Status(u16),
    /// It was certainly not executed, and never will be. The host has written the review record.
    GaveUp(Reason<'a>),
    /// Nobody knows whether it was executed. It is not called again, and the host has written the review record.
    InDoubt(Reason<'a>),
}

/// Why a callout has no answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reason<'a> {
    /// Stable, kebab-case.
    pub code: &'a str,
    /// For a person.
    pub message: &'a str,
    /// The last HTTP status, if there was an answer.
    pub last_status: Option<u16>,
}

impl<'a> Response<'a> {
    pub(crate) fn new(raw: &'a raw::Response) -> Self {
        Self {
            id: &raw.id,
            endpoint: Endpoint::new(&raw.endpoint),
            mode: match raw.mode {
                raw::Mode::AtMostOnce => CalloutMode::AtMostOnce,
                raw::Mode::Idempotent => CalloutMode::Idempotent,
            },
            answer: match &raw.answer {
                raw::Answer::Status(status) => Answer::Status(*status),
                raw::Answer::GaveUp(why) => Answer::GaveUp(Reason::new(why)),
                raw::Answer::InDoubt(why) => Answer::InDoubt(Reason::new(why)),
            },
            attempts: raw.attempts,
            body: &raw.body,
            key: raw.key.as_deref(),
            context: &raw.context,
            headers: &raw.headers,
        }
    }

    /// Names and values of the answer's headers, as they came.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The value of the first header with this name, in capital or small letters.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

impl<'a> Reason<'a> {
    fn new(raw: &'a raw::Reason) -> Self {
        Self { code: &raw.code, message: &raw.message, last_status: raw.last_status }
    }
}
