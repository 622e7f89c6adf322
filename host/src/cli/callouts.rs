//! `gristmill callouts`: the HTTP requests that a transform makes, and what to do about those that have no answer.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use crate::api::shapes::{Callout, Callouts};
use crate::app::inbox::{self, Inbox};
use crate::app::plugins::{self, Compiled};
use crate::cli::output;
use crate::cli::running::Host;
use crate::config::env;
use crate::fault::{Code, Fault};
use crate::task::order::Order;

/// Callouts that have not ended, and those that somebody has to look at.
#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    List(ListOptions),
    Show(ShowOptions),
    Retry(RetryOptions),
    Done(DoneOptions),
}

/// Lists callouts: those that are in doubt or given up, then those that wait or are under way.
#[derive(Args, Debug)]
#[command(after_help = "Talks to: a running host of this machine\n\
                        Example:  gristmill callouts list shop.toml")]
struct ListOptions {
    /// The pipeline file that the host runs with. Without it, the host at --api is asked.
    file: Option<PathBuf>,

    /// Where the host's admin API listens; its log says so. Default: 127.0.0.1:9180
    #[arg(long, value_name = "ADDRESS", conflicts_with = "file")]
    api: Option<SocketAddr>,

    /// Callouts of each task and kind, 1000 at most.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Shows all that is known of a callout. What it carries is in its review record.
#[derive(Args, Debug)]
#[command(after_help = "Talks to: a running host of this machine\n\
                        Example:  gristmill callouts show shop.toml ID")]
struct ShowOptions {
    /// The pipeline file that the host runs with.
    file: PathBuf,

    /// Its id, as `callouts list` shows it.
    id: String,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Which callouts of which transform.
#[derive(Args, Debug)]
struct Which {
    /// The pipeline file.
    file: PathBuf,

    /// Their ids, as `callouts list` shows them.
    #[arg(required = true)]
    ids: Vec<String>,

