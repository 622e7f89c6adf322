//! An SQL ingest by command, on a schedule and on request, on the dev broker.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gristmill_tests::client::{Client, unique};
use gristmill_tests::cluster::{Cluster, Dev, free_ports};
use gristmill_tests::inlet::{Inlet, is_replayed};
use gristmill_tests::ledger::{self, Ledger, Published, Times};
use gristmill_tests::process::Process;
use gristmill_tests::wait::{self, Seen};
use gristmill_tests::{host, rundir};
use serde_json::{Value, json};

/// A database with ten classes, a topic, and the pipeline file that joins them.
struct Desk {
    client: Client,
    ledger: Ledger,
    topic: String,
    file: PathBuf,
}

impl Desk {
    fn new(more: &str) -> Result<Self> {
        let client = Dev::shared()?.client();
        let dir = rundir::make("ingest")?;
        let mut ledger = Ledger::create(&dir.join("logistics.db"))?;
        (0..10).try_for_each(|number| ledger.set(&format!("class-{number}"), (number, number + 2)))?;
        let topic = client.topic("classes", 2, &[("cleanup.policy", "compact")])?;
        let file = dir.join("shop.toml");
        let head = format!(
            "[app]\nid = \"{}\"\napi = \"127.0.0.1:0\"\nstate_dir = \"state\"\n[kafka]\nbrokers = \"{}\"\n",
            unique("shop"),
            client.bootstrap()
        );
        fs::write(&file, head + &ledger.section(&topic, more))?;
        Ok(Self { client, ledger, topic, file })
    }

    fn gristmill(&self, line: &str) -> Result<Output> {
        let mut command = Command::new(host::binary()?);
        command.args(line.split_whitespace()).current_dir(self.file.parent().unwrap_or(Path::new(".")));
        Ok(command.output()?)
    }

