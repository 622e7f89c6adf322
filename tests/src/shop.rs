//! The shop: the topics of a delivery-time pipeline on a cluster, its input, and what can be seen of its work.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::checker::{self, Model, Observation, Report, Standing};
use crate::client::{Client, Ends, Isolation, Producer, unique};
use crate::host;
use crate::local;
use crate::process::Process;
use crate::read;
use crate::rundir;
use crate::wait::{self, Seen};
use crate::workload;

/// A transaction and a session end soon enough for a test to wait for it.
const SESSION_MS: u32 = 6_000;

/// The checker reads each record that was ever written: nothing may be compacted before it has looked. The topics are
/// compacted ones all the same, because that is what the plugin's tables are meant for.
const KEPT: &[(&str, &str)] = &[("cleanup.policy", "compact"), ("min.compaction.lag.ms", "86400000")];

/// A delivery-time pipeline of its own: no other test has its topics and groups.
#[derive(Debug)]
pub struct Shop {
    /// Makes clients of the cluster.
    pub client: Client,
    /// The application's id.
    pub app: String,
    /// The topic of the items.
    pub items: String,
    /// The topic of the classes.
    pub classes: String,
    /// The topic of the enriched items.
    pub enriched: String,
    ends: Ends,
    dir: PathBuf,
    partitions: i32,
    /// More transforms, as text for the pipeline file.
    more: String,
    /// More lines for the transform.
    settings: String,
    /// More options of the host's clients.
    options: String,
}

impl Shop {
    /// Makes the topics of the items, the classes and the enriched items, and fills in the classes.
    ///
    /// # Errors
    /// When a topic cannot be made.
    pub fn new(client: Client, partitions: i32) -> Result<Self> {
        let app = unique("shop");
        let name = |topic: &str| format!("{app}.{topic}");
        let (items, classes, enriched) = (name("items"), name("delivery-classes"), name("items-enriched"));
        client.create_topic(&items, partitions, KEPT)?;
        client.create_topic(&classes, 1, KEPT)?;
        client.create_topic(&enriched, partitions, KEPT)?;
        let dir = rundir::make(&app)?;
        let [more, settings, options] = [const { String::new() }; 3];
        let ends = client.ends()?;
        let shop =
            Self { client, ends, app, items, classes, enriched, dir, partitions, more, settings, options };
        let producer = shop.producer()?;
        for n in 0..workload::CLASSES {
            let (key, value) = workload::class(n);
            producer.put(&shop.classes, 0, &key, &value)?;
        }
        producer.drain()?;
        Ok(shop)
    }

    /// Adds transforms to the pipeline file.
    #[must_use]
    pub fn with_transforms(mut self, text: &str) -> Self {
        self.more.push_str(text);
        self
    }

    /// Adds lines to the file that belong to the transform, such as `limits.call = "1s"`.
    #[must_use]
    pub fn with_settings(mut self, text: &str) -> Self {
        self.settings.push_str(text);
        self
    }

    /// Adds lines to the file that are options of the host's clients.
    #[must_use]
    pub fn with_options(mut self, text: &str) -> Self {
        self.options.push_str(text);
        self
    }

