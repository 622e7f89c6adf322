//! Writes the constants for what a manifest declares.

use std::collections::BTreeSet;

use toml::Table;
use toml::Value;

/// The Rust code for a manifest. `file` is its absolute path.
pub(crate) fn generate(manifest: &str, file: &str) -> Result<String, String> {
    let manifest: Table = manifest.parse().map_err(|error: toml::de::Error| error.message().to_owned())?;
    let sources = entries(&manifest, "source")?;
    let sinks = entries(&manifest, "sink")?;

    let mut code = format!(
        "/// The manifest: what this plugin reads, writes and can be told.\n\
         pub const MANIFEST: &str = ::core::include_str!({file:?});\n"
    );
    let positions = |entries: &[Entry], kind: &str| -> Vec<String> {
        let constant = |(position, entry): (usize, &Entry)| {
            format!(
                "pub const {}: ::gristmill::{kind} = ::gristmill::{kind}::new({position});",
                entry.constant
            )
        };
        entries.iter().enumerate().map(constant).collect()
    };
    module(&mut code, "sources", "The sources of the manifest.", &positions(&sources, "Source"), &sources);
    module(&mut code, "sinks", "The sinks of the manifest.", &positions(&sinks, "Sink"), &sinks);
    let tables: Vec<Entry> = sources.into_iter().filter(|source| source.kind != "stream").collect();
    let constants: Vec<String> = tables
        .iter()
        .map(|table| {
            format!(
                "pub const {}: ::gristmill::Table = ::gristmill::Table::new({:?});",
                table.constant, table.name
            )
        })
        .collect();
    module(&mut code, "tables", "The tables that the host keeps from sources.", &constants, &tables);
    Ok(code)
}

/// A named entry of an array of tables.
struct Entry {
    name: String,
    constant: String,
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
        let kind = text("kind");
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

/// `items-enriched` as `ITEMS_ENRICHED`.
fn constant(name: &str) -> Option<String> {
    let letters = |character: char| {
        character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-' || character == '_'
    };
    let valid = name.starts_with(|first: char| first.is_ascii_lowercase()) && name.chars().all(letters);
    valid.then(|| name.replace('-', "_").to_ascii_uppercase())
}

fn module(code: &mut String, name: &str, doc: &str, constants: &[String], entries: &[Entry]) {
    let lines: Vec<String> = constants
        .iter()
        .zip(entries)
        .map(|(constant, entry)| format!("    /// `{}`.\n    {constant}\n", entry.name))
        .collect();
    code.push_str(&format!("/// {doc}\npub mod {name} {{\n{}}}\n", lines.concat()));
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
    fn says_what_is_wrong_with_a_manifest() {
        for (manifest, message) in [
            ("source = 1", "must be an array of tables: write `[[source]]`"),
            ("[[source]]\nname = \"A b\"", "source number 1 needs a name"),
            ("[[source]]\nname = \"a\"", "source `a` needs a kind"),
            ("[[sink]]\nname = \"a-b\"\n[[sink]]\nname = \"a_b\"", "sink `a_b` is declared twice"),
            ("[[sink", ""),
        ] {
            let error = generate(manifest, "").unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }
}
