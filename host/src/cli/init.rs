//! `gristmill init`: writes a commented pipeline file from a plugin's manifest.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::app::plugins;
use crate::cli::output;
use crate::config::api_address;
use crate::config::endpoint::CalloutBounds;
use crate::config::manifest::{EndpointDecl, Manifest};
use crate::config::pipeline::{App, BatchBounds, CommitBounds, JobBounds, KeyPlacement, Limits, StateBounds};
use crate::config::plugin_ref::PluginRef;
use crate::config::raw::{EndpointLimits, GUARANTEE};
use crate::config::show::{quoted, toml_value};
use crate::config::units::{format_duration, format_size};
use crate::fault::{Code, Fault};
use crate::io::CalloutMode;
use crate::plugin::Runtime;

/// Writes a commented pipeline file for a plugin.
#[derive(Args, Debug)]
#[command(after_help = "Talks to: nothing\n\
                        Example:  gristmill init --plugin builtin:delivery-time shop.toml")]
pub(super) struct Options {
    /// Where to write it; `-` is standard output. A file that exists is left alone.
    #[arg(default_value = "pipeline.toml")]
    file: PathBuf,

    /// The path of a `.wasm` file, or `builtin:NAME`.
    #[arg(long, value_name = "PLUGIN")]
    plugin: String,

    /// The id of the application: everything that the host makes in Kafka starts with it.
    #[arg(long, value_name = "ID", default_value = "my-app")]
    app: String,
}

pub(super) fn run(options: &Options) -> Result<(), Fault> {
    let plugin = plugins::load(&Runtime::new(None)?, &PluginRef::parse(&options.plugin, Path::new("")))?;
    let reference = reference(options)?;
    let text = pipeline_file(&options.app, &reference, &plugin.manifest);
    if options.file == Path::new("-") {
        return output::print(&text);
    }
    write_new(&options.file, &text)?;
    let file = options.file.display();
    eprintln!("wrote `{file}`; edit its topics, then run `gristmill check {file}`");
    Ok(())
}

/// The plugin as the file says it: a path starts at the file's directory, which may not be this one.
fn reference(options: &Options) -> Result<String, Fault> {
    let is_beside = options.file.parent().is_none_or(|parent| parent.as_os_str().is_empty());
    match PluginRef::parse(&options.plugin, Path::new("")) {
        PluginRef::File(path) if !is_beside => match path.canonicalize() {
            Ok(path) => Ok(path.display().to_string()),
            Err(error) => {
                Err(Fault::new(Code::FileUnreadable, format!("`{}` has no path", path.display()))
                    .because(error))
            }
        },
        PluginRef::Builtin(_) | PluginRef::File(_) | PluginRef::Oci(_) => Ok(options.plugin.clone()),
    }
}

fn write_new(path: &Path, text: &str) -> Result<(), Fault> {
    let written = File::create_new(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        let fault = Fault::new(Code::CommandUnfit, format!("`{}` cannot be written", path.display()));
        let hint = match error.kind() {
            io::ErrorKind::AlreadyExists => "name another file; this one is left alone",
            _ => "check the path and its permissions",
        };
        fault.because(error).hint(hint)
    })
}

/// Columns at which the comments of keys begin.
const COMMENT_COLUMN: usize = 36;

/// Lines of a pipeline file.
struct Lines(String);

