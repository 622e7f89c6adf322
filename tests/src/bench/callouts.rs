//! Callouts: how many requests the host makes in a second, how long one takes to leave, and what waiting activations cost.
//!
//! The server is the tests' own, in a process of its own, which writes three lines for each request before it answers: that is
//! the same for the host and for the plain client, which are two of the three processes that share the machine with it. The
//! plain client is a thread for each connection with nothing but a socket.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rdkafka::producer::BaseRecord;

use super::connection::Connection;
use super::subject::LIMIT;
use super::{load, meter};
use crate::client::{Client, Isolation, unique};
use crate::cluster::{Apache, Cluster};
use crate::host;
use crate::rest_server::{Behaviour, RestServer};
use crate::rundir;
use crate::wait::{self, Seen};

const PARTITIONS: i32 = 4;

/// Connections of the plain client: the server takes no more requests with more of them.
const CLIENTS: u64 = 64;

/// Requests of the host under way at the same time. All that leave in a transaction wait for the next one to be settled.
const CONCURRENCY: u64 = 1_024;

/// How long activations wait, where they expire: long enough for all of them to come.
const WAIT: Duration = Duration::from_secs(120);

/// How many lines the server writes for a request.
const LINES: u64 = 3;

/// Activations whose way to the server is timed, one after the other.
const TIMED: u64 = 200;

/// Measures all of it and prints what was found.
///
/// # Errors
/// When the host ends, or the broker or the server fails.
pub fn callouts(requests: u64, pairs: usize) -> Result<()> {
    let kafka = Apache::shared()?;
    let client = kafka.client();
    println!(
        "{requests} requests, {CLIENTS} plain connections, {CONCURRENCY} calls at a time, {pairs} pairs"
    );
    let mut ratios = Vec::new();
    for pair in 0..=pairs {
        let plain = plain(requests)?;
        let hosted = hosted(&client, requests)?;
        let ratio = hosted / plain;
        println!("  plain client {plain:>7.0} requests/s, host {hosted:>7.0} requests/s: {ratio:.2}");
        if pair > 0 {
            ratios.push(ratio);
        }
    }
    ratios.sort_by(f64::total_cmp);
    if let (Some(least), Some(median), Some(most)) =
        (ratios.first(), ratios.get(ratios.len() / 2), ratios.last())
    {
        println!("host against a plain client, intents committed: {median:.2} ({least:.2} to {most:.2})");
    }
    let mut took = latencies(&client)?;
    took.sort();
    let at = |part: usize| took.get(took.len() * part / 100).copied().unwrap_or_default();
    println!("from an activation to the server, two transforms: p50 {:?}, p99 {:?}", at(50), at(99));
    Ok(())
}

/// Measures what so many activations cost that wait for their information.
///
/// # Errors
/// As [`callouts`].
pub fn waiting(activations: u64) -> Result<()> {
    let kafka = Apache::shared()?;
    let client = kafka.client();
    let app = unique("bench");
    let [activation, information] = ["activation", "information"].map(|name| format!("{app}-{name}"));
    client.create_topic(&activation, PARTITIONS, &[])?;
    client.create_topic(&information, PARTITIONS, &[("cleanup.policy", "compact")])?;
    let pipeline = Chain { app: &app, client: &client, base_url: "http://127.0.0.1:9", is_eager: false };
    let activated = pipeline.activation()? + &format!("config.wait = \"{}s\"\n", WAIT.as_secs());
    let path = pipeline.write(&[activated])?;
    host::command(&["topics", "--create"], &path)?;
    let process = host::run(&path)?;
    let resident = |what: &str| -> Result<()> {
        println!("  {what}: {:.0} MiB", meter::resident(process.pid())?);
        Ok(())
    };
    println!("memory of a host, while activations wait for their information for {WAIT:?}");
    wait_for_group(&client, &app, "activation")?;
    resident("none")?;
    let producer = client.producer(&load::FILLING)?;
    for tenth in 1..=2 {
        let half = activations / 2;
        for n in half * (tenth - 1)..half * tenth {
            let (key, value) = load::activation(n);
            producer.send(BaseRecord::<str, str>::to(&activation).key(&key).payload(&value))?;
        }
        producer.drain()?;
        let group = format!("{app}.activation");
        wait::until_within(LIMIT, "all activations to be taken", || {
            let done: i64 = client.committed(&group, &activation)?.values().sum();
            Ok(if u64::try_from(done)? >= half * tenth {
                Seen::Yes(())
            } else {
                Seen::NotYet(format!("{done}"))
            })
        })?;
        resident(&format!("{}", half * tenth))?;
    }
    let expired = format!("{app}-expired");
    let (ends, partitions) = (client.ends()?, client.partitions(&expired)?);
    let count = || -> Result<i64> {
        (0..partitions).map(|partition| ends.end(&expired, partition, Isolation::Committed)).sum()
    };
    let mut first = None;
    let (last, all) = wait::until_within(LIMIT, "all activations to expire", || {
        let (count, now) = (count()?, Instant::now());
        if first.is_none() && count > 0 {
            first = Some((now, count));
        }
        // Markers of transactions count, too.
        Ok(if u64::try_from(count)? >= activations {
            Seen::Yes((now, count))
        } else {
            Seen::NotYet(format!("{count}"))
        })
    })?;
    let (first, before) = first.context("nothing was seen to expire")?;
    let rate = (all - before) as f64 / (last - first).as_secs_f64();
    println!("  they expire, {rate:.0} a second");
    resident("in the end")?;
    process.kill()
}