    /// The standard output of a command that succeeds.
    fn run(&self, line: &str) -> Result<String> {
        let output = self.gristmill(line)?;
        ensure!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The standard error of a command that ends with this exit code.
    fn fails(&self, line: &str, exit_code: i32) -> Result<String> {
        let output = self.gristmill(line)?;
        let errors = String::from_utf8(output.stderr)?;
        ensure!(output.status.code() == Some(exit_code), "{line}: {}: {errors}", output.status);
        Ok(errors)
    }

    fn published(&self) -> Result<Published> {
        Published::of(&self.client, &self.topic)
    }

    /// Waits until the topic says this of a class.
    fn await_class(&self, name: &str, times: Option<Times>) -> Result<()> {
        let wanted = times.map(ledger::value);
        wait::until("the class in the topic", || {
            let found = self.published()?.table.remove(name);
            Ok(if found == wanted { Seen::Yes(()) } else { Seen::NotYet(format!("{found:?}")) })
        })
    }

    fn ingest(&self) -> Result<Value> {
        let page: Value = serde_json::from_str(&self.run("ingest list shop.toml --json")?)?;
        page.pointer("/ingests/0").cloned().context("no ingest")
    }

    /// A host whose admin API can be found.
    fn start(&self) -> Result<Process> {
        let mut host = host::run(&self.file)?;
        host.await_output("the admin API listens")?;
        Ok(host)
    }
}

#[test]
fn publishes_a_table_by_command_and_nothing_when_nothing_changed() -> Result<()> {
    let mut desk = Desk::new("")?;

    let first = desk.run("ingest sql shop.toml")?;
    ensure!(first.contains("published: 10 new, 0 changed, 0 deleted, 0 as they were"), "{first}");
    let again = desk.run("ingest sql shop.toml")?;
    ensure!(again.contains("nothing changed: 0 new, 0 changed, 0 deleted, 10 as they were"), "{again}");
    desk.ledger.set("class-1", (7, 9))?;
    desk.ledger.set("new", (1, 1))?;
    desk.ledger.execute("DELETE FROM class WHERE name = 'class-2'")?;
    let json: Value = serde_json::from_str(&desk.run("ingest sql shop.toml --json")?)?;

    ensure!(
        json.pointer("/0/inserts") == Some(&1.into()) && json.pointer("/0/deletes") == Some(&1.into()),
        "{json}"
    );
    let published = desk.published()?;
    ensure!((published.records, published.idle) == (13, 0), "{published:?}");
    ensure!(published.table.get("class-1") == Some(&ledger::value((7, 9))), "{published:?}");
    Ok(())
}

#[test]
fn shows_the_difference_without_publishing_it() -> Result<()> {
    let mut desk = Desk::new("")?;
    desk.run("ingest sql shop.toml")?;
    desk.ledger.execute("DELETE FROM class WHERE name < 'class-7'")?;
    desk.ledger.set("class-8", (1, 1))?;
    desk.ledger.set("new", (2, 2))?;

    let shown = desk.run("ingest sql shop.toml --dry-run")?;

    for line in [
        "  ~ class-8\t{\"minimumTime\":1,\"maximumTime\":1}\n",
        "  + new\t{\"minimumTime\":2,\"maximumTime\":2}\n",
        "  - class-3\n",
        "1 new, 1 changed, 7 deleted, 2 as they were\n",
        "note: the run would delete 7 of 10 published keys",
    ] {
        ensure!(shown.contains(line), "`{line}` is not in\n{shown}");
    }
    ensure!(desk.published()?.records == 10, "a dry run has published something");
    Ok(())
}

#[test]
fn stops_before_an_emptied_table_deletes_everything() -> Result<()> {
    let mut desk = Desk::new("")?;
    desk.run("ingest sql shop.toml")?;
    desk.ledger.execute("DELETE FROM class")?;

    let refused = desk.fails("ingest sql shop.toml", 1)?;
    ensure!(refused.contains("code: ingest_deletes") && refused.contains("--allow-deletes"), "{refused}");
    ensure!(desk.published()?.table.len() == 10, "something was deleted");

    desk.run("ingest sql shop.toml --allow-deletes")?;
    ensure!(desk.published()?.table.is_empty(), "something is left");
    Ok(())
}

#[test]
fn says_what_does_not_fit_before_anything_is_published() -> Result<()> {
    let desk = Desk::new("value.extra = \"colour\"\n")?;
    for line in ["ingest sql shop.toml", "check shop.toml"] {
        let error = desk.fails(line, 2)?;
        ensure!(
            error.contains("there is no column `colour`") && error.contains("code: column_missing"),
            "{error}"
        );
        ensure!(error.contains("`min_days`"), "the columns that there are: {error}");
    }
    let error = desk.fails("ingest sql shop.toml --name clases", 2)?;
    ensure!(error.contains("did you mean `classes`?"), "{error}");

    let missing = Desk::new("")?;
    let text = fs::read_to_string(&missing.file)?;
    fs::write(&missing.file, text.replace(&missing.topic, "nowhere"))?;
    let error = missing.fails("ingest sql shop.toml", 2)?;
    ensure!(error.contains("topic `nowhere` does not exist (ingest classes: published rows)"), "{error}");
    missing.run("topics shop.toml --create")?;
    missing.run("ingest sql shop.toml")?;
    missing.run("check shop.toml")?;
    Ok(())
}

#[test]
fn runs_on_its_schedule_and_goes_on_after_a_kill() -> Result<()> {
    let mut desk = Desk::new("schedule.every = \"1s\"\n")?;
    let host = desk.start()?;
    desk.await_class("class-9", Some((9, 11)))?;

    desk.ledger.set("class-9", (1, 2))?;
    desk.await_class("class-9", Some((1, 2)))?;
    host.kill()?;
    desk.ledger.execute("DELETE FROM class WHERE name = 'class-9'")?;
    let mut host = desk.start()?;

    desk.await_class("class-9", None)?;
    let ingest = desk.ingest()?;
    ensure!(ingest.get("schedule") == Some(&"every 1s".into()), "{ingest}");
    ensure!(host.terminate(Duration::from_secs(30))?.success(), "{}", host.tail());
    ensure!(desk.published()?.idle == 0, "{:?}", desk.published()?);
    Ok(())
}

#[test]
fn runs_when_it_is_asked_and_says_what_came_of_it() -> Result<()> {
    let mut desk = Desk::new("")?;
    let _host = desk.start()?;
    wait::until("the ingest to wait", || {
        let ingest = desk.ingest()?;
        let waits = ingest.get("state") == Some(&"by-hand".into());
        Ok(if waits { Seen::Yes(()) } else { Seen::NotYet(ingest.to_string()) })
    })?;

    let first = desk.run("ingest now shop.toml")?;
    ensure!(first.ends_with(": 10 new, 0 changed, 0 deleted\n"), "{first}");
    desk.ledger.execute("DELETE FROM class")?;
    let refused = desk.fails("ingest now shop.toml", 1)?;
    ensure!(refused.contains("code: ingest_deletes"), "{refused}");
    let listed = desk.run("ingest list shop.toml")?;
    ensure!(listed.contains("ingest_deletes: the run would delete 10 of 10"), "{listed}");
    let allowed = desk.run("ingest now shop.toml --allow-deletes")?;

    ensure!(allowed.ends_with(": 0 new, 0 changed, 10 deleted\n"), "{allowed}");
    Ok(())
}

#[test]
fn tries_again_when_its_database_comes_back() -> Result<()> {
    let desk = Desk::new("schedule.every = \"1s\"\n")?;
    let database = desk.file.with_file_name("logistics.db");
    let aside = desk.file.with_file_name("aside.db");
    fs::rename(&database, &aside)?;
    let mut host = desk.start()?;
    host.await_output("a run of an ingest has failed")?;
    ensure!(desk.published()?.records == 0, "something was published");

    fs::rename(&aside, &database)?;

    desk.await_class("class-9", Some((9, 11)))?;
    ensure!(host.terminate(Duration::from_secs(30))?.success(), "{}", host.tail());
    Ok(())
}

#[test]
fn takes_requests_and_repeats_none_of_them_after_a_kill() -> Result<()> {
    let desk = Desk::new("")?;
    let port = free_ports(1)?.first().copied().context("no port")?;
    let section = format!(
        "[http]\nlisten = \"127.0.0.1:{port}\"\n[ingest.rest]\nkind = \"http\"\ntopic = \"{}\"\ntoken.from_file = \"token\"\n",
        desk.topic
    );
    fs::write(&desk.file, fs::read_to_string(&desk.file)? + &section)?;
    fs::write(desk.file.with_file_name("token"), "s3cret\n")?;
    // The producer may not be there yet: then the host says so, and nothing is written.
    let inlet =
        Inlet { address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), name: "rest", token: "s3cret" };
    let await_answer = |idempotency_key: &str, times: Times| {
        let value = ledger::value(times);
        wait::until("an answer that is not 503", || match inlet.put("bulky", idempotency_key, &value) {
            Ok(answer) if answer.status == 503 => Ok(Seen::NotYet(answer.body)),
            Ok(answer) => Ok(Seen::Yes(answer)),
            Err(error) => Ok(Seen::NotYet(format!("{error:#}"))),
        })
    };

    let host = desk.start()?;
    let answer = await_answer("first", (2, 5))?;
    ensure!(answer.json()? == json!({ "records": 1 }), "{answer:?}");
    ensure!(
        desk.published()?.table.get("bulky") == Some(&ledger::value((2, 5))),
        "it is answered and not there"
    );
    host.kill()?;
    let mut host = desk.start()?;
    let second = await_answer("second", (3, 6))?;
    let repeated = await_answer("first", (2, 5))?;

    ensure!(repeated.status == 200 && is_replayed(&repeated), "{repeated:?}");
    ensure!(second.status == 200 && !is_replayed(&second), "{second:?}");
    let published = desk.published()?;
    ensure!(
        published.table.get("bulky") == Some(&ledger::value((3, 6))),
        "the repetition was written: {published:?}"
    );
    let listed = desk.run("ingest list shop.toml")?;
    ensure!(listed.contains("serving") && listed.contains(&format!("127.0.0.1:{port}")), "{listed}");
    ensure!(host.terminate(Duration::from_secs(30))?.success(), "{}", host.tail());
    ensure!(!host.output()?.contains("s3cret"), "the token is in the log");
    Ok(())
}
