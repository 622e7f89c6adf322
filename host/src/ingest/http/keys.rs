//! What an ingest of HTTP remembers of requests with an idempotency key, and the rows that hold it in Kafka.
//!
//! A row of the topic of requests has the idempotency key as its key and this as its value:
//!
//! ```text
//! {"digest": "0123456789abcdef0123456789abcdef", "records": 1, "at": 1700000000000}
//! ```
//! The digest is of method, path and body, the records are what the answer says, and the time is that of the commit, in
//! milliseconds. Rows of other forms are left alone. In memory a key takes about 120 bytes, whatever its length.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::refusal::Refusal;
use crate::clock::Clock;
use crate::fault::Code;
use crate::io::Published;

/// More keys are not remembered: the oldest are forgotten first. About 120 MB.
const KEYS_MAX: usize = 1_000_000;

/// The first half of a SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) struct Digest(u128);

impl Digest {
    /// Of parts, which are kept apart.
    pub(super) fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let half = hash.finalize().iter().take(16).fold(0, |half, byte| (half << 8) | u128::from(*byte));
        Self(half)
    }
}

/// The value of a row.
#[derive(Serialize, Deserialize)]
struct Row {
    digest: String,
    records: usize,
    at: i64,
}

/// A request that was committed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Known {
    digest: Digest,
    records: usize,
    at: i64,
}

/// What was committed, by the digests of the keys.
#[derive(Debug, Default)]
struct Memory {
    known: HashMap<Digest, Known>,
    by_age: BTreeSet<(i64, Digest)>,
    /// Keys that were forgotten because there were too many.
    forgotten: usize,
}

impl Memory {
    fn put(&mut self, key: Digest, known: Known, keys_max: usize) {
        if let Some(earlier) = self.known.insert(key, known) {
            self.by_age.remove(&(earlier.at, key));
        }
        self.by_age.insert((known.at, key));
        while self.known.len() > keys_max
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.known.remove(&oldest);
            self.forgotten += 1;
        }
    }

    /// Forgets what was committed before this time.
    fn forget(&mut self, before: i64) {
        while let Some((_, key)) = self.by_age.first().copied().filter(|(at, _)| *at < before) {
            self.by_age.pop_first();
            self.known.remove(&key);
        }
    }
}

/// The memory of an ingest and the keys of requests that are under way.
#[derive(Debug)]
pub(super) struct Keys {
    clock: Clock,
    remember: Duration,
    keys_max: usize,
    memory: Mutex<Memory>,
    under_way: Mutex<HashSet<Digest>>,
}

/// What is known about a key.
#[derive(Debug)]
pub(super) enum Found {
    /// Nothing: the request is to be done.
    Nothing,
    /// The same request was committed; its answer says so many records.
    Committed(usize),
    /// Another request was.
    Other,
}

/// An idempotency key of a request that is under way, until this is dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    key: String,
    hashed: Digest,
    digest: Digest,
    keys: Arc<Keys>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.keys.under_way().remove(&self.hashed);
    }
}

impl Ticket {
    /// What is known about its key by now.
    pub(super) fn find(&self) -> Found {
        self.keys.find(self.hashed, self.digest)
    }

    /// The row that is committed with the records.
    pub(super) fn row(&self, records: usize) -> (Vec<u8>, Vec<u8>) {
        let row = Row { digest: format!("{:032x}", self.digest.0), records, at: self.keys.clock.now().0 };
        (self.key.clone().into_bytes(), serde_json::to_vec(&row).unwrap_or_default())
    }

    /// Remembers that the request was committed.
    pub(super) fn committed(&self, records: usize) {
        let known = Known { digest: self.digest, records, at: self.keys.clock.now().0 };
        self.keys.memory().put(self.hashed, known, self.keys.keys_max);
    }
}

impl Keys {
    /// An empty one, which remembers for so long.
    pub(super) fn new(clock: &Clock, remember: Duration) -> Self {
        let (memory, under_way) = (Mutex::default(), Mutex::default());
        Self { clock: clock.clone(), remember, keys_max: KEYS_MAX, memory, under_way }
    }

    /// With another bound.
    #[cfg(test)]
    pub(super) fn bounded(self, keys_max: usize) -> Self {
        Self { keys_max, ..self }
    }

    /// Begins a request with a key. The answer is there already when it was committed before.
    ///
    /// # Errors
    /// `idempotency_conflict`, `idempotency_under_way`.
    pub(super) fn begin(
        self: &Arc<Self>,
        key: &str,
        digest: Digest,
    ) -> Result<Result<Ticket, usize>, Refusal> {
        let hashed = Digest::of(&[key.as_bytes()]);
        if !self.under_way().insert(hashed) {
            let message = "a request with this idempotency key is under way";
            return Err(Refusal::new(Code::IdempotencyUnderWay, message));
        }
        // From here on the key is free again when the ticket is dropped.
        let ticket = Ticket { key: key.to_owned(), hashed, digest, keys: Arc::clone(self) };
        match ticket.find() {
            Found::Nothing => Ok(Ok(ticket)),
            Found::Committed(records) => Ok(Err(records)),
            Found::Other => Err(conflict()),
        }
    }

