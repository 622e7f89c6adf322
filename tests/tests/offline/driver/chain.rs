//! `product-intake`, `activation` and `rest-lookup` as real components, one behind the other, and a server in memory that has bad
//! days: on hosts that die at every call, each activation ends once, and the server's own log has no request too many.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use gristmill_host::app::plugins::{self, Loaded};
use gristmill_host::config::plugin_ref::PluginRef;
use gristmill_host::config::{assembly, raw};
use gristmill_host::driver::{Crash, Disk, Driver};
use gristmill_host::fault::{Code, Fault};
use gristmill_host::memory::{Effect, MemoryServer, Reaction};
use gristmill_tests::host;

use crate::offline::plugin::stage;

const PIPELINE: &str = r#"
[app]
id = "shop"
[kafka]
brokers = "none:1"
[transforms.product-intake]
plugin = "product-intake.wasm"
sources.messages = "product-inbox"
sinks.information = "product-information"
config.product_id_pointer = "/product/id"
config.copy = ["/title"]
config.rename = { "/supplier/ref" = "externalId" }
config.required = ["externalId"]
[transforms.activation]
plugin = "activation.wasm"
sources.information = "product-information"
sources.activation = "product-activation"
sinks.notifications = "activation-notifications"
sinks.expired = "activations-expired"
[transforms.rest-lookup]
plugin = "rest-lookup.wasm"
sources.notifications = "activation-notifications"
sinks.details = "product-details"
[transforms.rest-lookup.endpoints.details]
base_url = "http://localhost:1"
"#;

const DETAILS: &str = "product-details";
const REVIEW: &str = "shop.rest-lookup.callouts-review";

/// What the server does for each product, by its external ID.
const DAYS: [&str; 6] = ["good", "missing", "html", "breaks", "refuses-once", "slow"];

/// A plugin, loaded once for all tests.
fn plugin(name: &str) -> Result<Loaded, Fault> {
    static LOADED: Mutex<BTreeMap<String, Loaded>> = Mutex::new(BTreeMap::new());
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(plugin) = loaded.get(name) {
        return Ok(plugin.clone());
    }
    let file = host::plugin(&format!("plugins/{name}"))
        .map_err(|error| Fault::new(Code::PluginInvalid, format!("{error:#}")))?;
    let plugin = plugins::load(&stage::runtime(), &PluginRef::File(file))?;
    loaded.insert(name.to_owned(), plugin.clone());
    Ok(plugin)
}

