//! The agenda: what is due when. It is in the local store alone, because its entries follow from rows of the state.
//!
//! ```text
//! 81 matter due name      due as 8 bytes that sort as time does
//! ```
//! An entry is removed with its row. One that a restore left behind, because its row was written again later in the
//! changelog, is told by the row, which has another time, and goes when it is met.
//!
//! What is due is always at the front, and what was done there leaves traces in a log-structured store that cost whoever walks
//! over them. So a cursor says where the front is; it goes back with an abort, and whenever something is put before it.

use std::ops::{Bound, ControlFlow};

use crate::fault::Fault;
use crate::id::Timestamp;
use crate::io::{TimerClock, behind_prefix};
use crate::task::state::TaskState;
use crate::task::state::callout::EndedRow;
use crate::task::state::key::Kind;
use crate::task::state::timer::{self, TimerRow};

/// What an entry is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Matter {
    /// A timer of the plugin that goes by stream time.
    StreamTimer,
    /// A timer of the plugin that goes by wall clock.
    WallTimer,
    /// The id of a callout that has ended is forgotten.
    Forget,
}

const MATTERS: usize = 3;

impl Matter {
    pub(crate) fn of(clock: TimerClock) -> Self {
        match clock {
            TimerClock::StreamTime => Self::StreamTimer,
            TimerClock::WallClock => Self::WallTimer,
        }
    }

    fn index(self) -> usize {
        match self {
            Self::StreamTimer => 0,
            Self::WallTimer => 1,
            Self::Forget => 2,
        }
    }

    fn prefix(self) -> [u8; 2] {
        let matter = match self {
            Self::StreamTimer => b's',
            Self::WallTimer => b'w',
            Self::Forget => b'f',
        };
        [Kind::Agenda as u8, matter]
    }

    /// The key of an entry.
    pub(crate) fn entry(self, due: Timestamp, name: &[u8]) -> Vec<u8> {
        let mut key = Vec::with_capacity(name.len() + 10);
        key.extend_from_slice(&self.prefix());
        key.extend_from_slice(&sortable(due));
        key.extend_from_slice(name);
        key
    }

    /// The time and the name in a key of an entry.
    fn read(self, key: &[u8]) -> Option<(Timestamp, &[u8])> {
        let (due, name) = key.strip_prefix(&self.prefix())?.split_first_chunk()?;
        Some((Timestamp(i64::from_be_bytes(*due) ^ i64::MIN), name))
    }
}

/// Times as bytes that sort like them.
fn sortable(time: Timestamp) -> [u8; 8] {
    (time.0 ^ i64::MIN).to_be_bytes()
}

/// The entry that follows from a row of the state, if one does.
pub(crate) fn entry_of(key: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    if let Some((clock, name)) = timer::name_in(key) {
        return Some(Matter::of(clock).entry(TimerRow::read(value)?.due, name));
    }
    let id = EndedRow::id_in(key)?;
    Some(Matter::Forget.entry(EndedRow::read(value)?.forget, id))
}

/// Keys before which there is no entry, for each matter.
type Fronts = [Vec<u8>; MATTERS];

/// What is known about the front of the agenda: for each layer of the state where it is, and what lies there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Agenda {
    committed: Fronts,
    transaction: Fronts,
    call: Fronts,
    /// The times at the front as the call has it, once somebody has looked.
    heads: [Option<Option<Timestamp>>; MATTERS],
}

impl Agenda {
    pub(crate) fn drop_call(&mut self) {
        if self.call != self.transaction {
            self.call.clone_from(&self.transaction);
            self.heads = Default::default();
        }
    }

    pub(crate) fn keep_call(&mut self) {
        if self.call != self.transaction {
            self.transaction.clone_from(&self.call);
        }
    }

    pub(crate) fn rewind(&mut self) {
        self.transaction.clone_from(&self.committed);
        self.call.clone_from(&self.committed);
        self.heads = Default::default();
    }

    pub(crate) fn commit(&mut self) {
        self.committed.clone_from(&self.transaction);
    }

