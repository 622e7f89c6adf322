//! `gristmill check`: everything that can be known before a pipeline runs.

use std::path::PathBuf;

use clap::Args;

use crate::app::chain;
use crate::app::checks;
use crate::app::ingest;
use crate::app::placement;
use crate::app::plugins::{self, Compiled, Prepared};
use crate::app::topics::{self, Facts};
use crate::cli::output;
use crate::config::ingest::{DatabaseUrl, Ingest, IngestKind, Schedule};
use crate::config::pipeline::{BoundSource, Deployment};
use crate::config::units::format_duration;
use crate::config::{env, show};
use crate::fault::Fault;
use crate::id::TopicName;

/// Checks a pipeline file, its plugins and its topics.
#[derive(Args, Debug)]
#[command(after_help = "Talks to: the broker and the databases of ingests, unless --offline is given\n\
                        Example:  gristmill check shop.toml --offline --show-defaults")]
pub(super) struct Options {
    /// The pipeline file.
    file: PathBuf,

    /// Check only what needs neither a broker nor a database.
    #[arg(long)]
    offline: bool,

    /// Print the file as it is understood, with every default written out.
    #[arg(long)]
    show_defaults: bool,
}

pub(super) fn run(options: &Options) -> Result<(), Fault> {
    let prepared = plugins::prepare(&options.file, &env::process, Compiled::Forgotten)?;
    checks::offline(&prepared)?;
    let facts = if options.offline { None } else { Some(fitting_topics(&prepared)?) };
    if options.show_defaults {
        let manifests: Vec<_> = prepared.plugins.iter().map(|plugin| plugin.manifest.clone()).collect();
        return output::print(&show::show(&prepared.raw, &prepared.pipeline, &manifests));
    }
    output::print(&summary(options, &prepared, facts.as_ref()))
}

/// Asks the cluster. All that does not fit is reported, and the last of it becomes the command's own fault.
fn fitting_topics(prepared: &Prepared) -> Result<Facts, Fault> {
    let cluster = checks::connect(&prepared.pipeline.kafka)?;
    let facts = checks::facts(&cluster, &prepared.pipeline)?;
    let misfits = topics::misfits(&prepared.pipeline, &facts);
    if !misfits.is_empty() {
        return Err(output::all_but_last(misfits));
    }
    let deployments = &prepared.pipeline.deployments;
    let tallies = placement::look(&prepared.pipeline, deployments, &facts)?;
    let misplaced = deployments.iter().filter_map(|one| placement::misplaced(one, &facts, &tallies));
    let misplaced: Vec<_> = misplaced.collect();
    if !misplaced.is_empty() {
        return Err(output::all_but_last(misplaced));
    }
    ingest::checks::databases(&prepared.pipeline)?;
    Ok(facts)
}

fn summary(options: &Options, prepared: &Prepared, facts: Option<&Facts>) -> String {
    let mut lines = vec![format!("{}:", options.file.display())];
    for deployment in &prepared.pipeline.deployments {
        lines.extend(describe(deployment, facts));
    }
    lines.extend(prepared.pipeline.ingests.iter().map(describe_ingest));
    for circle in chain::circles(&prepared.pipeline) {
        let way: Vec<_> = circle.iter().chain(circle.first()).map(|name| format!("`{name}`")).collect();
        lines.push(format!("note: what {} writes comes back to it; it must end somewhere", way.join(" -> ")));
    }
    lines.push(match facts {
        Some(_) => "everything fits".to_owned(),
        None => "everything fits, as far as can be told without a broker".to_owned(),
    });
    lines.join("\n") + "\n"
}

fn describe(deployment: &Deployment, facts: Option<&Facts>) -> Vec<String> {
    let plugin = &deployment.plugin;
    let sources = deployment.sources.iter().flatten().map(|source| describe_source(source, facts));
    let sinks = deployment.sinks.iter().map(|sink| sink.topic.to_string());
    let mut lines = vec![
        format!(
            "  {} is {} {}, workers: {}",
            deployment.name, plugin.name, plugin.version, deployment.workers
        ),
        format!("    reads         {}", sources.collect::<Vec<_>>().join(", ")),
        format!("    writes        {}", sinks.collect::<Vec<_>>().join(", ")),
        format!("    dead letters  {}", deployment.dead_letters),
    ];
    let endpoints = deployment.endpoints.iter();
    lines.extend(endpoints.map(|endpoint| {
        let (name, url, mode) = (&endpoint.name, &endpoint.base_url, endpoint.mode.as_str());
        format!("    calls         {name}: {url} ({}, {mode})", endpoint.methods.join(", "))
    }));
    if !deployment.endpoints.is_empty() {
        lines.push(format!("    to review     {}", deployment.review));
    }
    lines
}

fn describe_ingest(ingest: &Ingest) -> String {
    let (name, topic) = (&ingest.name, &ingest.topic);
    let from = match &ingest.kind {
        IngestKind::Sql(sql) => {
            let database = match &sql.database {
                DatabaseUrl::Plain(url) => url.clone(),
                DatabaseUrl::Secret(place) => format!("the database that {} names", place.describe()),
            };
            let when = match &sql.schedule {
                Schedule::ByHand => "by hand".to_owned(),
                Schedule::Every(every) => format!("every {}", format_duration(*every)),
                Schedule::Cron(cron) => format!("at {cron}, UTC"),
            };
            format!("{database}, {when}")
        }
        IngestKind::Http(http) => format!("requests to {}", http.path),
        IngestKind::Dynamodb(dynamodb) => format!("the DynamoDB table {}, once, by hand", dynamodb.table),
    };
    format!("  {name} publishes in {topic}\n    from          {from}")
}

fn describe_source(source: &BoundSource, facts: Option<&Facts>) -> String {
    let partitions =
        |topic: &TopicName| facts.and_then(|facts| facts.get(topic)).map(|facts| facts.partitions);
    let kind = source.kind.as_str();
    match partitions(&source.topic) {
        Some(partitions) => format!("{} ({kind}, partitions: {partitions})", source.topic),
        None => format!("{} ({kind})", source.topic),
    }
}
