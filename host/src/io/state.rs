//! What a plugin can reach of its task's state during a call.

use std::any::Any;

use crate::fault::Fault;
use crate::id::{Offset, Partition};
use crate::io::timers::{Timer, TimerClock};
use crate::record::Chunk;

/// The state of a task, lent to one call. Reads see the writes of the call.
///
/// Whoever lends it wants its own type back, hence `Any`. What a state does not have, it refuses.
pub trait State: Any + Send {
    /// The store or table with this name; tables have the names of their sources. The answer is the same in all calls of a
    /// task: an instance asks once.
    fn store(&self, name: &str) -> Option<StoreIndex>;

    /// The row of a key, as a chunk of one record; none if there is no row. In a store there are no headers, the timestamp
    /// is 0 and the offset -1; in a table they are those of the record that made the row.
    ///
    /// # Errors
    /// Only the host's.
    fn get(&self, store: StoreIndex, key: &[u8]) -> Result<Option<Chunk>, StateError>;

    /// Rows in the order of their keys as unsigned bytes.
    ///
    /// # Errors
    /// Only the host's.
    fn scan(&self, store: StoreIndex, range: KeyRange<'_>, limit: Limit) -> Result<Page, StateError>;

    /// Rows whose terms in an index include `term`, in the order of their keys, only those behind `after`.
    ///
    /// # Errors
    /// Refused when the store has no such index.
    fn scan_index(
        &self,
        _store: StoreIndex,
        _index: &str,
        _term: &[u8],
        _after: Option<&[u8]>,
        _limit: Limit,
    ) -> Result<Page, StateError> {
        Err(StateError::refuse("indexes"))
    }

    /// Counts entries of a term behind `after`, `limit` at most, without looking at the rows: rows that lost the term may be
    /// counted. Gives the key to go on behind, if there is more.
    ///
    /// # Errors
    /// Refused when the store has no such index.
    fn count_index(
        &self,
        _store: StoreIndex,
        _index: &str,
        _term: &[u8],
        _after: Option<&[u8]>,
        _limit: usize,
    ) -> Result<(u64, Option<Vec<u8>>), StateError> {
        Err(StateError::refuse("indexes"))
    }

    /// Sets the value of a key.
    ///
    /// # Errors
    /// Refused for a table, and beyond the limit of what a call may write.
    fn put(&mut self, _store: StoreIndex, _key: &[u8], _value: &[u8]) -> Result<(), StateError> {
        Err(StateError::refuse("stores to write"))
    }

    /// Removes a row, if there is one.
    ///
    /// # Errors
    /// As [`State::put`].
    fn delete(&mut self, _store: StoreIndex, _key: &[u8]) -> Result<(), StateError> {
        Err(StateError::refuse("stores to write"))
    }

    /// The position behind the last record of a partitioned source that was handled before this call; of the source with
    /// this name.
    ///
    /// # Errors
    /// Refused when there is no such source.
    fn position(&self, _source: &str) -> Result<Offset, StateError> {
        Err(StateError::refuse("positions"))
    }

    /// The next offsets of a broadcast source, by partition, as of before this call; of the source with this name.
    ///
    /// # Errors
    /// Refused when there is no such source.
    fn applied(&self, _source: &str) -> Result<Vec<(Partition, Offset)>, StateError> {
        Err(StateError::refuse("broadcast sources"))
    }

    /// Starts a job, or supersedes the one of this kind and name. Gives its generation.
    ///
    /// # Errors
    /// Refused when the manifest has no such kind.
    fn start_job(&mut self, _kind: &str, _name: &str, _payload: &[u8]) -> Result<u64, StateError> {
        Err(StateError::refuse("jobs"))
    }

    /// Ends a job. False if there was none.
    ///
    /// # Errors
    /// As [`State::start_job`].
    fn cancel_job(&mut self, _kind: &str, _name: &str) -> Result<bool, StateError> {
        Err(StateError::refuse("jobs"))
    }

    /// The job of this kind and name, if it is waiting or under way.
    ///
    /// # Errors
    /// As [`State::start_job`].
    fn find_job(&self, _kind: &str, _name: &str) -> Result<Option<Job>, StateError> {
        Err(StateError::refuse("jobs"))
    }

    /// Sets a timer, or replaces the one of this clock and name.
    ///
    /// # Errors
    /// Refused for a plugin without a handler for timers, and beyond the limit of what a call may write.
    fn set_timer(&mut self, _timer: &Timer) -> Result<(), StateError> {
        Err(StateError::refuse("timers"))
    }

    /// Forgets a timer, if there is one.
    ///
    /// # Errors
    /// As [`State::set_timer`].
    fn cancel_timer(&mut self, _clock: TimerClock, _name: &[u8]) -> Result<(), StateError> {
        Err(StateError::refuse("timers"))
    }
}

/// Which of a task's stores and tables: what [`State::store`] gave.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct StoreIndex(pub u32);

/// Keys with `start <= key < end`, and beyond `after` when a page goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct KeyRange<'a> {
    /// The first key; none from the beginning.
    pub start: Option<&'a [u8]>,
    /// The key that ends the range, not part of it; none to the end.
    pub end: Option<&'a [u8]>,
    /// The last key of the page before.
    pub after: Option<&'a [u8]>,
}

/// When a page ends; whichever comes first, and not before its first row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limit {
    /// Rows.
    pub rows: usize,
    /// Bytes of keys, values and headers.
    pub bytes: usize,
}

/// Some rows.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Page {
    /// The rows, in the order of their keys.
    pub rows: Chunk,
    /// The key to go on behind, if there is more. A page without rows can have it.
    pub next: Option<Vec<u8>>,
}

/// Why a call of [`State`] has no answer.
#[derive(Debug)]
pub enum StateError {
    /// The plugin asks for what it may not have; a text for its developer.
    Refused(String),
    /// The store failed.
    Failed(Fault),
}

impl StateError {
    fn refuse(what: &str) -> Self {
        Self::Refused(format!("there are no {what} here"))
    }
}

/// A state without anything in it.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoState;

impl State for NoState {
    fn store(&self, _name: &str) -> Option<StoreIndex> {
        None
    }

    fn get(&self, _store: StoreIndex, _key: &[u8]) -> Result<Option<Chunk>, StateError> {
        Ok(None)
    }

    fn scan(&self, _store: StoreIndex, _range: KeyRange<'_>, _limit: Limit) -> Result<Page, StateError> {
        Ok(Page::default())
    }
}

/// A job as it stands.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Job {
    /// A kind of the manifest.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Grows with each start under this name.
    pub generation: u64,
    /// What it was started with.
    pub payload: Vec<u8>,
    /// What the step before returned; none on the first.
    pub cursor: Option<Vec<u8>>,
    /// Where the superseded job stood when this one took over.
    pub superseded_cursor: Option<Vec<u8>>,
}