impl Lines {
    fn text(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    /// A key that is set.
    fn set(&mut self, key: &str, value: &str, comment: &str) {
        let line = format!("{key} = {value}");
        let line = if comment.is_empty() {
            line
        } else {
            format!("{line:<COMMENT_COLUMN$}  # {}", one_line(comment))
        };
        self.text(line.trim_end());
    }

    /// A key that has this value when it is not set.
    fn default(&mut self, key: &str, value: &str, comment: &str) {
        self.set(&format!("# {key}"), value, comment);
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn pipeline_file(app: &str, plugin: &str, manifest: &Manifest) -> String {
    let mut lines = Lines(String::new());
    lines.text("# A pipeline of Gristmill. A line that begins with `# ` and a key shows the key's default.");
    lines.text(
        "# Durations are written like \"500ms\", sizes like \"64MiB\". Paths start at this file's directory.",
    );
    lines.text("");
    lines.text("[app]");
    lines.set("id", &quoted(app), "everything that the host makes in Kafka starts with it");
    lines.default("state_dir", &quoted(App::STATE_DIR), "where local state lives");
    lines.default("instance", "\"${HOSTNAME}\"", "default: made once, kept in the state directory");
    lines.default(
        "api",
        &quoted(&api_address::format(Some(api_address::DEFAULT))),
        "the read-only admin API, on loopback; or \"off\"",
    );
    lines.text("");
    lines.text("[kafka]");
    lines.set("brokers", "\"localhost:9092\"", "several are separated by commas");
    lines.default("client.\"security.protocol\"", "\"ssl\"", "options of librdkafka");
    lines.text("");
    transform(&mut lines, plugin, manifest);
    lines.0
}

fn transform(lines: &mut Lines, plugin: &str, manifest: &Manifest) {
    let (name, commit, batch) = (&manifest.name, CommitBounds::default(), BatchBounds::default());
    lines.text(
        format!("# {} {}. {}", manifest.name, manifest.version, one_line(&manifest.description)).trim_end(),
    );
    lines.text(&format!("[transforms.{name}]"));
    lines.set("plugin", &quoted(plugin), "");
    for source in &manifest.sources {
        let (key, topic) = (format!("sources.{}", source.name), quoted(&source.name));
        let comment = format!("{}: {}", source.kind.as_str(), source.description);
        let comment = comment.trim_end_matches(": ");
        match source.optional {
            true => lines.default(&key, &topic, &format!("optional, {comment}")),
            false => lines.set(&key, &topic, comment),
        }
    }
    for sink in &manifest.sinks {
        lines.set(&format!("sinks.{}", sink.name), &quoted(&sink.name), &sink.description);
    }
    lines.default("dead_letter.topic", "\"<app>.<transform>.dead-letters\"", "where rejected records go");
    lines.default("workers", "1", "threads of this process, each with tasks of its own");
    lines.default("guarantee", &quoted(GUARANTEE), "");
    lines.default(
        "commit_interval",
        &quoted(&format_duration(commit.interval)),
        "a transaction ends after this time,",
    );
    lines.default("commit_records", &commit.records.to_string(), "or after so many source records,");
    lines.default("commit_bytes", &quoted(&format_size(commit.bytes as u64)), "or after so much output,");
    lines.default(
        "commit_state_bytes",
        &quoted(&format_size(StateBounds::default().transaction_bytes)),
        "or after so much state",
    );
    lines.default("eager", &commit.eager.to_string(), "commit at once when nothing is left to do");
    lines.default(
        "batch_records",
        &batch.records.to_string(),
        "a call of the plugin gets so many records at most,",
    );
    lines.default("batch_bytes", &quoted(&format_size(batch.bytes as u64)), "or so many bytes");
    lines.default(
        "key_placement",
        &quoted(KeyPlacement::default().as_str()),
        "whether keys of joined sources must lie where Java clients put them, or \"ignore\"",
    );
    settings(lines, manifest);
    limits(lines, name);
    jobs(lines, name);
    callouts(lines, manifest);
}

fn settings(lines: &mut Lines, manifest: &Manifest) {
    if manifest.config.is_empty() {
        return;
    }
    lines.text("");
    lines.text(&format!("[transforms.{}.config]", manifest.name));
    for property in &manifest.config {
        match &property.default {
            Some(default) => {
                lines.default(&property.name, &toml_value(&default.written), &property.description)
            }
            None => {
                let need = if property.optional { "optional" } else { "required" };
                lines.default(&property.name, "...", &format!("{need}: {}", property.description));
            }
        }
    }
}

fn limits(lines: &mut Lines, name: &str) {
    let limits = Limits::default();
    lines.text("");
    lines.text(&format!("[transforms.{name}.limits]"));
    lines.default("memory", &quoted(&format_size(limits.memory_bytes)), "of one instance; each task has one");
    lines.default("call", &quoted(&format_duration(limits.call)), "CPU time of one call");
    lines.default("output_bytes", &quoted(&format_size(limits.output_bytes)), "output of one call");
    lines.default("output_records", &limits.output_records.to_string(), "");
    lines.default(
        "state_bytes",
        &quoted(&format_size(StateBounds::default().call_bytes)),
        "state that one call writes",
    );
    lines.default(
        "log_bytes",
        &quoted(&format_size(limits.log_bytes)),
        "log text of one call; the rest is dropped",
    );
    lines.default(
        "traps_per_minute",
        &limits.traps_per_minute.to_string(),
        "more of them stop the transform",
    );
}

fn jobs(lines: &mut Lines, name: &str) {
    let bounds = JobBounds::default();
    lines.text("");
    lines.text(&format!("[transforms.{name}.jobs]"));
    lines.default("step", &bounds.step_outputs.to_string(), "outputs of one step; records wait for its end");
    lines.default("share", &bounds.share.to_string(), "of the time, while records wait");
    lines.default("rate", "10000", "outputs a second of all jobs of a task; default: no limit");
}

/// A base URL has no default; the one here stands for a server beside the host.
fn callouts(lines: &mut Lines, manifest: &Manifest) {
    let name = &manifest.name;
    if manifest.endpoints.is_empty() {
        return;
    }
    lines.text("");
    let pending = CalloutBounds::default().pending.to_string();
    lines.text(&format!("[transforms.{name}.callouts]"));
    lines.default("pending", &pending, "with so many, a task takes no more records");
    lines.text("");
    lines.text(&format!("[transforms.{name}.review]"));
    lines.default("topic", "\"<app>.<transform>.callouts-review\"", "callouts given up or in doubt");
    manifest.endpoints.iter().for_each(|declared| endpoint(lines, name, declared));
}

fn endpoint(lines: &mut Lines, name: &str, declared: &EndpointDecl) {
    let mode = CalloutMode::AtMostOnce;
    let limits = EndpointLimits::of(mode);
    let give_up = limits.give_up_after.map(format_duration).unwrap_or_default();
    lines.text("");
    lines.text(&format!("[transforms.{name}.endpoints.{}]", declared.name));
    let methods = format!("{}: {}", declared.methods.join(", "), declared.description);
    lines.set("base_url", "\"http://localhost:8080\"", methods.trim_end_matches(": "));
    lines.default("mode", &quoted(mode.as_str()), "or \"idempotent\": repeated, with a key, until answered");
    lines.default("timeout", &quoted(&format_duration(limits.timeout)), "of a request and its answer");
    lines.default("connect_timeout", &quoted(&format_duration(limits.connect_timeout)), "");
    lines.default(
        "concurrency",
        &limits.concurrency.to_string(),
        "requests at the same time, of this process",
    );
    lines.default("rate", "100", "requests a second, of this process; default: no limit");
    lines.default(
        "response_bytes",
        &quoted(&format_size(limits.response_bytes)),
        "the largest body of an answer",
    );
    lines.default("give_up_after", &quoted(&give_up), "when idempotent: never");
    lines.default(
        "remember",
        &quoted(&format_duration(limits.remember)),
        "so long an id is not called again",
    );
    let credentials = "{ header = \"Authorization\", from_env = \"TOKEN\" }";
    lines.default("credentials", credentials, "or `from_file`; default: none");
    lines.default("ca_file", "\"ca.pem\"", "default: what the system trusts");
    lines.default("proxy", "\"http://proxy:3128\"", "default: none");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{assembly, manifest, raw};
    use crate::id::Digest;

    const MANIFEST: &str = "[plugin]\nname = 'p'\nversion = '1'\ninterface = '0.1'\ndescription = 'Does it.'\n\
        [[source]]\nname = 'in'\nkind = 'stream'\n[[source]]\nname = 'more'\nkind = 'table'\noptional = true\n\
        [[sink]]\nname = 'out'\n[[endpoint]]\nname = 'details'\nmethods = ['GET']\n[config.wait]\ntype = 'duration'\ndefault = '7d'\n";

    fn assemble(text: &str) -> Result<crate::config::pipeline::Pipeline, Fault> {
        let raw = raw::parse(Path::new("shop.toml"), text, &|_| Some("host".to_owned()))?;
        assembly::assemble(&raw, &mut |_| Ok((manifest::parse(MANIFEST)?, Digest([0; 32]))))
    }

    #[test]
    fn writes_a_file_that_can_be_run_as_it_is() {
        let text = pipeline_file("shop", "builtin:p", &manifest::parse(MANIFEST).unwrap());

        let pipeline = assemble(&text).unwrap();

        assert_eq!(pipeline.deployments[0].sources.iter().flatten().count(), 1);
    }

    #[test]
    fn shows_defaults_that_are_the_defaults() {
        let text = pipeline_file("shop", "builtin:p", &manifest::parse(MANIFEST).unwrap());
        // Every commented key, set to what the comment says. Those that stand for something else are left out.
        let placeholder = |line: &str| {
            ["instance", "client.", "dead_letter", "sources.more", "rate", "topic", "cred", "ca_", "proxy"]
                .iter()
                .any(|k| line[2..].starts_with(k))
        };
        let is_key = |line: &str| line.starts_with("# ") && line.contains(" = ") && !placeholder(line);
        let set: Vec<_> = text.lines().map(|line| if is_key(line) { &line[2..] } else { line }).collect();

        let (set, unset) = (assemble(&set.join("\n")).unwrap(), assemble(&text).unwrap());

        assert_eq!(set, unset);
    }
}
