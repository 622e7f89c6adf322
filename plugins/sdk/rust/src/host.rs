//! What the SDK asks of its host: the imports in WebAssembly, memory in the test driver.

use crate::Level;
use crate::Table;
use crate::Timestamp;
use crate::bindings::gristmill::transform::state::Page;

/// Which rows of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Keys<'a> {
    All,
    Prefix(&'a [u8]),
}

/// The imports that a [`Context`](crate::Context) uses.
pub(crate) trait Host {
    fn now(&self) -> Timestamp;
    fn stream_time(&self) -> Timestamp;
    fn get(&mut self, table: Table, key: &[u8]) -> Option<Vec<u8>>;
    /// One page of rows behind `after`; its `next` says whether there is more.
    fn page(&mut self, table: Table, keys: Keys<'_>, after: Option<&[u8]>) -> Page;
    fn enabled(&self, level: Level) -> bool;
    fn log(&mut self, level: Level, message: &str, fields: &[(&str, &str)]);
}
