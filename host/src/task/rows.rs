//! The rows of tables that a call's records make, with their terms.

use crate::event;
use crate::fault::{Code, Fault};
use crate::io::{CallError, Instance, Terms};
use crate::record::{Chunk, RecordRef};
use crate::task::Surroundings;
use crate::task::Task;
use crate::task::call::harm;
use crate::task::run::{Condemned, Run};
use crate::task::state::key::ROW_KEY_MAX;
use crate::task::state::layout::{Layout, Store};

/// An instance for index functions: the task's own, or a new one when the last call of one failed.
pub(crate) struct Indexer<'a, 'b> {
    pub(crate) instance: &'a mut Option<Box<dyn Instance>>,
    pub(crate) task: &'a crate::id::TaskId,
    pub(crate) around: &'a Surroundings<'b>,
}

/// The terms of some rows in one index: of each row.
pub(crate) type RowTerms = Vec<Vec<Vec<u8>>>;

impl Indexer<'_, '_> {
    /// The terms of rows of a store, in each of its indexes.
    ///
    /// # Errors
    /// There is no instance.
    pub(crate) fn all_terms(
        &mut self,
        layout: &Layout,
        store: &Store,
        rows: &Chunk,
    ) -> Result<Vec<RowTerms>, Fault> {
        let indexes = store.indexes.iter().filter_map(|index| layout.indexes.get(*index));
        indexes.map(|index| self.terms(&index.name, rows)).collect()
    }

    /// The terms of rows in one index. A row that the plugin fails on has none.
    ///
    /// # Errors
    /// There is no instance.
    fn terms(&mut self, index: &str, rows: &Chunk) -> Result<RowTerms, Fault> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let mut instance = self.around.instance(self.instance, self.task)?;
        let answer = instance.index(index, rows).and_then(|terms| split(&terms, rows.len()));
        match answer {
            Ok(terms) => {
                *self.instance = Some(instance);
                Ok(terms)
            }
            Err(error) if rows.len() == 1 => {
                event::RowNotIndexed { task: self.task, index, message: &harm(&error).1 }.emit();
                Ok(vec![Vec::new()])
            }
            Err(_) => {
                let middle = rows.len() / 2;
                let mut terms = self.terms(index, &rows.slice(&(0..middle)))?;
                terms.extend(self.terms(index, &rows.slice(&(middle..rows.len())))?);
                Ok(terms)
            }
        }
    }
}

/// The terms of each row.
fn split(terms: &Terms, rows: usize) -> Result<RowTerms, CallError> {
    let invalid = || CallError::Trap { message: "the terms do not fit the rows".to_owned(), location: None };
    if terms.ends.len() != rows {
        return Err(invalid());
    }
    let mut all = Vec::with_capacity(rows);
    let mut start = 0usize;
    for end in &terms.ends {
        let end = *end as usize;
        let spans = terms.spans.get(start..end).ok_or_else(invalid)?;
        let term = |span: &crate::record::Span| {
            let from = span.start as usize;
            terms
                .bytes
                .get(from..from.saturating_add(span.len as usize))
                .map(<[u8]>::to_vec)
                .ok_or_else(invalid)
        };
        all.push(spans.iter().map(term).collect::<Result<Vec<_>, _>>()?);
        start = end;
    }
    Ok(all)
}

/// The records that have a value, which alone have terms.
pub(crate) fn living(records: &Chunk) -> Option<Chunk> {
    let is_living = |index: usize| records.get(index).is_some_and(|record| record.value().is_some());
    (0..records.len()).any(|index| !is_living(index)).then(|| records.select(is_living))
}

/// Puts rows and their terms together: each record with its terms in each index.
pub(crate) fn with_terms(
    records: &Chunk,
    terms: &[RowTerms],
    mut visit: impl FnMut(&RecordRef<'_>, &[Vec<&[u8]>]),
) {
    let mut living = 0usize;
    let mut of_row: Vec<Vec<&[u8]>> = vec![Vec::new(); terms.len()];
    for record in records.iter() {
        for (own, of_index) in of_row.iter_mut().zip(terms) {
            own.clear();
            if record.value().is_some() {
                own.extend(of_index.get(living).into_iter().flatten().map(Vec::as_slice));
            }
        }
        living += usize::from(record.value().is_some());
        visit(&record, &of_row);
    }
}

impl Task {
    /// Writes the rows that a run's records make into the call, the condemned ones too: a table is what its topic says.
    pub(super) fn set_rows(&mut self, run: &Run, around: &Surroundings<'_>) -> Result<(), Fault> {
        let layout = std::sync::Arc::clone(self.state.layout());
        let Some(table) = layout.table(run.source).filter(|_| !run.is_apart()) else { return Ok(()) };
        let chosen = living(&run.records);
        let rows = chosen.as_ref().unwrap_or(&run.records);
        let mut indexer = Indexer { instance: &mut self.instance, task: &self.id, around };
        let terms = indexer.all_terms(&layout, table, rows)?;
        with_terms(&run.records, &terms, |record, terms| {
            self.state.set_row(table, run.partition, record, terms)
        });
        Ok(())
    }

    /// Records that can be no rows, because their keys are too long for any store.
    pub(super) fn condemn_long_keys(&self, run: &mut Run) {
        if self.state.layout().table(run.source).is_none() {
            return;
        }
        let is_long = |record: &RecordRef<'_>| record.key().is_some_and(|key| key.len() > ROW_KEY_MAX);
        let long: Vec<u32> = (0..)
            .zip(run.records.iter())
            .filter(|(_, record)| is_long(record))
            .map(|(index, _)| index)
            .collect();
        for index in long {
            let code = Code::RecordRefused.as_str().to_owned();
            let message = format!("its key is longer than {ROW_KEY_MAX} bytes, the most that a row may have");
            run.condemn(Condemned { index, code, message });
        }
    }

    /// The row that the key of each record had before it, for a source that wants to know.
    pub(super) fn rows_before(&self, run: &Run, records: &Chunk) -> Result<Option<Chunk>, Fault> {
        let wants = self.spec.source(run.source).is_some_and(|source| source.previous);
        let table = self.state.layout().table(run.source).filter(|_| wants);
        let Some(table) = table else { return Ok(None) };
        let mut before = Chunk::new();
        let mut within: std::collections::BTreeMap<&[u8], Option<&[u8]>> = std::collections::BTreeMap::new();
        for record in records.iter() {
            let place = (record.timestamp(), record.offset());
            let Some(key) = record.key() else {
                before.push(None, None, [], place);
                continue;
            };
            match within.insert(key, record.value()) {
                Some(value) => before.push(Some(key), value, [], place),
                None => {
                    let row = self.state.row_value(table, key)?;
                    before.push(Some(key), row.as_deref(), [], place)
                }
            };
        }
        Ok(Some(before))
    }

    /// Gives the rows of stores that the call has written their terms.
    pub(super) fn index_written(&mut self, around: &Surroundings<'_>) -> Result<(), Fault> {
        if !self.state.has_written() {
            return Ok(());
        }
        let layout = std::sync::Arc::clone(self.state.layout());
        for (position, rows) in self.state.rows_to_index() {
            let Some(store) = layout.stores.get(position) else { continue };
            let mut indexer = Indexer { instance: &mut self.instance, task: &self.id, around };
            let terms = indexer.all_terms(&layout, store, &rows)?;
            with_terms(&rows, &terms, |record, terms| self.state.index_row(position, record, terms));
        }
        Ok(())
    }
}
