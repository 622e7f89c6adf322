//! How far a carry-over is: one record of a topic of its own, written in the transaction of the page that it tells of.
//!
//! The key is the ingest's name, the value JSON:
//! ```text
//! {"version":1, "source":"<digest of table, key and value>", "stage":"copying" | "copied" | "done",
//!  "cursor":<LastEvaluatedKey as DynamoDB writes it> | null, "pages":3, "items":3000, "bytes":412345, "read_units":1500.0,
//!  "digest":"<64 hexadecimal digits>", "absent":["attributes of members that no item had so far"]}
//! ```

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};

use crate::config::ingest::DynamodbIngest;
use crate::id;
use crate::ingest::dynamodb::attribute::{Item, key_from_json, key_json};
use crate::ingest::dynamodb::digest::ContentDigest;
use crate::ingest::mapping::Row;

const VERSION: u64 = 1;

/// What has been done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Stage {
    /// Pages up to the cursor are in the topic.
    #[default]
    Copying,
    /// All pages are in the topic.
    Copied,
    /// And the topic has been read and holds what the table held.
    Done,
}

impl Stage {
    const NAMES: [(&'static str, Self); 3] =
        [("copying", Self::Copying), ("copied", Self::Copied), ("done", Self::Done)];

    /// Its name in the record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Copying => "copying",
            Self::Copied => "copied",
            Self::Done => "done",
        }
    }
}

/// How far a carry-over is.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Progress {
    /// What it carries over, as [`source`] makes it: another table cannot be gone on with.
    pub source: String,
    /// What has been done.
    pub stage: Stage,
    /// Where the next page begins; none is the beginning, and the end once all pages are in the topic.
    pub cursor: Option<Item>,
    /// Pages in the topic.
    pub pages: u64,
    /// Items in the topic.
    pub items: u64,
    /// The bytes of their keys and values.
    pub bytes: u64,
    /// What reading them has cost, in read capacity units; pages that had to be read again are not in it.
    pub read_units: f64,
    /// The digest of their records.
    pub digest: ContentDigest,
    /// Attributes of members that no item has had so far: spelled wrong, perhaps.
    pub absent: BTreeSet<String>,
}

impl Progress {
    /// Counts a record.
    pub fn add(&mut self, row: &Row) {
        self.items += 1;
        self.bytes += (row.key.len() + row.value.len()) as u64;
        self.digest += ContentDigest::of_record(&row.key, &row.value);
    }

    /// The record's value.
    pub fn encode(&self) -> Vec<u8> {
        let json = json!({
            "version": VERSION,
            "source": self.source,
            "stage": self.stage.as_str(),
            "cursor": self.cursor.as_ref().map(key_json),
            "pages": self.pages,
            "items": self.items,
            "bytes": self.bytes,
            "read_units": self.read_units,
            "digest": self.digest.to_string(),
            "absent": self.absent,
        });
        json.to_string().into_bytes()
    }

    /// What [`Progress::encode`] of this version has written; none for anything else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let json: Json = serde_json::from_slice(bytes).ok()?;
        let number = |name: &str| json.get(name)?.as_u64();
        let text = |name: &str| json.get(name)?.as_str();
        if number("version")? != VERSION {
            return None;
        }
        let stage = text("stage")?;
        let cursor = match json.get("cursor")? {
            Json::Null => None,
            cursor => Some(key_from_json(cursor)?),
        };
        let absent = json.get("absent")?.as_array()?.iter().map(|name| name.as_str().map(str::to_owned));
        Some(Self {
            source: text("source")?.to_owned(),
            stage: Stage::NAMES.iter().find(|(name, _)| *name == stage).map(|(_, stage)| *stage)?,
            cursor,
            pages: number("pages")?,
            items: number("items")?,
            bytes: number("bytes")?,
            read_units: json.get("read_units")?.as_f64()?,
            digest: ContentDigest::parse(text("digest")?)?,
            absent: absent.collect::<Option<_>>()?,
        })
    }
}

/// What decides about the records of a carry-over: table, key and members. Where the table is reached may change, and how
/// fast it is read.
pub fn source(ingest: &DynamodbIngest) -> String {
    let member = |member: &crate::config::ingest::Member| {
        json!([member.name, member.field, member.kind.as_str(), member.required])
    };
    let members = ingest.members.as_ref().map(|members| members.iter().map(member).collect::<Vec<_>>());
    let text = json!([ingest.table, ingest.key, members]).to_string();
    id::Digest(Sha256::digest(text.as_bytes()).into()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::dynamodb::attribute::Attribute;

    fn progress() -> Progress {
        let mut progress = Progress {
            source: "sha256:1".to_owned(),
            stage: Stage::Copied,
            cursor: Some(Item::from([("k".to_owned(), Attribute::Bytes(vec![0, 255]))])),
            pages: 3,
            read_units: 1.5,
            absent: BTreeSet::from(["a".to_owned()]),
            ..Progress::default()
        };
        progress.add(&Row { key: b"key".to_vec(), value: b"value".to_vec() });
        progress
    }

    #[test]
    fn reads_back_what_it_has_written() {
        for progress in [progress(), Progress::default()] {
            assert_eq!(Progress::decode(&progress.encode()), Some(progress));
        }
    }

    #[test]
    fn takes_nothing_else_for_progress() {
        let text = String::from_utf8(progress().encode()).unwrap();
        for (from, to) in [
            ("\"version\":1", "\"version\":2"),
            ("copied", "copying it"),
            ("\"cursor\":{", "\"cursor\":7,\"was\":{"),
            ("\"items\":1", "\"items\":-1"),
        ] {
            let other = text.replace(from, to);
            assert_ne!(other, text);
            assert_eq!(Progress::decode(other.as_bytes()), None, "{other}");
        }
        assert_eq!(Progress::decode(b"x"), None);
    }
}
