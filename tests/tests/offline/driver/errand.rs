//! A plugin that breaks the interface of timers and callouts, as a real component on a host: what it does wrong ends as a dead letter,
//! and costs nothing else.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Result, anyhow};
use gristmill_host::app::plugins::{self, Loaded};
use gristmill_host::config::plugin_ref::PluginRef;
use gristmill_host::config::{assembly, raw};
use gristmill_host::driver::Driver;
use gristmill_host::fault::{Code, Fault};
use gristmill_host::memory::{MemoryServer, Reaction};
use gristmill_tests::host;

use crate::offline::plugin::stage;

const PIPELINE: &str = r#"
[app]
id = "shop"
[kafka]
brokers = "none:1"
[transforms.errand]
plugin = "errand.wasm"
sources.in = "commands"
sinks.out = "answers"
limits.call = "50ms"
[transforms.errand.endpoints.server]
base_url = "http://localhost:1"
"#;

fn plugin() -> Result<&'static Loaded, Fault> {
    static LOADED: OnceLock<Result<Loaded, String>> = OnceLock::new();
    let load = || {
        let file = host::plugin(stage::ERRAND).map_err(|error| format!("{error:#}"))?;
        plugins::load(&stage::runtime(), &PluginRef::File(file)).map_err(|fault| fault.report())
    };
    LOADED.get_or_init(load).as_ref().map_err(|error| Fault::new(Code::PluginInvalid, error.clone()))
}

/// What came of commands: the answers but those that say `ok`, and how many dead letters there are of each code.
struct Seen {
    answers: Vec<String>,
    letters: BTreeMap<String, usize>,
}

/// Gives a host commands, lets an hour go by, and looks.
fn told(commands: &[&str]) -> Result<Seen> {
    let pipeline = raw::parse(Path::new("shop.toml"), PIPELINE, &|_| None).and_then(|raw| {
        assembly::assemble(&raw, &mut |_| Ok((plugin()?.manifest.clone(), plugin()?.component.digest())))
    });
    let pipeline = pipeline.map_err(|fault| anyhow!(fault.report()))?;
    let server = MemoryServer::new(|_| Reaction::answer(200, b"{}"));
    let setup = Driver::setup(&pipeline).server(&server);
    let driver = setup.begin(&mut |deployment| Ok(Box::new(plugin()?.component.deploy(deployment.into())?)));
    let mut driver = driver.map_err(|fault| anyhow!(fault.report()))?;
    driver.start("a");
    for (number, command) in commands.iter().enumerate() {
        driver.produce("commands", number.to_string(), *command)?;
    }
    driver.run_until_idle()?;
    driver.advance(Duration::from_secs(3600));
    driver.run_until_idle()?;
    let answers = driver.committed("answers").into_iter().filter_map(|record| {
        let text = record.value_text()?.into_owned();
        (text != "ok").then_some(text)
    });
    let mut letters = BTreeMap::new();
    for letter in driver.dead_letters() {
        let code = letter.header("gristmill-error-code").unwrap_or_default().into_owned();
        *letters.entry(code).or_default() += 1;
    }
    Ok(Seen { answers: answers.collect(), letters })
}

fn counts<const N: usize>(counts: [(&str, usize); N]) -> BTreeMap<String, usize> {
    counts.into_iter().map(|(code, count)| (code.to_owned(), count)).collect()
}

#[test]
fn brings_timers_that_go_wrong_to_the_dead_letters_and_fires_the_others() -> Result<()> {
    let seen = told(&[
        "after wall a 10 say_first",
        "after wall b 10 trap",
        "after wall c 10 reject",
        "after wall d 10 bad-cause",
        "after wall e 10 bad-index",
        "after wall f 10 bad-sink",
        "after wall g 10 bad-span",
        "after wall h 10 bad-call-cause",
        "after wall i 10 loop",
        "after wall j 10 after_wall_j_20_trap",
    ])?;

    assert_eq!(seen.answers, ["first"]);
    assert_eq!(seen.letters, counts([("outcome_invalid", 5), ("timeout", 1), ("told-to", 1), ("trap", 2)]));
    Ok(())
}

#[test]
fn rejects_records_whose_callouts_are_wrong_and_makes_the_others() -> Result<()> {
    let seen = told(&[
        "call 1 GET /good say_answered",
        "call-to nowhere",
        "call-header Host",
        "call-header authorization",
        "call-header Idempotency-Key",
        "call 2 DELETE /p c",
        "call 3 GET //host/p c",
        "call 4 GET /../p c",
        "call 5 GET p c",
        "call 6 GET http://host/p c",
        "bad-call-cause",
        "call 1 GET /other say_again",
    ])?;

    assert_eq!(seen.answers, ["answered"]);
    assert_eq!(seen.letters, counts([("outcome_invalid", 10)]));
    Ok(())
}

#[test]
fn brings_answers_that_go_wrong_to_the_dead_letters_and_ends_their_callouts() -> Result<()> {
    let seen = told(&[
        "call 1 GET /p trap",
        "call 2 GET /p reject",
        "call 3 GET /p bad-cause",
        "call 4 GET /p bad-index",
        "call 5 GET /p bad-span",
        "call 6 GET /p loop",
        "call 7 GET /p say_answered",
        "call 8 GET /p call_9_GET_/p_trap",
    ])?;

    assert_eq!(seen.answers, ["answered"]);
    assert_eq!(seen.letters, counts([("outcome_invalid", 3), ("timeout", 1), ("told-to", 1), ("trap", 2)]));
    Ok(())
}
