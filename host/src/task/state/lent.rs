//! The state as a call sees it.

use std::ops::{Bound, ControlFlow};

use crate::fault::Fault;
use crate::id::{Offset, Partition};
use crate::io::{
    Job, KeyRange, Limit, Page, State, StateError, StoreIndex, Timer, TimerClock, behind_prefix,
};
use crate::record::Chunk;
use crate::task::state::job::JobRow;
use crate::task::state::key::{self, Kind};
use crate::task::state::layout::Store;
use crate::task::state::{TaskState, row};

impl From<Fault> for StateError {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault)
    }
}

impl State for TaskState {
    fn store(&self, name: &str) -> Option<StoreIndex> {
        let position = self.layout.stores.iter().position(|store| store.name == name)?;
        u32::try_from(position).ok().map(StoreIndex)
    }

    fn get(&self, store: StoreIndex, key: &[u8]) -> Result<Option<Chunk>, StateError> {
        let store = self.known(store)?;
        let Some(local) = self.get_local(&key::below(&store.prefix, key))? else { return Ok(None) };
        let mut row = Chunk::new();
        push(&mut row, store, key, &local);
        Ok((!row.is_empty()).then_some(row))
    }

    fn scan(&self, store: StoreIndex, range: KeyRange<'_>, limit: Limit) -> Result<Page, StateError> {
        let store = self.known(store)?;
        let start = range.start.map(|start| key::below(&store.prefix, start));
        let after = range.after.map(|after| key::below(&store.prefix, after));
        let end =
            range.end.map(|end| key::below(&store.prefix, end)).or_else(|| behind_prefix(&store.prefix));
        let first = match (&after, &start) {
            (Some(after), Some(start)) if start > after => Bound::Included(start.as_slice()),
            (Some(after), _) => Bound::Excluded(after.as_slice()),
            (None, Some(start)) => Bound::Included(start.as_slice()),
            (None, None) => Bound::Included(store.prefix.as_slice()),
        };
        let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut page = Page::default();
        self.scan_local((first, end), &mut |key, local| {
            if page.rows.len() >= limit.rows || page.rows.size_bytes() >= limit.bytes {
                page.next = page.rows.last().and_then(|last| last.key()).map(<[u8]>::to_vec);
                return ControlFlow::Break(());
            }
            push(&mut page.rows, store, key.get(store.prefix.len()..).unwrap_or_default(), local);
            ControlFlow::Continue(())
        })?;
        Ok(page)
    }

    fn scan_index(
        &self,
        store: StoreIndex,
        index: &str,
        term: &[u8],
        after: Option<&[u8]>,
        limit: Limit,
    ) -> Result<Page, StateError> {
        self.index_page(self.known(store)?, index, term, after, limit)
    }

