//! What is measured: the host or a native loop, each a process of its own that drains the same backlog.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs};

use anyhow::{Context, Result, ensure};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::load;
use super::meter;
use super::raw;
use super::stage::changelog_size;
use crate::client::{Client, REQUEST, unique};
use crate::host;
use crate::process::Process;
use crate::rundir;
use crate::wait::{self, Seen};

/// Partitions of each topic.
const PARTITIONS: i32 = 4;

/// The slowest machine that is worth a measurement drains a backlog within this time.
pub(super) const LIMIT: Duration = Duration::from_secs(900);

/// How the subjects differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A native loop that passes records on: N0.
    NativePassthrough,
    /// A native loop that enriches items: N1.
    NativeEnrichment,
    /// The host with the smallest plugin.
    HostPassthrough,
    /// The host with the delivery-time plugin.
    HostEnrichment,
    /// A native loop that joins activations with information.
    NativeActivation,
    /// The host with the activation plugin.
    HostActivation,
}

/// A filled source topic, a topic with classes, and the broker that holds them.
#[derive(Debug)]
pub struct Backlog {
    /// Makes clients of the broker.
    pub client: Client,
    /// The broker's process.
    pub broker: u32,
    /// The topic with the items, or the activations.
    pub items: String,
    /// The topic with the classes, or the product information.
    pub classes: String,
    /// The topics that are drained.
    pub drained: Vec<String>,
    /// How many records there are in them.
    pub count: u64,
}

/// What one run of a subject took.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Items a second.
    pub rate: f64,
    /// Processor time of the subject for each item, in microseconds.
    pub cpu_us: f64,
    /// Processor time of the broker for each item, in microseconds.
    pub broker_us: f64,
    /// Memory of the subject at the end, in MiB.
    pub resident_mib: f64,
    /// Bytes of keys, values and headers in the changelog for each item.
    pub changelog: f64,
}

impl Subject {
    /// Its name in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::NativePassthrough => "N0 native passthrough",
            Self::NativeEnrichment => "N1 native enrichment",
            Self::HostPassthrough => "host passthrough",
            Self::HostEnrichment => "host enrichment",
            Self::NativeActivation => "native activation",
            Self::HostActivation => "host activation",
        }
    }

    /// Lets the subject drain the backlog into a topic of its own.
    ///
    /// # Errors
    /// When it ends or does not come to an end.
    pub fn run(self, backlog: &Backlog) -> Result<Figures> {
        let app = unique("bench");
        let sink = backlog.client.topic(&format!("{app}-out"), PARTITIONS, &[])?;
        let (mut process, group) = self.start(backlog, &app, &sink)?;
        let figures = drain(backlog, &mut process, &group)?;
        process.kill()?;
        if matches!(self, Self::NativeActivation | Self::HostActivation) {
            let (notified, _) = raw::consume(&backlog.client, &sink)?;
            ensure!(
                notified == backlog.count / 2,
                "{notified} notifications of {} products",
                backlog.count / 2
            );
        }
        let changelog = format!("{group}.changelog");
        if backlog.client.topics(&changelog)?.is_empty() {
            return Ok(figures);
        }
        let (bytes, _) = changelog_size(&backlog.client, &changelog)?;
        Ok(Figures { changelog: bytes as f64 / backlog.count as f64, ..figures })
    }

    fn start(self, backlog: &Backlog, app: &str, sink: &str) -> Result<(Process, String)> {
        let dir = rundir::make(app)?;
        let group = format!("{app}.t");
        let (items, classes, bootstrap) = (&backlog.items, &backlog.classes, backlog.client.bootstrap());
        let native = |mode: &str| -> Result<(Process, String)> {
            let mut command = Command::new(env::current_exe()?);
            command.args(["native", bootstrap, mode, classes, items, sink, &group]);
            Ok((Process::start(self.name(), &mut command, dir.join("log"))?, group.clone()))
        };
        let hosted = |folder: &str, bound: &str| -> Result<(Process, String)> {
            let pipeline = pipeline(&dir, app, bootstrap, &host::plugin(folder)?, bound)?;
            host::command(&["topics", "--create"], &pipeline)?;
            Ok((host::run(&pipeline)?, group.clone()))
        };
        match self {
            Self::NativePassthrough => native("passthrough"),
            Self::NativeEnrichment => native("enrich"),
            Self::NativeActivation => native("activate"),
            Self::HostPassthrough => hosted(
                "tests/fixtures/passthrough",
                &format!("sources.in = \"{items}\"\nsinks.out = \"{sink}\"\n"),
            ),
            Self::HostEnrichment => hosted(
                "plugins/delivery-time",
                &format!(
                    "sources.items = \"{items}\"\nsources.classes = \"{classes}\"\nsinks.enriched = \"{sink}\"\n"
                ),
            ),
            Self::HostActivation => hosted(
                "plugins/activation",
                &format!(
                    "sources.activation = \"{items}\"\nsources.information = \"{classes}\"\n\
                     sinks.notifications = \"{sink}\"\nsinks.expired = \"{app}-expired\"\n"
                ),
            ),
        }
    }
}

