//! Orders of an operator: what lies in a transform's inbox, one record each.
//!
//! ```text
//! key      of a row, for `repeat-row`; none otherwise
//! value    JSON: {"order": "repeat-row", "source": "items"}
//! ```
//! They travel through Kafka because only the task that owns a partition can carry them out, wherever it runs, and because
//! they then share the fate of everything else: carried out once, in the transaction that moves the inbox on.

use serde::{Deserialize, Serialize};

/// Something that a task is told to do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Order {
    /// Hand the row of the record's key to the plugin again, as it is now. Nothing, when there is none.
    RepeatRow {
        /// The table.
        source: String,
    },
    /// Hand every row of a table to the plugin again.
    RepeatAll {
        /// The table.
        source: String,
    },
    /// Hand the rows that have a term in an index to the plugin again.
    RepeatTerm {
        /// The table.
        source: String,
        /// The index.
        index: String,
        /// The term.
        term: String,
    },
    /// End a job, whatever state it is in.
    CancelJob {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
    },
    /// Give a job that was given up another chance, from where it stood.
    RetryJob {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
    },
}

impl Order {
    /// The value of its record.
    pub fn write(&self) -> Vec<u8> {
        // Names and terms are text, so there is nothing that JSON cannot hold.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads the value of a record.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn read(value: Option<&[u8]>) -> Result<Self, String> {
        let value = value.ok_or("an order needs a value")?;
        serde_json::from_slice(value).map_err(|error| format!("it is no order that this host knows: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_wrote() {
        let (source, kind, name) = ("items".to_owned(), "follow".to_owned(), "bulky".to_owned());
        let orders = [
            Order::RepeatRow { source: source.clone() },
            Order::RepeatAll { source: source.clone() },
            Order::RepeatTerm { source, index: "by-class".into(), term: "\"\u{0}".into() },
            Order::CancelJob { kind: kind.clone(), name: name.clone() },
            Order::RetryJob { kind, name },
        ];

        for order in orders {
            assert_eq!(Order::read(Some(&order.write())).unwrap(), order);
        }
    }

    #[test]
    fn says_what_it_does_not_understand() {
        let problem = |text: &str| Order::read(Some(text.as_bytes())).unwrap_err();

        assert!(problem("nonsense").contains("no order that this host knows"));
        assert!(problem(r#"{"order":"dance"}"#).contains("dance"));
        assert!(problem(r#"{"order":"repeat-all","source":"a","sauce":"b"}"#).contains("sauce"));
        assert_eq!(Order::read(None).unwrap_err(), "an order needs a value");
    }
}
