//! What a plugin calls what its manifest declares; [`manifest!`](crate::manifest) makes the constants.

/// A source of the manifest. Compare it, or match on it, with the constants in `sources`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Source(u32);

impl Source {
    /// The source at a position of the manifest.
    #[must_use]
    pub const fn new(position: u32) -> Self {
        Self(position)
    }

    /// Its position in the manifest.
    #[must_use]
    pub const fn position(self) -> u32 {
        self.0
    }
}

/// A sink of the manifest: one of the constants in `sinks`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Sink(u32);

impl Sink {
    /// The sink at a position of the manifest.
    #[must_use]
    pub const fn new(position: u32) -> Self {
        Self(position)
    }

    /// Its position in the manifest.
    #[must_use]
    pub const fn position(self) -> u32 {
        self.0
    }
}

/// A table that the host keeps from a source: one of the constants in `tables`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Table(&'static str);

impl Table {
    /// The table of the source with this name.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// The name of its source.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.0
    }
}

/// An index of the manifest: one of the constants in `indexes`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct IndexName<'a>(&'a str);

impl<'a> IndexName<'a> {
    /// The index with this name.
    #[must_use]
    pub const fn new(name: &'a str) -> Self {
        Self(name)
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'a str {
        self.0
    }
}

/// A kind of job of the manifest: one of the constants in `jobs`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct JobKind<'a>(&'a str);

impl<'a> JobKind<'a> {
    /// The kind with this name.
    #[must_use]
    pub const fn new(name: &'a str) -> Self {
        Self(name)
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'a str {
        self.0
    }
}

/// An endpoint of the manifest, which the operator binds to a URL: one of the constants in `endpoints`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Endpoint<'a>(&'a str);

impl<'a> Endpoint<'a> {
    /// The endpoint with this name.
    #[must_use]
    pub const fn new(name: &'a str) -> Self {
        Self(name)
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'a str {
        self.0
    }
}
