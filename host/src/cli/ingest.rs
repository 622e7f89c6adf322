//! `gristmill ingest`: publishes what lies elsewhere, by command.

use std::path::Path;

use clap::{Args, Subcommand};

use crate::app::checks;
use crate::app::topics::{self, Facts};
use crate::cli::output;
use crate::config::document;
use crate::config::env;
use crate::config::ingest::Ingest;
use crate::config::pipeline::Pipeline;
use crate::config::raw;
use crate::fault::{Code, Fault};

mod dynamodb;
mod list;
mod now;
mod sql;

pub(super) use list::table;

/// Records from SQL databases and other places where nobody writes to Kafka.
///
/// Ingests of kind `http` are a part of `gristmill run`; so are those of kind `sql` that have a schedule.
#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    Sql(sql::Options),
    Dynamodb(dynamodb::Options),
    List(list::Options),
    Now(now::Options),
}

pub(super) fn run(options: &Options) -> Result<(), Fault> {
    match &options.action {
        Action::Sql(options) => sql::run(options),
        Action::Dynamodb(options) => dynamodb::run(options),
        Action::List(options) => list::run(options),
        Action::Now(options) => now::run(options),
    }
}

/// A pipeline file without its transforms: an ingest needs none of their plugins.
fn read(file: &Path) -> Result<Pipeline, Fault> {
    let raw = raw::read(file, &env::process)?;
    checks::options(&raw.kafka)?;
    Ok(Pipeline {
        app: raw.app,
        kafka: raw.kafka,
        deployments: Vec::new(),
        ingests: raw.ingests,
        http: raw.http,
    })
}

/// The ingests of one kind: the one with the name, or all.
fn choose(pipeline: &Pipeline, kind: &str, name: Option<&str>) -> Result<Vec<Ingest>, Fault> {
    let of_kind: Vec<_> = pipeline.ingests.iter().filter(|ingest| ingest.kind.as_str() == kind).collect();
    let names: Vec<_> = of_kind.iter().map(|ingest| ingest.name.as_str()).collect();
    if names.is_empty() {
        let message = format!("the pipeline file has no ingest of kind `{kind}`");
        let hint = format!("add a section `[ingest.NAME]` with `kind = \"{kind}\"`");
        return Err(Fault::new(Code::CommandUnfit, message).hint(hint));
    }
    let is_meant = |ingest: &&&Ingest| name.is_none_or(|name| ingest.name.as_str() == name);
    let chosen: Vec<_> = of_kind.iter().filter(is_meant).map(|ingest| (*ingest).clone()).collect();
    match (chosen.is_empty(), name) {
        (true, Some(name)) => {
            let message = format!("the pipeline file has no ingest `{name}` of kind `{kind}`");
            Err(Fault::new(Code::CommandUnfit, message).hint(document::nearest(name, &names)))
        }
        _ => Ok(chosen),
    }
}

/// What the cluster says about the topics of ingests; those that belong to the host alone are made.
///
/// # Errors
/// `broker_unreachable`, `topic_missing`, `topic_unfit`.
fn fitting_topics(pipeline: &Pipeline, ingests: &[Ingest]) -> Result<Facts, Fault> {
    let pipeline = Pipeline { ingests: ingests.to_vec(), ..pipeline.clone() };
    let cluster = checks::connect(&pipeline.kafka)?;
    let mut facts = checks::facts(&cluster, &pipeline)?;
    let plans = topics::internal_plans(&pipeline, &facts);
    if !plans.is_empty() {
        cluster.create(&plans)?;
        facts = checks::facts(&cluster, &pipeline)?;
    }
    let misfits = topics::misfits(&pipeline, &facts);
    if misfits.is_empty() { Ok(facts) } else { Err(output::all_but_last(misfits)) }
}
