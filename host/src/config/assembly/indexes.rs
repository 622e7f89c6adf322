//! The indexes of a deployment, with a digest of the settings that each depends on.

use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use crate::config::manifest::{IndexDecl, Manifest};
use crate::config::pipeline::{BoundIndex, BoundSource};
use crate::id::Digest;

/// The indexes that are kept: those on stores, and on tables whose source is bound. `config` is what the plugin gets.
pub(super) fn bind(manifest: &Manifest, sources: &[Option<BoundSource>], config: &Json) -> Vec<BoundIndex> {
    let is_kept = |index: &&IndexDecl| {
        manifest.stores.iter().any(|store| store.name == index.on)
            || sources.iter().flatten().any(|source| source.name == index.on)
    };
    let bind = |index: &IndexDecl| BoundIndex {
        name: index.name.clone(),
        on: index.on.clone(),
        version: index.version,
        config_digest: digest(&index.config, config),
    };
    manifest.indexes.iter().filter(is_kept).map(bind).collect()
}

/// A digest of some settings. A setting that has no value is left out.
fn digest(keys: &[String], config: &Json) -> Digest {
    let chosen = keys.iter().filter_map(|key| Some((key.clone(), config.get(key)?.clone())));
    let mut text = String::new();
    write(&Json::Object(chosen.collect()), &mut text);
    Digest(Sha256::digest(text).into())
}

/// Writes JSON so that the same value is the same text: the members of an object in the order of their names.
fn write(json: &Json, text: &mut String) {
    match json {
        Json::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            text.push('{');
            for (name, value) in members {
                text.push_str(&Json::from(name.as_str()).to_string());
                text.push(':');
                write(value, text);
                text.push(',');
            }
            text.push('}');
        }
        Json::Array(elements) => {
            text.push('[');
            for element in elements {
                write(element, text);
                text.push(',');
            }
            text.push(']');
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => text.push_str(&json.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(keys: &[&str], config: &Json) -> Digest {
        digest(&keys.iter().map(ToString::to_string).collect::<Vec<_>>(), config)
    }

    #[test]
    fn changes_with_the_settings_that_it_is_of_and_with_no_others() {
        let before = json!({"a": 1, "b": {"x": 1, "y": [2, "3"]}, "c": 5});

        let digest = |config: &Json| of(&["a", "b"], config);
        assert_eq!(digest(&before), digest(&json!({"a": 1, "b": {"x": 1, "y": [2, "3"]}, "c": 6})));
        assert_ne!(digest(&before), digest(&json!({"a": 2, "b": {"x": 1, "y": [2, "3"]}, "c": 5})));
        assert_ne!(digest(&before), digest(&json!({"a": 1, "b": {"x": 1, "y": [2, 3]}, "c": 5})));
        assert_ne!(digest(&before), digest(&json!({"a": 1})));
    }

    #[test]
    fn does_not_depend_on_the_order_in_which_settings_are_written() {
        let (one, other) = (json!({"a": 1, "b": {"x": 1, "y": 2}}), json!({"b": {"y": 2, "x": 1}, "a": 1}));

        assert_eq!(of(&["a", "b"], &one), of(&["b", "a"], &other));
    }

    #[test]
    fn tells_values_apart_that_look_alike_side_by_side() {
        assert_ne!(of(&["a"], &json!({"a": ["b", "c"]})), of(&["a"], &json!({"a": ["b,c"]})));
        assert_ne!(of(&["a"], &json!({"a": {"b": 1}})), of(&["a"], &json!({"a": ["b", 1]})));
    }
}
