//! Ingests: a table of many rows, and requests of HTTP, each against a plain producer of the same records on the same broker.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use rdkafka::producer::BaseRecord;

use super::connection::Connection;
use super::{load, meter};
use crate::client::{Client, unique};
use crate::cluster::{Apache, Cluster};
use crate::host;
use crate::ledger::{self, Ledger};
use crate::process::Process;
use crate::rundir;

const PARTITIONS: i32 = 4;

/// Connections that send requests, each one after the answer to the one before.
const CONNECTIONS: [u64; 4] = [1, 16, 64, 256];

/// Records that the plain producer sends one at a time.
const TIMED: u64 = 500;

const TOKEN: &str = "bench-token";

/// Publishes a table of so many rows, again without a change, and again with one row in a hundred changed.
///
/// # Errors
/// When a run fails.
pub fn table(rows: u64, pairs: usize) -> Result<()> {
    let kafka = Apache::shared()?;
    let client = kafka.client();
    println!("a table of {rows} rows in SQLite; {pairs} times");
    for _ in 0..pairs {
        let desk = Desk::new(&client)?;
        let mut ledger = Ledger::create(&desk.dir.join("logistics.db"))?;
        ledger.execute(&format!(
            "INSERT INTO class WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) \
             SELECT 'class-' || i, i % 20, i % 20 + 5 FROM n"
        ))?;
        let file = desk.write(&ledger.section(&desk.topic, ""))?;
        let plain = plain(&client, rows)?;
        let (first, first_mib) = run(&file, "first")?;
        let (second, second_mib) = run(&file, "second")?;
        ledger.execute("UPDATE class SET max_days = max_days + 1 WHERE rowid % 100 = 0")?;
        let (third, third_mib) = run(&file, "third")?;
        let ratio = plain.as_secs_f64() / first.as_secs_f64();
        println!("  plain producer {plain:.1?}; all new {first:.1?} ({ratio:.2}), {first_mib:.0} MiB");
        println!(
            "  nothing changed {second:.1?}, {second_mib:.0} MiB; one in 100 changed {third:.1?}, {third_mib:.0} MiB"
        );
    }
    Ok(())
}

