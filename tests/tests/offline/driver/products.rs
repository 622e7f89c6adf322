//! Products in the test driver: information, activations and `activation`, and what came of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Result, anyhow, ensure};
use gristmill_host::app::plugins::{self, Loaded};
use gristmill_host::config::pipeline::Pipeline;
use gristmill_host::config::plugin_ref::PluginRef;
use gristmill_host::config::{assembly, raw};
use gristmill_host::driver::{Driver, Message};
use gristmill_host::fault::{Code, Fault};
use gristmill_tests::host;
use serde_json::Value;

use crate::offline::plugin::stage;

pub(super) const INFORMATION: &str = "product-information";
pub(super) const ACTIVATIONS: &str = "product-activation";
pub(super) const NOTIFICATIONS: &str = "activation-notifications";
pub(super) const EXPIRED: &str = "activations-expired";
pub(super) const TRANSFORM: &str = "activation";

/// The plugin, loaded once for all tests.
fn plugin() -> Result<&'static Loaded, Fault> {
    static LOADED: OnceLock<Result<Loaded, String>> = OnceLock::new();
    let load = || {
        let file = host::plugin("plugins/activation").map_err(|error| format!("{error:#}"))?;
        plugins::load(&stage::runtime(), &PluginRef::File(file)).map_err(|fault| fault.report())
    };
    LOADED.get_or_init(load).as_ref().map_err(|error| Fault::new(Code::PluginInvalid, error.clone()))
}

fn pipeline(settings: &str) -> Result<Pipeline, Fault> {
    let text = format!(
        "[app]\nid = \"shop\"\n[kafka]\nbrokers = \"none:1\"\n[transforms.{TRANSFORM}]\nplugin = \"{TRANSFORM}.wasm\"\n\
         sources.information = \"{INFORMATION}\"\nsources.activation = \"{ACTIVATIONS}\"\n\
         sinks.notifications = \"{NOTIFICATIONS}\"\nsinks.expired = \"{EXPIRED}\"\n{settings}"
    );
    raw::parse(Path::new("shop.toml"), &text, &|_| None).and_then(|raw| {
        assembly::assemble(&raw, &mut |_| Ok((plugin()?.manifest.clone(), plugin()?.component.digest())))
    })
}

/// The pipeline in the driver.
pub(super) struct Products {
    pub(super) driver: Driver,
    /// The products of the activations, in order; each has its number in it.
    activations: Vec<String>,
    information: usize,
}

/// What became of an activation: the external ID that it was notified with, or that it expired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    Notified(String),
    Expired,
}

impl Products {
    /// Two partitions of each topic, and one host.
    pub(super) fn open(settings: &str) -> Result<Self> {
        let pipeline = pipeline(settings).map_err(|fault| anyhow!(fault.report()))?;
        let setup = Driver::setup(&pipeline).partitions(2);
        let driver =
            setup.begin(&mut |deployment| Ok(Box::new(plugin()?.component.deploy(deployment.into())?)));
        let mut driver = driver.map_err(|fault| anyhow!(fault.report()))?;
        driver.start("a");
        Ok(Self { driver, activations: Vec::new(), information: 0 })
    }

    /// An activation of a product.
    pub(super) fn activate(&mut self, product: &str) -> Result<()> {
        let value = format!(r#"{{"number":{}}}"#, self.activations.len());
        self.driver.produce(ACTIVATIONS, product, value)?;
        self.activations.push(product.to_owned());
        Ok(())
    }

    /// Information about a product, with an ID that it never had: `X-` and a number that grows.
    pub(super) fn inform(&mut self, product: &str) -> Result<()> {
        let value = format!(r#"{{"externalId":"X-{}"}}"#, self.information);
        self.information += 1;
        self.driver.produce(INFORMATION, product, value)?;
        Ok(())
    }

    /// Information about a product that has no ID.
    pub(super) fn inform_without_id(&mut self, product: &str) -> Result<()> {
        self.driver.send(INFORMATION, Message::new(product, r#"{"externalId":null}"#))?;
        Ok(())
    }

    /// Deletes the information about a product.
    pub(super) fn forget(&mut self, product: &str) -> Result<()> {
        self.driver.delete(INFORMATION, product)?;
        Ok(())
    }

    /// Another product of the same partition.
    pub(super) fn beside(&self, product: &str) -> String {
        let cluster = self.driver.cluster();
        let place = |key: &str| cluster.place_of(&ACTIVATIONS.into(), Some(key.as_bytes()));
        let mut others = (0..).map(|number: u32| format!("other-{number}"));
        others.find(|other| place(other) == place(product)).unwrap_or_default()
    }

    /// Lets the hosts work until nothing is left to do.
    pub(super) fn settle(&mut self) -> Result<()> {
        Ok(self.driver.run_until_idle()?)
    }

    /// What became of each activation, by its number. One that still waits is missing.
    ///
    /// # Errors
    /// One ended twice, or with another key, or those of a product were notified in another order than they came in.
    pub(super) fn ends(&self) -> Result<BTreeMap<usize, End>> {
        let mut ends = BTreeMap::new();
        let mut last: BTreeMap<String, usize> = BTreeMap::new();
        for topic in [NOTIFICATIONS, EXPIRED] {
            for record in self.driver.committed(topic) {
                let value: Value = serde_json::from_slice(record.value.as_deref().unwrap_or_default())?;
                let number = value.get("number").and_then(Value::as_u64).unwrap_or(u64::MAX) as usize;
                let key = record.key_text().into_owned();
                ensure!(self.activations.get(number) == Some(&key), "{topic} has {number} under {key}");
                let id = value.get("externalId").and_then(Value::as_str).map(str::to_owned);
                if topic == NOTIFICATIONS {
                    let before = last.insert(key, number);
                    ensure!(before.is_none_or(|before| before < number), "{number} comes behind {before:?}");
                }
                let end = id.map_or(End::Expired, End::Notified);
                ensure!((topic == EXPIRED) == (end == End::Expired), "{value} is in {topic}");
                let twice = ends.insert(number, end);
                ensure!(twice.is_none(), "activation {number} has ended twice, as {twice:?} before");
            }
        }
        ensure!(self.driver.cluster().misuse().is_empty(), "{:?}", self.driver.cluster().misuse());
        Ok(ends)
    }

    /// How many activations wait.
    pub(super) fn waiting(&self) -> Result<usize> {
        let rows = self.driver.rows(TRANSFORM, "waiting");
        Ok(rows.map_err(|refusal| anyhow!("{refusal:?}"))?.len())
    }
}
