//! `gristmill demo`: the whole system on the embedded broker, killed in the middle, and an independent check at the end.

mod child;
mod corpus;
mod observer;
mod story;
mod supplier;
mod verdict;

use clap::Args;

use crate::cli::demo::corpus::Corpus;
use crate::cli::demo::story::Story;
use crate::fault::{Code, Fault};

/// Shows the whole system: suppliers, classes, a host that is killed in the middle, a check of every record.
#[derive(Args, Debug)]
#[command(after_help = "Talks to: nothing; it brings its own broker\n\
                        Example:  gristmill demo --items 50000 --keep")]
pub(super) struct Options {
    /// How many item updates the suppliers send.
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    items: usize,

    /// How many delivery classes there are.
    #[arg(long, value_name = "N", default_value_t = 50)]
    classes: usize,

    /// Updates a second, all suppliers together.
    #[arg(long, value_name = "N", default_value_t = 2_000)]
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
