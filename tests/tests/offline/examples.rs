//! The folders below `examples`: the commands of each README are run as they are written, and must print what is written there.
//!
//! `BLESS=1` writes what they print into the READMEs. Offsets differ from run to run and are not compared.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy allows these in tests, but does not see that the helpers of a test are a part of it"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use gristmill_tests::cluster::free_ports;
use gristmill_tests::database::{Database, PASSWORD, Server};
use gristmill_tests::process::Process;
use gristmill_tests::{host, rundir, wait};

/// The ports that the examples name, in the order in which they get others here.
const PORTS: [&str; 3] = ["9092", "9180", "8098"];

/// Stands before what the shell says of itself.
const MARK: &str = "@@@";

/// A command of a README.
struct Step {
    command: String,
    /// What it prints, as it is written.
    output: Vec<String>,
    /// The line behind it.
    line: usize,
}

/// What differs between the text of an example and this run of it.
struct Differences(Vec<(String, String)>);

impl Differences {
    fn new() -> Result<Self> {
        let ports = free_ports(PORTS.len())?;
        Ok(Self(PORTS.iter().zip(ports).map(|(port, free)| ((*port).to_owned(), free.to_string())).collect()))
    }

    fn apply(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (written, here)| text.replace(written, here))
    }

    fn undo(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (written, here)| text.replace(here, written))
    }
}

/// The commands in the blocks that begin with three backticks and `console`.
fn steps(readme: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut is_console = false;
    for (line, text) in readme.lines().enumerate() {
        if text.starts_with("```") {
            is_console = text == "```console";
        } else if let Some(command) = text.strip_prefix("$ ").filter(|_| is_console) {
            steps.push(Step { command: command.to_owned(), output: Vec::new(), line: line + 1 });
        } else if is_console && let Some(step) = steps.last_mut() {
            step.output.push(text.to_owned());
        }
    }
    steps
}

/// The commands for one shell. What it leaves running ends with it, the last first: hosts before their broker. Should it be
/// killed, they end by themselves.
fn script(steps: &[Step], differences: &Differences) -> String {
    let mut script =
        "trap 'for job in $(jobs -p | tac); do kill $job 2>/dev/null; wait $job; done' EXIT\n".to_owned();
    for step in steps {
        let command = differences.apply(&step.command);
        let command = match command.strip_suffix('&') {
            Some(background) => format!("timeout 180 {background} >>background.log 2>&1 &"),
            None => command,
        };
        writeln!(script, "{command}\necho \"{MARK} $?\"").unwrap();
    }
    script
}

/// Runs an example in a copy of its folder and compares.
fn assert_example(name: &str, mut differences: Differences) -> Result<()> {
    let source = rundir::repository().join("examples").join(name);
    let dir = rundir::make(&format!("example-{name}"))?;
    // An example that is compiled names the SDK by its place beside it.
    differences.0.push(("../../".to_owned(), format!("{}/", rundir::repository().display())));
    copy(&source, &dir, &differences)?;
    let readme = fs::read_to_string(source.join("README.md"))?;
    let steps = steps(&readme);
    ensure!(!steps.is_empty(), "the README of `{name}` has no commands");
    fs::write(dir.join("script.sh"), script(&steps, &differences))?;
    let mut shell = Command::new("bash");
    shell.arg("script.sh").current_dir(&dir).env("PATH", path()?).env_remove("GRISTMILL_LOG");

    let mut shell = Process::start(&format!("the example {name}"), &mut shell, dir.join("log"))?;
    shell.wait(wait::PATIENCE * 2)?;

    let output = differences.undo(&shell.output()?);
    let mut printed = Vec::new();
    let mut lines = Vec::new();
    for line in output.lines() {
        match line.strip_prefix(MARK) {
            Some(code) => {
                ensure!(code == " 0", "`{}` ended with{code}:\n{output}", steps[printed.len()].command);
                printed.push(std::mem::take(&mut lines));
            }
            None => lines.push(line.to_owned()),
        }
    }
    ensure!(printed.len() == steps.len(), "only {} commands ended:\n{output}", printed.len());
    if std::env::var_os("BLESS").is_some() {
        return Ok(fs::write(source.join("README.md"), blessed(&readme, &steps, &printed))?);
    }
    for (step, printed) in steps.iter().zip(&printed) {
        let (wanted, got) = (comparable(&step.output), comparable(printed));
        ensure!(wanted == got, "`{}` in `{name}` printed\n{got}\ninstead of\n{wanted}", step.command);
    }
    Ok(())
}

