//! How long a transaction of one record takes.

use std::time::Instant;

use anyhow::Result;

use super::report::percentiles;
use super::subject::pipeline;
use crate::client::{Client, unique};
use crate::host;
use crate::read;
use crate::rundir;

const TURNS: usize = 200;

/// Measures, in milliseconds: a native transaction of one record from begin to commit; and from the send of a record to
/// its output at `read_committed` through a host that commits when it is idle. Each as p50 and p99.
///
/// # Errors
/// When the broker or the host refuses something.
pub fn transactions(client: &Client) -> Result<[(f64, f64); 2]> {
    Ok([native(client)?, hosted(client)?])
}

fn native(client: &Client) -> Result<(f64, f64)> {
    let topic = client.topic("bench-one", 1, &[])?;
    let producer = client.transactional(&unique("bench"), &[("linger.ms", "0")])?;
    let mut times = Vec::new();
    for n in 0..TURNS {
        let start = Instant::now();
        producer.begin()?;
        producer.put(&topic, 0, "k", &n.to_string())?;
        producer.commit()?;
        times.push(start.elapsed());
    }
    Ok(percentiles(&times))
}

fn hosted(client: &Client) -> Result<(f64, f64)> {
    let app = unique("bench");
    let (source, sink) = (client.topic("bench-one-in", 1, &[])?, client.topic("bench-one-out", 1, &[])?);
    let dir = rundir::make(&app)?;
    let bound = format!(
        "eager = true\nsources.in = \"{source}\"\nsinks.out = \"{sink}\"\n[kafka.client]\n\"linger.ms\" = 0\n"
    );
    let file =
        pipeline(&dir, &app, client.bootstrap(), &host::plugin("tests/fixtures/passthrough")?, &bound)?;
    host::command(&["topics", "--create"], &file)?;
    let _host = host::run(&file)?;
    let producer = client.producer(&[("linger.ms", "0")])?;
    let reader = client
        .consumer(&unique("bench"), &[("isolation.level", "read_committed"), ("fetch.wait.max.ms", "10")])?;
    rdkafka::consumer::Consumer::assign(&reader, &crate::client::position(&sink, 0, 0)?)?;
    let mut times = Vec::new();
    // The first turns wait for the host's start and for warm caches.
    for n in 0..TURNS + 20 {
        let start = Instant::now();
        producer.put(&source, 0, "k", &n.to_string())?;
        read::take(&reader, 1)?;
        times.push(start.elapsed());
    }
    Ok(percentiles(times.get(20..).unwrap_or_default()))
}
