//! Orders of an operator: what lies in a transform's inbox, one record each.
//!
//! ```text
//! key      of a row, for `repeat-row`; none otherwise
//! value    JSON: {"order": "repeat-row", "source": "items"}
//! ```
//! They travel through Kafka because only the task that owns a partition can carry them out, wherever it runs, and because
//! they then share the fate of everything else: carried out once, in the transaction that moves the inbox on.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use crate::io::{Ended, Reason};

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
    /// Make a callout again that was given up or is in doubt, as a new one with a new id. Nothing, when there is none.
    RetryCallout {
        /// Its id.
        id: String,
    },
    /// Nobody has to look any more at a callout that was given up or is in doubt.
    CloseCallout {
        /// Its id.
        id: String,
    },
    /// What became of a call, from a host that has lost its task meanwhile.
    CalloutAnswer {
        /// The id of the callout.
        id: String,
        /// How many requests were made for it.
        attempts: u32,
        /// What became of it.
        end: CalloutEnd,
    },
}

/// What became of a call, as it is written in an order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum CalloutEnd {
    /// The endpoint answered.
    Answered {
        /// The HTTP status.
        status: u16,
        /// Names and values.
        headers: Vec<(String, String)>,
        /// The body, in base 64.
        body: String,
    },
    /// Certainly not executed, and given up.
    GaveUp {
        /// Stable, kebab-case.
        code: String,
        /// For a person.
        message: String,
        /// The last HTTP status, if there was an answer.
        status: Option<u16>,
    },
    /// It is not known whether it was executed.
    InDoubt {
        /// Stable, kebab-case.
        code: String,
        /// For a person.
        message: String,
        /// The last HTTP status, if there was an answer.
        status: Option<u16>,
    },
    /// Certainly not sent: it may be sent by whoever owns the task.
    NotSent,
}

impl From<&Ended> for CalloutEnd {
    fn from(ended: &Ended) -> Self {
        let parts = |reason: &Reason| (reason.code.clone(), reason.message.clone(), reason.last_status);
        match ended {
            Ended::Answered { status, headers, body } => {
                Self::Answered { status: *status, headers: headers.clone(), body: BASE64.encode(body) }
            }
            Ended::GaveUp(reason) => {
                let (code, message, status) = parts(reason);
                Self::GaveUp { code, message, status }
            }
            Ended::InDoubt(reason) => {
                let (code, message, status) = parts(reason);
                Self::InDoubt { code, message, status }
            }
            Ended::NotSent => Self::NotSent,
        }
    }
}

impl CalloutEnd {
    /// What became of it; none when its body is not in base 64.
    pub(crate) fn ended(self) -> Option<Ended> {
        let reason = |code, message, last_status| Reason { code, message, last_status };
        Some(match self {
            Self::Answered { status, headers, body } => {
                Ended::Answered { status, headers, body: BASE64.decode(body).ok()? }
            }
            Self::GaveUp { code, message, status } => Ended::GaveUp(reason(code, message, status)),
            Self::InDoubt { code, message, status } => Ended::InDoubt(reason(code, message, status)),
            Self::NotSent => Ended::NotSent,
        })
    }
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
        let answer = |ended: &Ended| Order::CalloutAnswer { id: "a".into(), attempts: 2, end: ended.into() };
        let reason = Reason { code: "c".into(), message: "m".into(), last_status: Some(503) };
        let (source, kind, name) = ("items".to_owned(), "follow".to_owned(), "bulky".to_owned());
        let orders = [
            Order::RepeatRow { source: source.clone() },
            Order::RepeatAll { source: source.clone() },
            Order::RepeatTerm { source, index: "by-class".into(), term: "\"\u{0}".into() },
            Order::CancelJob { kind: kind.clone(), name: name.clone() },
            Order::RetryJob { kind, name },
            Order::RetryCallout { id: "a".into() },
            Order::CloseCallout { id: "a".into() },
            answer(&Ended::Answered {
                status: 200,
                headers: vec![("a".into(), "b".into())],
                body: vec![0, 255],
            }),
            answer(&Ended::InDoubt(reason.clone())),
            answer(&Ended::GaveUp(reason)),
            answer(&Ended::NotSent),
        ];

        for order in orders {
            assert_eq!(Order::read(Some(&order.write())).unwrap(), order);
        }
    }

    #[test]
    fn keeps_every_byte_of_an_answer() {
        let ended = Ended::Answered { status: 200, headers: Vec::new(), body: (0..=255).collect() };

        assert_eq!(CalloutEnd::from(&ended).ended(), Some(ended));
        let broken = CalloutEnd::Answered { status: 200, headers: Vec::new(), body: "!".into() };
        assert_eq!(broken.ended(), None);
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
