//! `gristmill explain`: an error code, what it means, what to do.

use clap::Args;
use serde_json::json;

use crate::cli::output;
use crate::config::document;
use crate::fault::{Code, Fault, Retry, Scope};

/// Says what an error code means and what to do about it.
#[derive(Args, Debug)]
#[command(after_help = "Talks to: nothing\n\
                        Example:  gristmill explain not_co_partitioned")]
pub(super) struct Options {
    /// The code, as it stands in an error, in the log or in a dead letter's headers; all codes without it.
    code: Option<String>,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &Options) -> Result<(), Fault> {
    let codes = match &options.code {
        Some(text) => vec![find(text)?],
        None => Code::ALL.to_vec(),
    };
    if options.json {
        return output::print_json(&codes.into_iter().map(as_json).collect());
    }
    match codes.as_slice() {
        [code] => output::print(&whole(*code)),
        _ => output::print(&output::columns(&codes.iter().map(row).collect::<Vec<_>>())),
    }
}

fn find(text: &str) -> Result<Code, Fault> {
    Code::find(text).ok_or_else(|| {
        let known: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        let hint = match document::nearest(text, &known) {
            hint if hint.starts_with("did you mean") => hint,
            _ => "`gristmill explain` lists all codes".to_owned(),
        };
        Fault::new(Code::CommandUnfit, format!("there is no error code `{text}`")).hint(hint)
    })
}

fn row(code: &Code) -> [String; 2] {
    [code.to_string(), code.meaning().to_owned()]
}

fn whole(code: Code) -> String {
    let (scope, retry) = (scope(code.scope()), retry(code.retry()));
    format!(
        "{code}\n  {}\n\n  what to do: {}\n  who suffers: {scope}\n  trying again: {retry}\n",
        code.meaning(),
        code.remedy()
    )
}

fn scope(scope: Scope) -> &'static str {
    match scope {
        Scope::Record => "one record; it goes to the dead-letter topic, the others go on",
        Scope::Task => "one task; it starts again from what is committed, or stops",
        Scope::Worker => "one worker; it drops what is not committed and starts again",
        Scope::Host => "the process; it exits",
    }
}

fn retry(retry: Retry) -> &'static str {
    match retry {
        Retry::Never => "fails again until somebody changes something",
        Retry::Backoff => "may help; the host does it by itself, with growing pauses",
    }
}

fn as_json(code: Code) -> serde_json::Value {
    json!({
        "code": code.as_str(),
        "meaning": code.meaning(),
        "remedy": code.remedy(),
        "scope": match code.scope() {
            Scope::Record => "record",
            Scope::Task => "task",
            Scope::Worker => "worker",
            Scope::Host => "host",
        },
        "retry": match code.retry() {
            Retry::Never => "never",
            Retry::Backoff => "backoff",
        },
    })
}
