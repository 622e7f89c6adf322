//! A shop in the test driver: items, classes and `delivery-time`, and the independent checker on what came of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Result, anyhow};
use gristmill_host::app::plugins::{self, Loaded};
use gristmill_host::config::pipeline::Pipeline;
use gristmill_host::config::plugin_ref::PluginRef;
use gristmill_host::config::{assembly, raw};
use gristmill_host::driver::{self, Driver, Message};
use gristmill_host::fault::{Code, Fault};
use gristmill_host::id::{Offset, Partition};
use gristmill_host::memory::Content;
use gristmill_host::status::JobStatus;
use gristmill_tests::checker::{self, End, Model, Observation, Topic};
use gristmill_tests::host;
use gristmill_tests::record::Record;
use serde_json::Value;

use crate::offline::plugin::stage;

pub(super) const ITEMS: &str = "items";
pub(super) const CLASSES: &str = "delivery-classes";
pub(super) const ENRICHED: &str = "items-enriched";
pub(super) const UPDATES: &str = "item-updates";
pub(super) const TRANSFORM: &str = "delivery-time";
const GROUP: &str = "shop.delivery-time";

/// Class changes go out by commands: lines for the pipeline file.
const BY_COMMANDS: &str = r#"jobs.step = 3
sources.updates = "item-updates"
config.follow_classes = false
[transforms.class-fanout]
plugin = "class-fanout.wasm"
sources.enriched = "items-enriched"
sources.classes = "delivery-classes"
sinks.updates = "item-updates"
jobs.step = 3
"#;

/// The plugin of a transform, loaded once for all tests.
fn plugin_of(transform: &str) -> Result<&'static Loaded, Fault> {
    static JOIN: OnceLock<Result<Loaded, String>> = OnceLock::new();
    static FANOUT: OnceLock<Result<Loaded, String>> = OnceLock::new();
    let (cell, folder) = match transform {
        TRANSFORM => (&JOIN, "plugins/delivery-time"),
        _ => (&FANOUT, "plugins/class-fanout"),
    };
    let load = || {
        let file = host::plugin(folder).map_err(|error| format!("{error:#}"))?;
        plugins::load(&stage::runtime(), &PluginRef::File(file)).map_err(|fault| fault.report())
    };
    cell.get_or_init(load).as_ref().map_err(|error| Fault::new(Code::PluginInvalid, error.clone()))
}

fn pipeline(settings: &str) -> Result<Pipeline, Fault> {
    let text = format!(
        "[app]\nid = \"shop\"\n[kafka]\nbrokers = \"none:1\"\n[transforms.{TRANSFORM}]\nplugin = \"{TRANSFORM}.wasm\"\n\
         sources.items = \"{ITEMS}\"\nsources.classes = \"{CLASSES}\"\nsinks.enriched = \"{ENRICHED}\"\n{settings}"
    );
    raw::parse(Path::new("shop.toml"), &text, &|_| None).and_then(|raw| {
        assembly::assemble(&raw, &mut |transform| {
            let loaded = plugin_of(transform.name.as_str())?;
            Ok((loaded.manifest.clone(), loaded.component.digest()))
        })
    })
}

/// The pipeline in the driver, and all that was ever put into it: topics forget, when they are compacted.
pub(super) struct Shop {
    pub(super) driver: Driver,
    items: Vec<Record>,
    classes: Vec<Record>,
    left: Left,
    by_commands: bool,
}

/// What is left of the items that were produced.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    All,
    /// Those that were not handled, and some that were.
    Unhandled,
    /// The last of each.
    Latest,
}

impl Shop {
    /// A shop with so many partitions of items, and one host. Jobs make steps of 3 items.
    pub(super) fn open(partitions: usize) -> Result<Self> {
        Self::with(partitions, "jobs.step = 3\n")
    }

    /// The same with other lines in the section of the transform.
    pub(super) fn with(partitions: usize, settings: &str) -> Result<Self> {
        let pipeline = pipeline(settings).map_err(|fault| anyhow!(fault.report()))?;
        let setup = Driver::setup(&pipeline).partitions(partitions);
        let driver = setup.begin(&mut |deployment| {
            let component = &plugin_of(deployment.name.as_str())?.component;
            Ok(Box::new(component.deploy(deployment.into())?))
        });
        let mut driver = driver.map_err(|fault| anyhow!(fault.report()))?;
        driver.start("a");
        let by_commands = pipeline.deployments.len() > 1;
        Ok(Self { driver, items: Vec::new(), classes: Vec::new(), left: Left::All, by_commands })
    }

