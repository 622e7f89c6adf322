//! `gristmill topics`: the topics that a pipeline needs, and makes those that are missing.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::app::checks;
use crate::app::plugins::{self, Compiled};
use crate::app::topics::{self, Facts, Need, Use};
use crate::cli::output;
use crate::config::env;
use crate::fault::Fault;

/// Shows the topics that a pipeline needs, and makes those that are missing.
#[derive(Args, Debug)]
#[command(after_help = "Talks to: the broker\n\
                        Example:  gristmill topics shop.toml --create --partitions 12")]
pub(super) struct Options {
    /// The pipeline file.
    file: PathBuf,

    /// Make the topics that do not exist.
    #[arg(long)]
    create: bool,

    /// Partitions of new topics, unless they are joined with topics that exist.
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(i32).range(1..=10_000))]
    partitions: i32,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &Options) -> Result<(), Fault> {
    let prepared = plugins::prepare(&options.file, &env::process, Compiled::Forgotten)?;
    let cluster = checks::connect(&prepared.pipeline.kafka)?;
    let mut facts = checks::facts(&cluster, &prepared.pipeline)?;
    if options.create {
        let made = cluster.create(&topics::plans(&prepared.pipeline, &facts, options.partitions))?;
        for name in &made {
            eprintln!("made topic `{name}`");
        }
        facts = checks::facts(&cluster, &prepared.pipeline)?;
    }
    let needs = topics::needs(&prepared.pipeline);
    if options.json {
        return output::print_json(&needs.iter().map(|need| as_json(need, &facts)).collect());
    }
    let head = ["TOPIC", "PARTITIONS", "CLEANUP", "USED AS"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(head).chain(needs.iter().map(|need| row(need, &facts))).collect();
    output::print(&output::columns(&rows))
}

fn row(need: &Need, facts: &Facts) -> [String; 4] {
    let uses: Vec<_> = need.uses.iter().map(Use::describe).collect();
    let (partitions, policy) = match facts.get(&need.name) {
        Some(facts) => {
            (facts.partitions.to_string(), facts.setting("cleanup.policy").unwrap_or("?").to_owned())
        }
        None => ("missing".to_owned(), String::new()),
    };
    [need.name.to_string(), partitions, policy, uses.join(", ")]
}

fn as_json(need: &Need, facts: &Facts) -> serde_json::Value {
    let facts = facts.get(&need.name);
    json!({
        "topic": need.name.as_str(),
        "exists": facts.is_some(),
        "partitions": facts.map(|facts| facts.partitions),
        "cleanup_policy": facts.and_then(|facts| facts.setting("cleanup.policy")),
        "uses": need.uses.iter().map(Use::describe).collect::<Vec<_>>(),
    })
}
