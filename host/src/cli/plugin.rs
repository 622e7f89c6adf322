//! `gristmill plugin`: looks at plugins.

use clap::{Args, Subcommand};
use serde_json::json;

use std::path::Path;

use crate::app::plugins::{self, Loaded};
use crate::cli::output;
use crate::config::plugin_ref::PluginRef;
use crate::config::schema::Property;
use crate::config::show;
use crate::config::units::format_size;
use crate::fault::Fault;
use crate::plugin::Runtime;

/// Looks at plugins.
#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Inspect(Inspect),
}

/// Shows a plugin's manifest, its settings, and what it imports and exports.
#[derive(Args, Debug)]
#[command(after_help = "Talks to: nothing\n\
                        Example:  gristmill plugin inspect builtin:delivery-time")]
struct Inspect {
    /// The path of a `.wasm` file, or `builtin:NAME`.
    plugin: String,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &Options) -> Result<(), Fault> {
    match &options.command {
        Command::Inspect(options) => inspect(options),
    }
}

fn inspect(options: &Inspect) -> Result<(), Fault> {
    let plugin = plugins::load(&Runtime::new(None)?, &PluginRef::parse(&options.plugin, Path::new("")))?;
    if options.json {
        return output::print_json(&as_json(&plugin));
    }
    output::print(&text(&plugin))
}

fn text(plugin: &Loaded) -> String {
    let (manifest, inspection) = (&plugin.manifest, plugin.component.inspection());
    let mut text = format!("{} {}\n", manifest.name, manifest.version);
    if !manifest.description.is_empty() {
        text.push_str(&format!("  {}\n", manifest.description));
    }
    let memory = manifest.needs_memory_bytes.map_or("not said".to_owned(), format_size);
    let facts = [
        ("interface", manifest.interface.clone()),
        ("state version", manifest.state_version.to_string()),
        ("memory", memory),
        ("size", format!("{} bytes, compiled {}", inspection.size_bytes, inspection.compiled_bytes)),
        ("digest", inspection.digest.to_string()),
    ];
    text.push_str(&block("", facts.map(|(name, value)| [name.to_owned(), value]).to_vec()));
    let sources = manifest.sources.iter().map(|source| {
        let optional = if source.optional { ", optional" } else { "" };
        [source.name.clone(), format!("{}{optional}", source.kind.as_str()), source.description.clone()]
    });
    text.push_str(&block("sources", sources.collect()));
    let sinks = manifest.sinks.iter().map(|sink| [sink.name.clone(), sink.description.clone()]);
    text.push_str(&block("sinks", sinks.collect()));
    let stores = manifest.stores.iter().map(|store| [store.name.clone(), store.description.clone()]);
    text.push_str(&block("stores", stores.collect()));
    let indexes = manifest.indexes.iter().map(|index| [index.name.clone(), format!("on {}", index.on)]);
    text.push_str(&block("indexes", indexes.collect()));
    let jobs = manifest.jobs.iter().map(|job| [job.name.clone(), job.description.clone()]);
    text.push_str(&block("jobs", jobs.collect()));
    let endpoints = manifest.endpoints.iter().map(|e| [e.name.clone(), e.methods.join(", ")]);
    text.push_str(&block("endpoints", endpoints.collect()));
    text.push_str(&block("settings", manifest.config.iter().map(setting).collect()));
    text.push_str(&block("imports", inspection.imports.iter().map(|name| [name.clone()]).collect()));
    text.push_str(&block("exports", inspection.exports.iter().map(|name| [name.clone()]).collect()));
    text
}

/// A titled list; nothing when there is nothing in it.
fn block<const N: usize>(title: &str, rows: Vec<[String; N]>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let title = if title.is_empty() { String::new() } else { format!("{title}\n") };
    let lines = output::columns(&rows);
    let lines: Vec<_> = lines.lines().map(|line| format!("  {line}\n")).collect();
    format!("\n{title}{}", lines.concat())
}

fn setting(property: &Property) -> [String; 4] {
    let types = property.schema.type_names();
    let types = if types.is_empty() { "anything".to_owned() } else { types.join(" or ") };
    let default = match &property.default {
        Some(default) => format!("default {}", show::toml_value(&default.written)),
        None if property.optional => "optional".to_owned(),
        None => "required".to_owned(),
    };
    [property.name.clone(), types, default, property.description.clone()]
}

fn as_json(plugin: &Loaded) -> serde_json::Value {
    let (manifest, inspection) = (&plugin.manifest, plugin.component.inspection());
    let named = |name: &str, description: &str| json!({ "name": name, "description": description });
    let sources = manifest.sources.iter().map(|source| {
        json!({
            "name": source.name,
            "kind": source.kind.as_str(),
            "optional": source.optional,
            "description": source.description,
        })
    });
    let settings = manifest.config.iter().map(|property| {
        json!({
            "name": property.name,
            "types": property.schema.type_names(),
            "default": property.default.as_ref().map(|default| &default.written),
            "required": property.is_required(),
            "description": property.description,
        })
    });
    json!({
        "name": manifest.name,
        "version": manifest.version,
        "description": manifest.description,
        "interface": manifest.interface,
        "state_version": manifest.state_version,
        "needs_memory_bytes": manifest.needs_memory_bytes,
        "digest": inspection.digest.to_string(),
        "size_bytes": inspection.size_bytes,
        "sources": sources.collect::<Vec<_>>(),
        "sinks": manifest.sinks.iter().map(|sink| named(&sink.name, &sink.description)).collect::<Vec<_>>(),
        "stores": manifest.stores.iter().map(|store| named(&store.name, &store.description)).collect::<Vec<_>>(),
        "indexes": manifest.indexes.iter().map(|index| named(&index.name, &index.description)).collect::<Vec<_>>(),
        "jobs": manifest.jobs.iter().map(|job| named(&job.name, &job.description)).collect::<Vec<_>>(),
        "endpoints": manifest.endpoints.iter().map(|e| named(&e.name, &e.description)).collect::<Vec<_>>(),
        "settings": settings.collect::<Vec<_>>(),
        "imports": inspection.imports,
        "exports": inspection.exports,
    })
}