/// A run of an ingest: how long it took, and the most memory that it had.
fn run(file: &Path, log: &str) -> Result<(Duration, f64)> {
    let mut command = Command::new(host::binary()?);
    command.args(["ingest", "sql"]).arg(file);
    let started = Instant::now();
    let mut process = Process::start("a run", &mut command, file.with_file_name(format!("{log}.log")))?;
    let mut most = 0_f64;
    loop {
        if let Some(status) = process.ended()? {
            ensure!(status.success(), "{}", process.tail());
            return Ok((started.elapsed(), most));
        }
        // A process that has just ended has no memory any more.
        most = most.max(meter::resident(process.pid()).unwrap_or(0.0));
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A plain, idempotent producer of the same records: how long it takes.
fn plain(client: &Client, records: u64) -> Result<Duration> {
    let topic = client.topic("plain", PARTITIONS, &[("cleanup.policy", "compact")])?;
    let producer = client.producer(&load::FILLING)?;
    let started = Instant::now();
    for n in 0..records {
        let (key, value) = record(n);
        producer.send(BaseRecord::<str, str>::to(&topic).key(&key).payload(&value))?;
    }
    producer.drain()?;
    Ok(started.elapsed())
}

fn record(n: u64) -> (String, String) {
    let days = i64::try_from(n % 20).unwrap_or(0);
    (format!("class-{n}"), ledger::value((days, days + 5)))
}

/// Sends requests over several numbers of connections.
///
/// # Errors
/// When the host does not answer with success.
pub fn http(requests: u64, pairs: usize) -> Result<()> {
    let kafka = Apache::shared()?;
    let client = kafka.client();
    let desk = Desk::new(&client)?;
    let port = desk.port()?;
    let file = desk.write(&format!(
        "[http]\nlisten = \"127.0.0.1:{port}\"\n[ingest.classes]\nkind = \"http\"\ntopic = \"{}\"\ntoken.from_file = \"token\"\n",
        desk.topic
    ))?;
    fs::write(desk.dir.join("token"), TOKEN)?;
    let mut host = host::run(&file)?;
    host.await_output("ingests of HTTP listen")?;
    // The first requests wait for the producer.
    put_many(port, 0, 50, None)?;
    println!("{requests} requests of one record, {pairs} times");
    let mut one_at_a_time = one_by_one(&client)?;
    println!("  plain producer, one record at a time: {}", percentiles(&mut one_at_a_time));
    for connections in CONNECTIONS {
        let count = if connections == 1 { requests.min(2_000) } else { requests };
        for pair in 0..pairs {
            let plain = count as f64 / plain(&client, count)?.as_secs_f64();
            let keys = format!("{connections}-{pair}");
            for (how, keys) in [("", None), ("with idempotency keys", Some(keys.as_str()))] {
                let (rate, mut took) = storm(port, connections, count, keys)?;
                println!(
                    "  {connections:>3} connections: {rate:>6.0} requests/s ({:.3} of {plain:.0} records/s of a plain producer), {} {how}",
                    rate / plain,
                    percentiles(&mut took)
                );
            }
        }
    }
    host.kill()
}

/// All connections at the same time: requests a second, and how long each took. With a text that their idempotency keys begin with.
fn storm(port: u16, connections: u64, requests: u64, keys: Option<&str>) -> Result<(f64, Vec<Duration>)> {
    let started = Instant::now();
    let took = std::thread::scope(|scope| {
        let each = requests / connections;
        let senders: Vec<_> = (0..connections)
            .map(|sender| scope.spawn(move || put_many(port, sender * each, each, keys)))
            .collect();
        let mut took = Vec::new();
        for sender in senders {
            took.extend(sender.join().map_err(|_| anyhow!("a sender panicked"))??);
        }
        Ok::<_, anyhow::Error>(took)
    })?;
    Ok((took.len() as f64 / started.elapsed().as_secs_f64(), took))
}

fn put_many(port: u16, first: u64, count: u64, keys: Option<&str>) -> Result<Vec<Duration>> {
    let mut connection = Connection::open(("127.0.0.1", port))?;
    let mut took = Vec::new();
    for n in first..first + count {
        let (key, value) = record(n);
        let started = Instant::now();
        let idempotency = keys.map_or(String::new(), |keys| format!("Idempotency-Key: {keys}-{n}\r\n"));
        let request = format!(
            "PUT /ingest/classes/{key} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n{idempotency}\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{value}",
            value.len()
        );
        connection.ask(&request)?;
        took.push(started.elapsed());
    }
    Ok(took)
}

/// A plain producer that waits for each acknowledgement.
fn one_by_one(client: &Client) -> Result<Vec<Duration>> {
    let topic = client.topic("plain", PARTITIONS, &[])?;
    let producer = client.producer(&[("enable.idempotence", "true"), ("linger.ms", "0")])?;
    let one = |n| {
        let (key, value) = record(n);
        let started = Instant::now();
        producer.send(BaseRecord::<str, str>::to(&topic).key(&key).payload(&value))?;
        producer.drain()?;
        Ok(started.elapsed())
    };
    (0..TIMED).map(one).collect()
}

fn percentiles(took: &mut [Duration]) -> String {
    took.sort();
    let at = |part: usize| took.get(took.len() * part / 100).copied().unwrap_or_default();
    format!("p50 {:.1?}, p99 {:.1?}", at(50), at(99))
}

/// A topic and a directory for a pipeline file.
struct Desk {
    dir: PathBuf,
    topic: String,
    head: String,
}

impl Desk {
    fn new(client: &Client) -> Result<Self> {
        let topic = client.topic("classes", PARTITIONS, &[("cleanup.policy", "compact")])?;
        let (app, brokers) = (unique("bench"), client.bootstrap());
        let head = format!("[app]\nid = \"{app}\"\napi = \"off\"\n[kafka]\nbrokers = \"{brokers}\"\n");
        Ok(Self { dir: rundir::make("bench-ingest")?, topic, head })
    }

    fn write(&self, sections: &str) -> Result<PathBuf> {
        let path = self.dir.join("shop.toml");
        fs::write(&path, format!("{}{sections}", self.head)).context("cannot write the pipeline file")?;
        Ok(path)
    }

    fn port(&self) -> Result<u16> {
        crate::cluster::free_ports(1)?.first().copied().context("there is no free port")
    }
}
