//! `gristmill run`: runs a pipeline.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use crate::app;
use crate::app::checks;
use crate::app::plugins::{self, Compiled};
use crate::app::shutdown::{Departure, Shutdown};
use crate::cli::output;
use crate::config::env;
use crate::fault::Fault;

/// Runs a pipeline until SIGTERM or SIGINT, then commits what is done.
///
/// Several hosts with the same file share the work; give each its own `[app] state_dir`.
#[derive(Args, Debug)]
#[command(after_help = "Talks to: the broker\n\
                        Example:  gristmill run shop.toml")]
pub(super) struct Options {
    /// The pipeline file.
    file: PathBuf,

    /// Leave the consumer groups at the end: for scaling in. Without it, a restart takes its partitions up again.
    #[arg(long)]
    leave: bool,
}

pub(super) fn run(options: &Options) -> Result<(), Fault> {
    let shutdown = Shutdown::on_signals()?;
    let prepared = plugins::prepare(&options.file, &env::process, Compiled::Kept)?;
    checks::options(&prepared.pipeline.kafka)?;
    let components: Vec<_> = prepared.plugins.iter().map(|plugin| Arc::clone(&plugin.component)).collect();
    let departure = if options.leave { Departure::Leave } else { Departure::Stay };
    app::run(&prepared.pipeline, &components, &shutdown, departure).map_err(output::all_but_last)
}
