//! The manifest: what the developer of a plugin declares in `plugin.toml`.

use crate::config::schema::Property;
use crate::id::{SinkIndex, SourceIndex};

mod parse;

pub use parse::parse;

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
    /// Its stores.
    pub stores: Vec<StoreDecl>,
    /// Its indexes.
    pub indexes: Vec<IndexDecl>,
    /// The kinds of job that it starts.
    pub jobs: Vec<JobDecl>,
    /// Whether it takes timers. Not in the text: it is known by the handler that the component exports.
    pub timers: bool,
    /// The endpoints that it calls.
    pub endpoints: Vec<EndpointDecl>,
    /// The memory that it wishes, in bytes.
    pub needs_memory_bytes: Option<u64>,
    /// The properties of its configuration.
    pub config: Vec<Property>,
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
    /// Whether the plugin wants to see the row before each record.
    pub previous: bool,
    /// For people.
    pub description: String,
}

/// A sink as declared.
#[derive(Clone, PartialEq, Debug)]
pub struct SinkDecl {
    /// Its name in the pipeline file.
    pub name: String,
    /// For people.
    pub description: String,
    /// The broadcast sources whose position its records carry, by name.
    pub after: Vec<String>,
}

/// A store as declared.
#[derive(Clone, PartialEq, Debug)]
pub struct StoreDecl {
    /// Its name.
    pub name: String,
    /// How its keys are written, for people who look into it: `text`, `tuple` or `bytes`.
    pub key: String,
    /// How its values are written: `json`, `text`, `record` or `bytes`.
    pub value: String,
    /// For people.
    pub description: String,
}

/// An index as declared.
#[derive(Clone, PartialEq, Debug)]
pub struct IndexDecl {
    /// Its name.
    pub name: String,
    /// The table or store that it is kept for.
    pub on: String,
    /// Grows when its terms are computed in another way.
    pub version: u32,
    /// The configuration that its terms depend on.
    pub config: Vec<String>,
    /// For people.
    pub description: String,
}

/// A kind of job as declared.
#[derive(Clone, PartialEq, Debug)]
pub struct JobDecl {
    /// Its name.
    pub name: String,
    /// For people.
    pub description: String,
}

/// An endpoint as declared.
#[derive(Clone, PartialEq, Debug)]
pub struct EndpointDecl {
    /// Its name in the pipeline file.
    pub name: String,
    /// The HTTP methods that it may be called with.
    pub methods: Vec<String>,
    /// For people.
    pub description: String,
}

impl SourceKind {
    /// The kinds with their names in a manifest.
    pub const NAMES: [(&'static str, Self); 3] =
        [("stream", Self::Stream), ("table", Self::Table), ("broadcast", Self::Broadcast)];

    /// The name in a manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Table => "table",
            Self::Broadcast => "broadcast",
        }
    }
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
