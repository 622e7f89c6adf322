//! The state of a task: what is committed in the local store, and above it what the open transaction and the call under way
//! have written.
//!
//! ```text
//! call          dropped with a call that is not kept, absorbed by the transaction otherwise
//! transaction   dropped at an abort, written to the local store after Kafka's commit, never before
//! engine        what Kafka has committed, and nothing else
//! ```
//! It is long because the three layers are one type: what reads, keeps and drops them has to be seen together.

pub(crate) mod agenda;
mod bytes;
pub(crate) mod callout;
pub(crate) mod checkpoint;
mod index;
pub(crate) mod job;
pub(crate) mod key;
pub(crate) mod layout;
mod lent;
mod overlay;
mod position;
pub(crate) mod rebuild;
mod row;
pub(crate) mod timer;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

pub(crate) use position::note;
pub use position::{PositionRecord, Positions, says_state};

use crate::fault::Fault;
use crate::id::{Offset, Partition, SourceIndex, Timestamp};
use crate::io::{Job, StoreEngine, StoreRange, Visit, Write, behind_prefix};
use crate::record::{Chunk, RecordRef};
use crate::sabotage::{self, Rule};
use crate::task::spec::Place;
use crate::task::state::agenda::Agenda;
use crate::task::state::checkpoint::Checkpoint;
use crate::task::state::job::JobRow;
use crate::task::state::layout::{Layout, Store};
use crate::task::state::overlay::Overlay;

/// The format of keys and values in local stores. One that was written in another is dropped and restored.
pub const STATE_FORMAT: u32 = 1;

/// A task's state. Without an engine, which a task without stores never gets, it is empty and forgets what is committed.
pub(crate) struct TaskState {
    layout: Arc<Layout>,
    engine: Option<Box<dyn StoreEngine>>,
    transaction: Overlay,
    call: Overlay,
    /// What the plugin itself has written in this call, in bytes.
    written_bytes: usize,
    has_written: bool,
    has_touched_jobs: bool,
    generation: Generation,
    /// Wall clock during the call.
    now: Timestamp,
    /// How far the partitioned sources were handled before the call.
    reached: Vec<(SourceIndex, Offset)>,
    /// How far the broadcast sources were applied before the call.
    applied: Vec<Place>,
    /// Whether all rows have the terms of the indexes as they are.
    is_indexed: bool,
    /// Entries of indexes whose rows have lost the term; found by scans, removed when the call is kept.
    stale: RefCell<Vec<Vec<u8>>>,
    agenda: Agenda,
}

/// The counter of generations, as it is for each layer.
#[derive(Clone, Copy, Debug, Default)]
struct Generation {
    committed: u64,
    transaction: u64,
    call: u64,
}

/// A row of a broadcast table, as far as its place matters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Placed {
    pub(crate) key: Vec<u8>,
    pub(crate) partition: Partition,
    pub(crate) offset: Offset,
}

impl TaskState {
    pub(crate) fn new(layout: &Arc<Layout>) -> Self {
        Self {
            layout: Arc::clone(layout),
            engine: None,
            transaction: Overlay::default(),
            call: Overlay::default(),
            written_bytes: 0,
            has_written: false,
            has_touched_jobs: false,
            generation: Generation::default(),
            now: Timestamp::default(),
            reached: Vec::new(),
            applied: Vec::new(),
            is_indexed: true,
            stale: RefCell::default(),
            agenda: Agenda::default(),
        }
    }

    pub(crate) fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// Takes the local store, as restored; nothing is uncommitted.
    pub(crate) fn attach(&mut self, engine: Box<dyn StoreEngine>) {
        self.engine = Some(engine);
        self.agenda = Agenda::default();
        self.rewind();
    }

    /// Gives the local store back.
    pub(crate) fn detach(&mut self) -> Option<Box<dyn StoreEngine>> {
        self.rewind();
        self.engine.take()
    }

    /// What the local store takes on the disk, roughly, in bytes; none when there is none.
    pub(crate) fn size_bytes(&self) -> Option<u64> {
        self.engine.as_ref().map(|engine| engine.size_bytes())
    }

