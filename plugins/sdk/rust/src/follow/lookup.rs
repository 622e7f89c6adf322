//! The values of an epoch.

use crate::Row;
use crate::follow::history::Change;
use crate::follow::history::History;
use crate::mirror::Rows;

/// The values of the small table, as of some time.
pub struct Lookup<'a, T> {
    values: &'a Rows<T>,
    /// The changes since then, the oldest first.
    later: &'a [Change<T>],
}

impl<T> Clone for Lookup<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Lookup<'_, T> {}

impl<'a, T> Lookup<'a, T> {
    pub(super) fn new(values: &'a Rows<T>, later: &'a [Change<T>]) -> Self {
        Self { values, later }
    }

    /// The value of a key, if there is one.
    #[must_use]
    pub fn get(&self, term: &[u8]) -> Option<&'a T> {
        match self.later.iter().find(|change| change.term == term) {
            Some(change) => change.old.as_ref(),
            None => self.values.get(term),
        }
    }
}

/// A row that a walk passes.
pub struct Passing<'a, T> {
    key: &'a [u8],
    offset: i64,
    history: &'a History<T>,
}

impl<'a, T> Passing<'a, T> {
    pub(super) fn new(row: &Row<'a>, history: &'a History<T>) -> Self {
        Self { key: row.key, offset: row.offset, history }
    }

    /// The join of the row with the values of now, if it differs from the one that was last sent, or if
    /// nobody knows that one: send it then. `terms` are those of the row; `join` may look up no others.
    pub fn changed<R: PartialEq>(
        &self,
        terms: &[impl AsRef<[u8]>],
        join: impl Fn(Lookup<'a, T>) -> R,
    ) -> Option<R> {
        let last = self.history.last(self.key, self.offset, terms).map(&join);
        let now = join(self.history.now());
        (last.as_ref() != Some(&now)).then_some(now)
    }
}
