//! A question about the rows of a task, which its worker answers between two turns.

use std::sync::mpsc::SyncSender;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::TaskId;
use crate::io::{KeyRange, Limit, State, StateError};

/// How long an answer is waited for: longer than the longest call of a plugin.
pub const PATIENCE: Duration = Duration::from_secs(8);

/// Rows of one answer, and their bytes; a worker does not work meanwhile.
pub const ROWS_MAX: usize = 1_000;
const BYTES_MAX: usize = 1 << 20;

/// A question to the task of a worker.
#[derive(Debug)]
pub struct Question {
    /// The task.
    pub task: TaskId,
    /// The name of a store or a table.
    pub store: String,
    /// What is asked.
    pub ask: Ask,
    /// Where the answer goes.
    pub reply: SyncSender<Answer>,
}

/// What is asked of a store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ask {
    /// The row of this key.
    Get(Vec<u8>),
    /// Rows whose keys begin alike, in the order of their keys.
    Scan {
        /// What the keys begin with.
        prefix: Vec<u8>,
        /// Only rows behind this key.
        after: Option<Vec<u8>>,
        /// How many rows, [`ROWS_MAX`] at most.
        limit: usize,
    },
    /// Callouts of the task, in the order of their ids. They are in no store: its name does not matter. Each row's key is an id,
    /// its value a [`CalloutStatus`] in JSON.
    Callouts {
        /// Which.
        which: Which,
        /// Only those behind this id.
        after: Option<String>,
        /// How many, [`ROWS_MAX`] at most.
        limit: usize,
    },
}

/// Which callouts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    /// Those that have not ended.
    Open,
    /// Those that are in doubt or were given up, and wait for somebody to look.
    Review,
}

/// A callout, as it is shown. Without what it carries: payloads are not shown.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CalloutStatus {
    /// Its id.
    pub id: String,
    /// `queued`, `dispatching`, `answered`, `in-doubt` or `gave-up`.
    pub state: String,
    /// The endpoint.
    pub endpoint: String,
    /// `at-most-once` or `idempotent`.
    pub mode: String,
    /// The HTTP method.
    pub method: String,
    /// Path and query below the base URL.
    pub path: String,
    /// Requests that were made.
    pub attempts: u32,
    /// When the intent was made, in milliseconds since 1970.
    pub intended: i64,
    /// The key that it was given, as far as it is text.
    pub key: Option<String>,
    /// Why it has no answer: a code and a message.
    pub reason: Option<(String, String)>,
    /// The last HTTP status, if there was one.
    pub last_status: Option<u16>,
    /// The callout that was made again with this one.
    pub retry_of: Option<String>,
}

/// A row of a store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// Its key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}

/// The rows, and the key to go on behind if there are more.
pub type Answer = Result<(Vec<Row>, Option<Vec<u8>>), Refusal>;

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The task is not open on this worker.
    NotHere,
    /// The task has no such store.
    NoStore,
    /// The store failed; what it said.
    Failed(String),
}

/// Answers a question from a task's state.
///
/// # Errors
/// Those of [`Refusal`] that the state itself can tell.
pub fn answer(state: &dyn State, store: &str, ask: &Ask) -> Answer {
    let index = state.store(store).ok_or(Refusal::NoStore)?;
    let (chunk, next) = match ask {
        Ask::Get(key) => (state.get(index, key).map_err(failed)?.unwrap_or_default(), None),
        Ask::Scan { prefix, after, limit } => {
            let end = end_of(prefix);
            let range = KeyRange { start: Some(prefix), end: end.as_deref(), after: after.as_deref() };
            let limit = Limit { rows: (*limit).clamp(1, ROWS_MAX), bytes: BYTES_MAX };
            let page = state.scan(index, range, limit).map_err(failed)?;
            (page.rows, page.next)
        }
        // The task itself answers that.
        Ask::Callouts { .. } => return Err(Refusal::NoStore),
    };
    let bytes = |bytes: Option<&[u8]>| bytes.unwrap_or_default().to_vec();
    let rows = chunk.iter().map(|record| Row { key: bytes(record.key()), value: bytes(record.value()) });
    Ok((rows.collect(), next))
}