/// Writes the pipeline file of a host with one transform, `t`.
pub(super) fn pipeline(
    dir: &std::path::Path,
    app: &str,
    bootstrap: &str,
    plugin: &std::path::Path,
    bound: &str,
) -> Result<PathBuf> {
    let (state, plugin) = (dir.join("state"), plugin.display());
    let path = dir.join("pipeline.toml");
    let text = format!(
        "[app]\nid = \"{app}\"\ninstance = \"a\"\nstate_dir = \"{}\"\n[kafka]\nbrokers = \"{bootstrap}\"\n\
         [transforms.t]\nplugin = \"{plugin}\"\n{bound}",
        state.display()
    );
    fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
    Ok(path)
}

impl Backlog {
    /// Makes the topics and fills them: items of about 300 bytes, each of one class.
    ///
    /// # Errors
    /// When the broker refuses something.
    pub fn fill(client: Client, broker: u32, count: u64) -> Result<Self> {
        let compacted = [("cleanup.policy", "compact"), ("min.compaction.lag.ms", "86400000")];
        let items = client.topic("bench-items", PARTITIONS, &compacted)?;
        let classes = client.topic("bench-classes", 1, &compacted)?;
        let producer = client.producer(&load::FILLING)?;
        for n in 0..crate::workload::CLASSES {
            let (key, value) = crate::workload::class(n);
            producer.put(&classes, 0, &key, &value)?;
        }
        for n in 0..count {
            // Each of one class, spread over all of them.
            let class = crate::workload::class_name(usize::try_from(n % 50).unwrap_or(0));
            let (key, value) = load::item(n, &class);
            producer.send(rdkafka::producer::BaseRecord::<str, str>::to(&items).key(&key).payload(&value))?;
        }
        producer.drain()?;
        Ok(Self { drained: vec![items.clone()], client, broker, items, classes, count })
    }

    /// Makes the topics and fills them with so many products, an activation and information of each. Of every other product
    /// the activation comes first, and many others of both before its information.
    ///
    /// # Errors
    /// When the broker refuses something.
    pub fn of_products(client: Client, broker: u32, products: u64) -> Result<Self> {
        /// How far the two of a product are apart.
        const APART: u64 = 10_000;
        let compacted = [("cleanup.policy", "compact"), ("min.compaction.lag.ms", "86400000")];
        let items = client.topic("bench-activations", PARTITIONS, &[])?;
        let classes = client.topic("bench-information", PARTITIONS, &compacted)?;
        let producer = client.producer(&load::FILLING)?;
        let send = |topic: &str, n: u64| {
            let (key, value) = if topic == items { load::activation(n) } else { load::information(n) };
            producer.send(rdkafka::producer::BaseRecord::<str, str>::to(topic).key(&key).payload(&value))
        };
        for n in 0..products + APART {
            if n < products {
                send(if n % 2 == 0 { &classes } else { &items }, n)?;
            }
            if let Some(n) = n.checked_sub(APART) {
                send(if n % 2 == 0 { &items } else { &classes }, n)?;
            }
        }
        producer.drain()?;
        let drained = vec![items.clone(), classes.clone()];
        Ok(Self { drained, client, broker, items, classes, count: 2 * products })
    }
}

/// One look at a subject at work.
struct Look {
    at: Instant,
    consumed: u64,
    subject: Duration,
    broker: Duration,
}

fn drain(backlog: &Backlog, process: &mut Process, group: &str) -> Result<Figures> {
    let consumer = backlog.client.consumer(group, &[("isolation.level", "read_uncommitted")])?;
    let mut first = None;
    let last = wait::until_within(LIMIT, "the backlog to be drained", || {
        let consumed = consumed(&consumer, &backlog.drained)?;
        if let Some(status) = process.ended()? {
            anyhow::bail!("the subject ended with {status}; its log:\n{}", process.tail());
        }
        let (subject, broker) = (meter::cpu(process.pid())?, meter::cpu(backlog.broker)?);
        let look = Look { at: Instant::now(), consumed, subject, broker };
        // Not from the first commit: what a consumer has fetched before it would be a gift.
        if consumed >= backlog.count / 4 && first.is_none() {
            first = Some(Look { ..look });
        } else if consumed == backlog.count {
            return Ok(Seen::Yes(look));
        }
        Ok(Seen::NotYet(format!("{consumed} of {}; {}", backlog.count, process.tail())))
    })?;
    let first = first.context("the subject was never seen at work")?;
    let items = last.consumed.saturating_sub(first.consumed) as f64;
    ensure!(items > 0.3 * backlog.count as f64, "the backlog is too small: it was drained between two looks");
    let each = |before: Duration, after: Duration| (after.saturating_sub(before)).as_secs_f64() * 1e6 / items;
    Ok(Figures {
        rate: items / (last.at - first.at).as_secs_f64(),
        cpu_us: each(first.subject, last.subject),
        broker_us: each(first.broker, last.broker),
        resident_mib: meter::resident(process.pid())?,
        changelog: 0.0,
    })
}

fn consumed(consumer: &BaseConsumer, topics: &[String]) -> Result<u64> {
    let mut asked = TopicPartitionList::new();
    topics.iter().for_each(|topic| asked.add_partition_range(topic, 0, PARTITIONS - 1));
    let answer = consumer.committed_offsets(asked, REQUEST)?;
    let offsets = answer.elements();
    let sum: i64 = offsets.iter().filter_map(|e| e.offset().to_raw()).filter(|offset| *offset > 0).sum();
    Ok(u64::try_from(sum)?)
}
