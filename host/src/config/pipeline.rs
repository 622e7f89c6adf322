//! The pipeline: what the operator runs, valid by construction.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::endpoint::{BoundEndpoint, CalloutBounds};
use crate::config::ingest::{HttpListener, Ingest};
use crate::config::manifest::{SourceKind, StoreDecl};
use crate::id::{AppId, Digest, InstanceName, SinkIndex, SourceIndex, TopicName, TransformName};

/// Everything that a host process runs.
#[derive(Clone, PartialEq, Debug)]
pub struct Pipeline {
    /// The application.
    pub app: App,
    /// The cluster.
    pub kafka: Kafka,
    /// The transforms, in the order of the file.
    pub deployments: Vec<Deployment>,
    /// The ingests, in the order of the file.
    pub ingests: Vec<Ingest>,
    /// Where the ingests of HTTP listen.
    pub http: HttpListener,
}

/// The application that a host process is a part of.
#[derive(Clone, PartialEq, Debug)]
pub struct App {
    /// Its id: the prefix of everything that it makes in Kafka.
    pub id: AppId,
    /// Where local state lives.
    pub state_dir: PathBuf,
    /// The name of this process, when the operator gave one; else one is made and kept in the state directory.
    pub instance: Option<InstanceName>,
    /// Where the admin API listens, on loopback; none when it is switched off.
    pub api: Option<SocketAddr>,
}

impl App {
    /// The default of `[app] state_dir`, beside the pipeline file.
    pub const STATE_DIR: &'static str = "gristmill-state";
}

/// The Kafka cluster, and how to talk to it.
#[derive(Clone, PartialEq)]
pub struct Kafka {
    /// `host:port`, several separated by commas.
    pub brokers: String,
    /// Options for librdkafka; none of them is one that the host owns.
    pub client: BTreeMap<String, String>,
}

impl fmt::Debug for Kafka {
    /// Without the values of client options: there are secrets among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kafka").field("brokers", &self.brokers).field("client", &self.client.keys()).finish()
    }
}

/// A plugin under a name: topics bound, limits and grants given. One of the words for it is transform; this is its
/// description.
#[derive(Clone, PartialEq, Debug)]
pub struct Deployment {
    /// The application, again, because names in Kafka start with it.
    pub app: AppId,
    /// The transform's name.
    pub name: TransformName,
    /// Which plugin.
    pub plugin: PluginIdentity,
    /// How many workers this process runs for it.
    pub workers: usize,
    /// The sources, by their position in the manifest; none where an optional one is unbound.
    pub sources: Vec<Option<BoundSource>>,
    /// The sinks, by their position in the manifest.
    pub sinks: Vec<BoundSink>,
    /// Where rejected records go.
    pub dead_letters: TopicName,
    /// The plugin's stores.
    pub stores: Vec<StoreDecl>,
    /// The plugin's indexes, without those on sources that are not bound.
    pub indexes: Vec<BoundIndex>,
    /// The kinds of job that the plugin starts.
    pub jobs: Vec<String>,
    /// The version of what the plugin keeps in state.
    pub state_version: u32,
    /// The plugin's configuration as JSON: checked, defaults filled in.
    pub config_json: String,
    /// What the plugin may use.
    pub limits: Limits,
    /// When transactions end.
    pub commit: CommitBounds,
    /// How much goes into one call.
    pub batch: BatchBounds,
    /// How much state may be written.
    pub state_bounds: StateBounds,
    /// How much jobs may do.
    pub job_bounds: JobBounds,
    /// Whether a sample of the sources is looked at before the start.
    pub key_placement: KeyPlacement,
    /// Whether the plugin takes timers.
    pub timers: bool,
    /// The plugin's endpoints, by their position in the manifest.
    pub endpoints: Vec<BoundEndpoint>,
    /// How many callouts may be pending.
    pub callout_bounds: CalloutBounds,
    /// Where the host writes what became of callouts that are in doubt or given up.
    pub review: TopicName,
}