    fn count_index(
        &self,
        store: StoreIndex,
        index: &str,
        term: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<(u64, Option<Vec<u8>>), StateError> {
        self.count_entries(self.known(store)?, index, term, after, limit)
    }

    fn put(&mut self, store: StoreIndex, key: &[u8], value: &[u8]) -> Result<(), StateError> {
        self.write(store, key, Some(value))
    }

    fn delete(&mut self, store: StoreIndex, key: &[u8]) -> Result<(), StateError> {
        self.write(store, key, None)
    }

    fn position(&self, source: &str) -> Result<Offset, StateError> {
        let index = self.layout.sources.iter().find(|(name, _)| name == source).map(|(_, index)| *index);
        let reached = index.and_then(|index| self.reached.iter().find(|(own, _)| *own == index));
        let unknown = || {
            StateError::Refused(format!("the manifest has no stream or table `{}`", source.escape_default()))
        };
        reached.map(|(_, offset)| *offset).ok_or_else(unknown)
    }

    fn applied(&self, source: &str) -> Result<Vec<(Partition, Offset)>, StateError> {
        let mut broadcasts = self.layout.stores.iter().filter(|store| store.kind == Kind::Broadcast);
        let Some((index, _)) = broadcasts.find(|store| store.name == source).and_then(|s| s.source.as_ref())
        else {
            let what = format!("the manifest has no broadcast source `{}`", source.escape_default());
            return Err(StateError::Refused(what));
        };
        let own = self.applied.iter().filter(|place| place.source == *index && place.offset.0 > 0);
        Ok(own.map(|place| (place.partition, place.offset)).collect())
    }

    fn start_job(&mut self, kind: &str, name: &str, payload: &[u8]) -> Result<u64, StateError> {
        let superseded = self.job(kind, name)?;
        self.charge(kind.len() + name.len() + payload.len())?;
        self.generation.call += 1;
        let generation = self.generation.call;
        // Where the last walk stood; or where the one before it did, when that one never got to its first step.
        let superseded_cursor = superseded.and_then(|row| row.job.cursor.or(row.job.superseded_cursor));
        let (kind, name, payload) = (kind.to_owned(), name.to_owned(), payload.to_vec());
        let job = Job { kind, name, generation, payload, cursor: None, superseded_cursor };
        let row = JobRow { job, started: self.now, ..JobRow::default() };
        self.set_job((&row.job.kind, &row.job.name), Some(&row));
        self.has_written = true;
        Ok(generation)
    }

    fn cancel_job(&mut self, kind: &str, name: &str) -> Result<bool, StateError> {
        let is_there = self.job(kind, name)?.is_some();
        if is_there {
            self.set_job((kind, name), None);
            self.has_written = true;
        }
        Ok(is_there)
    }

    fn set_timer(&mut self, timer: &Timer) -> Result<(), StateError> {
        self.write_timer(timer)
    }

    fn cancel_timer(&mut self, clock: TimerClock, name: &[u8]) -> Result<(), StateError> {
        self.remove_timer(clock, name)
    }

    fn find_job(&self, kind: &str, name: &str) -> Result<Option<Job>, StateError> {
        // One that was given up is neither waiting nor under way.
        Ok(self.job(kind, name)?.filter(|row| row.failure.is_none()).map(|row| row.job))
    }
}

impl TaskState {
    fn known(&self, store: StoreIndex) -> Result<&Store, StateError> {
        self.layout.store(store).ok_or_else(|| StateError::Refused("the handle is of no store".to_owned()))
    }

    fn job(&self, kind: &str, name: &str) -> Result<Option<JobRow>, StateError> {
        let Some(prefix) = self.layout.job(kind) else {
            return Err(StateError::Refused(format!("the manifest has no job `{}`", kind.escape_default())));
        };
        let local = self.get_local(&key::below(prefix, name.as_bytes()))?;
        Ok(local.and_then(|bytes| JobRow::read(kind, name.as_bytes(), &bytes)))
    }

    fn write(&mut self, index: StoreIndex, key: &[u8], value: Option<&[u8]>) -> Result<(), StateError> {
        let store = self.known(index)?;
        if store.kind != Kind::Store {
            let message =
                format!("`{}` is a table and cannot be written: it is what its topic says", store.name);
            return Err(StateError::Refused(message));
        }
        if key.len() > key::ROW_KEY_MAX {
            let (len, most) = (key.len(), key::ROW_KEY_MAX);
            return Err(StateError::Refused(format!("a key of {len} bytes, and {most} are the most")));
        }
        let own = key::below(&store.prefix, key);
        let value = value.map(|value| {
            let mut row = row::of_value(value);
            row::append_no_terms(&mut row);
            row
        });
        self.charge(own.len() + value.as_ref().map_or(0, Vec::len))?;
        self.call.set(own, value);
        self.has_written = true;
        Ok(())
    }

    /// Counts bytes that the plugin writes.
    pub(super) fn charge(&mut self, bytes: usize) -> Result<(), StateError> {
        self.written_bytes = self.written_bytes.saturating_add(bytes);
        if self.written_bytes > self.layout.call_bytes {
            let granted = self.layout.call_bytes;
            return Err(StateError::Refused(format!(
                "the call writes more than the granted {granted} bytes of state"
            )));
        }
        Ok(())
    }
}

/// Appends a row to a page. A value that cannot be read is no row: the format changes with the store's own.
pub(super) fn push(page: &mut Chunk, store: &Store, key: &[u8], local: &[u8]) {
    let pushed = match store.kind {
        Kind::Store => row::push_value(page, key, local),
        Kind::Broadcast
        | Kind::Table
        | Kind::Job
        | Kind::Timer
        | Kind::Callout
        | Kind::Ended
        | Kind::Review
        | Kind::Index
        | Kind::Agenda => row::push_record(page, key, local).map(|_| ()),
    };
    debug_assert!(pushed.is_some(), "a row of `{}` cannot be read", store.name);
}