    /// An entry was written. If the call is dropped the front is further back than it need be, which does no harm.
    fn put(&mut self, matter: Matter, entry: &[u8]) {
        for fronts in [&mut self.call, &mut self.transaction, &mut self.committed] {
            if let Some(front) = fronts.get_mut(matter.index()).filter(|front| entry < front.as_slice()) {
                entry.clone_into(front);
            }
        }
        self.drop_head(matter);
    }

    /// There is nothing before this key, as the call has it.
    fn advance(&mut self, matter: Matter, front: Vec<u8>) {
        if let Some(own) = self.call.get_mut(matter.index()).filter(|own| **own < front) {
            *own = front;
        }
        self.drop_head(matter);
    }

    pub(super) fn drop_head(&mut self, matter: Matter) {
        if let Some(head) = self.heads.get_mut(matter.index()) {
            *head = None;
        }
    }

    fn front(&self, matter: Matter) -> Vec<u8> {
        let front = self.call.get(matter.index()).filter(|front| !front.is_empty());
        front.map_or_else(|| matter.prefix().to_vec(), Clone::clone)
    }
}

/// The first entries of a matter.
#[derive(Debug, Default)]
pub(crate) struct Due {
    /// Times and names, in order.
    pub(crate) entries: Vec<(Timestamp, Vec<u8>)>,
}

impl TaskState {
    /// The time of the first entry, perhaps of one that is of no use any more.
    pub(crate) fn next_due(&mut self, matter: Matter) -> Result<Option<Timestamp>, Fault> {
        if let Some(Some(head)) = self.agenda.heads.get(matter.index()) {
            return Ok(*head);
        }
        let first = self.due(matter, Timestamp(i64::MAX), 1)?.entries.first().map(|(due, _)| *due);
        if let Some(head) = self.agenda.heads.get_mut(matter.index()) {
            *head = Some(first);
        }
        Ok(first)
    }

    /// The first entries that are due until a time, as the call has them; some may be of no use any more.
    pub(crate) fn due(&self, matter: Matter, until: Timestamp, most: usize) -> Result<Due, Fault> {
        let (start, end) = (self.agenda.front(matter), behind_prefix(&matter.prefix()));
        let range =
            (Bound::Included(start.as_slice()), end.as_deref().map_or(Bound::Unbounded, Bound::Excluded));
        let mut found = Due::default();
        self.scan_local(range, &mut |key, _| {
            let Some((due, name)) = matter.read(key) else { return ControlFlow::Continue(()) };
            if due > until {
                return ControlFlow::Break(());
            }
            found.entries.push((due, name.to_vec()));
            if found.entries.len() >= most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(found)
    }

    /// Writes an entry into the call.
    pub(super) fn put_entry(&mut self, matter: Matter, due: Timestamp, name: &[u8]) {
        let entry = matter.entry(due, name);
        self.agenda.put(matter, &entry);
        self.call.set(entry, Some(Vec::new()));
    }

    /// Removes an entry, as part of the call.
    pub(super) fn drop_entry(&mut self, matter: Matter, due: Timestamp, name: &[u8]) {
        self.call.set(matter.entry(due, name), None);
        self.agenda.drop_head(matter);
    }

    /// Everything up to this entry is done, as part of the call.
    pub(crate) fn pass_entry(&mut self, matter: Matter, due: Timestamp, name: &[u8]) {
        let mut front = matter.entry(due, name);
        front.push(0);
        self.agenda.advance(matter, front);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_entries_by_time_and_reads_them_back() {
        let times = [i64::MIN, -1, 0, 1, 1_700_000_000_000, i64::MAX].map(Timestamp);
        let keys = times.map(|time| Matter::WallTimer.entry(time, b"n"));

        assert!(keys.is_sorted());
        assert!(
            times
                .iter()
                .zip(&keys)
                .all(|(time, key)| { Matter::WallTimer.read(key) == Some((*time, b"n".as_slice())) })
        );
        assert_eq!(Matter::StreamTimer.read(&keys[0]), None);
    }
}
