//! Reads a manifest from its text.

use std::collections::BTreeSet;

use crate::config::document::{self, Entry, Item, Table};
use crate::config::manifest::{
    EndpointDecl, IndexDecl, JobDecl, Manifest, SinkDecl, SourceDecl, SourceKind, StoreDecl,
};
use crate::config::schema::Property;
use crate::fault::{Code, Fault};

/// The name of a manifest in messages: it travels inside the component, where it has no path.
const FILE: &str = "plugin.toml";

/// Indexes of a plugin: each is a call and a write for every row.
const INDEXES_MAX: usize = 16;

const SECTIONS: &[&str] =
    &["plugin", "source", "sink", "store", "index", "job", "endpoint", "needs", "config"];

/// Reads a manifest and checks that it does not contradict itself.
///
/// # Errors
/// `manifest_invalid`, caused by what is wrong in it.
pub fn parse(text: &str) -> Result<Manifest, Fault> {
    read(text).and_then(check).map_err(|fault| {
        let hint = fault.remedy().to_owned();
        Fault::new(Code::ManifestInvalid, "the plugin's manifest cannot be used").because(fault).hint(hint)
    })
}

fn read(text: &str) -> Result<Manifest, Fault> {
    let root = document::parse(FILE, text)?;
    let root = root.table(SECTIONS)?;
    let plugin =
        root.require("plugin")?.table(&["name", "version", "description", "interface", "state_version"])?;
    let state_version = plugin.get("state_version").map(|item| item.integer(1..=u32::MAX));
    Ok(Manifest {
        name: name(plugin.require("name")?)?,
        version: plugin.require("version")?.text()?.to_owned(),
        description: description(&plugin)?,
        interface: plugin.require("interface")?.text()?.to_owned(),
        state_version: state_version.unwrap_or(Ok(1))?,
        sources: each(&root, "source", source)?,
        sinks: each(&root, "sink", sink)?,
        stores: each(&root, "store", store)?,
        indexes: each(&root, "index", index)?,
        timers: false,
        jobs: each(&root, "job", job)?,
        endpoints: each(&root, "endpoint", endpoint)?,
        needs_memory_bytes: needs_memory(&root)?,
        config: config(&root)?,
    })
}

fn each<T>(root: &Table<'_>, key: &str, read: fn(&Item) -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
    root.elements(key)?.iter().map(read).collect()
}

/// A name that can stand in a pipeline file, in a metric and in a topic's name.
fn name(item: &Item) -> Result<String, Fault> {
    let text = item.text()?;
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(fits) && text.len() <= 64 {
        return Ok(text.to_owned());
    }
    let form = "lower-case letters, digits, `-` and `_`, at most 64, a letter first";
    Err(item.place().invalid(format_args!("is `{text}`, it must be {form}")))
}

fn description(table: &Table<'_>) -> Result<String, Fault> {
    table.get("description").map_or(Ok(""), Item::text).map(str::to_owned)
}

fn truth(table: &Table<'_>, key: &str) -> Result<bool, Fault> {
    table.get(key).map_or(Ok(false), Item::truth)
}

