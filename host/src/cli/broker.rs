//! `gristmill broker`: the dev broker alone, for trying things out with any Kafka client.

use std::str::FromStr;

use clap::Args;
use gristmill_broker::Broker;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::cli::output;
use crate::fault::{Code, Fault};

/// Runs the dev broker alone, on loopback and in memory.
#[derive(Args, Debug)]
#[command(after_help = "Talks to: nothing\n\
                        Example:  gristmill broker --topic items:6:compact --topic item-updates:6\n\
                        Then:     kcat -b localhost:9092 -L")]
pub(super) struct Options {
    /// The port to listen on; 0 takes a free one.
    #[arg(long, default_value_t = 9092)]
    port: u16,

    /// A topic to make: its name, then partitions, then `compact` for a compacted one. Can be repeated.
    #[arg(long = "topic", value_name = "NAME[:PARTITIONS[:compact]]")]
    topics: Vec<Topic>,

    /// Partitions of topics that are made without a count.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(i32).range(1..=1_000))]
    partitions: i32,

    /// Make topics that a client asks for when they are missing.
    #[arg(long)]
    auto_create: bool,
}

/// A topic as it is written on the command line.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Topic {
    name: String,
    partitions: Option<i32>,
    is_compacted: bool,
}

impl FromStr for Topic {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default().to_owned();
        let partitions = parts.next().map(|count| match count.parse::<i32>() {
            Ok(count) if (1..=1_000).contains(&count) => Ok(count),
            _ => Err(format!("`{count}` is no number of partitions from 1 to 1000")),
        });
        let is_compacted = match parts.next() {
            None => false,
            Some("compact") => true,
            Some(other) => return Err(format!("`{other}` is not `compact`")),
        };
        match parts.next() {
            None => Ok(Self { name, partitions: partitions.transpose()?, is_compacted }),
            Some(rest) => Err(format!("`{rest}` is one part too many")),
        }
    }
}

pub(super) fn run(options: &Options) -> Result<(), Fault> {
    // Before the broker listens, or a signal that comes between the two would kill it without a word.
    let mut signals = Signals::new([SIGINT, SIGTERM])
        .map_err(|error| Fault::new(Code::Internal, "signals cannot be received").because(error))?;
    let mut builder = Broker::builder().port(options.port).default_partitions(options.partitions);
    if options.auto_create {
        builder = builder.auto_create_topics();
    }
    for topic in &options.topics {
        let policy = if topic.is_compacted { "compact" } else { "delete" };
        let partitions = topic.partitions.unwrap_or(options.partitions);
        builder = builder.topic_with(topic.name.as_str(), partitions, &[("cleanup.policy", policy)]);
    }
    let broker = builder.start().map_err(|error| {
        let hint = error.hint();
        Fault::new(Code::AddressUnusable, "the dev broker cannot start").because(error).hint(hint)
    })?;
    output::print(&format!(
        "dev broker on {}: nothing is kept when it ends; stop it with ctrl-c\n",
        broker.bootstrap()
    ))?;
    signals.forever().next();
    broker.stop();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_topics_in_their_short_forms() {
        let topic =
            |name: &str, partitions, is_compacted| Ok(Topic { name: name.into(), partitions, is_compacted });

        assert_eq!("a".parse::<Topic>(), topic("a", None, false));
        assert_eq!("a:6".parse::<Topic>(), topic("a", Some(6), false));
        assert_eq!("a:6:compact".parse::<Topic>(), topic("a", Some(6), true));
    }

    #[test]
    fn refuses_topics_that_make_no_sense() {
        for text in ["a:0", "a:x", "a:6:kompakt", "a:6:compact:x"] {
            assert!(text.parse::<Topic>().is_err(), "{text}");
        }
    }
}
