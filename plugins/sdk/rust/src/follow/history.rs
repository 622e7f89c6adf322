//! What is known about the joins of the past. No input or output.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;

use crate::follow::lookup::Lookup;
use crate::follow::segments::Segments;
use crate::mirror::Rows;
use crate::walk::Advance;

/// The values in force, and the joins of the past.
pub(super) struct History<T> {
    pub(super) values: Rows<T>,
    /// What joins depend on beside rows and values.
    pub(super) meaning: Vec<u8>,
    /// That of the newest change, kept or not.
    pub(super) epoch: u64,
    /// The first epoch whose values can still be told. None: no change was cut off.
    pub(super) floor: Option<u64>,
    /// The oldest first.
    pub(super) changes: Vec<Change<T>>,
    pub(super) walks: BTreeMap<Vec<u8>, Walk>,
    /// Keys of rows that were joined without a new record, and when.
    pub(super) repeated: HashMap<Vec<u8>, u64>,
    /// Terms whose rows may have been joined with values that nobody knows.
    pub(super) suspects: BTreeSet<Vec<u8>>,
}

/// A change of a value.
pub(super) struct Change<T> {
    pub(super) epoch: u64,
    /// The next offset of the large table's source when the change was applied.
    pub(super) position: i64,
    pub(super) term: Vec<u8>,
    pub(super) old: Option<T>,
}

/// A walk over the rows of a term.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Walk {
    pub(super) done: bool,
    /// Where it stands; another one goes on from there.
    pub(super) at: Option<Vec<u8>>,
    pub(super) segments: Segments,
}

impl<T> Default for History<T> {
    fn default() -> Self {
        Self {
            values: Rows::default(),
            meaning: Vec::new(),
            epoch: 0,
            floor: None,
            changes: Vec::new(),
            walks: BTreeMap::new(),
            repeated: HashMap::new(),
            suspects: BTreeSet::new(),
        }
    }
}

impl<T> History<T> {
    /// Whether some rows may not be joined with the values of now.
    pub(super) fn is_live(&self) -> bool {
        !self.changes.is_empty() || self.floor.is_some()
    }

    /// The values in force.
    pub(super) fn now(&self) -> Lookup<'_, T> {
        Lookup::new(&self.values, &[])
    }

    /// Sets the value of a key, and gives the old one.
    pub(super) fn set(&mut self, term: &[u8], new: Option<T>) -> Option<T> {
        self.values.set(term, new)
    }

    /// Notes a change that was just made.
    pub(super) fn change(&mut self, term: &[u8], position: i64, old: Option<T>) {
        self.epoch += 1;
        self.changes.push(Change { epoch: self.epoch, position, term: term.to_vec(), old });
    }

    /// Notes what a step has passed.
    pub(super) fn pass(&mut self, term: &[u8], advance: &Advance, at: Option<Vec<u8>>) {
        let walk = self.walks.entry(term.to_vec()).or_default();
        for stretch in &advance.passed {
            walk.segments.pass(self.epoch, stretch);
        }
        let floor = self.floor;
        walk.segments.0.retain(|segment| floor.is_none_or(|floor| segment.epoch >= floor));
        walk.at = at;
        walk.done = advance.finished;
    }

    /// The values that a row was last joined with; none if nobody knows.
    pub(super) fn last(&self, key: &[u8], offset: i64, terms: &[impl AsRef<[u8]>]) -> Option<Lookup<'_, T>> {
        let handled = self.changes.partition_point(|change| change.position <= offset);
        let record = handled.checked_sub(1).and_then(|newest| self.changes.get(newest)).map(|c| c.epoch);
        let walks = terms.iter().filter_map(|term| self.walks.get(term.as_ref())?.segments.newest(key));
        let repeated = self.repeated.get(key).copied();
        let epoch = walks.chain(record).chain(repeated).max();
        if epoch < self.floor {
            return None;
        }
        let suspect = || terms.iter().any(|term| self.suspects.contains(term.as_ref()));
        if epoch.is_none() && suspect() {
            return None;
        }
        let later = self.changes.partition_point(|change| Some(change.epoch) <= epoch);
        self.changes.get(later..).map(|later| Lookup::new(&self.values, later))
    }
}
