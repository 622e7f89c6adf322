//! The pipeline file as it is written: types and bounds are checked, but not yet against any plugin.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::api_address;
use crate::config::client;
use crate::config::document::{self, Entry, Item, Place, Table};
use crate::config::endpoint::CalloutBounds;
use crate::config::env::{self, Lookup};
use crate::config::ingest::{HttpListener, Ingest};
use crate::config::pipeline::{
    App, BatchBounds, CommitBounds, JobBounds, Kafka, KeyPlacement, Limits, Start, StateBounds,
};
use crate::config::plugin_ref::PluginRef;
use crate::fault::{Code, Fault};
use crate::id::{AppId, InstanceName, TopicName, TransformName};

mod endpoints;
mod ingests;
mod secrets;

pub use endpoints::{EndpointLimits, RawEndpoint};

/// A pipeline file.
#[derive(Clone, PartialEq, Debug)]
pub struct Raw {
    /// `[app]`.
    pub app: App,
    /// `[kafka]`.
    pub kafka: Kafka,
    /// `[transforms.NAME]`, in the order of the file; at least one, unless there is an ingest.
    pub transforms: Vec<RawTransform>,
    /// `[ingest.NAME]`, in the order of the file. Nothing of them depends on a plugin.
    pub ingests: Vec<Ingest>,
    /// `[http]`, defaults filled in.
    pub http: HttpListener,
}

/// A transform before its plugin is known.
#[derive(Clone, PartialEq, Debug)]
pub struct RawTransform {
    /// Where it stands.
    pub place: Place,
    /// Its name.
    pub name: TransformName,
    /// Its plugin.
    pub plugin: PluginRef,
    /// How many workers this process runs for it.
    pub workers: usize,
    /// What is bound to sources.
    pub sources: Vec<RawSource>,
    /// What is bound to sinks.
    pub sinks: Vec<RawSink>,
    /// `config`: a table, empty when the file has none.
    pub config: Item,
    /// `dead_letter.topic`, if it is set.
    pub dead_letters: Option<TopicName>,
    /// `limits`, defaults filled in.
    pub limits: Limits,
    /// `commit_*` and `eager`, defaults filled in.
    pub commit: CommitBounds,
    /// `batch_*`, defaults filled in.
    pub batch: BatchBounds,
    /// `limits.state_bytes` and `commit_state_bytes`, defaults filled in.
    pub state_bounds: StateBounds,
    /// `jobs`, defaults filled in.
    pub job_bounds: JobBounds,
    /// `key_placement`, the default filled in.
    pub key_placement: KeyPlacement,
    /// What is bound to endpoints.
    pub endpoints: Vec<RawEndpoint>,
    /// `callouts`, defaults filled in.
    pub callout_bounds: CalloutBounds,
    /// `review.topic`, if it is set.
    pub review: Option<TopicName>,
}

/// A binding of a source.
#[derive(Clone, PartialEq, Debug)]
pub struct RawSource {
    /// Where it stands.
    pub place: Place,
    /// The source's name.
    pub name: String,
    /// The topic.
    pub topic: TopicName,
    /// Where to begin, if the file says so.
    pub start: Option<Start>,
}

/// A binding of a sink.
#[derive(Clone, PartialEq, Debug)]
pub struct RawSink {
    /// Where it stands.
    pub place: Place,
    /// The sink's name.
    pub name: String,
    /// The topic.
    pub topic: TopicName,
    /// Whether its records say what they come after, if the file says so.
    pub after: Option<bool>,
}

/// The only guarantee that this version of the host gives; the key is there so that files can say it.
pub const GUARANTEE: &str = "exactly-once";

/// How many workers a transform can have in one process: each is a thread with two Kafka clients.
const WORKERS_MAX: u32 = 64;

/// The longest commit interval and the longest call. Together with the commit itself they must stay well below the
/// transaction's time-out of 15 s.
const TRANSACTION_PART_MAX: Duration = Duration::from_secs(5);

/// Topics have names of at most this many characters. Ours end in suffixes such as `.dead-letters`.
const TOPIC_CHARS_MAX: usize = 249;
const NAME_CHARS_MAX: usize = 64;

/// Reads a pipeline file from the disk.
///
/// # Errors
/// `file_unreadable`, and those of [`parse`].
pub fn read(path: &Path, lookup: Lookup<'_>) -> Result<Raw, Fault> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Fault::new(Code::FileUnreadable, format!("the pipeline file `{}` cannot be read", path.display()))
            .because(error)
            .hint("name a pipeline file; `gristmill init --plugin P` writes one")
    })?;
    parse(path, &text, lookup)
}

