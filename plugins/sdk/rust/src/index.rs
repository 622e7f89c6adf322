//! What a plugin with indexes writes.

use crate::IndexName;
use crate::Plugin;
use crate::Row;
use crate::arena;
use crate::bindings::gristmill::transform::types::Span;

/// A plugin with indexes: it says which terms a row has. List it in `export!(MyPlugin: Index)`.
pub trait Index: Plugin {
    /// The terms of a row, for one index of the manifest.
    ///
    /// Pure and total: the same row gives the same terms, for ever, and a row that makes no sense gives
    /// none. Only key and value are known; headers, timestamp and offset are not. When the terms change
    /// although the row does not, because this function does or a setting, count `version` of the index
    /// up, or list the setting in its `config`: then the host computes all terms anew.
    fn terms(&self, index: IndexName<'_>, row: &Row<'_>, terms: &mut Terms);
}

/// The terms of rows, while they are being collected.
#[derive(Debug, Default)]
pub struct Terms {
    pub(crate) spans: Vec<Span>,
    pub(crate) ends: Vec<u32>,
    pub(crate) bytes: Vec<u8>,
}

impl Terms {
    /// Adds a term to the row at hand. One that it has twice counts once.
    pub fn add(&mut self, term: impl AsRef<[u8]>) {
        self.spans.push(arena::push(&mut self.bytes, term.as_ref()));
    }

    pub(crate) fn end_row(&mut self) {
        self.ends.push(arena::number(self.spans.len()));
    }
}
