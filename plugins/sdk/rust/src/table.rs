//! Reading the tables that the host keeps.

use crate::IndexName;
use crate::Row;
use crate::Table;
use crate::Timestamp;
use crate::arena;
use crate::bindings::gristmill::transform::state;
use crate::host::Host;
use crate::host::Keys;
use crate::record::Headers;

/// Rows that are asked for at once.
const PAGE_ROWS: u32 = 1000;

/// A table, for the time of a call.
///
/// It shows what its topic says, rejected records included: for a table of this task's partition after
/// the whole batch of the call, for a broadcast table as of this call. Each read crosses to the host, for
/// about half a microsecond: [`Mirror`](crate::Mirror) keeps small tables at hand.
pub struct TableRef<'a> {
    host: &'a mut dyn Host,
    table: Table,
}

impl<'a> TableRef<'a> {
    pub(crate) fn new(host: &'a mut dyn Host, table: Table) -> Self {
        Self { host, table }
    }

    /// The value of a key; none if there is no row.
    #[must_use]
    pub fn get(&mut self, key: &[u8]) -> Option<Vec<u8>> {
        self.host.get(self.table.name(), key)
    }

    /// The row of a key, with its headers, timestamp and offset: a page of one row, or of none.
    #[must_use]
    pub fn row(&mut self, key: &[u8]) -> Page {
        Page(self.host.row(self.table.name(), key))
    }

    /// Rows in the order of their keys, only those behind `after`. `limit` is a wish: [`Page::next`] says
    /// whether there is more.
    #[must_use]
    pub fn scan(&mut self, after: Option<&[u8]>, limit: u32) -> Page {
        Page(self.host.page(self.table.name(), Keys::ALL, after, limit))
    }

    /// Rows that have a term in an index, in the order of their keys, only those behind `after`. The pages
    /// stay right while rows change under them.
    #[must_use]
    pub fn by_index(&mut self, index: IndexName<'_>, term: &[u8], after: Option<&[u8]>, limit: u32) -> Page {
        let keys = Keys::Term { index: index.name(), term };
        Page(self.host.page(self.table.name(), keys, after, limit))
    }

    /// Counts rows that have a term in an index, `limit` at most, only those behind `after`. Quick, because
    /// no row is looked at: rows that have lost the term may be counted. Gives the key to go on behind, if
    /// there is more.
    #[must_use]
    pub fn count_by_index(
        &mut self,
        index: IndexName<'_>,
        term: &[u8],
        after: Option<&[u8]>,
        limit: u32,
    ) -> (u64, Option<Vec<u8>>) {
        self.host.count(self.table.name(), (index.name(), term), after, limit)
    }

    /// Visits all rows, in the order of their keys. For small tables: a call has a deadline.
    pub fn each(&mut self, visit: impl FnMut(Row<'_>)) {
        self.walk(Keys::ALL, visit);
    }

    /// Visits the rows whose keys begin with `prefix`, in the order of their keys.
    pub fn each_with_prefix(&mut self, prefix: &[u8], visit: impl FnMut(Row<'_>)) {
        self.walk(Keys::Prefix(prefix), visit);
    }

    fn walk(&mut self, keys: Keys<'_>, mut visit: impl FnMut(Row<'_>)) {
        let mut after = None;
        loop {
            let page = Page(self.host.page(self.table.name(), keys, after.as_deref(), PAGE_ROWS));
            page.rows().for_each(&mut visit);
            after = page.0.next;
            if after.is_none() {
                return;
            }
        }
    }
}

/// Some rows.
pub struct Page(pub(crate) state::Page);

impl Page {
    /// The rows, in the order of their keys.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.0.rows.iter().map(|row| Row {
            key: arena::slice(&self.0.bytes, row.key),
            value: arena::slice(&self.0.bytes, row.value),
            headers: Headers::new(arena::items(&self.0.headers, row.headers), &self.0.bytes),
            timestamp: Timestamp::from_millis(row.timestamp),
            offset: row.offset,
        })
    }

    /// The key to go on behind, if there is more. A page without rows can have it.
    #[must_use]
    pub fn next(&self) -> Option<&[u8]> {
        self.0.next.as_deref()
    }
}