    /// A shop whose class changes go out by commands of `class-fanout`.
    pub(super) fn by_commands(partitions: usize) -> Result<Self> {
        Self::with(partitions, BY_COMMANDS)
    }

    /// The keys of the committed commands.
    pub(super) fn commands(&self) -> Vec<String> {
        let commands = self.driver.committed(UPDATES);
        commands.iter().map(|command| command.key_text().into_owned()).collect()
    }

    /// An item of these classes, other than all before it.
    pub(super) fn item(&mut self, sku: &str, classes: &[&str]) -> Result<()> {
        let value = serde_json::json!({ "deliveryClass": classes, "n": self.items.len() }).to_string();
        self.put(sku, Some(&value))
    }

    /// The same item for several SKUs.
    pub(super) fn items(&mut self, skus: std::ops::Range<usize>, classes: &[&str]) -> Result<()> {
        skus.into_iter().try_for_each(|sku| self.item(&sku.to_string(), classes))
    }

    /// A record of the items, whatever it is.
    pub(super) fn put(&mut self, sku: &str, value: Option<&str>) -> Result<()> {
        let message = match value {
            Some(value) => Message::new(sku, value),
            None => Message::tombstone(sku),
        };
        let (partition, offset) = self.driver.send(ITEMS, message)?;
        let item = record(sku, value, (partition, offset), self.driver.now().0);
        self.items.push(item);
        Ok(())
    }

