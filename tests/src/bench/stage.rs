//! A shop of items of one class on a real Kafka, and a host that enriches them: what fan-outs and restores are measured on.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::load::{self, await_items};
use super::meter;
use super::subject::{LIMIT, pipeline};
use super::watch::Watch;
use crate::client::{Client, Isolation, Producer, unique};
use crate::host;
use crate::process::Process;
use crate::read;
use crate::rundir;
use crate::wait::{self, Seen};
use crate::workload;

/// The maximum that the class begins with; each change makes it one more.
pub(super) const MAXIMUM: u64 = 10;

/// Partitions of each topic.
pub(super) const PARTITIONS: i32 = 4;

/// How class changes reach the items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Option 1: `delivery-time` follows them itself.
    Join,
    /// Option 2: `class-fanout` writes a command for each item.
    Commands,
}

impl Way {
    /// Its name in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Join => "option 1, the join",
            Self::Commands => "option 2, commands",
        }
    }
}

/// What one pass over all items took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass {
    pub(super) items: u64,
    /// To the last item that became visible.
    pub(super) took: Duration,
    pub(super) cpu: Duration,
    pub(super) broker: Duration,
    /// The most that was seen.
    pub(super) resident_mib: f64,
}

impl Pass {
    pub(super) fn rate(&self) -> f64 {
        self.items as f64 / self.took.as_secs_f64()
    }

    pub(super) fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.items as f64
    }

    pub(super) fn broker_us(&self) -> f64 {
        self.broker.as_secs_f64() * 1e6 / self.items as f64
    }
}

/// The topics, the pipeline file, the host.
pub(super) struct Stage {
    pub(super) client: Client,
    pub(super) broker: u32,
    pub(super) items: u64,
    pub(super) topic: String,
    pub(super) host: Option<Process>,
    pub(super) watch: Watch,
    app: String,
    classes: String,
    dir: PathBuf,
    file: PathBuf,
    producer: Producer,
    maximum: u64,
}

impl Stage {
    /// Fills the topics, starts the host and waits until each item has been enriched; says what that took.
    pub(super) fn set(client: &Client, broker: u32, items: u64, way: Way) -> Result<(Self, Pass)> {
        let compacted = [("cleanup.policy", "compact"), ("min.compaction.lag.ms", "86400000")];
        let topic = |name: &str, partitions: i32| client.topic(name, partitions, &compacted);
        let (source, sink) = (topic("bench-items", PARTITIONS)?, topic("bench-enriched", PARTITIONS)?);
        let classes = topic("bench-classes", 1)?;
        let app = unique("bench");
        let dir = rundir::make(&app)?;
        let mut bound = format!(
            "sources.items = \"{source}\"\nsources.classes = \"{classes}\"\nsinks.enriched = \"{sink}\"\n"
        );
        if way == Way::Commands {
            let (updates, plugin) =
                (topic("bench-updates", PARTITIONS)?, host::plugin("plugins/class-fanout")?);
            bound.push_str(&format!(
                "sources.updates = \"{updates}\"\nconfig.follow_classes = false\n[transforms.f]\nplugin = \"{}\"\n\
                 sources.enriched = \"{sink}\"\nsources.classes = \"{classes}\"\nsinks.updates = \"{updates}\"\n",
                plugin.display()
            ));
        }
        let plugin = host::plugin("plugins/delivery-time")?;
        let file = pipeline(&dir, &app, client.bootstrap(), &plugin, &bound)?;
        host::command(&["topics", "--create"], &file)?;
        let producer = client.producer(&load::FILLING)?;
        for n in 0..workload::CLASSES {
            let (key, value) = workload::class(n);
            producer.put(&classes, 0, &key, &value)?;
        }
        load::set_class(&producer, &classes, MAXIMUM)?;
        load::fill(client, &source, 0..items)?;
        let watch = Watch::start(client, &sink, PARTITIONS)?;
        watch.expect(&load::ending(MAXIMUM), items)?;
        let (client, topic) = (client.clone(), source);
        let mut stage = Self {
            client,
            broker,
            items,
            topic,
            host: None,
            watch,
            app,
            classes,
            dir,
            file,
            producer,
            maximum: MAXIMUM,
        };
        let start = Instant::now();
        stage.start()?;
        let pass = stage.pass_to_rest(start)?;
        Ok((stage, pass))
    }

    /// Starts the host.
    pub(super) fn start(&mut self) -> Result<()> {
        self.host = Some(host::run(&self.file)?);
        Ok(())
    }

    /// Ends the host with SIGKILL.
    pub(super) fn kill(&mut self) -> Result<()> {
        self.host.take().context("no host")?.kill()
    }

