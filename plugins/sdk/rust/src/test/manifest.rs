//! What the test driver needs of a manifest.

use serde_json::Map;
use serde_json::Value;
use toml::Table;

/// What is declared, and the defaults of the configuration.
#[derive(Clone, Debug)]
pub(super) struct Manifest {
    pub(super) sources: Vec<Declared>,
    pub(super) stores: Vec<String>,
    /// Names, and the tables and stores that they are on.
    pub(super) indexes: Vec<(String, String)>,
    pub(super) jobs: Vec<String>,
    /// Names, and the methods that they may be called with.
    pub(super) endpoints: Vec<(String, Vec<String>)>,
    defaults: Map<String, Value>,
}

/// A source.
#[derive(Clone, Debug)]
pub(super) struct Declared {
    pub(super) name: String,
    /// Whether the host keeps its rows: a table or a broadcast.
    pub(super) kept: bool,
    pub(super) broadcast: bool,
    /// Whether each record comes with the value before it.
    pub(super) previous: bool,
}

impl Manifest {
    pub(super) fn parse(toml: &str) -> Result<Self, String> {
        let manifest: Table = toml.parse().map_err(|error| format!("the manifest is not TOML: {error}"))?;
        let entries = |key: &str| manifest.get(key).and_then(toml::Value::as_array).into_iter().flatten();
        let sources = entries("source").map(declared).collect();
        let stores = entries("store").map(|store| text(store, "name")).collect();
        let indexes = entries("index").map(|index| (text(index, "name"), text(index, "on"))).collect();
        let jobs = entries("job").map(|job| text(job, "name")).collect();
        let endpoints =
            entries("endpoint").map(|endpoint| (text(endpoint, "name"), texts(endpoint, "methods")));
        let endpoints = endpoints.collect();
        let mut defaults = Map::new();
        for (name, property) in manifest.get("config").and_then(toml::Value::as_table).into_iter().flatten() {
            if let Some(default) = property.get("default") {
                let kind = property.get("type").and_then(toml::Value::as_str).unwrap_or_default();
                defaults.insert(name.clone(), guest_value(name, kind, default)?);
            }
        }
        Ok(Self { sources, stores, indexes, jobs, endpoints, defaults })
    }

    /// The configuration with the defaults filled in.
    pub(super) fn configure(&self, config: Value) -> Result<Value, String> {
        let Value::Object(set) = config else { return Err("the configuration is no JSON object".to_owned()) };
        let mut whole = self.defaults.clone();
        whole.extend(set);
        Ok(Value::Object(whole))
    }
}

fn text(entry: &toml::Value, key: &str) -> String {
    entry.get(key).and_then(toml::Value::as_str).unwrap_or_default().to_owned()
}

fn texts(entry: &toml::Value, key: &str) -> Vec<String> {
    let list = entry.get(key).and_then(toml::Value::as_array).into_iter().flatten();
    list.filter_map(toml::Value::as_str).map(str::to_owned).collect()
}

fn declared(source: &toml::Value) -> Declared {
    Declared {
        name: text(source, "name"),
        kept: matches!(text(source, "kind").as_str(), "table" | "broadcast"),
        broadcast: text(source, "kind") == "broadcast",
        previous: source.get("previous").and_then(toml::Value::as_bool).unwrap_or_default(),
    }
}

/// A default as the guest sees it: durations as milliseconds, sizes as bytes.
fn guest_value(name: &str, kind: &str, default: &toml::Value) -> Result<Value, String> {
    let units: &[(&str, u64)] = match kind {
        "duration" => &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)],
        "size" => &[("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1)],
        _ => {
            return serde_json::to_value(default)
                .map_err(|error| format!("the default of `{name}`: {error}"));
        }
    };
    let text = default.as_str().unwrap_or_default();
    let amount = units.iter().find_map(|(unit, factor)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(*factor)
    });
    amount.map(Value::from).ok_or_else(|| format!("the default of `{name}` is no {kind}: `{text}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_in_defaults_as_the_guest_sees_them() {
        let manifest = Manifest::parse(
            "[config.wait]\ntype = 'duration'\ndefault = '7d'\n[config.room]\ntype = 'size'\ndefault = '2KiB'\n\
             [config.name]\ntype = 'string'\ndefault = 'x'\n[config.needed]\ntype = 'string'",
        )
        .unwrap();

        let config = manifest.configure(serde_json::json!({ "name": "y" })).unwrap();

        assert_eq!(config, serde_json::json!({ "wait": 604_800_000, "room": 2048, "name": "y" }));
    }

    #[test]
    fn says_which_default_has_no_unit() {
        let error = Manifest::parse("[config.wait]\ntype = 'duration'\ndefault = '7'").unwrap_err();

        assert_eq!(error, "the default of `wait` is no duration: `7`");
    }
}