fn failed(error: StateError) -> Refusal {
    Refusal::Failed(match error {
        StateError::Refused(text) => text,
        StateError::Failed(fault) => fault.to_string(),
    })
}

/// The first key behind all that begin with the prefix; none if there is no such key.
fn end_of(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return Some(end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Code, Fault};
    use crate::id::{Offset, Timestamp};
    use crate::io::{Page, StoreIndex};
    use crate::record::{Chunk, Header};

    /// One store with these keys.
    struct Rows(&'static [&'static [u8]]);

    fn chunk<'a>(keys: impl Iterator<Item = &'a &'a [u8]>) -> Chunk {
        let mut chunk = Chunk::new();
        for key in keys {
            let no_headers: [Header<'_>; 0] = [];
            chunk.push(Some(key), Some(b"v"), no_headers, (Timestamp(0), Offset(-1)));
        }
        chunk
    }

    impl State for Rows {
        fn store(&self, name: &str) -> Option<StoreIndex> {
            (name == "items").then_some(StoreIndex(0))
        }

        fn get(&self, _: StoreIndex, key: &[u8]) -> Result<Option<Chunk>, StateError> {
            if key == b"broken" {
                return Err(StateError::Failed(Fault::new(Code::Internal, "the disk is gone")));
            }
            Ok(self.0.contains(&key).then(|| chunk([key].iter())))
        }

        fn scan(&self, _: StoreIndex, range: KeyRange<'_>, limit: Limit) -> Result<Page, StateError> {
            let is_in = |key: &&&[u8]| {
                range.start.is_none_or(|start| **key >= start)
                    && range.end.is_none_or(|end| **key < end)
                    && range.after.is_none_or(|after| **key > after)
            };
            let found: Vec<_> = self.0.iter().filter(is_in).collect();
            let next = (found.len() > limit.rows).then(|| found[limit.rows - 1].to_vec());
            Ok(Page { rows: chunk(found.into_iter().take(limit.rows)), next })
        }
    }

    fn keys(answer: Answer) -> (Vec<Vec<u8>>, Option<Vec<u8>>) {
        let (rows, next) = answer.unwrap();
        (rows.into_iter().map(|row| row.key).collect(), next)
    }

    fn scan(prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Ask {
        Ask::Scan { prefix: prefix.to_vec(), after: after.map(<[u8]>::to_vec), limit }
    }

    #[test]
    fn gives_the_row_of_a_key_or_none() {
        let rows = Rows(&[b"a"]);

        assert_eq!(keys(answer(&rows, "items", &Ask::Get(b"a".to_vec()))).0, [b"a".to_vec()]);
        assert_eq!(answer(&rows, "items", &Ask::Get(b"b".to_vec())), Ok((vec![], None)));
    }

    #[test]
    fn scans_what_begins_alike_in_pages() {
        let rows = Rows(&[b"a1", b"b1", b"b2", b"b\xff", b"c", b"\xff\xff1"]);

        let (first, next) = keys(answer(&rows, "items", &scan(b"b", None, 2)));
        assert_eq!((first, next.as_deref()), (vec![b"b1".to_vec(), b"b2".to_vec()], Some(b"b2".as_slice())));
        let (second, next) = keys(answer(&rows, "items", &scan(b"b", next.as_deref(), 2)));
        assert_eq!((second, next), (vec![b"b\xff".to_vec()], None));
        assert_eq!(keys(answer(&rows, "items", &scan(b"\xff", None, 9))).0, [b"\xff\xff1".to_vec()]);
        assert_eq!(keys(answer(&rows, "items", &scan(b"", None, 0))).0.len(), 1);
    }

    #[test]
    fn says_what_stands_in_the_way() {
        let rows = Rows(&[]);

        assert_eq!(answer(&rows, "other", &Ask::Get(vec![])), Err(Refusal::NoStore));
        let failed = Err(Refusal::Failed("the disk is gone".to_owned()));
        assert_eq!(answer(&rows, "items", &Ask::Get(b"broken".to_vec())), failed);
    }
}