/// The server: what it does is in the last step of the path.
fn server() -> MemoryServer {
    let mut seen = BTreeSet::new();
    MemoryServer::new(move |call| {
        let is_first = seen.insert(call.id.clone());
        let day = call.path.rsplit('/').next().unwrap_or_default();
        let effect = match day {
            "missing" => Effect::Answers(404, b"{}".to_vec()),
            "html" => Effect::Answers(200, b"<html>".to_vec()),
            "breaks" if is_first => Effect::Breaks,
            "refuses-once" if is_first => Effect::Refuses,
            day => Effect::Answers(200, format!(r#"{{"day":"{day}"}}"#).into_bytes()),
        };
        let after = Duration::from_millis(if day == "slow" { 500 } else { 5 });
        Reaction { before: Duration::from_millis(5), after, effect }
    })
}

struct Chain {
    driver: Driver,
    server: MemoryServer,
}

impl Chain {
    /// Two partitions of each topic, and one host. `mode` is that of the endpoint.
    fn open(mode: &str) -> Result<Self> {
        let text = format!("{PIPELINE}mode = \"{mode}\"\n");
        let pipeline = raw::parse(Path::new("shop.toml"), &text, &|_| None).and_then(|raw| {
            assembly::assemble(&raw, &mut |transform| {
                let loaded = plugin(transform.name.as_str())?;
                Ok((loaded.manifest, loaded.component.digest()))
            })
        });
        let pipeline = pipeline.map_err(|fault| anyhow!(fault.report()))?;
        let server = server();
        let setup = Driver::setup(&pipeline).partitions(2).server(&server);
        let driver = setup.begin(&mut |deployment| {
            let component = plugin(deployment.name.as_str())?.component;
            Ok(Box::new(component.deploy(deployment.into())?))
        });
        let mut driver = driver.map_err(|fault| anyhow!(fault.report()))?;
        driver.start("a");
        Ok(Self { driver, server })
    }

    /// A message and an activation of each product, in both orders, and an update of each behind them.
    fn run(&mut self) -> Result<()> {
        for (number, day) in DAYS.iter().enumerate() {
            if number % 2 == 0 {
                self.inform(day)?;
                self.driver.turns(2);
            }
            self.driver.produce("product-activation", *day, r#"{"user":7}"#)?;
            self.driver.turns(2);
            if number % 2 == 1 {
                self.inform(day)?;
            }
        }
        self.driver.run_until_idle()?;
        DAYS.iter().try_for_each(|day| self.inform(day))?;
        Ok(self.driver.run_until_idle()?)
    }

    fn inform(&self, day: &str) -> Result<()> {
        let value = format!(r#"{{"product":{{"id":"{day}"}},"supplier":{{"ref":"{day}"}},"title":"T"}}"#);
        self.driver.produce("product-inbox", "any", value)?;
        Ok(())
    }

    /// How each product ended: `details`, `review`, or the code of a dead letter.
    ///
    /// # Errors
    /// One ended twice, or not at all, or was called more often than that.
    fn ends(&self) -> Result<BTreeMap<String, String>> {
        let mut ends = BTreeMap::new();
        let mut end = |product: String, how: String| {
            let twice = ends.insert(product.clone(), how.clone());
            ensure!(twice.is_none(), "`{product}` ended as {how}, and as {twice:?} before");
            Ok(())
        };
        for record in self.driver.committed(DETAILS) {
            let day = record.key_text().into_owned();
            let value = record.value_text().unwrap_or_default().into_owned();
            let expected =
                format!(r#"{{"activation":{{"user":7,"externalId":"{day}"}},"details":{{"day":"{day}"}}}}"#);
            ensure!(value == expected, "{value} instead of {expected}");
            end(day, "details".to_owned())?;
        }
        for record in self.driver.committed(REVIEW) {
            end(record.key_text().into_owned(), "review".to_owned())?;
        }
        for record in self.driver.dead_letters() {
            let code = record.header("gristmill-error-code").unwrap_or_default().into_owned();
            end(record.key_text().into_owned(), code)?;
        }
        ensure!(ends.keys().map(String::as_str).collect::<BTreeSet<_>>() == BTreeSet::from(DAYS), "{ends:?}");
        let notified = self.driver.committed("activation-notifications").len();
        ensure!(notified == DAYS.len(), "{notified} notifications");
        ensure!(self.driver.cluster().misuse().is_empty(), "{:?}", self.driver.cluster().misuse());
        Ok(ends)
    }

    /// How many requests reached the server, and whether all of an id are the same.
    fn requests(&self) -> Result<BTreeMap<String, usize>> {
        let mut counts = BTreeMap::new();
        let mut paths = BTreeMap::new();
        for request in self.server.requests() {
            ensure!((request.method.as_str(), &request.body) == ("GET", &None), "{request:?}");
            let before = paths.insert(request.id.clone(), request.path.clone());
            ensure!(before.is_none_or(|before| before == request.path), "{} goes to two places", request.id);
            *counts.entry(request.path).or_default() += 1;
        }
        Ok(counts)
    }
}

fn undisturbed(mode: &str, breaks: &str) -> Result<()> {
    let mut chain = Chain::open(mode)?;

    chain.run()?;

    let ends = chain.ends()?;
    let expected = ["details", "status-4xx", "answer-not-json", breaks, "details", "details"];
    let expected: BTreeMap<_, _> =
        DAYS.iter().zip(expected).map(|(day, end)| ((*day).to_owned(), end.to_owned())).collect();
    assert_eq!(ends, expected);
    Ok(())
}

#[test]
fn calls_once_for_each_activation_and_says_how_it_ended() -> Result<()> {
    undisturbed("at-most-once", "review")
}

#[test]
fn calls_until_there_is_an_answer_where_the_endpoint_is_idempotent() -> Result<()> {
    undisturbed("idempotent", "details")
}

/// Runs the chain with a crash at each call.
fn at_every_call(mode: &str, disk: Disk, look: impl Fn(&Chain) -> Result<()>) -> Result<()> {
    let mut crashes = 0;
    for crash in Crash::everywhere(disk) {
        let mut chain = Chain::open(mode)?;
        chain.driver.crash_at(crash);
        chain.run().and_then(|()| look(&chain)).with_context(|| format!("{crash:?}"))?;
        if chain.driver.crashes() == 0 {
            break;
        }
        crashes += 1;
    }
    ensure!(crashes > 300, "only {crashes} crashes");
    Ok(())
}

/// Each call has ended, and none was made twice. What a crash cuts off is in doubt.
fn at_most_once(chain: &Chain) -> Result<()> {
    let ends = chain.ends()?;
    for (path, count) in chain.requests()? {
        ensure!(count <= 1, "{count} requests to {path}");
    }
    let known = ["details", "review", "status-4xx", "answer-not-json"];
    ensure!(ends.values().all(|end| known.contains(&end.as_str())), "{ends:?}");
    Ok(())
}

#[test]
fn calls_at_most_once_whenever_the_host_dies() -> Result<()> {
    at_every_call("at-most-once", Disk::Kept, at_most_once)
}

#[test]
fn calls_at_most_once_whenever_the_host_dies_and_loses_its_disk() -> Result<()> {
    at_every_call("at-most-once", Disk::Lost, at_most_once)
}

#[test]
fn leaves_nothing_in_doubt_where_the_endpoint_is_idempotent_whenever_the_host_dies() -> Result<()> {
    at_every_call("idempotent", Disk::Kept, |chain| {
        let ends = chain.ends()?;
        chain.requests()?;
        ensure!(ends.values().all(|end| end != "review"), "{ends:?}");
        Ok(())
    })
}
