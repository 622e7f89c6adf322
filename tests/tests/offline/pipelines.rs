//! Several transforms in one file and one process: connected through topics, and one that stops does not stop the others.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gristmill_tests::client::{Client, Isolation, unique};
use gristmill_tests::cluster::{Cluster, Dev};
use gristmill_tests::process::Process;
use gristmill_tests::wait::{self, Seen};
use gristmill_tests::{host, read, rundir};
use serde_json::Value;

const ENDS_WITHIN: Duration = Duration::from_secs(60);

/// `first` and `third` pass on what they get; `second`, between them, does what it is told. `beside` has nothing to do with
/// them.
struct Chain {
    client: Client,
    app: String,
    dir: PathBuf,
    /// More lines for `second`.
    second: &'static str,
}

impl Chain {
    fn new(dev: &Dev, second: &'static str) -> Result<Self> {
        let app = unique("chain");
        let dir = rundir::make(&app)?;
        Ok(Self { client: dev.client(), app, dir, second })
    }

    fn topic(&self, name: &str) -> String {
        format!("{}-{name}", self.app)
    }

    /// The pipeline file of one host process.
    fn file(&self, instance: &str, directory: &str) -> Result<PathBuf> {
        let (pass, act) =
            (host::plugin("tests/fixtures/passthrough")?, host::plugin("tests/fixtures/hostile")?);
        let transform = |name: &str, plugin: &Path, source: &str, sink: &str, more: &str| {
            format!(
                "[transforms.{name}]\nplugin = \"{}\"\nsources.in = \"{}\"\nsinks.out = \"{}\"\n{more}\n",
                plugin.display(),
                self.topic(source),
                self.topic(sink)
            )
        };
        let text = format!(
            "[app]\nid = \"{}\"\ninstance = \"{instance}\"\nstate_dir = \"{directory}\"\napi = \"127.0.0.1:0\"\n\
             [kafka]\nbrokers = \"{}\"\n[kafka.client]\n\"session.timeout.ms\" = 6000\n\"heartbeat.interval.ms\" = 1000\n\
             {}{}{}{}",
            self.app,
            self.client.bootstrap(),
            transform("first", &pass, "a", "b", ""),
            transform("second", &act, "b", "c", self.second),
            transform("third", &pass, "c", "d", ""),
            transform("beside", &pass, "x", "y", ""),
        );
        let path = self.dir.join(format!("{directory}.toml"));
        fs::write(&path, text)?;
        Ok(path)
    }

    fn prepare(&self) -> Result<PathBuf> {
        let file = self.file("a", "a")?;
        host::command(&["topics", "--create", "--partitions", "1"], &file)?;
        Ok(file)
    }

    fn put(&self, topic: &str, values: &[&str]) -> Result<()> {
        let producer = self.client.producer(&[])?;
        values.iter().try_for_each(|value| producer.put(&self.topic(topic), 0, "k", value))?;
        producer.drain()
    }

    /// Waits until a topic holds these values, and no others.
    fn await_values(&self, topic: &str, want: &[&str], host: &mut Process) -> Result<()> {
        wait::until(&format!("{want:?} in `{topic}`"), || {
            ensure!(host.ended()?.is_none(), "the host has ended; its log:\n{}", host.tail());
            let values = read::values(&self.client, &self.topic(topic), Isolation::Committed)?;
            Ok(if values == want { Seen::Yes(()) } else { Seen::NotYet(format!("{values:?}")) })
        })
    }
}

fn status(file: &Path) -> Result<Value> {
    Ok(serde_json::from_str(&host::command(&["status", "--json"], file)?)?)
}

/// Waits until the host of this file is not ready for a reason with this code, which names this.
fn await_reason(file: &Path, code: &str, name: &str) -> Result<Value> {
    wait::until(&format!("a reason `{code}` that names {name}"), || {
        let seen = match status(file) {
            Ok(seen) => seen,
            Err(error) => return Ok(Seen::NotYet(format!("{error:#}"))),
        };
        let reasons = seen.get("reasons").and_then(Value::as_array).context("no reasons")?;
        let is_it = |reason: &&Value| {
            reason["code"] == code && reason["message"].as_str().is_some_and(|text| text.contains(name))
        };
        let is_it =
            reasons.iter().any(|reason| is_it(&reason)) && seen.get("ready") == Some(&Value::Bool(false));
        Ok(if is_it { Seen::Yes(seen) } else { Seen::NotYet(seen.to_string()) })
    })
}

