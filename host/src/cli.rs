//! What a person types: one command a file, and what they have in common.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::fault::Fault;

mod broker;
mod callouts;
mod check;
mod cluster;
mod demo;
mod dev;
mod exit;
mod explain;
mod ingest;
mod init;
mod jobs;
mod log;
mod output;
mod plugin;
mod produce;
mod progress;
mod reemit;
mod run;
mod running;
mod state;
mod status;
mod tail;
mod topics;

/// Runs WebAssembly transforms on Kafka topics: sandboxed, stateful, exactly-once.
#[derive(Parser, Debug)]
#[command(name = "gristmill", version, max_term_width = 100)]
#[command(after_help = "Begin with `gristmill demo`, then `gristmill init --plugin builtin:delivery-time`.")]
struct Arguments {
    #[command(flatten)]
    log: log::LogOptions,

    #[command(subcommand)]
    command: Command,
}

/// The commands, in the order in which a newcomer meets them.
#[derive(Subcommand, Debug)]
enum Command {
    Demo(demo::Options),
    Init(init::Options),
    Check(check::Options),
    Topics(topics::Options),
    Run(run::Options),
    Dev(dev::Options),
    Ingest(ingest::Options),
    Status(status::Options),
    Jobs(jobs::Options),
    Callouts(callouts::Options),
    Reemit(reemit::Options),
    State(state::Options),
    Broker(broker::Options),
    Produce(produce::Options),
    Tail(tail::Options),
    Plugin(plugin::Options),
    Explain(explain::Options),
}

impl Command {
    /// Whether it works until it is stopped, and so tells the log what it is doing.
    fn is_service(&self) -> bool {
        matches!(self, Self::Run(_) | Self::Dev(_) | Self::Broker(_))
    }

    fn run(self) -> Result<(), Fault> {
        match self {
            Self::Demo(options) => demo::run(&options),
            Self::Init(options) => init::run(&options),
            Self::Check(options) => check::run(&options),
            Self::Topics(options) => topics::run(&options),
            Self::Run(options) => run::run(&options),
            Self::Dev(options) => dev::run(&options),
            Self::Ingest(options) => ingest::run(&options),
            Self::Status(options) => status::run(&options),
            Self::Jobs(options) => jobs::run(&options),
            Self::Callouts(options) => callouts::run(&options),
            Self::Reemit(options) => reemit::run(&options),
            Self::State(options) => state::run(&options),
            Self::Broker(options) => broker::run(&options),
            Self::Produce(options) => produce::run(&options),
            Self::Tail(options) => tail::run(&options),
            Self::Plugin(options) => plugin::run(&options),
            Self::Explain(options) => explain::run(&options),
        }
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done =
        log::start(&arguments.log, arguments.command.is_service()).and_then(|()| arguments.command.run());
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("{}", fault.report());
            exit::code(fault.code())
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn has_commands_that_do_not_contradict_themselves() {
        Arguments::command().debug_assert();
    }
}