    /// The transform; may be left out when only one makes callouts.
    #[arg(long, value_name = "NAME")]
    transform: Option<String>,
}

/// Makes callouts in doubt or given up again, each as a new call with a new id: one in doubt may be executed twice.
#[derive(Args, Debug)]
#[command(after_help = "Talks to: the broker; the hosts do it, wherever they run\n\
                        Example:  gristmill callouts retry shop.toml ID")]
struct RetryOptions {
    #[command(flatten)]
    which: Which,
}

/// Takes callouts off the list that need nobody's attention any more. Their review records stay.
#[derive(Args, Debug)]
#[command(after_help = "Talks to: the broker; the hosts do it, wherever they run\n\
                        Example:  gristmill callouts done shop.toml ID")]
struct DoneOptions {
    #[command(flatten)]
    which: Which,
}

pub(super) fn run(options: &Options) -> Result<(), Fault> {
    match &options.action {
        Action::List(options) => list(options),
        Action::Show(options) => show(options),
        Action::Retry(RetryOptions { which }) => give(which, |id| Order::RetryCallout { id }, RETRIED),
        Action::Done(DoneOptions { which }) => give(which, |id| Order::CloseCallout { id }, CLOSED),
    }
}

const RETRIED: &str = "to be made again, each as a new and deliberate call with a new id; if the first one was executed \
                       after all, the server executes it a second time";

const CLOSED: &str = "to be taken off the list; their review records stay";

fn give(which: &Which, order: impl Fn(String) -> Order, what: &str) -> Result<(), Fault> {
    let prepared = plugins::prepare(&which.file, &env::process, Compiled::Forgotten)?;
    let deployments = &prepared.pipeline.deployments;
    let mut calling = deployments.iter().filter(|deployment| !deployment.endpoints.is_empty());
    let only =
        calling.next().filter(|_| calling.next().is_none()).map(|deployment| deployment.name.to_string());
    let name = which.transform.clone().or(only);
    let deployment = inbox::transform(&prepared.pipeline, name.as_deref())?;
    if deployment.endpoints.is_empty() {
        let message = format!("transform `{}` makes no callouts", deployment.name);
        return Err(Fault::new(Code::CommandUnfit, message));
    }
    let mut inbox = Inbox::open(&prepared.pipeline, deployment)?;
    // Only the task that has it knows which it is; for the others there is nothing to do.
    which.ids.iter().try_for_each(|id| inbox.give_all(&order(id.clone())))?;
    inbox.flush()?;
    let ids: Vec<_> = which.ids.iter().map(|id| format!("`{id}`")).collect();
    let (count, transform) = (ids.len(), &deployment.name);
    output::print(&format!("asked `{transform}` for {count} of its callouts {what}:\n{}\n", ids.join("\n")))
}

fn list(options: &ListOptions) -> Result<(), Fault> {
    let host = Host::find(options.file.as_deref(), options.api)?;
    let page: Callouts = host.get(&format!("/api/v1/callouts?limit={}", options.limit))?;
    if options.json {
        return output::print_json(&json!(page));
    }
    output::print(&table(&page))
}

fn show(options: &ShowOptions) -> Result<(), Fault> {
    let host = Host::find(Some(&options.file), None)?;
    let id = utf8_percent_encode(&options.id, NON_ALPHANUMERIC);
    let page: Callouts = host.get(&format!("/api/v1/callouts?id={id}"))?;
    if page.callouts.is_empty() {
        let message = format!("no task of this host has a callout `{}`", options.id);
        let hint = "it has been answered, it was taken off the list, or another host has it";
        return Err(Fault::new(Code::CommandUnfit, message).hint(hint));
    }
    if options.json {
        return output::print_json(&json!(page.callouts));
    }
    output::print(&page.callouts.iter().map(whole).collect::<Vec<_>>().join("\n"))
}

/// A line for each callout.
fn table(page: &Callouts) -> String {
    if page.callouts.is_empty() {
        return "no callouts\n".to_owned();
    }
    let head = ["TASK", "STATE", "ENDPOINT", "REQUEST", "ATTEMPTS", "ID", "REASON"].map(str::to_owned);
    let row = |callout: &Callout| {
        let reason = callout.reason.as_ref().map(|reason| format!("{}: {}", reason.code, reason.message));
        [
            callout.task.clone(),
            callout.state.clone(),
            callout.endpoint.clone(),
            format!("{} {}", callout.method, callout.path),
            callout.attempts.to_string(),
            callout.id.clone(),
            reason.unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = std::iter::once(head).chain(page.callouts.iter().map(row)).collect();
    let mut text = output::columns(&rows);
    if page.more {
        text.push_str("there are more: raise `--limit`\n");
    }
    text
}

/// All that is known of one.
fn whole(callout: &Callout) -> String {
    let mut lines = vec![
        ("id", callout.id.clone()),
        ("task", callout.task.clone()),
        ("state", callout.state.clone()),
        ("endpoint", callout.endpoint.clone()),
        ("mode", callout.mode.clone()),
        ("request", format!("{} {}", callout.method, callout.path)),
        ("attempts", callout.attempts.to_string()),
        ("intended", format!("{} ms since 1970", callout.intended_ms)),
    ];
    if let Some(reason) = &callout.reason {
        lines.push(("reason", format!("{}: {}", reason.code, reason.message)));
        lines.extend(reason.last_status.map(|status| ("last status", status.to_string())));
    }
    lines.extend(callout.retry_of.iter().map(|id| ("retry of", id.clone())));
    lines.extend(callout.key.iter().map(|key| ("key", key.clone())));
    lines.into_iter().map(|(name, value)| format!("{name:<12}{value}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Callouts {
        serde_json::from_str(
            r#"{"app":"shop","instance":"a","more":true,"callouts":[{"task":"rest-lookup/1","transform":"rest-lookup",
            "id":"n/1@7","state":"in-doubt","endpoint":"details","mode":"at-most-once","method":"GET","path":"/products/X-1",
            "attempts":1,"intended_ms":5,"reason":{"code":"host-lost","message":"it ended","last_status":503},
            "key":"p-1","retry_of":null}]}"#,
        )
        .unwrap()
    }

    #[test]
    fn lists_a_callout_in_a_line_and_says_that_there_are_more() {
        let text = table(&page());

        let line = text.lines().nth(1).unwrap();
        assert!(
            line.starts_with("rest-lookup/1  in-doubt  details   GET /products/X-1  1         n/1@7"),
            "{text}"
        );
        assert!(line.ends_with("host-lost: it ended"), "{text}");
        assert!(text.ends_with("there are more: raise `--limit`\n"), "{text}");
        assert_eq!(table(&Callouts { callouts: Vec::new(), ..page() }), "no callouts\n");
    }

    #[test]
    fn shows_all_that_is_known_of_one() {
        let text = whole(&page().callouts[0]);

        for line in ["state       in-doubt\n", "last status 503\n", "key         p-1\n"] {
            assert!(text.contains(line), "{text}");
        }
    }
}
