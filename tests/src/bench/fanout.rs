//! `bench fanout`: a class change reaches all items, both ways, against a raw transactional produce of the same bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::load;
use super::raw;
use super::report::{median, percentiles, ratio};
use super::stage::{MAXIMUM, PARTITIONS, Pass, Stage, Way};
use crate::client::Client;
use crate::cluster::{Apache, Cluster};

/// Clients connect and caches fill meanwhile.
const WARM_UP: Duration = Duration::from_secs(1);

/// Sizes of a measurement.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Items of the class.
    pub items: u64,
    /// Pairs of a raw produce and a fan-out.
    pub pairs: usize,
    /// Ordinary updates a second.
    pub per_second: u32,
    /// How long ordinary updates are measured at rest.
    pub idle: Duration,
}

/// Measures a way and prints what came of it.
///
/// # Errors
/// When the broker, the host or a plugin fails.
pub fn fanout(plan: Plan, way: Way) -> Result<()> {
    let kafka = Apache::shared()?;
    let (client, broker) = (kafka.client(), kafka.pid(1)?);
    println!("{}: {} items of one class, about 300 bytes, {PARTITIONS} partitions", way.name(), plan.items);
    let (mut stage, filled) = Stage::set(&client, broker, plan.items, way)?;
    println!("{}", Headings);
    print("enriching the items at first", &filled);
    let before = stage.resident()?;
    let (mut raws, mut passes) = (Vec::new(), Vec::new());
    for n in 0..plan.pairs {
        let raw = raw::produce(&client, broker, plan.items, MAXIMUM + u64::try_from(n)?)?;
        print("raw transactional produce", &raw);
        let start = stage.change()?;
        let pass = stage.pass_to_rest(start)?;
        print("fan-out", &pass);
        raws.push(raw);
        passes.push(pass);
    }
    compare(&passes, &raws);
    let most = passes.iter().map(|pass| pass.resident_mib).fold(0.0, f64::max);
    println!("memory of the host: {before:.0} MiB before, {most:.0} MiB at most during fan-outs");
    ordinary(&mut stage, &client, plan)?;
    println!("kill -9 in the middle, to the next committed page: {}", seconds(&killed(&mut stage)?));
    Ok(())
}

struct Headings;

impl std::fmt::Display for Headings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:<30} {:>9} {:>10} {:>12} {:>8}", "", "items/s", "CPU us", "broker us", "MiB")
    }
}

fn print(what: &str, pass: &Pass) {
    let (rate, cpu, broker) = (pass.rate(), pass.cpu_us(), pass.broker_us());
    println!("{what:<30} {rate:>9.0} {cpu:>10.2} {broker:>12.2} {:>8.0}", pass.resident_mib);
}

fn compare(passes: &[Pass], raws: &[Pass]) {
    let of = |passes: &[Pass], read: fn(&Pass) -> f64| passes.iter().map(read).collect::<Vec<_>>();
    let rates = ratio(&of(passes, Pass::rate), &of(raws, Pass::rate));
    let cpu = ratio(&of(passes, Pass::cpu_us), &of(raws, Pass::cpu_us));
    let broker = ratio(&of(passes, Pass::broker_us), &of(raws, Pass::broker_us));
    println!("fan-out / raw: items/s {rates}, CPU an item {cpu}, of the broker {broker}");
}

/// Ordinary updates at a steady rate, at rest and during a fan-out.
fn ordinary(stage: &mut Stage, client: &Client, plan: Plan) -> Result<()> {
    let is_over = Arc::new(AtomicBool::new(false));
    let paced = thread::spawn({
        let (client, topic, is_over) = (client.clone(), stage.topic.clone(), Arc::clone(&is_over));
        move || load::pace(&client, &topic, plan.per_second, |_| is_over.load(Ordering::Relaxed))
    });
    // The first second warms up, and is not counted.
    thread::sleep(WARM_UP);
    drop(stage.watch.delays());
    thread::sleep(plan.idle);
    let idle = stage.watch.delays();
    println!("ordinary updates, {} a second, from when they were to be sent to visible:", plan.per_second);
    println!("  at rest:           {}", milliseconds(&idle));
    let start = stage.change()?;
    let pass = stage.pass(start)?;
    println!("  during a fan-out:  {}", milliseconds(&stage.watch.delays()));
    print("fan-out beside them", &pass);
    is_over.store(true, Ordering::Relaxed);
    paced.join().ok().context("the ordinary updates have failed")??;
    stage.await_rest()
}

