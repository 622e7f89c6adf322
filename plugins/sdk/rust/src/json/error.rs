//! What can be wrong with a document or a template.

use std::fmt;

/// Why a document cannot be read, or a template not be made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Error {
    /// Not JSON, from this byte on.
    Syntax {
        /// The offset of the first byte that does not fit.
        at: usize,
    },
    /// Nested deeper than [`MAX_DEPTH`](super::MAX_DEPTH).
    TooDeep,
    /// JSON, but not an object, so that it has no members.
    NotAnObject,
    /// Not a JSON pointer: it must be empty or begin with `/`, and `~` is written `~0`.
    Pointer,
    /// A template with a member twice, or with more than 32 pointers or members.
    Template,
}

impl Error {
    /// A code to reject a record with whose document cannot be read: `not-json`, `too-deep` or `not-an-object`.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::TooDeep => "too-deep",
            Self::NotAnObject => "not-an-object",
            // Those of templates do not come from documents.
            Self::Syntax { .. } | Self::Pointer | Self::Template => "not-json",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { at } => write!(f, "not JSON at byte {at}"),
            Self::TooDeep => write!(f, "nested deeper than {} levels", super::MAX_DEPTH),
            Self::NotAnObject => f.write_str("not a JSON object"),
            Self::Pointer => f.write_str("not a JSON pointer: write it like `/parent/member`"),
            Self::Template => f.write_str("a member is named twice, or there are too many"),
        }
    }
}

impl std::error::Error for Error {}
