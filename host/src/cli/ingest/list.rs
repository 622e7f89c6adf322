//! `gristmill ingest list`: the ingests of a running host.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::api::shapes::{Ingest, IngestRun, Ingests};
use crate::cli::output;
use crate::cli::running::Host;
use crate::clock::Clock;
use crate::config::units::format_duration;
use crate::fault::Fault;

/// Lists the ingests of a running host: what they do, and what came of their last run.
#[derive(Args, Debug)]
#[command(after_help = "Talks to: a running host of this machine\n\
                        Example:  gristmill ingest list shop.toml")]
pub(super) struct Options {
    /// The pipeline file that the host runs with. Without it, the host at --api is asked.
    file: Option<PathBuf>,

    /// Where the host's admin API listens; its log says so. Default: 127.0.0.1:9180
    #[arg(long, value_name = "ADDRESS", conflicts_with = "file")]
    api: Option<SocketAddr>,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &Options) -> Result<(), Fault> {
    let page: Ingests = Host::find(options.file.as_deref(), options.api)?.get("/api/v1/ingests")?;
    if options.json {
        return output::print_json(&json!(page));
    }
    output::print(&table(&page))
}

/// A line for each ingest, below a head.
pub(in crate::cli) fn table(page: &Ingests) -> String {
    let now = Clock::system().now().0;
    let head = ["INGEST", "KIND", "TOPIC", "STATE", "SCHEDULE", "LAST RUN"].map(str::to_owned);
    let rows: Vec<_> =
        std::iter::once(head).chain(page.ingests.iter().map(|ingest| row(ingest, now))).collect();
    output::columns(&rows)
}

fn row(ingest: &Ingest, now: i64) -> [String; 6] {
    let schedule = match (&ingest.schedule, ingest.kind.as_str()) {
        (Some(schedule), _) => schedule.clone(),
        (None, "http") => ingest.address.clone().unwrap_or_default(),
        (None, _) => "by hand".to_owned(),
    };
    let state = match (&ingest.stage, ingest.done) {
        (Some(stage), Some(done)) => format!("{}: {stage} {done}", ingest.state),
        _ => ingest.state.clone(),
    };
    let last = match (&ingest.fault, &ingest.last) {
        (Some(fault), _) => format!("{}: {}", fault.code, fault.message),
        (None, Some(last)) => format!("{} ago: {}", ago(now - last.ended_at), outcome(last)),
        (None, None) => String::new(),
    };
    [ingest.name.clone(), ingest.kind.clone(), ingest.topic.clone(), state, schedule, last]
}

/// What a run came to.
pub(super) fn outcome(run: &IngestRun) -> String {
    match (&run.fault, run.inserts, run.updates, run.deletes) {
        (Some(fault), ..) => format!("{}: {}", fault.code, fault.message),
        (None, Some(0), Some(0), Some(0)) => "nothing changed".to_owned(),
        (None, Some(inserts), Some(updates), Some(deletes)) => {
            format!("{inserts} new, {updates} changed, {deletes} deleted")
        }
        _ => "unknown".to_owned(),
    }
}

fn ago(millis: i64) -> String {
    match u64::try_from(millis / 1000).unwrap_or(0) {
        0 => "0s".to_owned(),
        seconds => format_duration(Duration::from_secs(seconds)),
    }
}