    /// A call begins.
    pub(crate) fn begin_call(
        &mut self,
        now: Timestamp,
        reached: impl Iterator<Item = (SourceIndex, Offset)>,
        applied: impl Iterator<Item = Place>,
    ) {
        self.drop_call();
        self.now = now;
        self.reached.clear();
        self.reached.extend(reached);
        self.applied.clear();
        self.applied.extend(applied);
    }

    /// Nothing of the call counts.
    pub(crate) fn drop_call(&mut self) {
        self.call.clear();
        (self.written_bytes, self.has_written, self.has_touched_jobs) = (0, false, false);
        self.generation.call = self.generation.transaction;
        self.stale.get_mut().clear();
        self.agenda.drop_call();
    }

    /// What the call wrote is part of the transaction.
    pub(crate) fn keep_call(&mut self) {
        let stale = std::mem::take(self.stale.get_mut());
        // First, so that an entry that the call has written again stays.
        stale.into_iter().for_each(|entry| self.transaction.set(entry, None));
        self.transaction.absorb(&mut self.call);
        self.agenda.keep_call();
        self.generation.transaction = self.generation.call;
        (self.written_bytes, self.has_written, self.has_touched_jobs) = (0, false, false);
    }

    /// Whether the plugin wrote to a store or touched a job or a timer in this call.
    pub(crate) fn has_written(&self) -> bool {
        self.has_written
    }

    /// Whether a job was started, ended or got on in this call.
    pub(crate) fn has_touched_jobs(&self) -> bool {
        self.has_touched_jobs
    }

    /// What the open transaction has written, in bytes.
    pub(crate) fn transaction_bytes(&self) -> usize {
        self.transaction.size_bytes()
    }

    /// Nothing of the open transaction counts.
    pub(crate) fn rewind(&mut self) {
        self.transaction.clear();
        self.generation.transaction = self.generation.committed;
        self.agenda.rewind();
        self.drop_call();
    }

    /// Sets the position record's counter, from the record.
    pub(crate) fn set_generation(&mut self, generation: u64) {
        self.generation = Generation { committed: generation, transaction: generation, call: generation };
    }

