//! What changed between a topic and a table: by key, and by a digest of the value.
//!
//! A value is known by the first half of its SHA-256, so a million rows take a hundred bytes each and their keys, however long
//! their values are. Two values with the same half would be taken for the same one; nobody can make such a pair on purpose.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use crate::fault::{Code, Fault};
use crate::ingest::mapping::Row;
use crate::io::Published;

type HalfDigest = [u8; 16];

/// What a topic says, key by key, and which of the keys a table has, too.
#[derive(Debug, Default)]
pub struct Comparison {
    rows: HashMap<Box<[u8]>, Known>,
    rows_max: usize,
    /// Keys that the topic had before the first row came.
    published: u64,
    counts: Counts,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    digest: HalfDigest,
    /// Whether the table has it.
    is_seen: bool,
}

/// What a row is for the topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The topic does not have its key.
    Insert,
    /// The topic has another value.
    Update,
    /// The topic says the same.
    Same,
}

/// How many rows are what.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Keys that are new.
    pub inserts: u64,
    /// Keys whose value changed.
    pub updates: u64,
    /// Keys that the table does not have any more.
    pub deletes: u64,
    /// Keys that are as they were.
    pub unchanged: u64,
}

impl Counts {
    /// How many records tell the difference.
    pub fn changes(&self) -> u64 {
        self.inserts + self.updates + self.deletes
    }
}

impl Comparison {
    /// Compares up to so many rows.
    pub fn new(rows_max: u32) -> Self {
        Self { rows_max: rows_max as usize, ..Self::default() }
    }

    /// Takes a record of the topic; all of them come before the first row.
    ///
    /// # Errors
    /// `ingest_too_large`.
    pub fn publish(&mut self, record: Published<'_>) -> Result<(), Fault> {
        // A record without a key is nobody's: a compacted topic has none.
        let Some(key) = record.key else { return Ok(()) };
        match record.value {
            Some(value) => {
                let known = Known { digest: digest(value), is_seen: false };
                match self.rows.get_mut(key) {
                    Some(row) => *row = known,
                    None => drop(self.rows.insert(key.into(), known)),
                }
            }
            None => drop(self.rows.remove(key)),
        }
        self.published = self.rows.len() as u64;
        self.check_size()
    }

    /// Takes a row of the table.
    ///
    /// # Errors
    /// `ingest_key_twice`, `ingest_too_large`.
    pub fn row(&mut self, row: &Row) -> Result<Verdict, Fault> {
        let now = Known { digest: digest(&row.value), is_seen: true };
        let verdict = match self.rows.get_mut(row.key.as_slice()) {
            Some(known) if known.is_seen => return Err(twice(&row.key)),
            Some(known) => {
                let verdict = if known.digest == now.digest { Verdict::Same } else { Verdict::Update };
                *known = now;
                verdict
            }
            None => {
                self.rows.insert(row.key.as_slice().into(), now);
                self.check_size()?;
                Verdict::Insert
            }
        };
        *match verdict {
            Verdict::Insert => &mut self.counts.inserts,
            Verdict::Update => &mut self.counts.updates,
            Verdict::Same => &mut self.counts.unchanged,
        } += 1;
        Ok(verdict)
    }

    /// What came of it, after the last row: what the table does not have is to be deleted.
    pub fn counts(&self) -> Counts {
        let kept = self.counts.updates + self.counts.unchanged;
        Counts { deletes: self.published.saturating_sub(kept), ..self.counts }
    }

    /// The part of the published keys that would be deleted, from 0 to 1.
    pub fn deleted_share(&self) -> f64 {
        if self.published == 0 { 0.0 } else { self.counts().deletes as f64 / self.published as f64 }
    }

    /// How many keys the topic had.
    pub fn published(&self) -> u64 {
        self.published
    }

    /// The keys that the table does not have, in no order.
    pub fn deleted(&self) -> impl Iterator<Item = &[u8]> {
        self.rows.iter().filter(|(_, known)| !known.is_seen).map(|(key, _)| key.as_ref())
    }

    fn check_size(&self) -> Result<(), Fault> {
        if self.rows.len() <= self.rows_max {
            return Ok(());
        }
        let message = format!("there are more than {} keys in the topic and the table", self.rows_max);
        Err(Fault::new(Code::IngestTooLarge, message))
    }
}

fn digest(value: &[u8]) -> HalfDigest {
    let whole = Sha256::digest(value);
    let mut half = HalfDigest::default();
    half.iter_mut().zip(whole.iter()).for_each(|(to, from)| *to = *from);
    half
}

fn twice(key: &[u8]) -> Fault {
    let message = format!("two rows have the key `{}`", String::from_utf8_lossy(key));
    Fault::new(Code::IngestKeyTwice, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: &str, value: &str) -> Row {
        Row { key: key.into(), value: value.into() }
    }

    fn published(records: &[(&str, Option<&str>)]) -> Comparison {
        let mut comparison = Comparison::new(1_000);
        for (key, value) in records {
            let record = Published { key: Some(key.as_bytes()), value: value.map(str::as_bytes) };
            comparison.publish(record).unwrap();
        }
        comparison
    }

    #[test]
    fn tells_inserts_updates_and_deletes_from_what_stays() {
        let mut comparison = published(&[("a", Some("1")), ("b", Some("1")), ("c", Some("1"))]);

        let verdicts = [row("a", "1"), row("b", "2"), row("d", "1")].map(|row| comparison.row(&row).unwrap());

        assert_eq!(verdicts, [Verdict::Same, Verdict::Update, Verdict::Insert]);
        assert_eq!(comparison.counts(), Counts { inserts: 1, updates: 1, deletes: 1, unchanged: 1 });
        assert_eq!(comparison.deleted().collect::<Vec<_>>(), [b"c"]);
        assert_eq!(comparison.deleted_share(), 1.0 / 3.0);
    }

    #[test]
    fn compares_with_the_latest_record_of_a_key() {
        let mut comparison = published(&[("a", Some("1")), ("a", Some("2")), ("b", Some("1")), ("b", None)]);

        assert_eq!(comparison.row(&row("a", "2")).unwrap(), Verdict::Same);
        assert_eq!(comparison.row(&row("b", "1")).unwrap(), Verdict::Insert);
        assert_eq!((comparison.published(), comparison.counts().deletes), (1, 0));
    }

    #[test]
    fn refuses_a_key_that_comes_twice_also_a_new_one() {
        for known in [&[("a", Some("1"))][..], &[]] {
            let mut comparison = published(known);
            comparison.row(&row("a", "1")).unwrap();

            let fault = comparison.row(&row("a", "1")).unwrap_err();

            assert_eq!((fault.code(), fault.message()), (Code::IngestKeyTwice, "two rows have the key `a`"));
        }
    }

    #[test]
    fn refuses_more_rows_than_it_may_hold() {
        let mut comparison = Comparison::new(1);
        comparison.row(&row("a", "1")).unwrap();

        assert_eq!(comparison.row(&row("b", "1")).unwrap_err().code(), Code::IngestTooLarge);
    }

    #[test]
    fn deletes_no_share_of_nothing() {
        assert_eq!(published(&[]).deleted_share(), 0.0);
    }
}
