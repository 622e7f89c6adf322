//! Giving the rows of the local store their terms anew, after an index came or changed its meaning.
//!
//! Indexes have no changelog: an entry follows from its row. So this works on the local store alone, on what is committed
//! there, and needs no transaction: the rows of a page get their terms and entries in one batch with the cursor. What the open
//! transaction writes meanwhile has the terms of now.
//!
//! The cursor goes through the keys as they are sorted: rows of stores and tables first, then the entries, of which those go
//! that belong to no index any more. Entries of terms that a row has lost are left out by whoever scans an index.

use std::ops::{Bound, ControlFlow};

use crate::fault::Fault;
use crate::io::behind_prefix;
use crate::record::Chunk;
use crate::task::rows::{RowTerms, with_terms};
use crate::task::state::checkpoint::Checkpoint;
use crate::task::state::key::Kind;
use crate::task::state::overlay::Overlay;
use crate::task::state::{TaskState, apply, lent, row, write_row};

/// Rows of one step.
const ROWS_MAX: usize = 500;
/// Their values, in bytes.
const BYTES_MAX: usize = 1 << 20;
/// Entries that one step removes at most.
const ENTRIES_MAX: usize = 5_000;

/// What comes next.
pub(crate) enum Stretch {
    /// Rows of a store, by its position in the layout, and the key behind which the next step begins.
    Rows { store: usize, rows: Chunk, locals: Vec<Vec<u8>>, cursor: Vec<u8> },
    /// Entries of indexes that are no more.
    Entries { orphans: Vec<Vec<u8>>, cursor: Vec<u8> },
    /// Nothing.
    Done,
}

impl TaskState {
    /// What lies behind a cursor.
    pub(crate) fn next_stretch(&self, cursor: &[u8]) -> Result<Stretch, Fault> {
        let mut indexed: Vec<_> =
            self.layout.stores.iter().enumerate().filter(|(_, store)| !store.indexes.is_empty()).collect();
        indexed.sort_by(|(_, a), (_, b)| a.prefix.cmp(&b.prefix));
        for (position, store) in indexed {
            let end = behind_prefix(&store.prefix);
            if end.as_deref().is_some_and(|end| end <= cursor) {
                continue;
            }
            let (mut rows, mut locals, mut last) = (Chunk::new(), Vec::new(), Vec::new());
            self.each_committed(&store.prefix, cursor, &mut |key, local| {
                lent::push(&mut rows, store, key.get(store.prefix.len()..).unwrap_or_default(), local);
                locals.push(local.to_vec());
                last = key.to_vec();
                let is_full = rows.len() >= ROWS_MAX || rows.size_bytes() >= BYTES_MAX;
                if is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            if !rows.is_empty() {
                return Ok(Stretch::Rows { store: position, rows, locals, cursor: last });
            }
        }
        self.next_orphans(cursor)
    }

    fn next_orphans(&self, cursor: &[u8]) -> Result<Stretch, Fault> {
        let prefix = [Kind::Index as u8];
        let is_known = |key: &[u8]| self.layout.indexes.iter().any(|index| key.starts_with(&index.prefix));
        let mut orphans: Vec<Vec<u8>> = Vec::new();
        let mut from = cursor.to_vec();
        loop {
            let mut known = None;
            self.each_committed(&prefix, &from, &mut |key, _| {
                if is_known(key) {
                    known = Some(key.to_vec());
                    return ControlFlow::Break(());
                }
                orphans.push(key.to_vec());
                if orphans.len() >= ENTRIES_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            // A known index is passed over in one go.
            let behind = known.and_then(|key| {
                let index = self.layout.indexes.iter().find(|index| key.starts_with(&index.prefix))?;
                behind_prefix(&index.prefix)
            });
            match behind {
                Some(behind) => from = behind,
                None => break,
            }
        }
        match orphans.last().cloned() {
            Some(cursor) => Ok(Stretch::Entries { orphans, cursor }),
            None => Ok(Stretch::Done),
        }
    }

    /// Shows what is committed below a prefix and not before a cursor. A key that is the cursor itself is passed: only the
    /// prefix of an index is ever a cursor without being handled, and no entry is as short.
    fn each_committed(
        &self,
        prefix: &[u8],
        cursor: &[u8],
        visit: &mut crate::io::Visit<'_>,
    ) -> Result<(), Fault> {
        let Some(engine) = &self.engine else { return Ok(()) };
        let start = if cursor < prefix { Bound::Included(prefix) } else { Bound::Excluded(cursor) };
        let end = behind_prefix(prefix);
        engine.scan((start, end.as_deref().map_or(Bound::Unbounded, Bound::Excluded)), visit)
    }

    /// Writes the terms of rows of a store.
    pub(crate) fn write_terms(
        &mut self,
        (store, rows, locals): (usize, &Chunk, &[Vec<u8>]),
        terms: &[RowTerms],
        checkpoint: &Checkpoint,
    ) -> Result<(), Fault> {
        let layout = std::sync::Arc::clone(&self.layout);
        let Some(store) = layout.stores.get(store) else { return Ok(()) };
        let (mut writes, mut locals) = (Overlay::default(), locals.iter());
        with_terms(rows, terms, |record, terms| {
            let row = locals.next().and_then(|local| row::logged(local)).map(<[u8]>::to_vec);
            if let (Some(key), Some(row)) = (record.key(), row) {
                write_row(&mut writes, (&layout, store), key, Some(row), terms);
            }
        });
        self.write_through(&writes, checkpoint)
    }

    /// Removes entries.
    pub(crate) fn remove_entries(
        &mut self,
        orphans: Vec<Vec<u8>>,
        checkpoint: &Checkpoint,
    ) -> Result<(), Fault> {
        let mut writes = Overlay::default();
        orphans.into_iter().for_each(|entry| writes.set(entry, None));
        self.write_through(&writes, checkpoint)
    }

    /// Writes to the local store what follows from what is committed there.
    fn write_through(&mut self, writes: &Overlay, checkpoint: &Checkpoint) -> Result<(), Fault> {
        let Some(engine) = &mut self.engine else { return Ok(()) };
        let written = apply(&mut **engine, writes, checkpoint);
        if written.is_err() {
            self.engine = None;
        }
        written
    }

    /// Whether its indexes are complete, from now on.
    pub(crate) fn set_indexed(&mut self, is_indexed: bool) {
        self.is_indexed = is_indexed;
    }
}