    /// The last generation that a job got.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.transaction
    }

    /// Writes the position record into the transaction.
    pub(crate) fn set_position(&mut self, record: &PositionRecord) {
        self.transaction.set(key::POSITION, Some(record.write()));
    }

    /// The writes of the transaction that go to the changelog.
    pub(crate) fn logged(&self) -> impl Iterator<Item = Write<'_>> {
        let writes =
            self.transaction.iter().filter(|write| !self.layout.is_local(write.0) && !is_forgotten(*write));
        writes.map(|(key, value)| (key, value.map(|value| self.as_logged(key, value))))
    }

    fn as_logged<'v>(&self, key: &[u8], value: &'v [u8]) -> &'v [u8] {
        if key::is_row(key) { row::logged(value).unwrap_or(value) } else { value }
    }

    /// Kafka has committed the transaction: it goes into the local store, with the checkpoint.
    ///
    /// # Errors
    /// The store failed; it has to be discarded, and is gone from here.
    pub(crate) fn commit(&mut self, checkpoint: &Checkpoint) -> Result<(), Fault> {
        let writes = &self.transaction;
        let apply = |engine: &mut Box<dyn StoreEngine>| apply(&mut **engine, writes, checkpoint);
        let applied = self.engine.as_mut().map_or(Ok(()), apply);
        if applied.is_err() {
            self.engine = None;
        }
        self.transaction.clear();
        self.generation.committed = self.generation.transaction;
        self.agenda.commit();
        applied
    }

    /// Breaks the rule that a timer goes with the commit.
    fn remove_unsafely(&mut self, key: &[u8]) {
        if let Some(engine) = &mut self.engine {
            drop(engine.apply(&mut std::iter::once((key, None))));
        }
    }

    /// Breaks the rule that the local store is written after the commit.
    pub(crate) fn store_unsafely(&mut self, checkpoint: &Checkpoint) {
        if let Some(engine) = &mut self.engine {
            drop(apply(&mut **engine, &self.transaction, checkpoint));
        }
    }

    /// Writes the row of a record of a table, with its terms in each of the table's indexes. A tombstone removes it.
    pub(crate) fn set_row(
        &mut self,
        table: &Store,
        partition: Partition,
        record: &RecordRef<'_>,
        terms: &[Vec<&[u8]>],
    ) {
        let row = record.key().map(|key| key::below(&table.prefix, key));
        let before = row.filter(|_| sabotage::breaks(Rule::RowWithEntries));
        let before = before.and_then(|row| Some((self.get_local(&row).ok()??, row)));
        write_record(&mut self.call, (&self.layout, table), (partition, record), terms);
        if let Some((value, row)) = before {
            self.call.set(row, Some(value));
        }
    }

    /// The value of a row of a table, as the call has it.
    pub(crate) fn row_value(&self, table: &Store, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let mut row = Chunk::new();
        self.push_row(table, key, &mut row)?;
        Ok(row.first().and_then(|row| row.value()).map(<[u8]>::to_vec))
    }

    /// Appends a row of a table, as the call has it. False when there is none.
    pub(crate) fn push_row(&self, table: &Store, key: &[u8], rows: &mut Chunk) -> Result<bool, Fault> {
        let Some(local) = self.get_local(&key::below(&table.prefix, key))? else { return Ok(false) };
        lent::push(rows, table, key, &local);
        Ok(true)
    }

    /// Rows of a store that the call has written and whose terms are not known yet: the positions of its store's indexes
    /// are in the layout.
    pub(crate) fn rows_to_index(&self) -> Vec<(usize, Chunk)> {
        let indexed = self
            .layout
            .stores
            .iter()
            .enumerate()
            .filter(|(_, store)| store.kind == key::Kind::Store && !store.indexes.is_empty());
        let rows = indexed.map(|(position, store)| {
            let mut rows = Chunk::new();
            for (key, value) in self.call.iter() {
                if let (Some(key), Some(value)) = (key.strip_prefix(store.prefix.as_slice()), value) {
                    row::push_value(&mut rows, key, value);
                }
            }
            (position, rows)
        });
        rows.filter(|(_, rows)| !rows.is_empty()).collect()
    }

    /// Gives a row of a store, which the call has written, its terms.
    pub(crate) fn index_row(&mut self, store: usize, record: &RecordRef<'_>, terms: &[Vec<&[u8]>]) {
        let layout = Arc::clone(&self.layout);
        let (Some(store), Some(key)) = (layout.stores.get(store), record.key()) else { return };
        let value = record.value().map(row::of_value);
        write_row(&mut self.call, (&layout, store), key, value, terms);
    }

    /// All jobs, as the transaction has them.
    pub(crate) fn jobs(&self) -> Result<BTreeMap<(String, String), JobRow>, Fault> {
        let mut jobs = BTreeMap::new();
        let prefix = [key::Kind::Job as u8];
        self.each_below(&prefix, &mut |own, value| {
            let mut parts = own.splitn(2, |byte| *byte == 0);
            let (kind, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let kind = String::from_utf8_lossy(kind).into_owned();
            if let Some(row) = JobRow::read(&kind, name, value) {
                jobs.insert((kind, row.job.name.clone()), row);
            }
            ControlFlow::Continue(())
        })?;
        Ok(jobs)
    }

    /// A job as the call has it.
    pub(crate) fn job_row(&self, (kind, name): &(String, String)) -> Result<Option<JobRow>, Fault> {
        let local = self.get_local(&key::below(&key::prefix(key::Kind::Job, kind), name.as_bytes()))?;
        Ok(local.and_then(|bytes| JobRow::read(kind, name.as_bytes(), &bytes)))
    }

    /// Writes a job, or its end, into the call.
    pub(crate) fn set_job(&mut self, (kind, name): (&str, &str), row: Option<&JobRow>) {
        self.call
            .set(key::below(&key::prefix(key::Kind::Job, kind), name.as_bytes()), row.map(JobRow::write));
        self.has_touched_jobs = true;
    }

    /// Starts a job of the host, from its beginning, also when one of this name is under way.
    pub(crate) fn start_own_job(&mut self, (kind, name): (&str, &str), payload: Vec<u8>, total: Option<u64>) {
        self.generation.call += 1;
        let (kind, name, generation) = (kind.to_owned(), name.to_owned(), self.generation.call);
        let job = Job { kind, name, generation, payload, cursor: None, superseded_cursor: None };
        let row = JobRow { job, started: self.now, total, ..JobRow::default() };
        self.set_job((&row.job.kind, &row.job.name), Some(&row));
    }

    /// The rows of a broadcast table, with the places of their records.
    pub(crate) fn placed_rows(&self, table: &Store) -> Result<Vec<Placed>, Fault> {
        let mut rows = Vec::new();
        self.each_below(&table.prefix, &mut |key, value| {
            if let Some(origin) = row::origin(value) {
                rows.push(Placed { key: key.to_vec(), partition: origin.partition, offset: origin.offset });
            }
            ControlFlow::Continue(())
        })?;
        Ok(rows)
    }

    /// Shows what lies below a prefix, as the transaction and the call have it; keys without the prefix.
    fn each_below(&self, prefix: &[u8], visit: &mut Visit<'_>) -> Result<(), Fault> {
        let end = behind_prefix(prefix);
        let range = (Bound::Included(prefix), end.as_deref().map_or(Bound::Unbounded, Bound::Excluded));
        self.scan_local(range, &mut |key, value| visit(key.get(prefix.len()..).unwrap_or_default(), value))
    }

    fn scan_local(&self, range: StoreRange<'_>, visit: &mut Visit<'_>) -> Result<(), Fault> {
        overlay::scan(self.engine.as_deref(), [&self.transaction, &self.call], range, visit)
    }

    fn get_local(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let written = self.call.get(key).or_else(|| self.transaction.get(key));
        match (written, &self.engine) {
            (Some(value), _) => Ok(value.map(<[u8]>::to_vec)),
            (None, Some(engine)) => engine.get(key),
            (None, None) => Ok(None),
        }
    }
}