/// Reads the text of a pipeline file. Relative paths in it start at the directory of `path`.
///
/// # Errors
/// `config_syntax`, `unknown_key`, `missing_key`, `invalid_value`, `variable_unset`, `client_key_owned`,
/// `api_not_loopback`.
pub fn parse(path: &Path, text: &str, lookup: Lookup<'_>) -> Result<Raw, Fault> {
    let base = path.parent().unwrap_or(Path::new(""));
    let document = document::parse(&path.display().to_string(), text)?;
    let root = document.table(&["app", "kafka", "transforms", "ingest", "http"])?;
    let app = parse_app(root.require("app")?, base, lookup)?;
    let kafka = parse_kafka(root.require("kafka")?, lookup)?;
    let ingests = bindings(&root, "ingest", |entry| ingests::parse_ingest(&app.id, entry, base, lookup))?;
    let http = root.get("http").map(|item| ingests::parse_listener(item, base)).transpose()?;
    let transforms = parse_transforms(&root, ingests.is_empty(), base, lookup)?;
    Ok(Raw { app, kafka, transforms, ingests, http: http.unwrap_or_default() })
}

fn parse_transforms(
    root: &Table<'_>,
    is_needed: bool,
    base: &Path,
    lookup: Lookup<'_>,
) -> Result<Vec<RawTransform>, Fault> {
    if !is_needed && root.get("transforms").is_none() {
        return Ok(Vec::new());
    }
    let transforms = root.require("transforms")?.open_table()?;
    let hint = "add a section `[transforms.NAME]`";
    if is_needed && transforms.entries().is_empty() {
        return Err(transforms.place().fault(Code::MissingKey, "has no transform in it").hint(hint));
    }
    transforms.entries().iter().map(|entry| parse_transform(entry, base, lookup)).collect()
}

fn parse_app(item: &Item, base: &Path, lookup: Lookup<'_>) -> Result<App, Fault> {
    let table = item.table(&["id", "state_dir", "instance", "api"])?;
    let id = table.require("id")?;
    let state_dir = table.get("state_dir").map_or(Ok(App::STATE_DIR), Item::text)?;
    let instance = |item: &Item| {
        let text = env::expand(item, lookup)?;
        check_name(item, &text, |c| c.is_ascii_alphanumeric() || "._-".contains(c), INSTANCE_FORM)?;
        Ok::<_, Fault>(InstanceName::new(&text))
    };
    let id_text = id.text()?;
    check_name(id, id_text, |c| c.is_ascii_alphanumeric() || "_-".contains(c), NAME_FORM)?;
    Ok(App {
        id: AppId::new(id_text),
        state_dir: base.join(state_dir),
        instance: table.get("instance").map(instance).transpose()?,
        api: table.get("api").map_or(Ok(Some(api_address::DEFAULT)), api_address::parse)?,
    })
}

const INSTANCE_FORM: &str = "1 to 64 letters, digits, `.`, `_` and `-`";

/// Without dots, because the names in Kafka are put together with dots and must not collide.
const NAME_FORM: &str = "1 to 64 letters, digits, `_` and `-`";

fn check_name(item: &Item, name: &str, allowed: impl Fn(char) -> bool, form: &str) -> Result<(), Fault> {
    if (1..=NAME_CHARS_MAX).contains(&name.len()) && name.chars().all(allowed) {
        return Ok(());
    }
    Err(item.place().invalid(format_args!("is `{name}`, it must be {form}")))
}

fn parse_kafka(item: &Item, lookup: Lookup<'_>) -> Result<Kafka, Fault> {
    let table = item.table(&["brokers", "client"])?;
    let brokers = table.require("brokers")?;
    let client = table.get("client").map(|item| client::parse(item, lookup));
    let addresses = env::expand(brokers, lookup)?;
    if addresses.split(',').any(|address| address.trim().is_empty()) {
        let problem = format!("is `{addresses}`, it must be `host:port`, several separated by commas");
        return Err(brokers.place().invalid(problem));
    }
    Ok(Kafka { brokers: addresses, client: client.unwrap_or_else(|| Ok(Default::default()))? })
}

const TRANSFORM_KEYS: &[&str] = &[
    "plugin",
    "workers",
    "guarantee",
    "sources",
    "sinks",
    "config",
    "limits",
    "jobs",
    "endpoints",
    "callouts",
    "review",
    "dead_letter",
    "commit_interval",
    "commit_records",
    "commit_bytes",
    "commit_state_bytes",
    "eager",
    "batch_records",
    "batch_bytes",
    "key_placement",
];