/// The states of the transforms, in the order of the file.
fn states(status: &Value) -> Vec<String> {
    let transforms = status["transforms"].as_array().cloned().unwrap_or_default();
    transforms.iter().map(|transform| transform["state"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Ends the host, which says with this exit code and this error code that something had stopped.
fn ends_with(mut host: Process, exit_code: i32, code: &str) -> Result<()> {
    let status = host.terminate(ENDS_WITHIN)?;
    ensure!(status.code() == Some(exit_code), "it ended with {status}:\n{}", host.tail());
    ensure!(host.output()?.ends_with(&format!("code: {code}\n")), "{}", host.tail());
    Ok(())
}

#[test]
fn takes_records_through_a_chain() -> Result<()> {
    let dev = Dev::start()?;
    let chain = Chain::new(&dev, "")?;
    let file = chain.prepare()?;
    chain.put("a", &["1", "2", "3"])?;

    let mut host = host::run(&file)?;

    chain.await_values("d", &["1", "2", "3"], &mut host)?;
    ensure!(host.terminate(ENDS_WITHIN)?.success(), "{}", host.tail());
    Ok(())
}

#[test]
fn runs_the_others_when_a_plugin_refuses_to_start() -> Result<()> {
    let dev = Dev::start()?;
    let chain = Chain::new(&dev, "config.at_start = \"error\"")?;
    let file = chain.prepare()?;
    chain.put("a", &["1"])?;
    chain.put("c", &["2"])?;

    let mut host = host::run(&file)?;

    chain.await_values("b", &["1"], &mut host)?;
    chain.await_values("d", &["2"], &mut host)?;
    let seen = await_reason(&file, "plugin_init_failed", "`second`")?;
    ensure!(states(&seen) == ["running", "stopped", "running", "running"], "{seen:#}");
    ends_with(host, 2, "plugin_init_failed")
}

#[test]
fn runs_the_others_when_a_topic_is_missing() -> Result<()> {
    let dev = Dev::start()?;
    let chain = Chain::new(&dev, "")?;
    for topic in ["a", "b", "d", "x", "y"] {
        chain.client.create_topic(&chain.topic(topic), 1, &[])?;
    }
    let file = chain.file("a", "a")?;
    chain.put("a", &["1"])?;
    chain.put("x", &["2"])?;

    let mut host = host::run(&file)?;

    chain.await_values("b", &["1"], &mut host)?;
    chain.await_values("y", &["2"], &mut host)?;
    let seen = await_reason(&file, "topic_missing", "`third`")?;
    ensure!(states(&seen) == ["running", "stopped", "stopped", "running"], "{seen:#}");
    ends_with(host, 2, "topic_missing")
}

#[test]
fn runs_the_others_when_a_task_has_trapped_too_often() -> Result<()> {
    let dev = Dev::start()?;
    let chain = Chain::new(&dev, "limits.traps_per_minute = 2")?;
    let file = chain.prepare()?;
    let mut host = host::run(&file)?;
    chain.put("b", &["panic 1", "panic 2", "panic 3", "panic 4"])?;

    let seen = await_reason(&file, "too_many_traps", "`second/0`")?;
    chain.put("a", &["1"])?;
    chain.put("c", &["2"])?;
    chain.await_values("d", &["2"], &mut host)?;
    chain.put("x", &["3"])?;
    chain.await_values("y", &["3"], &mut host)?;

    ensure!(states(&seen) == ["running"; 4], "{seen:#}");
    ends_with(host, 3, "too_many_traps")
}

#[test]
fn goes_on_at_the_next_start_where_a_stopped_transform_stood() -> Result<()> {
    let dev = Dev::start()?;
    let chain = Chain::new(&dev, "config.at_start = \"error\"")?;
    let file = chain.prepare()?;
    chain.put("a", &["1", "2"])?;
    let mut host = host::run(&file)?;
    chain.await_values("b", &["1", "2"], &mut host)?;
    ends_with(host, 2, "plugin_init_failed")?;

    let mended = fs::read_to_string(&file)?.replace("config.at_start = \"error\"", "");
    fs::write(&file, mended)?;
    let mut host = host::run(&file)?;

    chain.await_values("d", &["1", "2"], &mut host)?;
    ensure!(host.terminate(ENDS_WITHIN)?.success(), "{}", host.tail());
    Ok(())
}

#[test]
fn gives_all_transforms_to_the_process_that_has_the_name_now() -> Result<()> {
    let dev = Dev::start()?;
    let chain = Chain::new(&dev, "")?;
    let mut earlier = host::run(&chain.prepare()?)?;
    chain.put("a", &["1"])?;
    chain.await_values("d", &["1"], &mut earlier)?;

    let mut later = host::run(&chain.file("a", "a-twin")?)?;

    let status = earlier.wait(ENDS_WITHIN)?;
    ensure!(status.code() == Some(3), "it ended with {status}:\n{}", earlier.tail());
    ensure!(earlier.output()?.ends_with("code: instance_in_use\n"), "{}", earlier.tail());
    chain.put("a", &["2"])?;
    chain.put("x", &["3"])?;
    chain.await_values("d", &["1", "2"], &mut later)?;
    chain.await_values("y", &["3"], &mut later)?;
    Ok(())
}
