//! Pages of an index. An entry says that a row had a term once; the row itself says whether it still has it.

use std::ops::{Bound, ControlFlow};

use crate::fault::{Code, Fault};
use crate::io::{Limit, Page, StateError, behind_prefix};
use crate::task::state::key;
use crate::task::state::layout::{Index, Store};
use crate::task::state::lent::push;
use crate::task::state::{TaskState, row};

/// Rows are read in one go from the first to the last that is wanted while at most this many come for each that is.
const DENSE: usize = 8;

/// Keys of rows, and the last of them if there are more.
type Keys = (Vec<Vec<u8>>, Option<Vec<u8>>);

/// Is shown the local value of each key that was asked for; none for a row that is gone.
type VisitWanted<'a> = dyn FnMut(&[u8], Option<&[u8]>) -> ControlFlow<()> + 'a;

impl TaskState {
    /// The rows behind `after` that have a term.
    pub(super) fn index_page(
        &self,
        store: &Store,
        index: &str,
        term: &[u8],
        after: Option<&[u8]>,
        limit: Limit,
    ) -> Result<Page, StateError> {
        let (position, index) = self.index_of(store, index)?;
        let entries = key::term(&index.prefix, term);
        let (keys, mut next) = self.entry_keys(&entries, after, limit.rows)?;
        let mut page = Page::default();
        let mut is_full = false;
        self.each_row(store, &keys, &mut |key, local| {
            if page.rows.size_bytes() >= limit.bytes && !page.rows.is_empty() {
                is_full = true;
                next = page.rows.last().and_then(|last| last.key()).map(<[u8]>::to_vec);
                return ControlFlow::Break(());
            }
            match local {
                Some(local) if row::has_term(local, position, term) => {
                    push(&mut page.rows, store, key, local)
                }
                _ => self.stale.borrow_mut().push(key::below(&entries, key)),
            }
            ControlFlow::Continue(())
        })?;
        page.next = next;
        Ok(page)
    }

    /// Counts the entries behind `after`.
    pub(super) fn count_entries(
        &self,
        store: &Store,
        index: &str,
        term: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<(u64, Option<Vec<u8>>), StateError> {
        let (_, index) = self.index_of(store, index)?;
        let entries = key::term(&index.prefix, term);
        let (mut count, mut last) = (0u64, Vec::new());
        let mut has_more = false;
        self.each_entry(&entries, after, &mut |key| {
            if count >= limit as u64 {
                has_more = true;
                return ControlFlow::Break(());
            }
            count += 1;
            last.clear();
            last.extend_from_slice(key);
            ControlFlow::Continue(())
        })?;
        Ok((count, has_more.then_some(last)))
    }

    /// The index with this name, and its position among those of the store.
    fn index_of(&self, store: &Store, name: &str) -> Result<(usize, &Index), StateError> {
        if !self.is_indexed {
            let message = format!("index `{}` is being built", name.escape_default());
            return Err(StateError::Failed(Fault::new(Code::IndexBuilding, message)));
        }
        let own = store.indexes.iter().filter_map(|index| self.layout.indexes.get(*index));
        own.enumerate().find(|(_, index)| index.name == name).ok_or_else(|| {
            let (store, name) = (&store.name, name.escape_default());
            StateError::Refused(format!("the manifest has no index `{name}` on `{store}`"))
        })
    }

    /// The keys of a page of entries, and the last of them if there are more.
    fn entry_keys(&self, entries: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Keys, StateError> {
        let mut keys: Vec<Vec<u8>> = Vec::with_capacity(limit.min(1_000));
        let mut next = None;
        self.each_entry(entries, after, &mut |key| {
            if keys.len() == limit {
                next = keys.last().cloned();
                return ControlFlow::Break(());
            }
            keys.push(key.to_vec());
            ControlFlow::Continue(())
        })?;
        Ok((keys, next))
    }

    fn each_entry(
        &self,
        entries: &[u8],
        after: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), StateError> {
        let after = after.map(|after| key::below(entries, after));
        let start = after.as_deref().map_or(Bound::Included(entries), Bound::Excluded);
        let end = behind_prefix(entries);
        let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let shown =
            self.scan_local((start, end), &mut |key, _| visit(key.get(entries.len()..).unwrap_or_default()));
        Ok(shown?)
    }

    /// Shows the local value of each key, in order; none for a row that is gone. Random reads are dear and a scan is cheap,
    /// so a page of rows that lie close together is read as one stretch.
    fn each_row(
        &self,
        store: &Store,
        keys: &[Vec<u8>],
        visit: &mut VisitWanted<'_>,
    ) -> Result<(), StateError> {
        let (Some(first), Some(last)) = (keys.first(), keys.last()) else { return Ok(()) };
        let (first, last) = (key::below(&store.prefix, first), key::below(&store.prefix, last));
        let (mut wanted, mut seen, mut is_over) = (keys.iter().peekable(), 0usize, false);
        let most = keys.len().saturating_mul(DENSE);
        self.scan_local((Bound::Included(&first), Bound::Included(&last)), &mut |key, local| {
            let key = key.get(store.prefix.len()..).unwrap_or_default();
            seen += 1;
            while let Some(gone) = wanted.next_if(|wanted| wanted.as_slice() < key) {
                if visit(gone, None).is_break() {
                    is_over = true;
                    return ControlFlow::Break(());
                }
            }
            if wanted.next_if(|wanted| wanted.as_slice() == key).is_some()
                && visit(key, Some(local)).is_break()
            {
                is_over = true;
            }
            if is_over || seen > most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        // What is left lies far apart, or is gone.
        for key in wanted {
            if is_over {
                break;
            }
            let local = self.get_local(&key::below(&store.prefix, key))?;
            is_over = visit(key, local.as_deref()).is_break();
        }
        Ok(())
    }
}
