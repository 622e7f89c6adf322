//! `make bench`: measures the host against native loops on a real Kafka and prints a report.
//!
//! Usage, with 1,000,000 items and 3 pairs by default:
//! `bench [ITEMS [PAIRS]]` compares the throughput of items,
//! `bench fanout [ITEMS [PAIRS]]` follows class changes, both ways (`bench join`, `bench commands`: one of them),
//! `bench restore [ITEMS [PAIRS]]` restores state,
//! `bench activation [PRODUCTS [PAIRS]]` joins activations with product information,
//! `bench waiting [ACTIVATIONS]` lets activations wait for it,
//! `bench callouts [REQUESTS [PAIRS]]` makes HTTP requests for notifications,
//! `bench table [ROWS [TIMES]]` publishes an SQL table,
//! `bench http [REQUESTS [TIMES]]` sends records over HTTP.

use std::env;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use gristmill_tests::bench::{
    Backlog, Mode, Plan, Report, Subject, Way, boundary, callouts, fanout, http, loop_forever, produce_raw,
    restore, table, transactions, waiting,
};
use gristmill_tests::client::Client;
use gristmill_tests::cluster::{Apache, Cluster};

/// Neighbours are compared with each other, so a subject runs right after its baseline.
const TURNS: [Subject; 4] = [
    Subject::NativePassthrough,
    Subject::HostPassthrough,
    Subject::NativeEnrichment,
    Subject::HostEnrichment,
];

const BATCHES: [usize; 3] = [1, 64, 500];

fn main() -> Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        // A baseline runs as a process of its own, so that its processor time can be read.
        ["native", bootstrap, mode, classes, source, sink, group] => {
            let mode = match *mode {
                "enrich" => Mode::Enrich((*classes).to_owned()),
                "activate" => Mode::Activate((*classes).to_owned()),
                _ => Mode::Passthrough,
            };
            loop_forever(&Client::new(bootstrap), &mode, source, sink, group)
        }
        ["raw", bootstrap, topic, items, maximum] => {
            produce_raw(&Client::new(bootstrap), topic, items.parse()?, maximum.parse()?)
        }
        ["fanout", sizes @ ..] => {
            let plan = plan(sizes)?;
            fanout(plan, Way::Join)?;
            fanout(plan, Way::Commands)
        }
        ["join", sizes @ ..] => fanout(plan(sizes)?, Way::Join),
        ["commands", sizes @ ..] => fanout(plan(sizes)?, Way::Commands),
        ["activation", sizes @ ..] => plan(sizes).and_then(|plan| activation(plan.items, plan.pairs)),
        ["callouts", sizes @ ..] => plan(sizes).and_then(|plan| callouts(plan.items, plan.pairs)),
        ["http", sizes @ ..] => plan(sizes).and_then(|plan| http(plan.items, plan.pairs)),
        ["table", sizes @ ..] => plan(sizes).and_then(|plan| table(plan.items, plan.pairs)),
        ["waiting", sizes @ ..] => plan(sizes).and_then(|plan| waiting(plan.items)),
        ["restore", sizes @ ..] => plan(sizes).and_then(|plan| restore(plan.items, plan.pairs)),
        sizes => plan(sizes).and_then(|plan| measure(plan.items, plan.pairs)),
    }
}

fn plan(sizes: &[&str]) -> Result<Plan> {
    let (items, pairs) = match sizes {
        [] => (1_000_000, 3),
        [items] => (items.parse().context("ITEMS is a number")?, 3),
        [items, pairs] => {
            (items.parse().context("ITEMS is a number")?, pairs.parse().context("PAIRS is a number")?)
        }
        _ => bail!(
            "usage: bench [fanout | join | commands | restore | activation | waiting | callouts | table | http] [ITEMS [PAIRS]]"
        ),
    };
    Ok(Plan { items, pairs, per_second: 500, idle: Duration::from_secs(15) })
}

fn measure(items: u64, pairs: usize) -> Result<()> {
    println!("the wasm boundary, CPU time of a record of 300 bytes through the smallest plugin:");
    for (size, nanoseconds) in boundary(&BATCHES)? {
        println!("  batches of {size:>3}: {nanoseconds:>6.0} ns a record");
    }
    let kafka = Apache::shared()?;
    let client = kafka.client();
    let [native, hosted] = transactions(&client)?;
    println!("a transaction of one record, p50 and p99:");
    println!("  native, from begin to commit:                  {:.1} ms, {:.1} ms", native.0, native.1);
    println!("  host, eager, from send to visible output:      {:.1} ms, {:.1} ms", hosted.0, hosted.1);
    println!("filling the backlog with {items} items of about 300 bytes");
    let backlog = Backlog::fill(client, kafka.pid(1)?, items)?;
    let report = compare(&TURNS, &backlog, pairs)?;
    println!("{}", report.comparison(Subject::HostPassthrough, Subject::NativePassthrough));
    println!("{}", report.comparison(Subject::HostEnrichment, Subject::NativeEnrichment));
    Ok(())
}

fn activation(products: u64, pairs: usize) -> Result<()> {
    let kafka = Apache::shared()?;
    println!(
        "filling the backlog with an activation and information of {products} products, about 300 bytes each"
    );
    let backlog = Backlog::of_products(kafka.client(), kafka.pid(1)?, products)?;
    let report = compare(&[Subject::NativeActivation, Subject::HostActivation], &backlog, pairs)?;
    println!("{}", report.comparison(Subject::HostActivation, Subject::NativeActivation));
    Ok(())
}

/// Lets the subjects drain a backlog in turns.
fn compare(turns: &[Subject], backlog: &Backlog, pairs: usize) -> Result<Report> {
    let mut report = Report::default();
    // The first pair warms the broker and is not counted.
    for turn in 0..=pairs {
        for subject in turns {
            let figures = subject.run(backlog)?;
            let counted = if turn == 0 { "warm-up" } else { "counted" };
            println!("  {counted}: {:<24} {:>8.0} records/s", subject.name(), figures.rate);
            if turn > 0 {
                report.add(*subject, figures);
            }
        }
    }
    println!("\n{}", Report::headings());
    turns.iter().for_each(|subject| println!("{}", report.row(*subject)));
    println!("\nratios of neighbours: median (smallest to largest) of {pairs}");
    Ok(report)
}