/// A plain client: requests a second.
fn plain(requests: u64) -> Result<f64> {
    let server = RestServer::start(&rundir::make("bench-plain")?, &Behaviour::default())?;
    let address = server.base_url().trim_start_matches("http://").to_owned();
    let started = Instant::now();
    std::thread::scope(|scope| {
        let clients: Vec<_> =
            (0..CLIENTS).map(|_| scope.spawn(|| get_many(&address, requests / CLIENTS))).collect();
        clients
            .into_iter()
            .try_for_each(|client| client.join().map_err(|_| anyhow::anyhow!("a client panicked"))?)
    })?;
    let made = requests / CLIENTS * CLIENTS;
    Ok(made as f64 / started.elapsed().as_secs_f64())
}

fn get_many(address: &str, count: u64) -> Result<()> {
    let mut connection = Connection::open(address)?;
    for n in 0..count {
        connection.ask(&format!("GET /products/X-{n} HTTP/1.1\r\nHost: {address}\r\n\r\n"))?;
    }
    Ok(())
}

/// The host with rest-lookup, whose notifications wait in the topic: requests a second, from a tenth of them on.
fn hosted(client: &Client, requests: u64) -> Result<f64> {
    let dir = rundir::make("bench-callouts")?;
    let server = RestServer::start(&dir, &Behaviour::default())?;
    let app = unique("bench");
    let notifications = format!("{app}-notifications");
    client.create_topic(&notifications, PARTITIONS, &[])?;
    let producer = client.producer(&load::FILLING)?;
    for n in 0..requests {
        let (key, value) = (format!("product-{n}"), format!("{{\"n\":{n},\"externalId\":\"X-{n}\"}}"));
        producer.send(BaseRecord::<str, str>::to(&notifications).key(&key).payload(&value))?;
    }
    producer.drain()?;
    let chain = Chain { app: &app, client, base_url: &server.base_url(), is_eager: true };
    let path = chain.write(&[chain.lookup()?])?;
    host::command(&["topics", "--create"], &path)?;
    let mut process = host::run(&path)?;
    let log = dir.join("requests.jsonl");
    let mut first = None;
    let (last, count) = wait::until_within(LIMIT, "all requests to be made", || {
        ensure!(process.ended()?.is_none(), "the host ended; its log:\n{}", process.tail());
        let (count, now) = (lines(&log)? / LINES, Instant::now());
        if first.is_none() && count >= requests / 10 {
            first = Some((now, count));
        }
        Ok(if count >= requests { Seen::Yes((now, count)) } else { Seen::NotYet(format!("{count}")) })
    })?;
    process.kill()?;
    let (first, before) = first.context("the host was never seen at work")?;
    Ok((count - before) as f64 / (last - first).as_secs_f64())
}

fn lines(log: &Path) -> Result<u64> {
    match fs::read(log) {
        Ok(bytes) => Ok(bytes.iter().filter(|byte| **byte == b'\n').count() as u64),
        Err(_) => Ok(0),
    }
}

