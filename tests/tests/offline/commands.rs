//! The commands of an operator who begins: a plugin, a pipeline file, topics, records in, records out.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use gristmill_tests::cluster::{Cluster, Dev};
use gristmill_tests::{host, rundir};

/// A directory with a plugin in it, in which commands run.
struct Desk {
    dir: PathBuf,
}

impl Desk {
    fn new(name: &str) -> Result<Self> {
        let dir = rundir::make(name)?;
        fs::copy(host::plugin("plugins/delivery-time")?, dir.join("delivery-time.wasm"))?;
        Ok(Self { dir })
    }

    /// Runs a command line with this text as its input.
    fn run_with(&self, line: &str, input: &str) -> Result<Output> {
        let mut command = Command::new(host::binary()?);
        command.args(line.split_whitespace()).current_dir(&self.dir).env_remove("GRISTMILL_LOG");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start gristmill")?;
        child.stdin.take().context("no input")?.write_all(input.as_bytes())?;
        Ok(child.wait_with_output()?)
    }

    /// The standard output of a command that succeeds.
    fn run(&self, line: &str) -> Result<String> {
        let output = self.run_with(line, "")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`gristmill {line}` ended with {}:\n{errors}", output.status);
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The standard error of a command that ends with this exit code.
    fn fails(&self, line: &str, exit_code: i32) -> Result<String> {
        let output = self.run_with(line, "")?;
        let errors = String::from_utf8(output.stderr)?;
        ensure!(
            output.status.code() == Some(exit_code),
            "`gristmill {line}` ended with {}:\n{errors}",
            output.status
        );
        Ok(errors)
    }

    /// Changes a file.
    fn edit(&self, file: &str, from: &str, to: &str) -> Result<()> {
        let path = self.dir.join(file);
        let text = fs::read_to_string(&path)?;
        ensure!(text.contains(from), "`{file}` has no `{from}`:\n{text}");
        Ok(fs::write(path, text.replace(from, to))?)
    }
}

/// A desk with a pipeline file for this cluster.
fn desk(name: &str, dev: &Dev) -> Result<Desk> {
    let desk = Desk::new(name)?;
    desk.run("init --plugin delivery-time.wasm --app shop shop.toml")?;
    desk.edit("shop.toml", "localhost:9092", &dev.bootstrap())?;
    Ok(desk)
}

#[test]
fn shows_what_a_plugin_is_and_needs() -> Result<()> {
    let desk = Desk::new("inspect")?;

    let text = desk.run("plugin inspect delivery-time.wasm")?;
    let json: serde_json::Value =
        serde_json::from_str(&desk.run("plugin inspect delivery-time.wasm --json")?)?;

    ensure!(text.starts_with("delivery-time 0.1.0\n"), "{text}");
    ensure!(text.contains("gristmill:transform/processor@0.1.0"), "{text}");
    ensure!(json["sources"][1]["kind"] == "broadcast", "{json:#}");
    ensure!(json["settings"][0]["default"] == "/deliveryClass", "{json:#}");
    Ok(())
}

#[test]
fn writes_a_pipeline_file_that_passes_its_check_and_is_not_overwritten() -> Result<()> {
    let desk = Desk::new("init")?;

    desk.run("init --plugin delivery-time.wasm shop.toml")?;
    let checked = desk.run("check shop.toml --offline")?;
    let again = desk.fails("init --plugin delivery-time.wasm shop.toml", 2)?;

    ensure!(checked.contains("everything fits, as far as can be told without a broker"), "{checked}");
    ensure!(again.ends_with("code: command_unfit\n"), "{again}");
    Ok(())
}

#[test]
fn shows_the_defaults_as_a_file_that_means_the_same() -> Result<()> {
    let desk = Desk::new("defaults")?;
    desk.run("init --plugin delivery-time.wasm shop.toml")?;

    let shown = desk.run("check shop.toml --offline --show-defaults")?;
    fs::write(desk.dir.join("shown.toml"), &shown)?;

    ensure!(desk.run("check shown.toml --offline --show-defaults")? == shown, "{shown}");
    Ok(())
}

#[test]
fn finds_missing_topics_and_makes_them() -> Result<()> {
    let dev = Dev::start()?;
    let desk = desk("topics", &dev)?;

    let missing = desk.fails("check shop.toml", 2)?;
    desk.run("topics shop.toml --create --partitions 3")?;
    let listed: serde_json::Value = serde_json::from_str(&desk.run("topics shop.toml --json")?)?;
    let checked = desk.run("check shop.toml")?;

    ensure!(
        missing
            .starts_with("error: topics `items`, `classes`, `enriched`, `shop.delivery-time.dead-letters`"),
        "{missing}"
    );
    ensure!(missing.ends_with("code: topic_missing\n"), "{missing}");
    ensure!(listed[0]["partitions"] == 3 && listed[0]["cleanup_policy"] == "compact", "{listed:#}");
    ensure!(checked.ends_with("everything fits\n"), "{checked}");
    Ok(())
}

#[test]
fn refuses_settings_and_options_that_make_no_sense() -> Result<()> {
    let desk = Desk::new("refusals")?;
    desk.run("init --plugin delivery-time.wasm shop.toml")?;

    for (from, to, code) in [
        ("# class_pointer = \"/deliveryClass\"", "class_pointr = \"/c\"", "code: plugin_config_invalid"),
        (
            "# class_pointer = \"/deliveryClass\"",
            "class_pointer = \"no pointer\"",
            "code: plugin_init_failed",
        ),
        ("# memory = \"64MiB\"", "memory = \"1MiB\"", "code: grant_too_small"),
        ("sources.classes =", "# sources.classes =", "code: source_unbound"),
        ("sinks.enriched =", "# sinks.enriched =", "code: sink_unbound"),
        (
            "# client.\"security.protocol\" = \"ssl\"",
            "client.\"security.protocl\" = \"ssl\"",
            "code: client_key_unknown",
        ),
        ("# client.\"security.protocol\" = \"ssl\"", "client.\"acks\" = \"1\"", "code: client_key_owned"),
    ] {
        desk.edit("shop.toml", from, to)?;
        let errors = desk.fails("check shop.toml --offline", 2)?;
        ensure!(errors.trim_end().ends_with(code), "{to}:\n{errors}");
        desk.edit("shop.toml", to, from)?;
    }
    Ok(())
}

#[test]
fn refuses_orders_that_make_no_sense() -> Result<()> {
    let dev = Dev::start()?;
    let desk = desk("orders", &dev)?;

    for (command, message) in [
        ("reemit shop.toml --all --source itms", "`itms` is no source of `delivery-time` that is a table"),
        ("reemit shop.toml --all --transform nobody", "the pipeline file has no transform `nobody`"),
        ("reemit shop.toml --index by-clas=bulky", "`items` has no index `by-clas`"),
        ("reemit shop.toml --index bulky", "`bulky` is no index with a term"),
        (
            "jobs cancel shop.toml follow-class bulky",
            "the inbox of transform `delivery-time`, does not exist",
        ),
    ] {
        let errors = desk.fails(command, 2)?;
        ensure!(errors.contains(message), "{command}:\n{errors}");
    }
    ensure!(desk.fails("reemit shop.toml", 2)?.contains("--key"), "no rows were named");
    desk.run("topics shop.toml --create --partitions 3")?;
    let said = desk.run("reemit shop.toml --all")?;
    ensure!(
        said.starts_with("asked the 3 tasks of `delivery-time` to hand rows of `items` out again"),
        "{said}"
    );
    Ok(())
}

#[test]
fn puts_records_into_a_topic_and_shows_them() -> Result<()> {
    let dev = Dev::start()?;
    let desk = desk("records", &dev)?;
    let brokers = dev.bootstrap();
    desk.run("topics shop.toml --create --partitions 1")?;

    let produced = desk.run_with("produce items --file shop.toml", "a\t1\nb\t2\n")?;
    ensure!(produced.status.success(), "{}", String::from_utf8_lossy(&produced.stderr));
    let tombstone = r#"{"key":"a","headers":{"why":"gone"}}"#;
    let produced = desk.run_with(&format!("produce items --brokers {brokers} --json"), tombstone)?;
    ensure!(produced.status.success(), "{}", String::from_utf8_lossy(&produced.stderr));

    let text = desk.run(&format!("tail items --all --headers --brokers {brokers}"))?;
    let first = desk.run("tail items --all --file shop.toml -n 1")?;

    ensure!(text == "0@0\ta\t1\n0@1\tb\t2\n0@2\ta\t(tombstone)\n\twhy: gone\n", "{text}");
    ensure!(first == "0@0\ta\t1\n", "{first}");
    Ok(())
}