fn parse_transform(entry: &Entry, base: &Path, lookup: Lookup<'_>) -> Result<RawTransform, Fault> {
    let place = entry.item.place();
    let table = entry.item.table(TRANSFORM_KEYS)?;
    check_name(&entry.item, &entry.key, |c| c.is_ascii_alphanumeric() || "_-".contains(c), NAME_FORM)?;
    if let Some(item) = table.get("guarantee") {
        check_guarantee(item)?;
    }
    Ok(RawTransform {
        place: place.clone(),
        name: TransformName::new(&entry.key),
        plugin: parse_plugin(table.require("plugin")?, base)?,
        workers: table.get("workers").map_or(Ok(1), |item| item.integer(1..=WORKERS_MAX))? as usize,
        sources: bindings(&table, "sources", parse_source)?,
        sinks: bindings(&table, "sinks", parse_sink)?,
        config: table.get("config").cloned().unwrap_or_else(|| place.empty_table("config")),
        dead_letters: parse_dead_letters(&table)?,
        limits: parse_limits(&table)?,
        commit: parse_commit(&table)?,
        batch: parse_batch(&table)?,
        state_bounds: parse_state_bounds(&table)?,
        job_bounds: parse_jobs(&table)?,
        key_placement: parse_key_placement(&table)?,
        endpoints: bindings(&table, "endpoints", |entry| endpoints::parse_endpoint(entry, base, lookup))?,
        callout_bounds: endpoints::parse_callouts(&table)?,
        review: endpoints::parse_review(&table)?,
    })
}

fn parse_plugin(item: &Item, base: &Path) -> Result<PluginRef, Fault> {
    match item.text()? {
        "" => Err(item.place().invalid("is empty, it must be `builtin:NAME` or the path of a `.wasm` file")),
        text => Ok(PluginRef::parse(text, base)),
    }
}

fn parse_path(item: &Item, base: &Path) -> Result<PathBuf, Fault> {
    match item.text()? {
        "" => Err(item.place().invalid("is empty, it must be the path of a file")),
        text => Ok(base.join(text)),
    }
}

fn check_guarantee(item: &Item) -> Result<(), Fault> {
    match item.text()? {
        GUARANTEE => Ok(()),
        "at-least-once" => Err(item
            .place()
            .invalid("is `at-least-once`, which this version cannot do yet")
            .hint("leave it out, or write \"exactly-once\"")),
        other => Err(item.place().invalid(format_args!("is `{other}`, it must be `{GUARANTEE}`"))),
    }
}

fn parse_key_placement(table: &Table<'_>) -> Result<KeyPlacement, Fault> {
    let Some(item) = table.get("key_placement") else { return Ok(KeyPlacement::default()) };
    let text = item.text()?;
    let found = KeyPlacement::NAMES.iter().find(|(name, _)| *name == text);
    found
        .map(|(_, placement)| *placement)
        .ok_or_else(|| item.place().invalid(format_args!("is `{text}`, it must be `check` or `ignore`")))
}

fn bindings<T>(
    table: &Table<'_>,
    key: &str,
    parse: impl Fn(&Entry) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    match table.get(key) {
        Some(item) => item.open_table()?.entries().iter().map(parse).collect(),
        None => Ok(Vec::new()),
    }
}

fn parse_source(entry: &Entry) -> Result<RawSource, Fault> {
    let (topic, start) = if entry.item.is_table() {
        let table = entry.item.table(&["topic", "start"])?;
        (table.require("topic")?, table.get("start"))
    } else {
        (&entry.item, None)
    };
    let start = start.map(parse_start).transpose()?;
    let place = entry.item.place().clone();
    Ok(RawSource { place, name: entry.key.clone(), topic: parse_topic(topic)?, start })
}

fn parse_start(item: &Item) -> Result<Start, Fault> {
    let text = item.text()?;
    let found = Start::NAMES.iter().find(|(name, _)| *name == text);
    found
        .map(|(_, start)| *start)
        .ok_or_else(|| item.place().invalid(format_args!("is `{text}`, it must be `earliest` or `latest`")))
}

fn parse_sink(entry: &Entry) -> Result<RawSink, Fault> {
    let (topic, after) = if entry.item.is_table() {
        let table = entry.item.table(&["topic", "after"])?;
        (table.require("topic")?, table.get("after"))
    } else {
        (&entry.item, None)
    };
    let after = after.map(Item::truth).transpose()?;
    let place = entry.item.place().clone();
    Ok(RawSink { place, name: entry.key.clone(), topic: parse_topic(topic)?, after })
}

/// A name that Kafka takes for a topic.
fn parse_topic(item: &Item) -> Result<TopicName, Fault> {
    let name = item.text()?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let long = !(1..=TOPIC_CHARS_MAX).contains(&name.len());
    if long || !name.chars().all(fits) || name == "." || name == ".." {
        let form = "1 to 249 letters, digits, `.`, `_` and `-`";
        return Err(item.place().invalid(format_args!("is `{name}`, a topic's name must be {form}")));
    }
    Ok(TopicName::new(name))
}

