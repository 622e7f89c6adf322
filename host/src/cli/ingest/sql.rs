//! `gristmill ingest sql`: publishes what changed in a database.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::{Value as Json, json};

use super::{choose, fitting_topics, read};
use crate::app::ingest::{Preview, SqlJob};
use crate::cli::output;
use crate::cli::progress::ProgressLine;
use crate::clock::Clock;
use crate::config::ingest::IngestKind;
use crate::fault::Fault;
use crate::ingest::difference::{Counts, Verdict};
use crate::ingest::run::{Deletes, Progress};

/// Changes that a dry run shows of each kind.
const SHOWN: usize = 20;

/// Publishes what changed in SQL databases since it was published last, in one transaction; nothing when nothing changed.
#[derive(Args, Debug)]
#[command(after_help = "Talks to: the broker and the database\n\
                        Example:  gristmill ingest sql shop.toml --dry-run")]
pub(super) struct Options {
    /// The pipeline file.
    file: PathBuf,

    /// The ingest; without it, all of kind `sql`, one after the other.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Show what would be published, and publish nothing.
    #[arg(long, conflicts_with = "allow_deletes")]
    dry_run: bool,

    /// Delete all published keys that the table does not have, also when they are more than `deletes_max`.
    #[arg(long)]
    allow_deletes: bool,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &Options) -> Result<(), Fault> {
    let pipeline = read(&options.file)?;
    let ingests = choose(&pipeline, "sql", options.name.as_deref())?;
    let facts = fitting_topics(&pipeline, &ingests)?;
    let mut results = Vec::new();
    for ingest in &ingests {
        let IngestKind::Sql(sql) = &ingest.kind else { continue };
        let job = SqlJob::new(&pipeline.kafka, ingest, sql, &facts);
        let result = if options.dry_run { preview(&job, options.json)? } else { publish(&job, options)? };
        results.push(result);
    }
    if options.json { output::print_json(&Json::Array(results)) } else { Ok(()) }
}

fn publish(job: &SqlJob, options: &Options) -> Result<Json, Fault> {
    let deletes = if options.allow_deletes { Deletes::Allowed } else { Deletes::Bounded };
    let clock = Clock::system();
    let mut line = ProgressLine::new();
    let counts = job.run(deletes, &mut |progress| line.show(&describe(progress)));
    line.end();
    let (counts, took) = (counts?, clock.elapsed());
    if !options.json {
        let ingest = job.ingest();
        let what = if counts.changes() == 0 { "nothing changed" } else { "published" };
        output::print(&format!(
            "{} -> {}: {what}: {} ({})\n",
            ingest.name,
            ingest.topic,
            listed(&counts),
            seconds(took)
        ))?;
    }
    Ok(as_json(job, &counts, took))
}

fn preview(job: &SqlJob, is_json: bool) -> Result<Json, Fault> {
    let clock = Clock::system();
    let mut line = ProgressLine::new();
    let preview = job.preview(SHOWN, &mut |progress| line.show(&describe(progress)));
    line.end();
    let preview = preview?;
    if !is_json {
        output::print(&drawn(job, &preview))?;
    }
    let mut json = as_json(job, &preview.counts, clock.elapsed());
    if let Some(members) = json.as_object_mut() {
        members.insert("refused".to_owned(), preview.refused.into());
    }
    Ok(json)
}

/// A line for each change, with a sign before it: `+` new, `~` changed, `-` deleted.
fn drawn(job: &SqlJob, preview: &Preview) -> String {
    let ingest = job.ingest();
    let mut text = format!("{} -> {}, if it were published now:\n", ingest.name, ingest.topic);
    for (verdict, row) in &preview.changed {
        let sign = if *verdict == Verdict::Insert { '+' } else { '~' };
        let (key, value) = (String::from_utf8_lossy(&row.key), String::from_utf8_lossy(&row.value));
        text.push_str(&format!("  {sign} {key}\t{value}\n"));
    }
    for key in &preview.deleted {
        text.push_str(&format!("  - {}\n", String::from_utf8_lossy(key)));
    }
    let shown = preview.changed.len() + preview.deleted.len();
    let more = preview.counts.changes().saturating_sub(shown as u64);
    if more > 0 {
        text.push_str(&format!("  and {more} more\n"));
    }
    text.push_str(&format!("{}\n", listed(&preview.counts)));
    if let Some(refused) = &preview.refused {
        text.push_str(&format!("note: {refused}; it would stop, unless `--allow-deletes` is given\n"));
    }
    text
}

fn describe(progress: Progress) -> String {
    match progress {
        Progress::Topic(done) => format!("reading the topic: {done} records"),
        Progress::Table(done) => format!("reading the table: {done} rows"),
        Progress::Publish(done, total) => format!("publishing: {done} of {total}"),
    }
}

fn listed(counts: &Counts) -> String {
    let Counts { inserts, updates, deletes, unchanged } = counts;
    format!("{inserts} new, {updates} changed, {deletes} deleted, {unchanged} as they were")
}

fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}

fn as_json(job: &SqlJob, counts: &Counts, took: Duration) -> Json {
    json!({
        "ingest": job.ingest().name.as_str(),
        "topic": job.ingest().topic.as_str(),
        "inserts": counts.inserts,
        "updates": counts.updates,
        "deletes": counts.deletes,
        "unchanged": counts.unchanged,
        "took_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    })
}
