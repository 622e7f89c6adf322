//! Where the log goes: to standard error, so that what a command prints can be piped.

use std::io::{self, IsTerminal};

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::config::env;
use crate::fault::{Code, Fault};

/// The environment variable for the option `--log`.
const VARIABLE: &str = "GRISTMILL_LOG";

/// The options that every command has.
#[derive(Args, Debug)]
#[command(next_help_heading = "Log")]
pub(super) struct LogOptions {
    /// error, warn, info, debug or trace [env: GRISTMILL_LOG]
    #[arg(long, value_name = "LEVEL", global = true)]
    log: Option<String>,

    /// text or json
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Text, global = true)]
    #[arg(hide_possible_values = true, hide_default_value = true)]
    log_format: Format,
}

/// How a line is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Format {
    Text,
    /// One object a line.
    Json,
}

/// Starts the log of this process. A service tells of its life; other commands only of what is odd.
pub(super) fn start(options: &LogOptions, is_service: bool) -> Result<(), Fault> {
    // The local store's engine tells of every file that it opens.
    let default = if is_service { "info,fjall=warn,lsm_tree=warn" } else { "warn" };
    let wanted = options.log.clone().or_else(|| env::process(VARIABLE));
    let wanted = wanted.as_deref().unwrap_or(default);
    let filter = EnvFilter::try_new(wanted).map_err(|error| {
        Fault::new(Code::CommandUnfit, format!("`{wanted}` is no level and no filter of the log"))
            .because(error)
            .hint("use error, warn, info, debug or trace")
    })?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match options.log_format {
        Format::Text => log.with_ansi(io::stderr().is_terminal()).with_target(false).init(),
        Format::Json => log.json().flatten_event(true).init(),
    }
    Ok(())
}
