//! `gristmill ingest dynamodb`: carries a DynamoDB table over into a topic.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use serde_json::json;

use crate::app::carry_over;
use crate::cli::output;
use crate::clock::Clock;
use crate::config::document;
use crate::config::env;
use crate::config::ingest::{DynamodbIngest, Ingest, IngestKind};
use crate::config::raw;
use crate::fault::{Code, Fault};
use crate::ingest::dynamodb::carry::{Moment, Outcome, Report};

/// Carries a DynamoDB table over into a topic, once: goes on where it was interrupted, and verifies the topic in the end.
#[derive(Args, Debug)]
#[command(after_help = "Talks to: the broker, and DynamoDB; credentials as for Amazon's own tools\n\
                        Example:  gristmill ingest dynamodb shop.toml --name old-classes")]
pub(super) struct Options {
    /// The pipeline file.
    file: PathBuf,

    /// The ingest; may be left out when only one is of this kind.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Print JSON in the end.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &Options) -> Result<(), Fault> {
    let raw = raw::read(&options.file, &env::process)?;
    let (ingest, table) = find(&raw.ingests, options.name.as_deref())?;
    let mut shown = Shown::new();
    let report = carry_over::run(&raw.kafka, ingest, table, &mut |moment| shown.show(moment));
    shown.end();
    let report = report?;
    if options.json {
        return output::print_json(&as_json(ingest, table, &report));
    }
    output::print(&summary(ingest, table, &report))
}

/// The ingest of that name; without a name the only one.
fn find<'a>(ingests: &'a [Ingest], name: Option<&str>) -> Result<(&'a Ingest, &'a DynamodbIngest), Fault> {
    let tables: Vec<_> = ingests
        .iter()
        .filter_map(|ingest| match &ingest.kind {
            IngestKind::Dynamodb(table) => Some((ingest, &**table)),
            IngestKind::Sql(_) | IngestKind::Http(_) => None,
        })
        .collect();
    let names: Vec<_> = tables.iter().map(|(ingest, _)| ingest.name.as_str()).collect();
    let unfit = |message: &str| Fault::new(Code::CommandUnfit, message);
    match (name, tables.as_slice()) {
        (_, []) => {
            let hint = "add an `[ingest.NAME]` with `kind = \"dynamodb\"`";
            Err(unfit("the pipeline file has no ingest of a DynamoDB table").hint(hint))
        }
        (None, [only]) => Ok(*only),
        (None, _) => {
            let hint = format!("add `--name NAME`; there are {}", names.join(", "));
            Err(unfit("the pipeline file has several ingests of DynamoDB tables: say which one").hint(hint))
        }
        (Some(name), tables) => {
            let found = tables.iter().find(|(ingest, _)| ingest.name.as_str() == name);
            found.copied().ok_or_else(|| {
                unfit(&format!("`{name}` is no ingest of a DynamoDB table"))
                    .hint(document::nearest(name, &names))
            })
        }
    }
}

fn summary(ingest: &Ingest, table: &DynamodbIngest, report: &Report) -> String {
    let (progress, topic, table) = (&report.progress, &ingest.topic, &table.table);
    let items = progress.items;
    let mut text = match report.outcome {
        Outcome::DoneBefore => {
            format!("table `{table}` had been carried over into topic `{topic}` before: nothing to do\n")
        }
        Outcome::Done => format!(
            "carried table `{table}` over into topic `{topic}`: {items} items, {} bytes, {} pages\n",
            progress.bytes, progress.pages
        ),
    };
    if report.outcome == Outcome::Done && report.resumed > 0 {
        text.push_str(&format!("{} of the items had been carried over before\n", report.resumed));
    }
    text.push_str(&format!("verified: {items} keys, digest {}\n", progress.digest));
    if report.outcome == Outcome::Done && progress.read_units > 0.0 {
        text.push_str(&format!("it cost {} read capacity units\n", progress.read_units));
    }
    for name in progress.absent.iter().filter(|_| items > 0) {
        text.push_str(&format!(
            "attention: no item has an attribute `{name}`; its member is null everywhere\n"
        ));
    }
    text
}

fn as_json(ingest: &Ingest, table: &DynamodbIngest, report: &Report) -> serde_json::Value {
    let progress = &report.progress;
    json!({
        "ingest": ingest.name.as_str(),
        "table": table.table,
        "topic": ingest.topic.as_str(),
        "outcome": match report.outcome {
            Outcome::Done => "done",
            Outcome::DoneBefore => "done_before",
        },
        "verified": true,
        "items": progress.items,
        "resumed": report.resumed,
        "bytes": progress.bytes,
        "pages": progress.pages,
        "read_units": progress.read_units,
        "digest": progress.digest.to_string(),
        "absent": progress.absent,
    })
}

/// How often a line tells how far it is, where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(2);

/// What is shown meanwhile: a bar on a terminal, else lines.
struct Shown {
    bar: Option<ProgressBar>,
    clock: Clock,
    /// When the last line was written.
    told: Option<Duration>,
    expected: u64,
}

impl Shown {
    fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let template = "[{bar:30.cyan}] {percent:>3} %  {pos}/{len} items  {wide_msg}";
            let style = ProgressStyle::with_template(template).unwrap_or(ProgressStyle::default_bar());
            ProgressBar::new(0).with_style(style.progress_chars("#>-"))
        });
        Self { bar, clock: Clock::system(), told: None, expected: 0 }
    }

    fn show(&mut self, moment: &Moment) {
        if let Moment::Begun { expected, .. } = moment {
            self.expected = *expected;
        }
        let words = words(moment, self.expected);
        let Some(bar) = &self.bar else {
            let now = self.clock.elapsed();
            let is_due = self.told.is_none_or(|told| now.saturating_sub(told) >= LINE_INTERVAL);
            if is_due || matches!(moment, Moment::Begun { .. }) {
                eprintln!("{words}");
                self.told = Some(now);
            }
            return;
        };
        match moment {
            Moment::Begun { items, expected } => {
                bar.set_length(*expected);
                bar.set_position(*items);
            }
            Moment::Page { items, bytes } => {
                // The table knows only about how many items it has.
                bar.set_length(self.expected.max(*items));
                bar.set_position(*items);
                bar.set_message(HumanBytes(*bytes).to_string());
            }
            Moment::Waiting { .. } | Moment::Verifying(_) => bar.set_message(words),
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn words(moment: &Moment, expected: u64) -> String {
    match moment {
        Moment::Begun { items: 0, expected } => format!("the table has about {expected} items"),
        Moment::Begun { items, expected } => {
            format!("going on behind {items} items; the table has about {expected}")
        }
        Moment::Page { items, bytes } => {
            format!("{items} of about {} items, {bytes} bytes", expected.max(*items))
        }
        Moment::Waiting { pause, reason } => format!("waiting {} ms: {reason}", pause.as_millis()),
        Moment::Verifying(read) => format!("verifying: {read} records of the topic read"),
    }
}