    /// A class with this minimum time, in a state that no class ever had.
    pub(super) fn class(&mut self, name: &str, minimum: u64) -> Result<()> {
        let maximum = 100 + self.classes.len();
        self.put_class(name, Some(&format!(r#"{{"minimumTime":{minimum},"maximumTime":{maximum}}}"#)))
    }

    pub(super) fn delete_class(&mut self, name: &str) -> Result<()> {
        self.put_class(name, None)
    }

    fn put_class(&mut self, name: &str, value: Option<&str>) -> Result<()> {
        let message = value.map_or_else(|| Message::tombstone(name), |value| Message::new(name, value));
        let place = self.driver.send(CLASSES, message)?;
        self.classes.push(record(name, value, place, 0));
        Ok(())
    }

    /// Lets the hosts work until nothing is left to do.
    pub(super) fn settle(&mut self) -> Result<()> {
        Ok(self.driver.run_until_idle()?)
    }

    /// Lets the hosts work until a walk is under way: it has looked at some items, and not at all.
    pub(super) fn reach_a_walk(&mut self) -> Result<()> {
        let is_under_way =
            |job: &JobStatus| job.visited > 0 && job.total.is_none_or(|total| job.visited < total);
        let is_so = |driver: &Driver| driver.jobs().iter().any(|(_, job)| is_under_way(job));
        Ok(self.driver.run_until("a walk that is under way", is_so)?)
    }

    /// Compacts the items to the last of each, whether the others were handled or not.
    pub(super) fn compact_items(&mut self) {
        self.left = Left::Latest;
        self.driver.compact(ITEMS);
    }

    /// Compaction takes the last update of an item that was handled, but not those before it: it need not take all at once.
    pub(super) fn compact_last_handled(&mut self, sku: &str) -> Result<()> {
        let cluster = self.driver.cluster().clone();
        let place = cluster.place_of(&ITEMS.into(), Some(sku.as_bytes()));
        let position = cluster.committed(GROUP, &place).map_or(0, |committed| committed.position.0);
        let mut handled =
            self.items.iter().filter(|item| item.key_text() == sku && item.partition == place.partition.0);
        let last =
            handled.rfind(|item| item.offset < position).ok_or_else(|| anyhow!("`{sku}` was not handled"))?;
        cluster.compact_away(&place, Offset(last.offset));
        self.left = Left::Unhandled;
        Ok(())
    }

    /// The minimum time of the last enriched record of each item; null for none, nothing for a tombstone.
    pub(super) fn minimums(&self) -> Result<BTreeMap<String, Option<Value>>> {
        let minimum = |record: driver::Record| {
            let value = record.value.as_deref().map(serde_json::from_slice::<Value>).transpose()?;
            let minimum = value.map(|value| value.get("minimumDeliveryTime").cloned().unwrap_or_default());
            Ok((record.key_text().into_owned(), minimum))
        };
        self.driver.latest(ENRICHED).into_values().map(minimum).collect()
    }

    /// What was put out for each item, in order: the minimum times, `null`, or nothing for a tombstone.
    pub(super) fn outputs(&self) -> Result<BTreeMap<String, Vec<String>>> {
        let mut outputs: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for record in self.driver.committed(ENRICHED) {
            let value = record.value_text().unwrap_or_default().into_owned();
            outputs.entry(record.key_text().into_owned()).or_default().push(value);
        }
        Ok(outputs)
    }

    /// How many enriched records there are.
    pub(super) fn written(&self) -> usize {
        self.driver.committed(ENRICHED).len()
    }

    /// Holds what was put out against the independent model: nothing lost, doubled or out of order, no class of an item goes
    /// back, and the last record of each item is its join.
    pub(super) fn check(&self) -> Result<()> {
        let seen = self.observe();
        let model = Model::new("/deliveryClass", &self.classes).moving();
        let mut reports = match self.left {
            _ if self.by_commands => {
                checker::after_commands(&seen, &model, self.items.len(), &self.topic(UPDATES).committed)
            }
            Left::All | Left::Unhandled => checker::after_changes(&seen, &model, self.items.len()),
            // Nobody has seen what was compacted away.
            Left::Latest => vec![checker::convergence(&seen, &model), checker::nothing_hangs(&seen)],
        };
        if self.left == Left::Unhandled {
            reports.retain(|report| report.invariant() != "I5");
        }
        anyhow::ensure!(self.driver.cluster().misuse().is_empty(), "{:?}", self.driver.cluster().misuse());
        checker::all_hold(&reports)
    }

    fn observe(&self) -> Observation {
        let mut ends = Vec::new();
        let letters = format!("{GROUP}.dead-letters");
        for topic in [ENRICHED, &letters] {
            for place in self.driver.cluster().partitions(&topic.into()) {
                let (stable, high) = self.driver.cluster().ends(&place);
                ends.push(End { place: place.to_string(), stable: stable.0, high: high.0 });
            }
        }
        let committed = self.driver.cluster().partitions(&ITEMS.into()).into_iter().filter_map(|place| {
            let committed = self.driver.cluster().committed(GROUP, &place)?;
            Some((place.partition.0, committed.position.0))
        });
        let items = Topic { committed: self.items.clone(), ..self.topic(ITEMS) };
        let classes = Topic { committed: self.classes.clone(), ..self.topic(CLASSES) };
        let (enriched, dead_letters) = (self.topic(ENRICHED), self.topic(&letters));
        Observation { items, classes, enriched, dead_letters, positions: committed.collect(), ends }
    }

    fn topic(&self, name: &str) -> Topic {
        let cluster = self.driver.cluster();
        let mut uncommitted = Vec::new();
        for place in cluster.partitions(&name.into()) {
            for stored in cluster.stored(&place) {
                if let Content::Record { key, value, headers, timestamp } = stored.content {
                    let (partition, offset) = (place.partition.0, stored.offset.0);
                    let timestamp = timestamp.0;
                    uncommitted.push(Record { partition, offset, key, value, headers, timestamp });
                }
            }
        }
        let committed = self.driver.committed(name).into_iter().map(|record| Record {
            partition: record.partition.0,
            offset: record.offset.0,
            key: record.key,
            value: record.value,
            headers: record.headers,
            timestamp: record.timestamp.0,
        });
        Topic { name: name.to_owned(), committed: committed.collect(), uncommitted }
    }
}

fn record(
    key: &str,
    value: Option<&str>,
    (partition, offset): (Partition, Offset),
    timestamp: i64,
) -> Record {
    Record {
        partition: partition.0,
        offset: offset.0,
        key: Some(key.as_bytes().to_vec()),
        value: value.map(|value| value.as_bytes().to_vec()),
        headers: Vec::new(),
        timestamp,
    }
}