/// Breaks the rule that the cursor of a job is committed with its page: the changelog does not learn of it.
fn is_forgotten((key, value): Write<'_>) -> bool {
    let is_cursor = |value: &[u8]| JobRow::read("", b"", value).is_some_and(|row| row.job.cursor.is_some());
    sabotage::breaks(Rule::CursorWithPage)
        && key.first() == Some(&(key::Kind::Job as u8))
        && value.is_some_and(is_cursor)
}

/// Writes everything to a local store, with the checkpoint, in one batch.
fn apply(engine: &mut dyn StoreEngine, writes: &Overlay, checkpoint: &Checkpoint) -> Result<(), Fault> {
    let checkpoint = checkpoint.write();
    // Its key is the last of all.
    engine.apply(&mut writes.iter().chain([(key::CHECKPOINT, Some(checkpoint.as_slice()))]))
}

/// Writes the row of a record of a table; a tombstone removes it.
fn write_record(
    writes: &mut Overlay,
    table: (&Layout, &Store),
    (partition, record): (Partition, &RecordRef<'_>),
    terms: &[Vec<&[u8]>],
) {
    let Some(key) = record.key() else { return };
    let row = record.value().map(|_| row::of_record(partition, record));
    write_row(writes, table, key, row, terms);
}

/// Writes a row with its terms, and an entry for each of them. Entries of terms that the row had before stay: whoever scans an
/// index leaves them out, and that is cheaper than to read each row before it is written.
fn write_row(
    writes: &mut Overlay,
    (layout, store): (&Layout, &Store),
    key: &[u8],
    row: Option<Vec<u8>>,
    terms: &[Vec<&[u8]>],
) {
    if key.len() > key::ROW_KEY_MAX {
        // Its record is dead-lettered.
        return;
    }
    let row = row.map(|mut row| {
        row::append_terms(&mut row, terms.iter().map(|terms| terms.iter().copied()));
        row
    });
    if row.is_some() {
        for (terms, index) in terms.iter().zip(&store.indexes) {
            let Some(index) = layout.indexes.get(*index) else { continue };
            for term in terms {
                writes.set(key::below(&key::term(&index.prefix, term), key), Some(Vec::new()));
            }
        }
    }
    writes.set(key::below(&store.prefix, key), row);
}

/// Turns records of a changelog into writes of the local store; terms are added where rows have indexes. Shared by restores.
pub(crate) struct Restoring {
    layout: Arc<Layout>,
    writes: Overlay,
}

impl Restoring {
    pub(crate) fn new(layout: &Arc<Layout>) -> Self {
        Self { layout: Arc::clone(layout), writes: Overlay::default() }
    }

    /// The store whose row a changelog key stands for, by position, and the row's own key.
    pub(crate) fn row_of<'k>(&self, key: &'k [u8]) -> Option<(usize, &'k [u8])> {
        let stores = self.layout.stores.iter().enumerate();
        stores
            .filter_map(|(position, store)| Some((position, key.strip_prefix(store.prefix.as_slice())?)))
            .next()
    }

    /// Writes what a changelog record says.
    pub(crate) fn set_logged(&mut self, key: &[u8], value: Option<&[u8]>, terms: &[Vec<&[u8]>]) {
        match self.row_of(key) {
            Some((store, row_key)) => {
                let Some(store) = self.layout.stores.get(store) else { return };
                write_row(&mut self.writes, (&self.layout, store), row_key, value.map(<[u8]>::to_vec), terms);
            }
            // Rows of a store that this version of the plugin does not have keep the form of local values.
            None if key::is_row(key) => {
                let mut value = value.map(<[u8]>::to_vec);
                value.as_mut().into_iter().for_each(row::append_no_terms);
                self.writes.set(key, value);
            }
            None => {
                if let Some(entry) = value.and_then(|value| agenda::entry_of(key, value)) {
                    self.writes.set(entry, Some(Vec::new()));
                }
                self.writes.set(key, value.map(<[u8]>::to_vec));
            }
        }
    }

    /// Writes the row of a record of a table that is its own changelog.
    pub(crate) fn set_row(
        &mut self,
        table: &Store,
        partition: Partition,
        record: &RecordRef<'_>,
        terms: &[Vec<&[u8]>],
    ) {
        write_record(&mut self.writes, (&self.layout, table), (partition, record), terms);
    }

    /// The value that a row of a changelog has for a plugin's index function.
    pub(crate) fn push_row(&self, store: usize, key: &[u8], value: &[u8], rows: &mut Chunk) -> Option<()> {
        let store = self.layout.stores.get(store)?;
        let mut local = value.to_vec();
        row::append_no_terms(&mut local);
        match store.kind {
            key::Kind::Store => row::push_value(rows, key, &local),
            _ => row::push_record(rows, key, &local).map(|_| ()),
        }
    }

    /// Writes everything, with the checkpoint, in one batch.
    pub(crate) fn apply(
        &mut self,
        engine: &mut dyn StoreEngine,
        checkpoint: &Checkpoint,
    ) -> Result<(), Fault> {
        apply(engine, &self.writes, checkpoint)?;
        self.writes.clear();
        Ok(())
    }
}

/// The checkpoint of a local store; none when it has none that can be read.
pub(crate) fn checkpoint(engine: &dyn StoreEngine) -> Result<Option<Checkpoint>, Fault> {
    Ok(engine.get(key::CHECKPOINT)?.and_then(|bytes| Checkpoint::read(&bytes)))
}

/// Whether a local store holds nothing.
pub(crate) fn is_empty(engine: &dyn StoreEngine) -> Result<bool, Fault> {
    let mut is_empty = true;
    engine.scan((Bound::Unbounded, Bound::Unbounded), &mut |_, _| {
        is_empty = false;
        ControlFlow::Break(())
    })?;
    Ok(is_empty)
}

/// The position record of a local store; none when it has none that can be read.
pub(crate) fn position_record(engine: &dyn StoreEngine) -> Result<Option<PositionRecord>, Fault> {
    Ok(engine.get(key::POSITION)?.and_then(|bytes| PositionRecord::read(&bytes)))
}
