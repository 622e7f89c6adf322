//! Which items are passed on.

use gristmill::json;
use gristmill::json::Kind;
use serde::Deserialize;
use serde_json::Value;

/// The setting `only_if`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OnlyIf {
    pointer: String,
    equals: Value,
}

/// Passes the items that have a value at a pointer.
pub(crate) struct Filter {
    pointer: String,
    wanted: Wanted,
}

enum Wanted {
    Text(String),
    /// `true` and `false` are written in one way only.
    Boolean(bool),
    Number(f64),
}

impl Filter {
    pub(crate) fn new(setting: OnlyIf) -> Result<Self, String> {
        let wanted = match setting.equals {
            Value::String(text) => Wanted::Text(text),
            Value::Bool(boolean) => Wanted::Boolean(boolean),
            Value::Number(number) => Wanted::Number(number.as_f64().unwrap_or(f64::NAN)),
            _ => return Err("`only_if.equals` must be a string, a number, true or false".to_owned()),
        };
        Ok(Self { pointer: setting.pointer, wanted })
    }

    pub(crate) fn pointer(&self) -> &str {
        &self.pointer
    }

    /// Whether an item passes that has this value at the pointer. Strings are compared as text, whatever
    /// their escapes, and numbers as floats: `1`, `1.0` and `1e0` are equal.
    pub(crate) fn passes(&self, value: Option<json::Value<'_>>) -> bool {
        let Some(value) = value else { return false };
        match &self.wanted {
            Wanted::Text(text) => value.string().is_some_and(|own| own == *text),
            Wanted::Boolean(boolean) => value.text() == if *boolean { "true" } else { "false" },
            Wanted::Number(number) => {
                value.kind() == Kind::Number && value.text().parse::<f64>().is_ok_and(|own| own == *number)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(equals: Value, document: &str) -> bool {
        let filter = Filter::new(OnlyIf { pointer: "/a".to_owned(), equals }).unwrap();
        filter.passes(json::field(document.as_bytes(), "/a").unwrap())
    }

    #[test]
    fn compares_strings_numbers_and_booleans() {
        assert!(passes("online".into(), r#"{"a":"\u006fnline"}"#));
        assert!(passes(true.into(), r#"{"a":true}"#));
        assert!(passes(1.into(), r#"{"a":1.0}"#));
        assert!(passes(1.5.into(), r#"{"a":15e-1}"#));
    }

    #[test]
    fn never_confuses_kinds() {
        assert!(!passes("true".into(), r#"{"a":true}"#));
        assert!(!passes(true.into(), r#"{"a":"true"}"#));
        assert!(!passes(1.into(), r#"{"a":"1"}"#));
        assert!(!passes(1.into(), r#"{"a":2}"#));
        assert!(!passes("x".into(), r#"{"a":null}"#));
        assert!(!passes("x".into(), r#"{"a":["x"]}"#));
    }

    #[test]
    fn stops_items_without_the_value() {
        assert!(!passes(true.into(), "{}"));
    }

    #[test]
    fn refuses_values_that_cannot_be_compared() {
        for equals in [Value::Null, serde_json::json!([1]), serde_json::json!({})] {
            assert!(Filter::new(OnlyIf { pointer: String::new(), equals }).is_err());
        }
    }
}