/// Which plugin, as dead letters and logs name it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PluginIdentity {
    /// The name in its manifest.
    pub name: String,
    /// The version in its manifest.
    pub version: String,
    /// The digest of its component.
    pub digest: Digest,
}

/// A source bound to a topic.
#[derive(Clone, PartialEq, Debug)]
pub struct BoundSource {
    /// Its position in the manifest.
    pub index: SourceIndex,
    /// Its name in the manifest.
    pub name: String,
    /// Its kind.
    pub kind: SourceKind,
    /// The topic.
    pub topic: TopicName,
    /// Where to begin when nothing is committed.
    pub start: Start,
    /// Whether the plugin sees the row before each record.
    pub previous: bool,
}

/// Where a source begins when nothing is committed. Tables and broadcasts always begin at the earliest record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// At the first record that exists.
    Earliest,
    /// After the last record; resolved once and committed before the first record is taken.
    Latest,
}

impl Start {
    /// The starts with their names in a pipeline file.
    pub const NAMES: [(&'static str, Self); 2] = [("earliest", Self::Earliest), ("latest", Self::Latest)];

    /// The name in a pipeline file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Earliest => "earliest",
            Self::Latest => "latest",
        }
    }
}

/// Whether keys of sources that are joined must lie where Java's default partitioner puts them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum KeyPlacement {
    /// A sample of the sources is looked at before the start; one key in another partition refuses it.
    #[default]
    Check,
    /// Nobody looks.
    Ignore,
}

impl KeyPlacement {
    /// The values with their names in a pipeline file.
    pub const NAMES: [(&'static str, Self); 2] = [("check", Self::Check), ("ignore", Self::Ignore)];

    /// The name in a pipeline file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Ignore => "ignore",
        }
    }
}

/// A sink bound to a topic.
#[derive(Clone, PartialEq, Debug)]
pub struct BoundSink {
    /// Its position in the manifest.
    pub index: SinkIndex,
    /// Its name in the manifest.
    pub name: String,
    /// The topic.
    pub topic: TopicName,
    /// The broadcast sources whose position its records carry. None when the operator switched that off.
    pub after: Vec<SourceIndex>,
}

/// An index, as it is kept for this configuration. It is rebuilt when anything of it changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BoundIndex {
    /// Its name in the manifest.
    pub name: String,
    /// The table or store that it is kept for; a table has the name of its source.
    pub on: String,
    /// The version in the manifest.
    pub version: u32,
    /// The digest of the settings that its terms depend on.
    pub config_digest: Digest,
}

/// What a plugin may use. All are enforced; hitting one is named by its code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Linear memory of one instance, in bytes. Default 64 MiB.
    pub memory_bytes: u64,
    /// CPU time of one call. Default 500 ms.
    pub call: Duration,
    /// Output of one call: keys, values and headers, in bytes. Default 16 MiB.
    pub output_bytes: u64,
    /// Output of one call, in records. Default 100,000.
    pub output_records: u32,
    /// Log text of one call, in bytes; the rest is dropped and counted. Default 64 KiB.
    pub log_bytes: u64,
    /// Traps within a minute that stop the transform. Default 100.
    pub traps_per_minute: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 64 << 20,
            call: Duration::from_millis(500),
            output_bytes: 16 << 20,
            output_records: 100_000,
            log_bytes: 64 << 10,
            traps_per_minute: 100,
        }
    }
}

/// When an open transaction is committed, whichever comes first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CommitBounds {
    /// This long after it was opened. Default 100 ms.
    pub interval: Duration,
    /// After this many source records. Default 20,000.
    pub records: usize,
    /// After this many bytes of output. Default 32 MiB.
    pub bytes: usize,
    /// At once when nothing is left to do, but not sooner than twice the last commit's duration. Default off.
    pub eager: bool,
}

