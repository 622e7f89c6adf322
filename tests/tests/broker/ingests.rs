//! An SQL table and its topic, compared by the checker after every run, with processes that are killed in between.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use gristmill_tests::client::{Client, unique};
use gristmill_tests::cluster::{Apache, Cluster};
use gristmill_tests::ledger::{self, Ledger, Published};
use gristmill_tests::process::{self, Process};
use gristmill_tests::{host, rundir, turn, workload};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const ROUNDS: usize = 12;
const CLASSES: u32 = 200;

/// A database, a topic, and the pipeline file that joins them.
struct Desk {
    client: Client,
    ledger: Ledger,
    topic: String,
    file: PathBuf,
    random: ChaCha8Rng,
}

impl Desk {
    fn new() -> Result<Self> {
        let client = Apache::shared()?.client();
        let dir = rundir::make("ingest")?;
        let ledger = Ledger::create(&dir.join("logistics.db"))?;
        let topic = client.topic("classes", 3, &[("cleanup.policy", "compact")])?;
        let file = dir.join("shop.toml");
        let head = format!(
            "[app]\nid = \"{}\"\napi = \"127.0.0.1:0\"\n[kafka]\nbrokers = \"{}\"\n",
            unique("shop"),
            client.bootstrap()
        );
        fs::write(&file, head + &ledger.section(&topic, "deletes_max = 1\n"))?;
        Ok(Self { client, ledger, topic, file, random: ChaCha8Rng::seed_from_u64(workload::seed()) })
    }

    /// Changes some rows, as Logistics does.
    fn change(&mut self) -> Result<()> {
        for _ in 0..self.random.random_range(1..60) {
            let name = format!("class-{}", self.random.random_range(0..CLASSES));
            match self.random.random_bool(0.2) {
                true => self.ledger.execute(&format!("DELETE FROM class WHERE name = '{name}'"))?,
                false => {
                    let min = self.random.random_range(1..20);
                    self.ledger.set(&name, (min, min + self.random.random_range(0..20)))?;
                }
            }
        }
        Ok(())
    }

    fn command(&self) -> Result<Command> {
        let mut command = Command::new(host::binary()?);
        command.args(["ingest", "sql"]).arg(&self.file);
        Ok(command)
    }

    /// Starts a run that ends by itself, or is killed.
    fn start(&self, log: &str) -> Result<Process> {
        let dir = self.file.parent().unwrap_or(Path::new("."));
        Process::start("a run", &mut self.command()?, dir.join(log))
    }

    /// A run to its end. Tells how long it took.
    fn run(&self) -> Result<Duration> {
        let started = Instant::now();
        let output = self.command()?.output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(started.elapsed())
    }

    /// The topic says what the table says, and no record of it was idle.
    fn check(&mut self) -> Result<Published> {
        let rows = self.ledger.classes()?;
        let table: BTreeMap<_, _> =
            rows.into_iter().map(|(name, times)| (name, ledger::value(times))).collect();
        let published = Published::of(&self.client, &self.topic)?;
        ensure!(published.table == table, "the topic says\n{:?}\nthe table\n{table:?}", published.table);
        ensure!(published.idle == 0, "{} of {} records changed nothing", published.idle, published.records);
        Ok(published)
    }
}

/// Killed at random instants, from before the claim to after the commit, and two at a time.
#[test]
fn keeps_a_topic_equal_to_its_table_when_runs_are_killed_and_overlap() -> Result<()> {
    let _turn = turn::take();
    let mut desk = Desk::new()?;
    let (mut killed, mut done, mut superseded) = (0, 0, 0);
    let mut took = desk.run()?;

    for round in 0..ROUNDS {
        desk.change()?;
        let mut first = desk.start(&format!("first-{round}.log"))?;
        std::thread::sleep(took.mul_f64(desk.random.random_range(0.0..1.0)));
        if round % 3 == 2 {
            desk.change()?;
            desk.run()?;
            let ended = first.wait(Duration::from_secs(60))?;
            match ended.success() {
                true => done += 1,
                false => {
                    ensure!(first.output()?.contains("code: ingest_superseded"), "{}", first.tail());
                    superseded += 1;
                }
            }
        } else {
            // It may come to its end at this very moment.
            process::signal(first.pid(), libc::SIGKILL)?;
            let ended = first.wait(Duration::from_secs(60))?;
            match ended.signal() {
                Some(libc::SIGKILL) => killed += 1,
                _ => {
                    ensure!(ended.success(), "{ended}: {}", first.tail());
                    done += 1;
                }
            }
        }
        took = desk.run()?;
        desk.check()?;
    }

    let before = desk.check()?;
    desk.run()?;
    ensure!(desk.check()? == before, "a run without a change published something");
    ensure!(killed >= ROUNDS / 3, "only {killed} runs were killed, {done} done, {superseded} superseded");
    Ok(())
}
