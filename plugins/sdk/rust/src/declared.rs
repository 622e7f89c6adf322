//! What the SDK must know of a manifest when it runs.

/// Part of what [`manifest!`](crate::manifest) makes, for [`export!`](crate::export).
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Declared {
    /// The names of the sources, in order.
    pub sources: &'static [&'static str],
    /// Whether there are indexes.
    pub indexes: bool,
    /// Whether there are kinds of job.
    pub jobs: bool,
    /// Whether there are endpoints.
    pub endpoints: bool,
}
