//! The two ways to say no: to a record, and to a whole call.

use std::borrow::Cow;
use std::fmt;

/// Why a record cannot be processed and never will. It goes to the dead-letter topic, its bytes
/// unchanged, and nothing else that was done for it counts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reject {
    code: Cow<'static, str>,
    message: String,
}

impl Reject {
    /// A rejection. The code is stable and kebab-case: a metric label and the key of the operator's
    /// policy. The message is for a person, and should not repeat the payload.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The text for a person.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn into_parts(self) -> (String, String) {
        (self.code.into_owned(), self.message)
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

impl std::error::Error for Reject {}

/// Why nothing of a call must be committed. A record that cannot be processed is no failure: see
/// [`Reject`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Failure {
    /// A passing fault: the host calls again with the same records, later.
    Retry(String),
    /// The plugin cannot go on: the host stops the task and tells the operator.
    Fatal(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry(message) => write!(f, "{message} (will be tried again)"),
            Self::Fatal(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Failure {}