/// The README with what was printed, where it was the same but for offsets too.
fn blessed(readme: &str, steps: &[Step], printed: &[Vec<String>]) -> String {
    let mut lines: Vec<_> = readme.lines().map(str::to_owned).collect();
    for (step, printed) in steps.iter().zip(printed).rev() {
        if comparable(&step.output) != comparable(printed) {
            lines.splice(step.line..step.line + step.output.len(), printed.iter().cloned());
        }
    }
    lines.join("\n") + "\n"
}

/// Without offsets, because what stands behind an `@` depends on how records fell into transactions, and without how long
/// something took.
fn comparable(lines: &[String]) -> String {
    let mut text = String::new();
    for line in lines {
        let line = line
            .rsplit_once(" (")
            .filter(|(_, time)| time.ends_with(" s)"))
            .map_or(&**line, |(line, _)| line);
        let mut parts = line.split('@');
        text.push_str(parts.next().unwrap_or_default());
        for part in parts {
            text.push('@');
            text.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit()));
        }
        text.push('\n');
    }
    text
}

fn copy(from: &Path, to: &Path, differences: &Differences) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("no folder `{}`", from.display()))? {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        if path.is_dir() && name != "target" && name != "gristmill-state" {
            fs::create_dir_all(to.join(&name))?;
            copy(&path, &to.join(&name), differences)?;
        } else if let Ok(text) = fs::read_to_string(&path) {
            // Checksums may have the digits of a port in them.
            let is_lock = name == "Cargo.lock";
            fs::write(to.join(&name), if is_lock { text } else { differences.apply(&text) })?;
        }
    }
    Ok(())
}

/// With the programs of this build in front.
fn path() -> Result<std::ffi::OsString> {
    let folder = |program: &Path| program.parent().map(Path::to_owned).context("no folder");
    let own = [folder(host::binary()?)?, folder(&host::builder()?)?];
    let others = std::env::var_os("PATH").unwrap_or_default();
    Ok(std::env::join_paths(own.into_iter().chain(std::env::split_paths(&others)))?)
}

#[test]
fn delivery_times_runs_as_written() -> Result<()> {
    assert_example("delivery-times", Differences::new()?)
}

#[test]
fn update_commands_runs_as_written() -> Result<()> {
    assert_example("update-commands", Differences::new()?)
}

#[test]
fn activation_runs_as_written() -> Result<()> {
    assert_example("activation", Differences::new()?)
}

#[test]
fn postgresql_ingest_runs_as_written() -> Result<()> {
    let database = Database::shared(Server::Postgres)?;
    let mut differences = Differences::new()?;
    let (_, address) =
        database.url().split_once('@').map(|(a, b)| (a.to_owned(), b.to_owned())).context("no address")?;
    differences.0.push(("localhost:5432/logistics".to_owned(), address));
    differences.0.push(("change-me".to_owned(), PASSWORD.to_owned()));

    assert_example("postgresql-ingest", differences)
}

#[test]
fn own_transform_runs_as_written() -> Result<()> {
    assert_example("own-transform", Differences::new()?)
}

#[test]
fn every_example_is_listed_and_run() -> Result<()> {
    let folder = rundir::repository().join("examples");
    let list = fs::read_to_string(folder.join("README.md"))?;
    let tests = include_str!("examples.rs");
    for entry in fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())) {
        let path = entry?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            ensure!(list.contains(&format!("({name}/README.md)")), "`{name}` is not in the list");
            ensure!(tests.contains(&format!("assert_example(\"{name}\"")), "`{name}` is not run");
        }
    }
    Ok(())
}
