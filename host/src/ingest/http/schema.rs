//! The JSON Schema of an ingest's values: read once, and never anything from the network.

use std::path::Path;

use serde_json::Value;

use super::refusal::Refusal;
use crate::fault::{Code, Fault};

/// A longer message tells nobody more.
const MESSAGE_BYTES_MAX: usize = 300;

/// A schema that values are held against.
pub(super) struct Schema {
    validator: jsonschema::Validator,
    document: Value,
}

impl Schema {
    /// Reads and compiles the schema of an ingest.
    ///
    /// # Errors
    /// `file_unreadable`, `schema_invalid`.
    pub(super) fn read(ingest: &str, path: &Path) -> Result<Self, Fault> {
        let fault = |code, problem: &str| {
            Fault::new(code, format!("the schema of ingest `{ingest}`, `{}`, {problem}", path.display()))
        };
        let text = std::fs::read(path)
            .map_err(|error| fault(Code::FileUnreadable, "cannot be read").because(error))?;
        let document = serde_json::from_slice(&text)
            .map_err(|error| fault(Code::SchemaInvalid, "is no JSON").because(error))?;
        let options = jsonschema::options().offline().should_validate_formats(true);
        let validator = options.build(&document).map_err(|error| {
            fault(Code::SchemaInvalid, "is no JSON Schema that can be used").because(error.to_string())
        })?;
        Ok(Self { validator, document })
    }

    /// Holds a value against it.
    ///
    /// # Errors
    /// `body_invalid`, which names the place in the value and the rule, and shows nothing of the value.
    pub(super) fn check(&self, value: &Value) -> Result<(), Refusal> {
        let Err(error) = self.validator.validate(value) else { return Ok(()) };
        let place = error.instance_path().to_string();
        let mut message = format!("at `{place}`: {}", error.masked());
        if message.len() > MESSAGE_BYTES_MAX {
            let end = (0..=MESSAGE_BYTES_MAX).rev().find(|end| message.is_char_boundary(*end));
            message.truncate(end.unwrap_or_default());
            message.push_str("...");
        }
        Err(Refusal::new(Code::BodyInvalid, message))
    }

    /// The schema itself.
    pub(super) fn document(&self) -> &Value {
        &self.document
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema(text: &str) -> Result<Schema, Fault> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("class.json");
        std::fs::write(&path, text).unwrap();
        Schema::read("classes", &path)
    }

    #[test]
    fn names_the_place_and_the_rule_and_shows_nothing_of_the_value() {
        let schema = schema(r#"{"properties": {"times": {"items": {"type": "integer"}}}}"#).unwrap();

        let refusal = schema.check(&json!({ "times": [1, "s3cret"] })).unwrap_err();

        assert_eq!((refusal.code(), refusal.status()), (Code::BodyInvalid, 422));
        assert_eq!(refusal.message(), "at `/times/1`: value is not of type \"integer\"");
        assert_eq!(schema.check(&json!({ "times": [1, 2] })), Ok(()));
    }

    #[test]
    fn holds_values_against_formats_too() {
        let schema = schema(r#"{"format": "date"}"#).unwrap();

        assert_eq!(schema.check(&json!("2026-11-26")), Ok(()));
        assert!(schema.check(&json!("tomorrow")).is_err());
    }

    #[test]
    fn refuses_what_is_no_schema_before_the_first_request() {
        for text in ["", "{", r#"{"type": "text"}"#, r#"{"pattern": "("}"#, r##"{"$ref": "#/nowhere"}"##] {
            let fault = schema(text).map(|_| ()).unwrap_err();
            assert_eq!(fault.code(), Code::SchemaInvalid, "{text}");
        }
        let fault = Schema::read("classes", Path::new("/nowhere.json")).map(|_| ()).unwrap_err();
        assert_eq!(fault.code(), Code::FileUnreadable);
    }

    #[test]
    fn fetches_no_schema_from_elsewhere() {
        for place in ["http://127.0.0.1:9/a.json", "https://example.com/a.json", "file:///etc/a.json"] {
            let fault = schema(&format!(r#"{{"$ref": "{place}"}}"#)).map(|_| ()).unwrap_err();
            assert_eq!(fault.code(), Code::SchemaInvalid, "{place}");
        }
    }

    #[test]
    fn cuts_long_messages_at_a_character() {
        let name = "ä".repeat(400);
        let schema = schema(&json!({ "required": [name] }).to_string()).unwrap();

        let refusal = schema.check(&json!({})).unwrap_err();

        assert!(
            refusal.message().len() < 310 && refusal.message().ends_with("ä..."),
            "{}",
            refusal.message()
        );
    }
}
