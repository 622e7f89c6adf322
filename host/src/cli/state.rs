//! `gristmill state`: rows of a task's stores, as a running host holds them.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use crate::api::shapes::{Rows, Tasks, Text};
use crate::cli::output;
use crate::cli::running::Host;
use crate::fault::{Code, Fault};

/// Looks into the stores and tables of a running host.
#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    Get(GetOptions),
    Scan(ScanOptions),
}

/// Which host, and which of its stores.
#[derive(Args, Debug)]
struct Which {
    /// A task such as delivery-time/3, or a transform for all its tasks on this host.
    task: String,

    /// A store of the plugin, or a table by the name of its source.
    store: String,

    /// The pipeline file that the host runs with. Without it, the host at --api is asked.
    #[arg(long)]
    file: Option<PathBuf>,

    /// Where the host's admin API listens; its log says so. Default: 127.0.0.1:9180
    #[arg(long, value_name = "ADDRESS", conflicts_with = "file")]
    api: Option<SocketAddr>,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Shows the row of a key.
#[derive(Args, Debug)]
#[command(after_help = "Talks to: a running host of this machine\n\
                        Example:  gristmill state get delivery-time/3 items SKU-1 --file shop.toml")]
struct GetOptions {
    #[command(flatten)]
    which: Which,

    /// The key.
    key: String,
}

/// Lists rows in the order of their keys.
#[derive(Args, Debug)]
#[command(after_help = "Talks to: a running host of this machine\n\
                        Example:  gristmill state scan delivery-time items --prefix SKU- --file shop.toml")]
struct ScanOptions {
    #[command(flatten)]
    which: Which,

    /// Only keys that begin with this.
    #[arg(long, default_value = "", hide_default_value = true)]
    prefix: String,

    /// Only keys behind this one.
    #[arg(long)]
    after: Option<String>,

    /// Rows of each task, 1000 at most.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
}

pub(super) fn run(options: &Options) -> Result<(), Fault> {
    let (which, query) = match &options.action {
        Action::Get(options) => (&options.which, format!("key={}", encoded(&options.key))),
        Action::Scan(options) => {
            let after = options.after.iter().map(|after| format!("&after={}", encoded(after)));
            let (prefix, limit) = (encoded(&options.prefix), options.limit);
            (&options.which, format!("prefix={prefix}&limit={limit}{}", after.collect::<String>()))
        }
    };
    let host = Host::find(which.file.as_deref(), which.api)?;
    let pages = tasks(&host, &which.task)?.into_iter().map(|(transform, partition)| {
        let (transform, store) = (encoded(&transform), encoded(&which.store));
        host.get::<Rows>(&format!("/api/v1/state/{transform}/{partition}/{store}?{query}"))
    });
    let pages: Vec<_> = pages.collect::<Result<_, _>>()?;
    if which.json {
        return output::print_json(&json!(pages));
    }
    output::print(&pages.iter().map(text).collect::<String>())
}

/// The tasks that are meant: one, or all of a transform that are on this host.
fn tasks(host: &Host, name: &str) -> Result<Vec<(String, String)>, Fault> {
    if let Some((transform, partition)) = name.split_once('/') {
        return Ok(vec![(transform.to_owned(), partition.to_owned())]);
    }
    let Tasks { tasks, .. } = host.get("/api/v1/tasks")?;
    let found: Vec<_> = tasks
        .into_iter()
        .filter(|task| task.transform == name)
        .map(|task| (task.transform, task.partition.to_string()))
        .collect();
    if found.is_empty() {
        return Err(Fault::new(Code::TaskNotHere, format!("no task of `{name}` is open on this host")));
    }
    Ok(found)
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// A line for each row, and one that says that there are more.
fn text(page: &Rows) -> String {
    let row = |row: &crate::api::shapes::Row| format!("{}\t{}\n", shown(&row.key), shown(&row.value));
    let mut text: String = page.rows.iter().map(row).collect();
    if let Some(next) = &page.next {
        text.push_str(&format!("# {} has more rows, behind {}\n", page.task, shown(next)));
    }
    text
}

fn shown(text: &Text) -> String {
    match text {
        Text::Text(text) => text.clone(),
        Text::Hex { hex } => format!("0x{hex}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_a_line_for_each_row_and_says_that_there_are_more() {
        let page: Rows = serde_json::from_str(
            r#"{"task":"t/0","store":"items","rows":[{"key":"SKU-1","value":"{}"},{"key":{"hex":"00ff"},"value":"x"}],
            "next":{"hex":"00ff"}}"#,
        )
        .unwrap();

        assert_eq!(text(&page), "SKU-1\t{}\n0x00ff\tx\n# t/0 has more rows, behind 0x00ff\n");
    }

    #[test]
    fn encodes_what_a_path_cannot_hold() {
        assert_eq!(encoded("a/b c&d"), "a%2Fb%20c%26d");
    }
}