    /// Makes the topic of the items again, when it was deleted.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn make_items(&self) -> Result<()> {
        self.client.create_topic(&self.items, self.partitions, KEPT)
    }

    /// Makes the topics that the host needs for itself, with its own command.
    ///
    /// # Errors
    /// When the command fails.
    pub fn prepare(&self) -> Result<()> {
        let output = host::command(&["topics", "--create"], &self.pipeline("setup")?)?;
        let dead_letters = self.dead_letters();
        let found = self.client.topics(&dead_letters)?;
        ensure!(
            found == [dead_letters],
            "`gristmill topics --create` has not made the dead letters:\n{output}"
        );
        Ok(())
    }

    /// The consumer group of the transform.
    pub fn group(&self) -> String {
        format!("{}.delivery-time", self.app)
    }

    /// The topic of the state.
    pub fn changelog(&self) -> String {
        format!("{}.delivery-time.changelog", self.app)
    }

    /// The directory where a host process of that instance name keeps its state.
    pub fn state_dir(&self, instance: &str) -> PathBuf {
        self.dir.join(instance)
    }

    /// The topic of the dead letters.
    pub fn dead_letters(&self) -> String {
        format!("{}.delivery-time.dead-letters", self.app)
    }

    /// Writes the pipeline file of one host process and returns its path.
    ///
    /// # Errors
    /// When it cannot be written, or the plugin does not build.
    pub fn pipeline(&self, instance: &str) -> Result<PathBuf> {
        let plugin = host::plugin("plugins/delivery-time")?;
        let (app, brokers, plugin) = (&self.app, self.client.bootstrap(), plugin.display());
        let (items, classes, enriched) = (&self.items, &self.classes, &self.enriched);
        let state = self.state_dir(instance);
        let mut text = format!(
            "[app]\nid = \"{app}\"\ninstance = \"{instance}\"\nstate_dir = \"{}\"\n\n[kafka]\nbrokers = \"{brokers}\"\n",
            state.display()
        );
        write!(
            text,
            "[kafka.client]\n\"session.timeout.ms\" = {SESSION_MS}\n\"heartbeat.interval.ms\" = 1000\n{}\n\n",
            self.options
        )?;
        write!(
            text,
            "[transforms.delivery-time]\nplugin = \"{plugin}\"\nsources.items = \"{items}\"\n\
             sources.classes = \"{classes}\"\nsinks.enriched = \"{enriched}\"\n{}\n{}",
            self.settings, self.more
        )?;
        let path = self.dir.join(format!("{instance}.toml"));
        fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
        Ok(path)
    }

    /// Starts a host process of that instance name.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, instance: &str) -> Result<Process> {
        host::run(&self.pipeline(instance)?)
    }

    /// A producer that puts keys where Java producers put them.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn producer(&self) -> Result<Producer> {
        self.client.producer(&[
            ("partitioner", "murmur2_random"),
            ("linger.ms", "5"),
            // Longer than a broker takes to come back on a busy machine.
            ("message.timeout.ms", "300000"),
        ])
    }

    /// The number of records that were written to the sink, control records and aborted ones counted.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub fn written(&self) -> Result<i64> {
        self.end(&self.enriched, Isolation::Uncommitted)
    }

    /// Whether a transaction of the sink is open: a stable end lies before the end.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub fn transaction_is_open(&self) -> Result<bool> {
        // The stable end is asked second: if it still lies behind, the transaction is really open.
        let end = self.end(&self.enriched, Isolation::Uncommitted)?;
        Ok(self.end(&self.enriched, Isolation::Committed)? < end)
    }

    fn end(&self, topic: &str, isolation: Isolation) -> Result<i64> {
        let partitions =
            if *topic == self.dead_letters() { self.client.partitions(topic)? } else { self.partitions };
        (0..partitions).map(|partition| self.ends.end(topic, partition, isolation)).sum()
    }

    /// Waits until no transaction of the sink, the dead letters and the changelog is open.
    ///
    /// # Errors
    /// When the deadline passes.
    pub fn await_stable(&self) -> Result<()> {
        wait::until("the end of open transactions", || {
            let open: Result<Vec<_>> = [&self.enriched, &self.dead_letters(), &self.changelog()]
                .into_iter()
                .map(|topic| {
                    Ok(self.end(topic, Isolation::Uncommitted)? - self.end(topic, Isolation::Committed)?)
                })
                .collect();
            let open = open?;
            Ok(if open == [0, 0, 0] {
                Seen::Yes(())
            } else {
                Seen::NotYet(format!("{open:?} offsets are unstable"))
            })
        })
    }

    /// Waits until the group has committed the end of each partition of the items. The hosts that do it must live.
    ///
    /// # Errors
    /// When a host ends or the deadline passes.
    pub fn await_consumed(&self, hosts: &mut [&mut Process]) -> Result<()> {
        let mut ends = BTreeMap::new();
        for partition in 0..self.client.partitions(&self.items)? {
            ends.insert(partition, self.client.watermarks(&self.items, partition, Isolation::Committed)?.1);
        }
        ends.retain(|_, end| *end > 0);
        wait::until("all items to be consumed", || {
            for host in hosts.iter_mut() {
                if let Some(status) = host.ended()? {
                    anyhow::bail!("a host ended with {status}; its log:\n{}", host.tail());
                }
            }
            let committed = self.client.committed(&self.group(), &self.items)?;
            Ok(if committed == ends {
                Seen::Yes(())
            } else {
                let logs: Vec<_> = hosts.iter().map(|host| host.tail()).collect();
                Seen::NotYet(format!("{committed:?} of {ends:?}; the hosts' logs:\n{}", logs.join("\n---\n")))
            })
        })
    }

    /// Takes over the transactional id of a dead host's worker: what it has left open is aborted at once.
    ///
    /// # Errors
    /// When the coordinator refuses.
    pub fn fence(&self, instance: &str, worker: usize) -> Result<()> {
        let id = format!("{}.delivery-time.{instance}.{worker}", self.app);
        drop(self.client.transactional(&id, &[])?);
        Ok(())
    }

    /// Reads everything.
    ///
    /// # Errors
    /// When a topic cannot be read.
    pub fn observe(&self) -> Result<Observation> {
        let dead_letters = self.dead_letters();
        let topics = [&self.items, &self.classes, &self.enriched, &dead_letters].map(String::as_str);
        Observation::read(&self.client, &self.group(), topics)
    }

    /// I10 for the local stores that these host processes have left: they have ended, and all transactions are stable.
    ///
    /// # Errors
    /// When a store or the changelog cannot be read.
    pub fn local_stores(&self, seen: &Observation, hosts: &[&str], standing: Standing) -> Result<Report> {
        let mut stores = Vec::new();
        for host in hosts {
            let directory = self.state_dir(host).join(&self.app).join("delivery-time");
            stores.extend(local::stores(host, &directory)?);
        }
        let changelog = read::whole(&self.client, &self.changelog(), Isolation::Committed)?;
        Ok(checker::local_stores(seen, &changelog, &stores, &self.model(seen), standing))
    }

    /// The model of its transform.
    pub fn model(&self, seen: &Observation) -> Model {
        Model::new(workload::POINTER, &seen.classes.committed)
    }
}
