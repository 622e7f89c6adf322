//! Whether a topic holds what a table held: the topic is read whole, and its count and digest are compared.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

use crate::fault::{Code, Fault};
use crate::id::TopicName;
use crate::ingest::dynamodb::digest::ContentDigest;
use crate::ingest::dynamodb::progress::Progress;
use crate::io::{Outlet, Published};

/// Enough of a key's SHA-256 to tell keys apart, in a third of the memory that a key may need.
pub type KeyDigest = [u8; 16];

/// A key, shortened.
pub fn key_digest(key: &[u8]) -> KeyDigest {
    let digest: [u8; 32] = Sha256::digest(key).into();
    let mut short = KeyDigest::default();
    short.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    short
}

/// What a topic holds: the latest record of each key. About 80 bytes of memory a key.
#[derive(Debug, Default)]
struct Content {
    records: HashMap<KeyDigest, ContentDigest>,
    read: u64,
    /// Records that took the place of an earlier one of their key.
    replaced: u64,
    deleted: u64,
    without_key: u64,
}

impl Content {
    fn record(&mut self, record: Published<'_>) {
        self.read += 1;
        let Some(key) = record.key else {
            self.without_key += 1;
            return;
        };
        match record.value {
            Some(value) => {
                let digest = ContentDigest::of_record(key, value);
                if self.records.insert(key_digest(key), digest).is_some() {
                    self.replaced += 1;
                }
            }
            None => {
                self.deleted += 1;
                self.records.remove(&key_digest(key));
            }
        }
    }

    fn digest(&self) -> ContentDigest {
        let mut sum = ContentDigest::default();
        self.records.values().for_each(|digest| sum += *digest);
        sum
    }
}

/// How many records lie between two calls of `watch`.
const WATCH_STEP: u64 = 10_000;

/// Reads the topic and compares. `watch` is told how many records have been read.
///
/// # Errors
/// `carry_over_mismatch`, and what the outlet answers.
pub fn verify(
    topic: &TopicName,
    progress: &Progress,
    outlet: &mut dyn Outlet,
    watch: &mut dyn FnMut(u64),
) -> Result<(), Fault> {
    let mut content = Content::default();
    outlet.read(topic, &mut |record| {
        content.record(record);
        if content.read.is_multiple_of(WATCH_STEP) {
            watch(content.read);
        }
        Ok(())
    })?;
    let (count, digest) = (content.records.len() as u64, content.digest());
    if count == progress.items && digest == progress.digest && content.without_key == 0 {
        return Ok(());
    }
    let message = format!(
        "topic `{topic}` does not hold what was read from the table: the table had {} items with the digest {}, the topic \
         has {count} keys with the digest {digest}",
        progress.items, progress.digest,
    );
    let cause = format!(
        "of {} records in the topic, {} replaced an earlier one of their key, {} deleted a key, {} had no key",
        content.read, content.replaced, content.deleted, content.without_key,
    );
    Err(Fault::new(Code::CarryOverMismatch, message).because(cause))
}
