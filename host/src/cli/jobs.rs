//! `gristmill jobs`: the background jobs of a transform.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::api::shapes::{Job, Jobs};
use crate::app::inbox::{self, Inbox};
use crate::app::plugins::{self, Compiled};
use crate::cli::output;
use crate::cli::running::Host;
use crate::cli::status::known;
use crate::config::env;
use crate::event;
use crate::fault::Fault;
use crate::task::order::Order;

/// Background jobs: their progress, and orders about them.
#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    List(ListOptions),
    Cancel(CancelOptions),
    Retry(RetryOptions),
}

/// Lists the jobs that are not done.
#[derive(Args, Debug)]
#[command(after_help = "Talks to: a running host of this machine\n\
                        Example:  gristmill jobs list shop.toml")]
struct ListOptions {
    /// The pipeline file that the host runs with. Without it, the host at --api is asked.
    file: Option<PathBuf>,

    /// Where the host's admin API listens; its log says so. Default: 127.0.0.1:9180
    #[arg(long, value_name = "ADDRESS", conflicts_with = "file")]
    api: Option<SocketAddr>,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A job of a pipeline, in all tasks that have it.
#[derive(Args, Debug)]
struct Which {
    /// The pipeline file.
    file: PathBuf,

    /// The kind of job, as `jobs list` shows it.
    kind: String,

    /// Its name, as `jobs list` shows it.
    name: String,

    /// The transform; may be left out when there is only one.
    #[arg(long, value_name = "NAME")]
    transform: Option<String>,
}

/// Ends a job in all tasks, whatever state it is in. What it has sent stays sent.
#[derive(Args, Debug)]
#[command(after_help = "Talks to: the broker; the hosts do it, wherever they run\n\
                        Example:  gristmill jobs cancel shop.toml follow-class bulky")]
struct CancelOptions {
    #[command(flatten)]
    which: Which,
}

/// Gives a job that has failed another chance, in all tasks, from where it stood.
#[derive(Args, Debug)]
#[command(after_help = "Talks to: the broker; the hosts do it, wherever they run\n\
                        Example:  gristmill jobs retry shop.toml follow-class bulky")]
struct RetryOptions {
    #[command(flatten)]
    which: Which,
}

pub(super) fn run(options: &Options) -> Result<(), Fault> {
    match &options.action {
        Action::List(options) => list(options),
        Action::Cancel(CancelOptions { which }) => {
            give(which, "cancel", |kind, name| Order::CancelJob { kind, name })
        }
        Action::Retry(RetryOptions { which }) => {
            give(which, "retry", |kind, name| Order::RetryJob { kind, name })
        }
    }
}

/// Tells every task to do something with a job.
fn give(which: &Which, verb: &str, order: impl Fn(String, String) -> Order) -> Result<(), Fault> {
    let prepared = plugins::prepare(&which.file, &env::process, Compiled::Forgotten)?;
    let deployment = inbox::transform(&prepared.pipeline, which.transform.as_deref())?;
    let mut inbox = Inbox::open(&prepared.pipeline, deployment)?;
    inbox.give_all(&order(which.kind.clone(), which.name.clone()))?;
    inbox.flush()?;
    let (tasks, transform) = (inbox.tasks(), &deployment.name);
    output::print(&format!(
        "asked the {tasks} tasks of `{transform}` to {verb} job `{} {}`; `gristmill jobs list` shows what is left\n",
        which.kind, which.name
    ))
}

fn list(options: &ListOptions) -> Result<(), Fault> {
    let host = Host::find(options.file.as_deref(), options.api)?;
    let Jobs { jobs, .. } = host.get("/api/v1/jobs")?;
    if options.json {
        return output::print_json(&json!(jobs));
    }
    match jobs.is_empty() {
        true => output::print("no jobs\n"),
        false => output::print(&table(&jobs)),
    }
}

/// The jobs with their progress, a line each, and below it why one failed.
pub(super) fn table(jobs: &[Job]) -> String {
    let head = ["TASK", "JOB", "STATE", "PROGRESS", "VISITED", "EMITTED", "RATE", "LEFT"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(head).chain(jobs.iter().map(row)).collect();
    let mut text = output::columns(&rows);
    for (job, fault) in jobs.iter().filter_map(|job| Some((job, job.fault.as_ref()?))) {
        text.push_str(&format!(
            "{} {} {}: {}: {}\n",
            job.task, job.kind, job.name, fault.code, fault.message
        ));
    }
    text
}

fn row(job: &Job) -> [String; 8] {
    [
        job.task.clone(),
        format!("{} {}", job.kind, job.name),
        job.state.clone(),
        job.progress.map(event::bar).unwrap_or_default(),
        format!("{}/{}", job.visited, known(job.total)),
        job.emitted.to_string(),
        format!("{:.1}/s", job.per_second),
        job.left_ms.map(|left| time(Duration::from_millis(left))).unwrap_or_default(),
    ]
}

/// A time as a person says it: two units at most.
fn time(left: Duration) -> String {
    let seconds = left.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m {seconds}s"),
        (hours, minutes, _) => format!("{hours}h {minutes}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_times_in_two_units() {
        let times = [5, 65, 3_700, 90_000].map(|seconds| time(Duration::from_secs(seconds)));

        assert_eq!(times, ["5s", "1m 5s", "1h 1m", "25h 0m"]);
    }

    #[test]
    fn says_below_the_table_why_a_job_failed() {
        let job: Job = serde_json::from_str(
            r#"{"task":"t/0","transform":"t","kind":"k","name":"n","generation":1,"state":"failed",
            "fault":{"code":"trap","message":"it trapped"},"visited":1,"emitted":0,"total":null,"progress":null,
            "per_second":0,"left_ms":null}"#,
        )
        .unwrap();

        let table = table(&[job]);

        assert!(table.ends_with("\nt/0 k n: trap: it trapped\n"), "{table}");
    }
}
