//! The manifest: what the developer of a plugin declares in `plugin.toml`.

use crate::id::{SinkIndex, SourceIndex};

/// What a plugin is and needs. Positions in its lists are the numbers that cross the interface.
#[derive(Clone, PartialEq, Debug)]
pub struct Manifest {
    /// The plugin's own name; not that of a transform.
    pub name: String,
    /// Its version, as its developer counts.
    pub version: String,
    /// For people, one sentence.
    pub description: String,
    /// The interface line that it was built for, such as `0.1`.
    pub interface: String,
    /// The version of what it keeps in state; grows when an older plugin could not read it.
    pub state_version: u32,
    /// Its inputs.
    pub sources: Vec<SourceDecl>,
    /// Its outputs.
    pub sinks: Vec<SinkDecl>,
    /// The memory that it wishes, in bytes.
    pub needs_memory_bytes: Option<u64>,
    /// The properties of its configuration.
    pub config: Vec<ConfigProperty>,
}

/// The kinds of source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SourceKind {
    /// Every record matters once.
    Stream,
    /// The latest value of a key, co-partitioned with the other sources.
    Table,
    /// A small table, whole, on every task.
    Broadcast,
}

/// A source as declared.
#[derive(Clone, PartialEq, Debug)]
pub struct SourceDecl {
    /// Its name in the pipeline file.
    pub name: String,
    /// Its kind.
    pub kind: SourceKind,
    /// Whether the operator may leave it unbound.
    pub optional: bool,
}

/// A sink as declared.
#[derive(Clone, PartialEq, Debug)]
pub struct SinkDecl {
    /// Its name in the pipeline file.
    pub name: String,
    /// For people.
    pub description: String,
}

/// One property of a plugin's configuration.
#[derive(Clone, PartialEq, Debug)]
pub struct ConfigProperty {
    /// Its key in `[transforms.T.config]`.
    pub name: String,
    /// Its JSON Schema, with our types `duration` and `size` beside JSON Schema's.
    pub schema: serde_json::Value,
    /// What it is when the operator says nothing; none makes it required, unless `optional`.
    pub default: Option<serde_json::Value>,
    /// Whether it may be left out although it has no default.
    pub optional: bool,
    /// For people.
    pub description: String,
}

impl Manifest {
    /// The declaration of a source.
    pub fn source(&self, index: SourceIndex) -> Option<&SourceDecl> {
        self.sources.get(index.0 as usize)
    }

    /// The declaration of a sink.
    pub fn sink(&self, index: SinkIndex) -> Option<&SinkDecl> {
        self.sinks.get(index.0 as usize)
    }
}
