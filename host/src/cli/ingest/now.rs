//! `gristmill ingest now`: asks a running host to run an ingest at once.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::list::outcome;
use super::{choose, read};
use crate::api::shapes::{Asked, Ingests};
use crate::cli::output;
use crate::cli::progress::ProgressLine;
use crate::cli::running::Host;
use crate::config::ingest::Ingest;
use crate::fault::{Code, Fault};

/// How often the host is asked whether the run has ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Asks a running host to run SQL ingests now, and waits for what comes of it.
#[derive(Args, Debug)]
#[command(after_help = "Talks to: a running host of this machine\n\
                        Example:  gristmill ingest now shop.toml")]
pub(super) struct Options {
    /// The pipeline file that the host runs with.
    file: PathBuf,

    /// The ingest; without it, all of kind `sql`.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Delete all published keys that the table does not have, also when they are more than `deletes_max`.
    #[arg(long)]
    allow_deletes: bool,
}

pub(super) fn run(options: &Options) -> Result<(), Fault> {
    let ingests = choose(&read(&options.file)?, "sql", options.name.as_deref())?;
    let host = Host::find(Some(&options.file), None)?;
    ingests.iter().try_for_each(|ingest| one(&host, ingest, options))
}

fn one(host: &Host, ingest: &Ingest, options: &Options) -> Result<(), Fault> {
    let name = ingest.name.as_str();
    let place = utf8_percent_encode(name, NON_ALPHANUMERIC);
    let asked: Asked =
        host.order(&format!("/api/v1/ingests/{place}/run?allow_deletes={}", options.allow_deletes))?;
    let mut line = ProgressLine::new();
    let run = loop {
        std::thread::sleep(LOOK_INTERVAL);
        let page: Ingests = host.get("/api/v1/ingests")?;
        let Some(seen) = page.ingests.into_iter().find(|seen| seen.name == name) else { continue };
        if let Some(run) = seen.last.filter(|_| seen.served >= asked.ticket) {
            break run;
        }
        line.show(&format!("{name}: {} {}", seen.stage.unwrap_or(seen.state), seen.done.unwrap_or(0)));
    };
    line.end();
    if let Some(fault) = run.fault {
        let code = Code::find(&fault.code).unwrap_or(Code::Internal);
        let failed = Fault::new(code, format!("ingest `{name}`: {}", fault.message));
        return Err(match fault.hint {
            Some(hint) => failed.hint(hint),
            None => failed,
        });
    }
    output::print(&format!("{name} -> {}: {}\n", ingest.topic, outcome(&run)))
}
