//! `gristmill demo`: the whole system on the embedded broker, killed in the middle of a fan-out and with REST calls in flight,
//! and an independent check after each act.

mod activation;
mod child;
mod corpus;
mod job;
mod logistics;
mod observer;
mod products;
mod report;
mod rest;
mod story;
mod supplier;
mod tally;
mod verdict;
mod watch;

use clap::Args;

use crate::cli::demo::corpus::Corpus;
use crate::cli::demo::story::Story;
use crate::fault::{Code, Fault};

/// Shows the whole system: items flow, a class changes, the host is killed in the middle; then products are activated, a REST
/// server is called once for each, the host is killed again. Every record is checked.
#[derive(Args, Debug)]
#[command(after_help = "Talks to: nothing; it brings its own broker\n\
                        Example:  gristmill demo --items 200000 --keep")]
pub(super) struct Options {
    /// How many items of one class there are: all of them go out again when it changes.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    items: usize,

    /// How many other delivery classes there are.
    #[arg(long, value_name = "N", default_value_t = 50)]
    classes: usize,

    /// Item updates a second that the suppliers send all the time.
    #[arg(long, value_name = "N", default_value_t = 500)]
    rate: u32,

    /// The same seed makes the same items.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Keep the broker running afterwards, to look into its topics with any Kafka client.
    #[arg(long)]
    keep: bool,
}

pub(super) fn run(options: &Options) -> Result<(), Fault> {
    if options.items == 0 || options.classes == 0 || options.rate == 0 {
        return Err(Fault::new(Code::CommandUnfit, "a demo without items, classes or a rate shows nothing"));
    }
    let corpus = Corpus { items: options.items, classes: options.classes, seed: options.seed };
    Story::begin(corpus, options.rate)?.tell(options.keep)
}
