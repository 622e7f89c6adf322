//! Writes the constants for what a manifest declares.

use std::collections::BTreeSet;

use toml::Table;
use toml::Value;

/// The Rust code for a manifest. `file` is its absolute path.
pub(crate) fn generate(manifest: &str, file: &str) -> Result<String, String> {
    let manifest: Table = manifest.parse().map_err(|error: toml::de::Error| error.message().to_owned())?;
    let sources = entries(&manifest, "source")?;
    let sinks = entries(&manifest, "sink")?;
    let stores = entries(&manifest, "store")?;
    let indexes = entries(&manifest, "index")?;
    let jobs = entries(&manifest, "job")?;
    let endpoints = entries(&manifest, "endpoint")?;

    let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
    let (has_indexes, has_jobs, has_endpoints) =
        (!indexes.is_empty(), !jobs.is_empty(), !endpoints.is_empty());
    let mut code = format!(
        "/// The manifest: what this plugin reads, writes and can be told.\n\
         pub const MANIFEST: &str = ::core::include_str!({file:?});\n\
         #[doc(hidden)]\n\
         pub const DECLARED: ::gristmill::Declared = ::gristmill::Declared {{ \
         sources: &{names:?}, indexes: {has_indexes}, jobs: {has_jobs}, endpoints: {has_endpoints} }};\n"
    );
    let tables: Vec<Entry> = sources.iter().filter(|source| source.kind != "stream").cloned().collect();
    module(&mut code, "sources", "The sources of the manifest.", &sources, |position, _| {
        format!("Source = ::gristmill::Source::new({position})")
    });
    module(&mut code, "sinks", "The sinks of the manifest.", &sinks, |position, _| {
        format!("Sink = ::gristmill::Sink::new({position})")
    });
    module(&mut code, "tables", "The tables that the host keeps from sources.", &tables, |_, table| {
        format!("Table = ::gristmill::Table::new({:?})", table.name)
    });
    module(&mut code, "stores", "The stores of the manifest.", &stores, |_, store| {
        format!("Store<{}> = ::gristmill::Store::new({:?})", store.kind, store.name)
    });
    module(&mut code, "indexes", "The indexes of the manifest.", &indexes, |_, index| {
        format!("IndexName<'static> = ::gristmill::IndexName::new({:?})", index.name)
    });
    module(&mut code, "jobs", "The kinds of job of the manifest.", &jobs, |_, job| {
        format!("JobKind<'static> = ::gristmill::JobKind::new({:?})", job.name)
    });
    module(&mut code, "endpoints", "The endpoints of the manifest.", &endpoints, |_, endpoint| {
        format!("Endpoint<'static> = ::gristmill::Endpoint::new({:?})", endpoint.name)
    });
    Ok(code)
}

/// A named entry of an array of tables.
#[derive(Clone)]
struct Entry {
    name: String,
    constant: String,
    /// The kind of a source; the Rust types of a store's keys and values.
    kind: String,
}

fn entries(manifest: &Table, key: &str) -> Result<Vec<Entry>, String> {
    let list = match manifest.get(key) {
        None => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(format!("`{key}` must be an array of tables: write `[[{key}]]`")),
    };
    let mut seen = BTreeSet::new();
    let mut entries = Vec::new();
    for (position, entry) in list.iter().enumerate() {
        let text = |field: &str| entry.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let name = text("name");
        let constant = constant(&name).ok_or_else(|| {
            format!("{key} number {} needs a name of lower-case letters, digits and hyphens", position + 1)
        })?;
        let kind = if key == "store" { types(&name, &text("key"), &text("value"))? } else { text("kind") };
        if key == "source" && !["stream", "table", "broadcast"].contains(&kind.as_str()) {
            return Err(format!("source `{name}` needs a kind: stream, table or broadcast"));
        }
        if !seen.insert(constant.clone()) {
            return Err(format!("{key} `{name}` is declared twice"));
        }
        entries.push(Entry { name, constant, kind });
    }
    Ok(entries)
}

/// The Rust types of a store's keys and values.
fn types(store: &str, key: &str, value: &str) -> Result<String, String> {
    let key = match key {
        "text" => "str",
        "bytes" | "" => "[u8]",
        "tuple" => "::gristmill::Packed",
        _ => return Err(format!("store `{store}` needs a key: text, tuple or bytes")),
    };
    let value = match value {
        "text" => "str",
        "bytes" | "" => "[u8]",
        "json" => "::gristmill::Json<::gristmill::json::Any>",
        "record" => "::gristmill::Kept",
        _ => return Err(format!("store `{store}` needs a value: json, text, record or bytes")),
    };
    Ok(format!("{key}, {value}"))
}