    fn find(&self, key: Digest, digest: Digest) -> Found {
        let mut memory = self.memory();
        memory.forget(self.horizon());
        match memory.known.get(&key) {
            None => Found::Nothing,
            Some(known) if known.digest == digest => Found::Committed(known.records),
            Some(_) => Found::Other,
        }
    }

    /// Remembers a row of the topic.
    pub(super) fn read(&self, row: Published<'_>) {
        let (Some(key), Some(value)) = (row.key, row.value) else { return };
        let Ok(row) = serde_json::from_slice::<Row>(value) else { return };
        let Ok(digest) = u128::from_str_radix(&row.digest, 16) else { return };
        if row.at >= self.horizon() {
            let known = Known { digest: Digest(digest), records: row.records, at: row.at };
            self.memory().put(Digest::of(&[key]), known, self.keys_max);
        }
    }

    /// How many keys are known.
    pub(super) fn known(&self) -> usize {
        self.memory().known.len()
    }

    /// How many keys were forgotten for want of room since the last call.
    pub(super) fn forgotten(&self) -> usize {
        std::mem::take(&mut self.memory().forgotten)
    }

    /// What was committed before this is forgotten.
    fn horizon(&self) -> i64 {
        let remember = i64::try_from(self.remember.as_millis()).unwrap_or(i64::MAX);
        self.clock.now().0.saturating_sub(remember)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn under_way(&self) -> MutexGuard<'_, HashSet<Digest>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The refusal of a key that was used for another request.
pub(super) fn conflict() -> Refusal {
    Refusal::new(Code::IdempotencyConflict, "this idempotency key was used for another request before")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Timestamp;

    const DAY: Duration = Duration::from_secs(86_400);

    fn keys() -> (Clock, Arc<Keys>) {
        let clock = Clock::manual(Timestamp(1_000_000_000));
        (clock.clone(), Arc::new(Keys::new(&clock, DAY)))
    }

    fn digest(body: &str) -> Digest {
        Digest::of(&[b"PUT", body.as_bytes()])
    }

    fn begin(keys: &Arc<Keys>, key: &str, body: &str) -> Result<Result<Ticket, usize>, Refusal> {
        keys.begin(key, digest(body))
    }

    #[test]
    fn keeps_the_parts_of_a_digest_apart() {
        assert_ne!(Digest::of(&[b"ab", b"c"]), Digest::of(&[b"a", b"bc"]));
    }

    #[test]
    fn answers_a_repeated_request_and_refuses_another_one_with_its_key() {
        let (_, keys) = keys();
        begin(&keys, "k", "body").unwrap().unwrap().committed(3);

        assert_eq!(begin(&keys, "k", "body").unwrap().unwrap_err(), 3);
        assert_eq!(begin(&keys, "k", "other").unwrap_err().code(), Code::IdempotencyConflict);
        assert!(begin(&keys, "l", "other").unwrap().is_ok());
    }

    #[test]
    fn refuses_a_key_that_is_under_way_until_its_ticket_is_dropped() {
        let (_, keys) = keys();
        let ticket = begin(&keys, "k", "body").unwrap().unwrap();

        let refusal = begin(&keys, "k", "body").unwrap_err();
        assert_eq!((refusal.code(), refusal.status()), (Code::IdempotencyUnderWay, 409));
        drop(ticket);
        assert!(begin(&keys, "k", "body").unwrap().is_ok());
    }

    #[test]
    fn forgets_a_key_when_its_time_is_over() {
        let (clock, keys) = keys();
        begin(&keys, "k", "body").unwrap().unwrap().committed(1);

        clock.advance(DAY);
        assert!(begin(&keys, "k", "body").unwrap().is_err());
        clock.advance(Duration::from_millis(1));
        assert!(begin(&keys, "k", "other").unwrap().is_ok());
        assert_eq!(keys.known(), 0);
    }

    #[test]
    fn forgets_the_oldest_keys_when_there_are_too_many() {
        let (clock, keys) = keys();
        let keys = Arc::new(Arc::into_inner(keys).unwrap().bounded(2));
        for key in ["a", "b", "c"] {
            begin(&keys, key, "body").unwrap().unwrap().committed(1);
            clock.advance(Duration::from_secs(1));
        }

        assert!(begin(&keys, "a", "body").unwrap().is_ok());
        assert!(begin(&keys, "b", "body").unwrap().is_err());
        assert_eq!((keys.known(), keys.forgotten(), keys.forgotten()), (2, 1, 0));
    }

    #[test]
    fn reads_what_it_wrote_and_leaves_alone_what_it_did_not() {
        let (clock, keys) = keys();
        let ticket = begin(&keys, "k", "body").unwrap().unwrap();
        let (key, value) = ticket.row(7);
        drop(ticket);

        keys.read(Published { key: Some(&key), value: Some(&value) });
        for (key, value) in [(Some(&b"x"[..]), None), (None, Some(&b"{}"[..])), (Some(b"x"), Some(b"7"))] {
            keys.read(Published { key, value });
        }

        assert_eq!(begin(&keys, "k", "body").unwrap().unwrap_err(), 7);
        assert_eq!(keys.known(), 1);
        clock.advance(DAY + Duration::from_millis(1));
        assert!(begin(&keys, "k", "body").unwrap().is_ok());
        keys.read(Published { key: Some(&key), value: Some(&value) });
        assert_eq!(keys.known(), 0);
    }
}