/// A word out of a choice.
fn choice<'a, T: Copy>(item: &Item, choices: &'a [(&'a str, T)]) -> Result<T, Fault> {
    let text = item.text()?;
    if let Some((_, value)) = choices.iter().find(|(name, _)| *name == text) {
        return Ok(*value);
    }
    let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
    let problem = format!("is `{text}`, it must be one of {}", document::quoted(&names));
    Err(item.place().invalid(problem).hint(document::nearest(text, &names)))
}

fn texts(table: &Table<'_>, key: &str) -> Result<Vec<String>, Fault> {
    table.elements(key)?.iter().map(|item| item.text().map(str::to_owned)).collect()
}

fn source(item: &Item) -> Result<SourceDecl, Fault> {
    let table = item.table(&["name", "kind", "optional", "previous", "description"])?;
    Ok(SourceDecl {
        name: name(table.require("name")?)?,
        kind: choice(table.require("kind")?, &SourceKind::NAMES)?,
        optional: truth(&table, "optional")?,
        previous: truth(&table, "previous")?,
        description: description(&table)?,
    })
}

fn sink(item: &Item) -> Result<SinkDecl, Fault> {
    let table = item.table(&["name", "description", "after"])?;
    Ok(SinkDecl {
        name: name(table.require("name")?)?,
        description: description(&table)?,
        after: texts(&table, "after")?,
    })
}

fn store(item: &Item) -> Result<StoreDecl, Fault> {
    let table = item.table(&["name", "key", "value", "description"])?;
    let format = |key: &str, known: &[&str]| {
        let choices: Vec<_> = known.iter().map(|name| (*name, *name)).collect();
        let chosen = table.get(key).map(|item| choice(item, &choices).map(str::to_owned));
        chosen.unwrap_or(Ok("bytes".to_owned()))
    };
    Ok(StoreDecl {
        name: name(table.require("name")?)?,
        key: format("key", &["text", "tuple", "bytes"])?,
        value: format("value", &["json", "text", "record", "bytes"])?,
        description: description(&table)?,
    })
}

fn index(item: &Item) -> Result<IndexDecl, Fault> {
    let table = item.table(&["name", "on", "version", "config", "description"])?;
    Ok(IndexDecl {
        name: name(table.require("name")?)?,
        on: table.require("on")?.text()?.to_owned(),
        version: table.get("version").map_or(Ok(1), |item| item.integer(1..=u32::MAX))?,
        config: texts(&table, "config")?,
        description: description(&table)?,
    })
}

fn job(item: &Item) -> Result<JobDecl, Fault> {
    let table = item.table(&["name", "description"])?;
    Ok(JobDecl { name: name(table.require("name")?)?, description: description(&table)? })
}

fn endpoint(item: &Item) -> Result<EndpointDecl, Fault> {
    let table = item.table(&["name", "methods", "description"])?;
    table.require("methods")?;
    Ok(EndpointDecl {
        name: name(table.require("name")?)?,
        methods: texts(&table, "methods")?,
        description: description(&table)?,
    })
}

fn needs_memory(root: &Table<'_>) -> Result<Option<u64>, Fault> {
    let Some(needs) = root.get("needs") else { return Ok(None) };
    let memory = needs.table(&["memory"])?.get("memory");
    memory.map(|item| item.size(1..=4 << 30)).transpose()
}

fn config(root: &Table<'_>) -> Result<Vec<Property>, Fault> {
    let Some(config) = root.get("config") else { return Ok(Vec::new()) };
    let property = |entry: &Entry| Property::parse(entry);
    config.open_table()?.entries().iter().map(property).collect()
}

/// Checks what one declaration says about another.
fn check(manifest: Manifest) -> Result<Manifest, Fault> {
    let invalid = |message: String| Err(Fault::new(Code::ManifestInvalid, message));
    if manifest.sources.iter().all(|source| source.kind == SourceKind::Broadcast) {
        return invalid(
            "it has no source of the kind `stream` or `table`, so it would have no tasks".to_owned(),
        );
    }
    // A table and a store are opened by name, in the same call.
    let tables = manifest.sources.iter().map(|source| &source.name);
    let groups = [
        (
            "sources and stores",
            tables.clone().chain(manifest.stores.iter().map(|s| &s.name)).collect::<Vec<_>>(),
        ),
        ("sinks", manifest.sinks.iter().map(|sink| &sink.name).collect()),
        ("indexes", manifest.indexes.iter().map(|index| &index.name).collect()),
        ("jobs", manifest.jobs.iter().map(|job| &job.name).collect()),
        ("endpoints", manifest.endpoints.iter().map(|endpoint| &endpoint.name).collect()),
    ];
    for (what, names) in groups {
        let mut seen = BTreeSet::new();
        if let Some(twice) = names.into_iter().find(|name| !seen.insert(name.as_str())) {
            return invalid(format!("two of its {what} have the name `{twice}`"));
        }
    }
    check_references(manifest)
}

fn check_references(manifest: Manifest) -> Result<Manifest, Fault> {
    let invalid = |message: String| Err(Fault::new(Code::ManifestInvalid, message));
    let kind = |name: &str| manifest.sources.iter().find(|source| source.name == name).map(|s| s.kind);
    for sink in &manifest.sinks {
        if let Some(name) = sink.after.iter().find(|name| kind(name) != Some(SourceKind::Broadcast)) {
            return invalid(format!(
                "the sink `{}` is after `{name}`, which is no broadcast source",
                sink.name
            ));
        }
    }
    if let Some(source) =
        manifest.sources.iter().find(|source| source.previous && source.kind == SourceKind::Stream)
    {
        return invalid(format!("`previous` on `{}`, which is a stream: it has no rows", source.name));
    }
    if manifest.indexes.len() > INDEXES_MAX {
        return invalid(format!("it has {} indexes, at most {INDEXES_MAX} are kept", manifest.indexes.len()));
    }
    for index in &manifest.indexes {
        let is_table = matches!(kind(&index.on), Some(SourceKind::Table | SourceKind::Broadcast));
        if !is_table && manifest.stores.iter().all(|store| store.name != index.on) {
            return invalid(format!(
                "the index `{}` is on `{}`, which is no table or store",
                index.name, index.on
            ));
        }
        let known = |key: &String| manifest.config.iter().any(|property| property.name == *key);
        if let Some(key) = index.config.iter().find(|key| !known(key)) {
            return invalid(format!("the index `{}` depends on `{key}`, which is no setting", index.name));
        }
    }
    Ok(manifest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"
        [plugin]
        name = "delivery-time"
        version = "0.1.0"
        description = "Adds the delivery times."
        interface = "0.1"
        state_version = 2
        [[source]]
        name = "items"
        kind = "table"
        previous = true
        [[source]]
        name = "classes"
        kind = "broadcast"
        [[source]]
        name = "updates"
        kind = "stream"
        optional = true
        [[sink]]
        name = "enriched"
        after = ["classes"]
        [[store]]
        name = "pending"
        key = "tuple"
        value = "json"
        [[index]]
        name = "by-class"
        on = "items"
        config = ["class_pointer"]
        [[job]]
        name = "follow-class"
        [[endpoint]]
        name = "details"
        methods = ["GET"]
        [needs]
        memory = "16MiB"
        [config.class_pointer]
        type = "string"
        default = "/deliveryClass"
    "#;

    const SMALL: &str = "[plugin]\nname = 'p'\nversion = '1'\ninterface = '0.1'\n\
                         [[source]]\nname = 's'\nkind = 'stream'\n";

    const TABLE: &str = "[[source]]\nname = 't'\nkind = 'table'\n";

    fn many_indexes(count: usize) -> String {
        (0..count).map(|number| format!("[[index]]\nname = 'i{number}'\non = 't'\n")).collect()
    }

    fn refusal(text: &str) -> String {
        let fault = parse(text).unwrap_err();
        assert_eq!(fault.code(), Code::ManifestInvalid);
        fault.report()
    }

    #[test]
    fn reads_everything_that_a_manifest_can_declare() {
        let manifest = parse(WHOLE).unwrap();

        assert_eq!((manifest.name.as_str(), manifest.state_version), ("delivery-time", 2));
        let kinds: Vec<_> = manifest.sources.iter().map(|source| source.kind.as_str()).collect();
        assert_eq!(kinds, ["table", "broadcast", "stream"]);
        assert!(manifest.sources[2].optional);
        assert_eq!(manifest.sinks[0].after, ["classes"]);
        assert_eq!(manifest.stores[0].key, "tuple");
        assert_eq!(manifest.indexes[0].version, 1);
        assert_eq!(manifest.endpoints[0].methods, ["GET"]);
        assert_eq!(manifest.needs_memory_bytes, Some(16 << 20));
        assert_eq!(manifest.config[0].default.as_ref().unwrap().value, "/deliveryClass");
    }

    #[test]
    fn takes_as_many_indexes_as_are_kept() {
        assert!(parse(&format!("{SMALL}{TABLE}{}", many_indexes(INDEXES_MAX))).is_ok());
    }

    #[test]
    fn reports_what_is_wrong_with_its_line() {
        let text = refusal("[plugin]\nnam = 'p'\n");

        assert_eq!(
            text,
            "error: the plugin's manifest cannot be used\n  caused by: unknown key `plugin.nam` (plugin.toml:2)\n\
             hint: did you mean `name`?\ncode: manifest_invalid"
        );
    }

    #[test]
    fn refuses_manifests_that_contradict_themselves() {
        for (text, part) in [
            ("[plugin]\nname = 'p'\nversion = '1'\ninterface = '0.1'\n".to_owned(), "no source of the kind"),
            (format!("{SMALL}[[source]]\nname = 's'\nkind = 'table'\n"), "two of its sources and stores"),
            (format!("{SMALL}[[store]]\nname = 's'\n"), "two of its sources and stores"),
            (format!("{SMALL}[[sink]]\nname = 'o'\nafter = ['s']\n"), "no broadcast source"),
            (format!("{SMALL}[[index]]\nname = 'i'\non = 's'\n"), "no table or store"),
            (format!("{SMALL}[[index]]\nname = 'i'\non = 'nowhere'\n"), "no table or store"),
            (format!("{SMALL}{TABLE}{}", many_indexes(INDEXES_MAX + 1)), "it has 17 indexes"),
            (format!("{SMALL}{TABLE}{0}{0}", many_indexes(1)), "two of its indexes have the name `i0`"),
            (format!("{SMALL}[[index]]\nname = 'i'\non = 's'\ncounted = true\n"), "unknown key"),
            (format!("{SMALL}previous = true\n"), "`previous` on `s`, which is a stream"),
            (format!("{SMALL}[[store]]\nname = '{}'\n", "n".repeat(65)), "at most 64"),
            (format!("{SMALL}{TABLE}[[store]]\nname = 't'\n"), "two of its sources and stores"),
            (
                format!("{SMALL}[[store]]\nname = 't'\n[[index]]\nname = 'i'\non = 't'\nconfig = ['x']"),
                "no setting",
            ),
            (SMALL.replace("'p'", "'P!'"), "lower-case letters"),
            (SMALL.replace("'stream'", "'steam'"), "did you mean `stream`?"),
            (SMALL.replace("kind = 'stream'", ""), "missing key `source[0].kind`"),
            ("not toml".to_owned(), "is not valid TOML"),
        ] {
            let report = refusal(&text);
            assert!(report.contains(part), "{part}: {report}");
        }
    }
}