/// `items-enriched` as `ITEMS_ENRICHED`.
fn constant(name: &str) -> Option<String> {
    let letters = |character: char| {
        character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-' || character == '_'
    };
    let valid = name.starts_with(|first: char| first.is_ascii_lowercase()) && name.chars().all(letters);
    valid.then(|| name.replace('-', "_").to_ascii_uppercase())
}

/// A module with a constant for each entry; `constant` writes its type and value, without the crate's name.
fn module(
    code: &mut String,
    name: &str,
    doc: &str,
    entries: &[Entry],
    constant: impl Fn(usize, &Entry) -> String,
) {
    let line = |(position, entry): (usize, &Entry)| {
        let value = constant(position, entry);
        format!("    /// `{}`.\n    pub const {}: ::gristmill::{value};\n", entry.name, entry.constant)
    };
    let lines: String = entries.iter().enumerate().map(line).collect();
    code.push_str(&format!("/// {doc}\npub mod {name} {{\n{lines}}}\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"
        [plugin]
        name = "some"
        [[source]]
        name = "orders"
        kind = "stream"
        [[source]]
        name = "shop-items"
        kind = "table"
        [[sink]]
        name = "out"
        [[store]]
        name = "pending"
        key = "tuple"
        value = "json"
        [[store]]
        name = "seen"
        [[store]]
        name = "kept"
        key = "text"
        value = "record"
        [[index]]
        name = "by-class"
        on = "shop-items"
        [[endpoint]]
        name = "price-list"
        methods = ["GET"]
    "#;

    #[test]
    fn numbers_sources_and_sinks_as_the_manifest_lists_them() {
        let code = generate(MANIFEST, "/x/plugin.toml").unwrap();

        assert!(
            code.contains("pub const ORDERS: ::gristmill::Source = ::gristmill::Source::new(0);"),
            "{code}"
        );
        assert!(code.contains("pub const SHOP_ITEMS: ::gristmill::Source = ::gristmill::Source::new(1);"));
        assert!(code.contains("pub const OUT: ::gristmill::Sink = ::gristmill::Sink::new(0);"));
        assert!(code.contains("include_str!(\"/x/plugin.toml\")"));
    }

    #[test]
    fn makes_tables_of_tables_and_broadcasts_only() {
        let code = generate(MANIFEST, "").unwrap();

        let tables = code.split("pub mod tables").nth(1).unwrap();
        assert!(tables.contains("SHOP_ITEMS: ::gristmill::Table = ::gristmill::Table::new(\"shop-items\")"));
        assert!(!tables.contains("ORDERS"));
    }

    #[test]
    fn gives_stores_types_that_fit_their_formats() {
        let code = generate(MANIFEST, "").unwrap();

        assert!(code.contains(
            "PENDING: ::gristmill::Store<::gristmill::Packed, ::gristmill::Json<::gristmill::json::Any>> = \
             ::gristmill::Store::new(\"pending\")"
        ));
        assert!(code.contains("SEEN: ::gristmill::Store<[u8], [u8]> = ::gristmill::Store::new(\"seen\")"));
        assert!(code.contains("KEPT: ::gristmill::Store<str, ::gristmill::Kept> ="));
    }

    #[test]
    fn tells_which_handlers_are_needed() {
        let code = generate(MANIFEST, "").unwrap();

        assert!(code.contains("BY_CLASS: ::gristmill::IndexName<'static>"));
        assert!(code.contains(
            "PRICE_LIST: ::gristmill::Endpoint<'static> = ::gristmill::Endpoint::new(\"price-list\")"
        ));
        let declared = "sources: &[\"orders\", \"shop-items\"], indexes: true, jobs: false, endpoints: true";
        assert!(code.contains(declared), "{code}");
    }

    #[test]
    fn says_what_is_wrong_with_a_manifest() {
        for (manifest, message) in [
            ("source = 1", "must be an array of tables: write `[[source]]`"),
            ("[[source]]\nname = \"A b\"", "source number 1 needs a name"),
            ("[[source]]\nname = \"a\"", "source `a` needs a kind"),
            ("[[sink]]\nname = \"a-b\"\n[[sink]]\nname = \"a_b\"", "sink `a_b` is declared twice"),
            ("[[store]]\nname = \"a\"\nkey = \"json\"", "store `a` needs a key"),
            ("[[store]]\nname = \"a\"\nvalue = \"yaml\"", "store `a` needs a value"),
            ("[[endpoint]]\nname = \"A b\"", "endpoint number 1 needs a name"),
            ("[[sink", ""),
        ] {
            let error = generate(manifest, "").unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }
}
