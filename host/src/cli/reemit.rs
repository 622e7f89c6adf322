//! `gristmill reemit`: hands rows of a table to the plugin again.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};

use crate::app::inbox::{self, Inbox};
use crate::app::plugins::{self, Compiled};
use crate::cli::output;
use crate::config::document;
use crate::config::env;
use crate::config::manifest::SourceKind;
use crate::config::pipeline::Deployment;
use crate::fault::{Code, Fault};
use crate::task::order::Order;

/// Hands rows of a table to the plugin again, as they are now; what it sends for them goes out again.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("rows").required(true))]
#[command(
    after_help = "Talks to: the broker; the hosts do it, wherever they run, and show it in `gristmill jobs list`\n\
                        Example:  gristmill reemit shop.toml --transform delivery-time --source items --index by-class=bulky"
)]
pub(super) struct Options {
    /// The pipeline file.
    file: PathBuf,

    /// The transform; may be left out when there is only one.
    #[arg(long, value_name = "NAME")]
    transform: Option<String>,

    /// The source whose rows it is about; may be left out when there is only one table.
    #[arg(long, value_name = "NAME")]
    source: Option<String>,

    /// The row of this key. May be given several times.
    #[arg(long, value_name = "KEY", group = "rows")]
    key: Vec<String>,

    /// The rows whose keys are the lines of a file; `-` reads standard input.
    #[arg(long, value_name = "FILE", group = "rows")]
    keys: Option<PathBuf>,

    /// The rows that have a term in an index.
    #[arg(long, value_name = "INDEX=TERM", group = "rows")]
    index: Option<String>,

    /// All rows.
    #[arg(long, group = "rows")]
    all: bool,
}

pub(super) fn run(options: &Options) -> Result<(), Fault> {
    let prepared = plugins::prepare(&options.file, &env::process, Compiled::Forgotten)?;
    let deployment = inbox::transform(&prepared.pipeline, options.transform.as_deref())?;
    let source = table(deployment, options.source.as_deref())?;
    let all = order_for_all(options, deployment, &source)?;
    let mut inbox = Inbox::open(&prepared.pipeline, deployment)?;
    let rows = match &all {
        Some(order) => {
            inbox.give_all(order)?;
            None
        }
        None => Some(give_keys(options, &mut inbox, &Order::RepeatRow { source: source.clone() })?),
    };
    inbox.flush()?;
    let name = &deployment.name;
    output::print(&match rows {
        Some(rows) => format!("asked for {rows} rows of `{source}` to go through `{name}` again\n"),
        None => format!(
            "asked the {} tasks of `{name}` to hand rows of `{source}` out again; `gristmill jobs list` shows how far \
             they are\n",
            inbox.tasks()
        ),
    })
}

/// The order for every task, unless keys were given.
fn order_for_all(options: &Options, deployment: &Deployment, source: &str) -> Result<Option<Order>, Fault> {
    if let Some(text) = &options.index {
        let (index, term) = term(deployment, source, text)?;
        return Ok(Some(Order::RepeatTerm { source: source.to_owned(), index, term }));
    }
    Ok(options.all.then(|| Order::RepeatAll { source: source.to_owned() }))
}

fn give_keys(options: &Options, inbox: &mut Inbox, order: &Order) -> Result<u64, Fault> {
    let mut count = 0;
    for key in &options.key {
        inbox.give(key.as_bytes(), order)?;
        count += 1;
    }
    if let Some(path) = &options.keys {
        for line in lines(path)? {
            let key = line.map_err(|error| unreadable(path, error))?;
            if !key.is_empty() {
                inbox.give(key.as_bytes(), order)?;
                count += 1;
            }
        }
    }
    Ok(count)
}

fn lines(path: &Path) -> Result<Box<dyn Iterator<Item = io::Result<String>>>, Fault> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin().lock().lines()));
    }
    let file = File::open(path).map_err(|error| unreadable(path, error))?;
    Ok(Box::new(BufReader::new(file).lines()))
}

fn unreadable(path: &Path, error: io::Error) -> Fault {
    let message = format!("the keys in `{}` cannot be read", path.display());
    Fault::new(Code::FileUnreadable, message).because(error)
}

/// The table of that name; without a name the only one.
fn table(deployment: &Deployment, name: Option<&str>) -> Result<String, Fault> {
    let tables = deployment.partitioned_sources().filter(|source| source.kind == SourceKind::Table);
    let tables: Vec<_> = tables.map(|source| source.name.as_str()).collect();
    let transform = &deployment.name;
    match (name, tables.as_slice()) {
        (_, []) => {
            let message =
                format!("transform `{transform}` has no table: there are no rows to hand out again");
            Err(Fault::new(Code::CommandUnfit, message))
        }
        (Some(name), tables) if tables.contains(&name) => Ok(name.to_owned()),
        (Some(name), tables) => {
            let message = format!("`{name}` is no source of `{transform}` that is a table");
            Err(Fault::new(Code::CommandUnfit, message).hint(document::nearest(name, tables)))
        }
        (None, [only]) => Ok((*only).to_owned()),
        (None, tables) => {
            let message = format!("transform `{transform}` has several tables: say which one");
            let hint = format!("add `--source NAME`; there are {}", tables.join(", "));
            Err(Fault::new(Code::CommandUnfit, message).hint(hint))
        }
    }
}

/// An index of a table, and a term in it.
fn term(deployment: &Deployment, source: &str, text: &str) -> Result<(String, String), Fault> {
    let known: Vec<_> = deployment
        .indexes
        .iter()
        .filter(|index| index.on == source)
        .map(|index| index.name.as_str())
        .collect();
    let Some((index, term)) = text.split_once('=') else {
        let message = format!("`{text}` is no index with a term");
        return Err(Fault::new(Code::CommandUnfit, message).hint("write `--index NAME=TERM`"));
    };
    if known.contains(&index) {
        return Ok((index.to_owned(), term.to_owned()));
    }
    let message = format!("`{source}` has no index `{index}`");
    let fault = Fault::new(Code::CommandUnfit, message);
    Err(if known.is_empty() { fault } else { fault.hint(document::nearest(index, &known)) })
}