fn parse_dead_letters(table: &Table<'_>) -> Result<Option<TopicName>, Fault> {
    let Some(item) = table.get("dead_letter") else { return Ok(None) };
    item.table(&["topic"])?.get("topic").map(parse_topic).transpose()
}

/// Replaces a default by what a table says.
fn set<T>(slot: &mut T, item: Option<&Item>, read: impl Fn(&Item) -> Result<T, Fault>) -> Result<(), Fault> {
    if let Some(item) = item {
        *slot = read(item)?;
    }
    Ok(())
}

fn part(item: &Item) -> Result<Duration, Fault> {
    item.duration(Duration::from_millis(1)..=TRANSACTION_PART_MAX)
}

fn count(item: &Item) -> Result<usize, Fault> {
    Ok(item.integer(1..=10_000_000)? as usize)
}

fn bytes(item: &Item) -> Result<usize, Fault> {
    // Chunks address their bytes with 32 bits; half of what that allows leaves room for one record more.
    let bytes = item.size(1 << 10..=512 << 20)?;
    usize::try_from(bytes)
        .map_err(|error| item.place().invalid("is too large for this computer").because(error))
}

const LIMIT_KEYS: &[&str] =
    &["memory", "call", "output_bytes", "output_records", "state_bytes", "log_bytes", "traps_per_minute"];

fn parse_limits(table: &Table<'_>) -> Result<Limits, Fault> {
    let mut limits = Limits::default();
    let Some(item) = table.get("limits") else { return Ok(limits) };
    let table = item.table(LIMIT_KEYS)?;
    set(&mut limits.memory_bytes, table.get("memory"), |item| item.size(1 << 20..=4 << 30))?;
    set(&mut limits.call, table.get("call"), part)?;
    set(&mut limits.output_bytes, table.get("output_bytes"), |item| item.size(1 << 10..=512 << 20))?;
    set(&mut limits.output_records, table.get("output_records"), |item| item.integer(1..=10_000_000))?;
    set(&mut limits.log_bytes, table.get("log_bytes"), |item| item.size(0..=16 << 20))?;
    set(&mut limits.traps_per_minute, table.get("traps_per_minute"), |item| item.integer(1..=1_000_000))?;
    Ok(limits)
}

fn parse_commit(table: &Table<'_>) -> Result<CommitBounds, Fault> {
    let mut bounds = CommitBounds::default();
    set(&mut bounds.interval, table.get("commit_interval"), part)?;
    set(&mut bounds.records, table.get("commit_records"), count)?;
    set(&mut bounds.bytes, table.get("commit_bytes"), bytes)?;
    set(&mut bounds.eager, table.get("eager"), Item::truth)?;
    Ok(bounds)
}

fn parse_batch(table: &Table<'_>) -> Result<BatchBounds, Fault> {
    let mut bounds = BatchBounds::default();
    set(&mut bounds.records, table.get("batch_records"), count)?;
    set(&mut bounds.bytes, table.get("batch_bytes"), bytes)?;
    Ok(bounds)
}

/// What one call and one transaction may write. They stand beside their like: among the limits of a call, and among the
/// bounds of a transaction.
fn parse_state_bounds(table: &Table<'_>) -> Result<StateBounds, Fault> {
    let mut bounds = StateBounds::default();
    let size = |item: &Item| item.size(1 << 10..=512 << 20);
    if let Some(limits) = table.get("limits") {
        set(&mut bounds.call_bytes, limits.table(LIMIT_KEYS)?.get("state_bytes"), size)?;
    }
    set(&mut bounds.transaction_bytes, table.get("commit_state_bytes"), size)?;
    Ok(bounds)
}

/// The most that jobs may take from records that wait: they must not be held up for ever.
const SHARE_MAX: f64 = 0.9;

fn parse_jobs(table: &Table<'_>) -> Result<JobBounds, Fault> {
    let mut bounds = JobBounds::default();
    let Some(item) = table.get("jobs") else { return Ok(bounds) };
    let table = item.table(&["step", "share", "rate"])?;
    set(&mut bounds.step_outputs, table.get("step"), |item| item.integer(1..=100_000))?;
    set(&mut bounds.share, table.get("share"), |item| item.share(SHARE_MAX))?;
    let rate = |item: &Item| item.integer(1..=10_000_000).map(Some);
    set(&mut bounds.outputs_per_second, table.get("rate"), rate)?;
    Ok(bounds)
}

#[cfg(test)]
mod tests;