    /// Deletes the local state of the host.
    pub(super) fn lose_disk(&self) -> Result<()> {
        let state = self.dir.join("state").join(&self.app);
        fs::remove_dir_all(&state).with_context(|| format!("cannot delete `{}`", state.display()))
    }

    /// Changes the class, and gives the moment.
    pub(super) fn change(&mut self) -> Result<Instant> {
        self.maximum += 1;
        self.watch.expect(&load::ending(self.maximum), self.items)?;
        let start = Instant::now();
        load::set_class(&self.producer, &self.classes, self.maximum)?;
        Ok(start)
    }

    /// Waits until every item has been seen with the times of the last change. The host must live.
    pub(super) fn pass(&mut self, start: Instant) -> Result<Pass> {
        let broker = self.broker;
        let host = self.host.as_mut().context("no host")?;
        let pid = host.pid();
        let (cpu, broker_cpu) = (meter::cpu(pid)?, meter::cpu(broker)?);
        let mut resident_mib = 0.0_f64;
        let last = await_items(&self.watch, self.items, || {
            if let Some(status) = host.ended()? {
                anyhow::bail!("the host ended with {status}; its log:\n{}", host.tail());
            }
            resident_mib = resident_mib.max(meter::resident(pid)?);
            Ok(())
        })?;
        Ok(Pass {
            items: self.items,
            took: last - start,
            cpu: meter::cpu(pid)?.saturating_sub(cpu),
            broker: meter::cpu(broker)?.saturating_sub(broker_cpu),
            resident_mib,
        })
    }

    /// The same; but processor time is that until the host rests, with what it does behind the last item.
    pub(super) fn pass_to_rest(&mut self, start: Instant) -> Result<Pass> {
        let pid = self.host.as_ref().context("no host")?.pid();
        let (cpu, broker) = (meter::cpu(pid)?, meter::cpu(self.broker)?);
        let pass = self.pass(start)?;
        self.await_rest()?;
        Ok(Pass {
            cpu: meter::cpu(pid)?.saturating_sub(cpu),
            broker: meter::cpu(self.broker)?.saturating_sub(broker),
            ..pass
        })
    }

    /// Waits until the host has committed nothing for a second and a half.
    pub(super) fn await_rest(&self) -> Result<()> {
        let ends = self.client.ends()?;
        let changelogs = self.client.topics(&format!("{}.", self.app))?;
        let changelogs: Vec<_> = changelogs.iter().filter(|name| name.ends_with(".changelog")).collect();
        let (mut before, mut since) = (0, Instant::now());
        wait::until_within(LIMIT, "the host to rest", || {
            let mut now = 0;
            for changelog in &changelogs {
                for partition in 0..PARTITIONS {
                    now += ends.end(changelog, partition, Isolation::Uncommitted)?;
                }
            }
            if now != before {
                (before, since) = (now, Instant::now());
            }
            let rests = since.elapsed() > Duration::from_millis(1500);
            Ok(if rests { Seen::Yes(()) } else { Seen::NotYet(format!("{now} offsets")) })
        })
    }

    /// Memory of the host now, in MiB.
    pub(super) fn resident(&self) -> Result<f64> {
        meter::resident(self.host.as_ref().context("no host")?.pid())
    }

    /// Waits until the host's log says so many times that a task's state is up to date.
    pub(super) fn await_restored(&mut self, before: usize, tasks: usize) -> Result<()> {
        let host = self.host.as_mut().context("no host")?;
        wait::until_within(LIMIT, "the restore", || {
            ensure!(host.ended()?.is_none(), "the host has ended; its log:\n{}", host.tail());
            let restored = restores(&host.output()?) - before;
            Ok(if restored >= tasks { Seen::Yes(()) } else { Seen::NotYet(host.tail()) })
        })
    }

    /// How many restores the log tells of so far.
    pub(super) fn restores(&self) -> Result<usize> {
        Ok(restores(&fs::read_to_string(self.file.with_extension("log"))?))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // A gigabyte that nobody looks at again; the logs stay.
        drop(self.host.take());
        drop(fs::remove_dir_all(self.dir.join("state")));
    }
}

fn restores(log: &str) -> usize {
    log.matches("state is up to date").count()
}

/// Bytes of keys, values and headers in a changelog, and its records.
pub(super) fn changelog_size(client: &Client, topic: &str) -> Result<(u64, u64)> {
    let records = read::whole(client, topic, Isolation::Uncommitted)?;
    let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
    let bytes: usize = records
        .iter()
        .map(|record| {
            let headers: usize = record.headers.iter().map(|(name, value)| name.len() + length(value)).sum();
            length(&record.key) + length(&record.value) + headers
        })
        .sum();
    Ok((u64::try_from(bytes)?, u64::try_from(records.len())?))
}
