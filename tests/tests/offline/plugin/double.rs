//! A state in memory, with a limit and with troubles on demand.

use std::any::Any;
use std::collections::BTreeMap;
use std::ops::Bound;

use gristmill_host::fault::{Code, Fault};
use gristmill_host::id::{Offset, Partition, Timestamp};
use gristmill_host::io::{Job, KeyRange, Limit, Page, State, StateError, StoreIndex, Timer, TimerClock};
use gristmill_host::record::{Chunk, Header};

/// The stores and tables, by their number; the last one is a table.
const NAMES: [&str; 3] = ["notes", "seen", "items"];
const TABLE: StoreIndex = StoreIndex(2);

/// What may be written.
const LIMIT_BYTES: usize = 1 << 20;

/// The kinds of job.
const KINDS: [&str; 2] = ["walk", "other"];

/// The state of a task. The terms of a row are the words of its value, in the index `by-word` of the store `notes`.
#[derive(Default)]
pub(crate) struct Memory {
    rows: [BTreeMap<Vec<u8>, Chunk>; 3],
    jobs: BTreeMap<(String, String), Job>,
    timers: BTreeMap<(TimerClock, Vec<u8>), Timer>,
    generation: u64,
    written_bytes: usize,
    is_broken: bool,
}

impl Memory {
    /// A state with these rows in the store `notes`.
    pub(crate) fn with_notes(rows: &[(&str, &str)]) -> Self {
        let mut memory = Self::default();
        for (key, value) in rows {
            memory.put(StoreIndex(0), key.as_bytes(), value.as_bytes()).expect("it is a store");
        }
        memory
    }

    /// Sets a row of the table, with a header, the timestamp 5 and the offset 7.
    pub(crate) fn with_item(mut self, key: &str, value: &str) -> Self {
        let headers = [Header::new("a", b"1")];
        self.set(TABLE, key.as_bytes(), value.as_bytes(), headers, (Timestamp(5), Offset(7)));
        self
    }

    /// Sets a job.
    pub(crate) fn with_job(mut self, job: Job) -> Self {
        self.jobs.insert((job.kind.clone(), job.name.clone()), job);
        self
    }

    /// The timers that are set, as text, by clock and name.
    pub(crate) fn timers(&self) -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let timer = |timer: &Timer| {
            format!("{:?} {} {} {}", timer.clock, text(&timer.name), timer.due.0, text(&timer.payload))
        };
        self.timers.values().map(timer).collect()
    }

    /// The same state, of which every function fails.
    pub(crate) fn broken(self) -> Self {
        Self { is_broken: true, ..self }
    }

    /// The value of a row in the store `notes`.
    pub(crate) fn note(&self, key: &str) -> Option<String> {
        let row = self.rows[0].get(key.as_bytes())?.first()?;
        row.value().map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// The state that a call gave back.
    pub(crate) fn back(state: Box<dyn State>) -> Self {
        *(state as Box<dyn Any>).downcast().expect("what was lent")
    }

    fn set<'h>(
        &mut self,
        store: StoreIndex,
        key: &[u8],
        value: &[u8],
        headers: impl IntoIterator<Item = Header<'h>>,
        place: (Timestamp, Offset),
    ) {
        let mut row = Chunk::new();
        assert!(row.push(Some(key), Some(value), headers, place));
        self.rows[store.0 as usize].insert(key.to_vec(), row);
    }

    fn check(&self) -> Result<(), StateError> {
        if self.is_broken {
            let fault = Fault::new(Code::Internal, "the store is broken").because("the disk is on fire");
            return Err(StateError::Failed(fault));
        }
        Ok(())
    }

    fn check_written(&mut self, store: StoreIndex, bytes: usize) -> Result<(), StateError> {
        self.check()?;
        if store == TABLE {
            return Err(StateError::Refused(
                "a table cannot be written: it is what its topic says".to_owned(),
            ));
        }
        self.written_bytes += bytes;
        if self.written_bytes > LIMIT_BYTES {
            return Err(StateError::Refused(format!("more than {LIMIT_BYTES} bytes are written")));
        }
        Ok(())
    }

    fn check_kind(&self, kind: &str) -> Result<(), StateError> {
        self.check()?;
        if KINDS.contains(&kind) {
            return Ok(());
        }
        Err(StateError::Refused(format!("the manifest declares no job `{kind}`")))
    }

    /// The rows behind `after` that have a term.
    fn with_term(
        &self,
        store: StoreIndex,
        index: &str,
        term: &[u8],
        after: Option<&[u8]>,
    ) -> Result<Vec<&Chunk>, StateError> {
        self.check()?;
        if (store, index) != (StoreIndex(0), "by-word") {
            return Err(StateError::Refused(format!("there is no index `{index}` on it")));
        }
        let has = |row: &&Chunk| {
            let value = row.first().and_then(|row| row.value()).unwrap_or_default();
            value.split(|byte| *byte == b' ').any(|word| word == term)
        };
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = self.rows[0].range::<[u8], _>((start, Bound::Unbounded));
        Ok(rows.map(|(_, row)| row).filter(has).collect())
    }
}