/// How long it takes from the moment that an activation is sent to the moment that the server has read the request.
fn latencies(client: &Client) -> Result<Vec<Duration>> {
    let dir = rundir::make("bench-latency")?;
    let server = RestServer::start(&dir, &Behaviour::default())?;
    let app = unique("bench");
    let [activation, information] = ["activation", "information"].map(|name| format!("{app}-{name}"));
    client.create_topic(&activation, PARTITIONS, &[])?;
    client.create_topic(&information, PARTITIONS, &[("cleanup.policy", "compact")])?;
    client.create_topic(&format!("{app}-notifications"), PARTITIONS, &[])?;
    let chain = Chain { app: &app, client, base_url: &server.base_url(), is_eager: true };
    let path = chain.write(&[chain.activation()?, chain.lookup()?])?;
    host::command(&["topics", "--create"], &path)?;
    let process = host::run(&path)?;
    let producer = client.producer(&[("partitioner", "murmur2_random"), ("linger.ms", "0")])?;
    for n in 0..TIMED {
        let (key, value) = load::information(n);
        producer.send(BaseRecord::<str, str>::to(&information).key(&key).payload(&value))?;
    }
    producer.drain()?;
    for transform in ["activation", "lookup"] {
        wait_for_group(client, &app, transform)?;
    }
    let log = dir.join("requests.jsonl");
    let mut took = Vec::new();
    for n in 0..TIMED {
        let before = lines(&log)?;
        let started = Instant::now();
        let (key, value) = load::activation(n);
        producer.send(BaseRecord::<str, str>::to(&activation).key(&key).payload(&value))?;
        producer.drain()?;
        while lines(&log)? <= before {
            ensure!(started.elapsed() < Duration::from_secs(60), "no request came; {}", process.tail());
            std::thread::sleep(Duration::from_millis(1));
        }
        took.push(started.elapsed());
        wait::until("the answer", || {
            let seen = lines(&log)?;
            Ok(if seen >= before + LINES { Seen::Yes(()) } else { Seen::NotYet(format!("{seen}")) })
        })?;
    }
    process.kill()?;
    Ok(took)
}

/// Waits until the tasks of a transform have committed where they begin.
fn wait_for_group(client: &Client, app: &str, transform: &str) -> Result<()> {
    let (group, inbox) = (format!("{app}.{transform}"), format!("{app}.{transform}.inbox"));
    wait::until("the tasks to begin", || {
        let committed = client.committed(&group, &inbox)?.len();
        let all = usize::try_from(PARTITIONS)?;
        Ok(if committed >= all { Seen::Yes(()) } else { Seen::NotYet(format!("{committed} tasks")) })
    })
}

/// The pipeline from activations to a server.
struct Chain<'a> {
    app: &'a str,
    client: &'a Client,
    base_url: &'a str,
    is_eager: bool,
}

impl Chain<'_> {
    fn activation(&self) -> Result<String> {
        let (app, plugin) = (self.app, host::plugin("plugins/activation")?);
        Ok(format!(
            "[transforms.activation]\nplugin = \"{}\"\neager = {}\nsources.activation = \"{app}-activation\"\n\
             sources.information = \"{app}-information\"\nsinks.notifications = \"{app}-notifications\"\n\
             sinks.expired = \"{app}-expired\"\n",
            plugin.display(),
            self.is_eager,
        ))
    }

    fn lookup(&self) -> Result<String> {
        let (app, plugin) = (self.app, host::plugin("plugins/rest-lookup")?);
        Ok(format!(
            "[transforms.lookup]\nplugin = \"{}\"\neager = {}\nsources.notifications = \"{app}-notifications\"\n\
             sinks.details = \"{app}-details\"\n[transforms.lookup.endpoints.details]\nbase_url = \"{}\"\n\
             concurrency = {CONCURRENCY}\n",
            plugin.display(),
            self.is_eager,
            self.base_url,
        ))
    }

    fn write(&self, transforms: &[String]) -> Result<PathBuf> {
        let dir = rundir::make(self.app)?;
        let (app, bootstrap) = (self.app, self.client.bootstrap());
        let text = format!(
            "[app]\nid = \"{app}\"\ninstance = \"a\"\nstate_dir = \"{}\"\napi = \"off\"\n\
             [kafka]\nbrokers = \"{bootstrap}\"\n{}",
            dir.join("state").display(),
            transforms.concat()
        );
        let path = dir.join("pipeline.toml");
        fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
        Ok(path)
    }
}
