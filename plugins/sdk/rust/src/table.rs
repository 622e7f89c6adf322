//! Reading the tables that the host keeps.

use crate::Row;
use crate::Table;
use crate::Timestamp;
use crate::arena;
use crate::host::Host;
use crate::host::Keys;
use crate::record::Headers;

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
        self.host.get(self.table, key)
    }

    /// Visits all rows, in the order of their keys. For small tables: a call has a deadline.
    pub fn each(&mut self, visit: impl FnMut(Row<'_>)) {
        self.walk(Keys::All, visit);
    }

    /// Visits the rows whose keys begin with `prefix`, in the order of their keys.
    pub fn each_with_prefix(&mut self, prefix: &[u8], visit: impl FnMut(Row<'_>)) {
        self.walk(Keys::Prefix(prefix), visit);
    }

    fn walk(&mut self, keys: Keys<'_>, mut visit: impl FnMut(Row<'_>)) {
        let mut after = None;
        loop {
            let page = self.host.page(self.table, keys, after.as_deref());
            for row in &page.rows {
                visit(Row {
                    key: arena::slice(&page.bytes, row.key),
                    value: arena::slice(&page.bytes, row.value),
                    headers: Headers::new(arena::items(&page.headers, row.headers), &page.bytes),
                    timestamp: Timestamp::from_millis(row.timestamp),
                    offset: row.offset,
                });
            }
            after = page.next;
            if after.is_none() {
                return;
            }
        }
    }
}