/// The first rows of some, and where to go on.
fn page<'a>(rows: impl IntoIterator<Item = &'a Chunk>, limit: Limit) -> Page {
    let mut page = Page::default();
    for row in rows {
        if page.rows.len() >= limit.rows || page.rows.size_bytes() >= limit.bytes {
            page.next = page.rows.last().and_then(|row| row.key()).map(<[u8]>::to_vec);
            break;
        }
        page.rows.append_chunk(row);
    }
    page
}

impl State for Memory {
    fn store(&self, name: &str) -> Option<StoreIndex> {
        (0..).zip(NAMES).find(|(_, own)| *own == name).map(|(number, _)| StoreIndex(number))
    }

    fn get(&self, store: StoreIndex, key: &[u8]) -> Result<Option<Chunk>, StateError> {
        self.check()?;
        Ok(self.rows[store.0 as usize].get(key).cloned())
    }

    fn scan(&self, store: StoreIndex, range: KeyRange<'_>, limit: Limit) -> Result<Page, StateError> {
        self.check()?;
        let after = range.after.map(Bound::Excluded);
        let start = after.or(range.start.map(Bound::Included)).unwrap_or(Bound::Unbounded);
        let end = range.end.map_or(Bound::Unbounded, Bound::Excluded);
        // This panics when the bounds cross.
        let rows = self.rows[store.0 as usize].range::<[u8], _>((start, end));
        Ok(page(rows.map(|(_, row)| row), limit))
    }

    fn scan_index(
        &self,
        store: StoreIndex,
        index: &str,
        term: &[u8],
        after: Option<&[u8]>,
        limit: Limit,
    ) -> Result<Page, StateError> {
        Ok(page(self.with_term(store, index, term, after)?, limit))
    }

    fn count_index(
        &self,
        store: StoreIndex,
        index: &str,
        term: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<(u64, Option<Vec<u8>>), StateError> {
        let rows = self.with_term(store, index, term, after)?;
        let limited = page(rows, Limit { rows: limit, bytes: usize::MAX });
        Ok((limited.rows.len() as u64, limited.next))
    }

    fn put(&mut self, store: StoreIndex, key: &[u8], value: &[u8]) -> Result<(), StateError> {
        self.check_written(store, key.len() + value.len())?;
        self.set(store, key, value, [], (Timestamp(0), Offset(-1)));
        Ok(())
    }

    fn delete(&mut self, store: StoreIndex, key: &[u8]) -> Result<(), StateError> {
        self.check_written(store, key.len())?;
        self.rows[store.0 as usize].remove(key);
        Ok(())
    }

    fn position(&self, source: &str) -> Result<Offset, StateError> {
        self.check()?;
        match source {
            "in" => Ok(Offset(42)),
            _ => Err(StateError::Refused(format!("`{source}` is no stream or table of the manifest"))),
        }
    }

    fn applied(&self, source: &str) -> Result<Vec<(Partition, Offset)>, StateError> {
        self.check()?;
        match source {
            "lookup" => Ok(vec![(Partition(0), Offset(7)), (Partition(2), Offset(1))]),
            _ => Err(StateError::Refused(format!("`{source}` is no broadcast source of the manifest"))),
        }
    }

    fn start_job(&mut self, kind: &str, name: &str, payload: &[u8]) -> Result<u64, StateError> {
        self.check_kind(kind)?;
        self.generation += 1;
        let before = self.jobs.get(&(kind.to_owned(), name.to_owned()));
        let job = Job {
            kind: kind.to_owned(),
            name: name.to_owned(),
            generation: self.generation,
            payload: payload.to_vec(),
            cursor: None,
            superseded_cursor: before.and_then(|job| job.cursor.clone()),
        };
        self.jobs.insert((kind.to_owned(), name.to_owned()), job);
        Ok(self.generation)
    }

    fn cancel_job(&mut self, kind: &str, name: &str) -> Result<bool, StateError> {
        self.check_kind(kind)?;
        Ok(self.jobs.remove(&(kind.to_owned(), name.to_owned())).is_some())
    }

    fn find_job(&self, kind: &str, name: &str) -> Result<Option<Job>, StateError> {
        self.check_kind(kind)?;
        Ok(self.jobs.get(&(kind.to_owned(), name.to_owned())).cloned())
    }

    fn set_timer(&mut self, timer: &Timer) -> Result<(), StateError> {
        self.check()?;
        self.timers.insert((timer.clock, timer.name.clone()), timer.clone());
        Ok(())
    }

    fn cancel_timer(&mut self, clock: TimerClock, name: &[u8]) -> Result<(), StateError> {
        self.check()?;
        self.timers.remove(&(clock, name.to_vec()));
        Ok(())
    }
}