/// Kills the host in the middle of fan-outs and starts it again: how long until more is committed.
fn killed(stage: &mut Stage) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    for part in [4, 2] {
        let half = stage.items / part;
        let start = stage.change()?;
        load::await_items(&stage.watch, half, || Ok(()))?;
        stage.kill()?;
        let dead = Instant::now();
        stage.watch.expect_more(PARTITIONS)?;
        stage.start()?;
        stage.pass(start)?;
        times
            .push(stage.watch.next().context("nothing came after the kill")?.saturating_duration_since(dead));
        stage.await_rest()?;
    }
    Ok(times)
}

fn seconds(times: &[Duration]) -> String {
    times.iter().map(|time| format!("{:.2} s", time.as_secs_f64())).collect::<Vec<_>>().join(", ")
}

fn milliseconds(delays: &[Duration]) -> String {
    let (middle, most) = percentiles(delays);
    let longest = delays.iter().max().map_or(f64::NAN, |delay| delay.as_secs_f64() * 1e3);
    format!("p50 {middle:.0} ms, p99 {most:.0} ms, longest {longest:.0} ms, of {}", delays.len())
}

/// Measures restores of so many rows against a raw consume of the same topic, and starts with the disk intact.
///
/// # Errors
/// When the broker, the host or a plugin fails.
pub fn restore(items: u64, pairs: usize) -> Result<()> {
    let kafka = Apache::shared()?;
    let (client, broker) = (kafka.client(), kafka.pid(1)?);
    println!("restores of {items} items of about 300 bytes, {PARTITIONS} partitions");
    let (mut stage, filled) = Stage::set(&client, broker, items, Way::Join)?;
    println!("{}", Headings);
    print("enriching the items at first", &filled);
    let (mut raws, mut restores, mut starts) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..pairs {
        let (records, took) = raw::consume(&client, &stage.topic)?;
        raws.push(records as f64 / took.as_secs_f64());
        stage.kill()?;
        stage.lose_disk()?;
        let (pass, first) = begin(&mut stage, Restores::All)?;
        restores.push(pass.rate());
        println!("raw consume {:.0} records/s; then", raws.last().unwrap_or(&f64::NAN));
        print("restore without a disk", &pass);
        println!("  from the start to the first commit: {:.2} s", first.as_secs_f64());
        stage.await_rest()?;
        stage.kill()?;
        let (_, first) = begin(&mut stage, Restores::Tail)?;
        println!(
            "start {n} after kill -9 with the disk intact, to the first commit: {:.2} s",
            first.as_secs_f64()
        );
        starts.push(first.as_secs_f64());
        stage.await_rest()?;
    }
    println!("restore / raw consume: records/s {}", ratio(&restores, &raws));
    println!("start with the disk intact, to the first commit: {:.2} s at the median", median(&mut starts));
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Restores {
    All,
    Tail,
}

/// Starts the host with updates waiting: how long the restore took, and how long until the first of them was visible.
fn begin(stage: &mut Stage, what: Restores) -> Result<(Pass, Duration)> {
    load::pace(&stage.client, &stage.topic, 1000, |time| time > Duration::from_millis(200))?;
    let before = stage.restores()?;
    stage.watch.expect_more(PARTITIONS)?;
    let (start, broker) = (Instant::now(), super::meter::cpu(stage.broker)?);
    stage.start()?;
    let mut pass = Pass {
        items: stage.items,
        took: Duration::ZERO,
        cpu: Duration::ZERO,
        broker: Duration::ZERO,
        resident_mib: 0.0,
    };
    if what == Restores::All {
        stage.await_restored(before, PARTITIONS.unsigned_abs().try_into()?)?;
        let pid = stage.host.as_ref().context("no host")?.pid();
        pass.took = start.elapsed();
        pass.cpu = super::meter::cpu(pid)?;
        pass.broker = super::meter::cpu(stage.broker)?.saturating_sub(broker);
        pass.resident_mib = super::meter::resident(pid)?;
    }
    let first = crate::wait::until_within(super::subject::LIMIT, "the first commit", || {
        Ok(stage
            .watch
            .next()
            .map_or_else(|| crate::wait::Seen::NotYet("none".into()), crate::wait::Seen::Yes))
    })?;
    Ok((pass, first.saturating_duration_since(start)))
}