impl Default for CommitBounds {
    fn default() -> Self {
        Self { interval: Duration::from_millis(100), records: 20_000, bytes: 32 << 20, eager: false }
    }
}

/// How much goes into one call of a plugin, whichever comes first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BatchBounds {
    /// Records. Default 500.
    pub records: usize,
    /// Bytes of keys, values and headers. Default 1 MiB.
    pub bytes: usize,
}

impl Default for BatchBounds {
    fn default() -> Self {
        Self { records: 500, bytes: 1 << 20 }
    }
}

/// How much state may be written before it is committed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StateBounds {
    /// By one call: keys and values, in bytes. A call that writes more fails. Default 16 MiB.
    pub call_bytes: u64,
    /// By a transaction, held in memory; it is committed when it has reached so much. Default 64 MiB.
    pub transaction_bytes: u64,
}

impl Default for StateBounds {
    fn default() -> Self {
        Self { call_bytes: 16 << 20, transaction_bytes: 64 << 20 }
    }
}

/// How much jobs may do.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct JobBounds {
    /// Outputs that one step is asked for at most. Default 500.
    pub step_outputs: u32,
    /// The part of the worker's time that jobs may take while records wait, above 0. Default 0.5.
    pub share: f64,
    /// Outputs a second of all jobs of a task; none is no limit, the default.
    pub outputs_per_second: Option<u32>,
}

impl Default for JobBounds {
    fn default() -> Self {
        Self { step_outputs: 500, share: 0.5, outputs_per_second: None }
    }
}

impl Deployment {
    /// The consumer group: `<app>.<transform>`.
    pub fn group(&self) -> String {
        format!("{}.{}", self.app, self.name)
    }

    /// The name of one of its workers in the group and in transactions: `<app>.<transform>.<instance>.<worker>`.
    pub fn worker_id(&self, instance: &InstanceName, worker: usize) -> String {
        format!("{}.{}.{instance}.{worker}", self.app, self.name)
    }

    /// The topic that holds the state of its tasks: `<app>.<transform>.changelog`.
    pub fn changelog(&self) -> TopicName {
        TopicName::new(&format!("{}.{}.changelog", self.app, self.name))
    }

    /// The topic through which an operator's orders reach its tasks: `<app>.<transform>.inbox`.
    pub fn inbox(&self) -> TopicName {
        TopicName::new(&format!("{}.{}.inbox", self.app, self.name))
    }

    /// Whether its tasks keep state, and with it a changelog and an inbox: tables, copies of broadcast topics, stores, jobs,
    /// timers, callouts.
    pub fn keeps_state(&self) -> bool {
        let is_kept = |source: &BoundSource| source.kind != SourceKind::Stream;
        self.sources.iter().flatten().any(is_kept)
            || !self.stores.is_empty()
            || !self.jobs.is_empty()
            || self.timers
            || !self.endpoints.is_empty()
    }

    /// The sources that are partitioned among tasks: streams and tables.
    pub fn partitioned_sources(&self) -> impl Iterator<Item = &BoundSource> {
        self.sources.iter().flatten().filter(|source| source.kind != SourceKind::Broadcast)
    }

    /// Whether records of its sources meet by their keys: several partitioned sources, at least one of them a table.
    pub fn joins(&self) -> bool {
        let mut sources = self.partitioned_sources();
        self.partitioned_sources().nth(1).is_some() && sources.any(|source| source.kind == SourceKind::Table)
    }

    /// The topics that the members of its group read: those of the partitioned sources, and the inbox.
    pub fn subscription(&self) -> impl Iterator<Item = TopicName> {
        let inbox = self.keeps_state().then(|| self.inbox());
        self.partitioned_sources().map(|source| source.topic.clone()).chain(inbox)
    }

    /// The sources that every task sees whole.
    pub fn broadcast_sources(&self) -> impl Iterator<Item = &BoundSource> {
        self.sources.iter().flatten().filter(|source| source.kind == SourceKind::Broadcast)
    }
}
