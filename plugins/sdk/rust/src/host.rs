//! What the SDK asks of its host: the imports in WebAssembly, memory in the test driver.

use crate::Clock;
use crate::Level;
use crate::Source;
use crate::Table;
use crate::Timestamp;
use crate::bindings::gristmill::transform::jobs::Job;
use crate::bindings::gristmill::transform::state::Page;

/// Which rows of a store or table.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Keys<'a> {
    Prefix(&'a [u8]),
    Range {
        start: Option<&'a [u8]>,
        end: Option<&'a [u8]>,
    },
    /// Those that have a term in an index.
    Term {
        index: &'a str,
        term: &'a [u8],
    },
}

impl Keys<'_> {
    pub(crate) const ALL: Self = Keys::Range { start: None, end: None };
}

/// The imports that a [`Context`](crate::Context) uses. Stores and tables go by name; a table has that of
/// its source.
pub(crate) trait Host {
    fn now(&self) -> Timestamp;
    fn stream_time(&self) -> Timestamp;

    fn get(&mut self, store: &'static str, key: &[u8]) -> Option<Vec<u8>>;
    /// The row of a key, as a page of one row or none.
    fn row(&mut self, store: &'static str, key: &[u8]) -> Page;
    /// One page of rows behind `after`; its `next` says whether there is more.
    fn page(&mut self, store: &'static str, keys: Keys<'_>, after: Option<&[u8]>, limit: u32) -> Page;
    /// Counts entries of an index, and gives the key to go on behind.
    fn count(
        &mut self,
        store: &'static str,
        index: (&str, &[u8]),
        after: Option<&[u8]>,
        limit: u32,
    ) -> (u64, Option<Vec<u8>>);
    fn put(&mut self, store: &'static str, key: &[u8], value: &[u8]);
    fn delete(&mut self, store: &'static str, key: &[u8]);
    fn position(&mut self, source: Source) -> i64;
    /// The position of a table's source.
    fn position_of(&mut self, table: Table) -> i64;
    /// The next offsets of a broadcast source, by partition.
    fn applied(&mut self, source: Source) -> Vec<(u32, i64)>;

    fn start(&mut self, kind: &str, name: &str, payload: &[u8]) -> u64;
    fn cancel(&mut self, kind: &str, name: &str) -> bool;
    fn find(&mut self, kind: &str, name: &str) -> Option<Job>;

    fn set_timer(&mut self, clock: Clock, name: &[u8], due: Timestamp, payload: &[u8]);
    fn cancel_timer(&mut self, clock: Clock, name: &[u8]);

    fn enabled(&self, level: Level) -> bool;
    fn log(&mut self, level: Level, message: &str, fields: &[(&str, &str)]);
}
