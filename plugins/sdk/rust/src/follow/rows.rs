//! The rows of a history in the plugin's store.
//!
//! ```text
//! ("state")             epoch, floor, meaning
//! ("value", term)       the record's value
//! ("change", epoch)     position, term, the value before
//! ("walk", term)        done, where it stands, segments: epoch, from, to
//! ("repeated", key)     epoch
//! ("suspect", term)
//! ```

use crate::Context;
use crate::Packed;
use crate::Reject;
use crate::Store;
use crate::follow::history::Change;
use crate::follow::history::History;
use crate::follow::history::Walk;
use crate::follow::segments::Segment;
use crate::wire::Reader;
use crate::wire::Writer;

const STATE: &str = "state";
const VALUE: &str = "value";
const CHANGE: &str = "change";
const WALK: &str = "walk";
const REPEATED: &str = "repeated";
const SUSPECT: &str = "suspect";

/// The store of a history.
#[derive(Clone, Copy)]
pub(super) struct Rows(pub(super) Store<Packed, [u8]>);

impl Rows {
    /// The history; none if there never was one.
    ///
    /// Rows of another form are left out: there is none yet, and a plugin whose values are read in another
    /// way than before counts up its `state_version`.
    pub(super) fn load<T>(
        self,
        parse: fn(&[u8], &[u8]) -> Result<T, Reject>,
        ctx: &mut Context<'_>,
    ) -> Option<History<T>> {
        let state = ctx.store(self.0.of::<(&str,), [u8]>()).get(&(STATE,))?;
        let mut history = History::default();
        if let Some((epoch, floor, meaning)) = read_state(&state) {
            (history.epoch, history.floor, history.meaning) = (epoch, floor, meaning);
        }
        self.each(VALUE, ctx, |term, value| drop(history.set(&term, parse(&term, &value).ok())));
        ctx.store(self.0.of::<(&str, u64), [u8]>()).prefix(&(CHANGE,), |(_, epoch), value| {
            history.changes.extend(read_change(epoch, &value, parse));
        });
        self.each(WALK, ctx, |term, value| history.walks.extend(read_walk(&value).map(|walk| (term, walk))));
        self.each(REPEATED, ctx, |key, value| {
            let epoch = Reader::new(&value).and_then(|mut reader| reader.number());
            history.repeated.extend(epoch.map(|epoch| (key, epoch)));
        });
        self.each(SUSPECT, ctx, |term, _| history.suspects.extend([term]));
        Some(history)
    }

    pub(super) fn value(self, term: &[u8], ctx: &mut Context<'_>) -> Option<Vec<u8>> {
        ctx.store(self.by_bytes()).get(&(VALUE, term))
    }

    pub(super) fn put_value(self, term: &[u8], value: Option<&[u8]>, ctx: &mut Context<'_>) {
        match value {
            Some(value) => ctx.store(self.by_bytes()).put(&(VALUE, term), value),
            None => ctx.store(self.by_bytes()).delete(&(VALUE, term)),
        }
    }

    pub(super) fn put_state<T>(self, history: &History<T>, ctx: &mut Context<'_>) {
        let state = Writer::new().number(history.epoch).flag(history.floor.is_some());
        let state = state.number(history.floor.unwrap_or_default()).bytes(&history.meaning).done();
        ctx.store(self.0.of::<(&str,), [u8]>()).put(&(STATE,), &state);
    }

    /// Writes the newest change; `before` is the value that it replaced.
    pub(super) fn put_change<T>(self, history: &History<T>, before: Option<&[u8]>, ctx: &mut Context<'_>) {
        if let Some(change) = history.changes.last() {
            let value = Writer::new()
                .number(change.position.cast_unsigned())
                .bytes(&change.term)
                .option(before)
                .done();
            ctx.store(self.0.of::<(&str, u64), [u8]>()).put(&(CHANGE, change.epoch), &value);
        }
        self.put_state(history, ctx);
    }

    pub(super) fn put_walk<T>(self, history: &History<T>, term: &[u8], ctx: &mut Context<'_>) {
        let Some(walk) = history.walks.get(term) else { return };
        let segments = &walk.segments.0;
        let writer = Writer::new().flag(walk.done).option(walk.at.as_deref()).number(segments.len() as u64);
        let writer = segments.iter().fold(writer, |writer, segment| {
            writer.number(segment.epoch).option(segment.from.as_deref()).option(segment.to.as_deref())
        });
        ctx.store(self.by_bytes()).put(&(WALK, term), &writer.done());
    }

    pub(super) fn put_repeated<T>(self, history: &History<T>, key: &[u8], ctx: &mut Context<'_>) {
        let value = Writer::new().number(history.epoch).done();
        ctx.store(self.by_bytes()).put(&(REPEATED, key), &value);
    }

    /// Makes a term a suspect.
    pub(super) fn suspect<T>(self, history: &mut History<T>, term: &[u8], ctx: &mut Context<'_>) {
        if history.suspects.insert(term.to_vec()) {
            ctx.store(self.by_bytes()).put(&(SUSPECT, term), b"");
        }
    }

    /// Clears a suspect.
    pub(super) fn clear<T>(self, history: &mut History<T>, term: &[u8], ctx: &mut Context<'_>) {
        if history.suspects.remove(term) {
            ctx.store(self.by_bytes()).delete(&(SUSPECT, term));
        }
    }

    /// Cuts off the oldest change.
    pub(super) fn cut<T>(self, history: &mut History<T>, ctx: &mut Context<'_>) {
        if history.changes.is_empty() {
            return;
        }
        let oldest = history.changes.remove(0);
        history.floor = Some(oldest.epoch);
        self.delete_change(oldest.epoch, ctx);
        self.put_state(history, ctx);
    }

    /// Cuts off everything before now.
    pub(super) fn forget<T>(self, history: &mut History<T>, ctx: &mut Context<'_>) {
        history.floor = Some(history.epoch);
        self.delete_changes(history, ctx);
        self.put_state(history, ctx);
    }

    /// Drops the history; unfinished walks leave suspects.
    pub(super) fn drop_history<T>(self, history: &mut History<T>, ctx: &mut Context<'_>) {
        for (term, walk) in std::mem::take(&mut history.walks) {
            ctx.store(self.by_bytes()).delete(&(WALK, term.as_slice()));
            if !walk.done {
                self.suspect(history, &term, ctx);
            }
        }
        self.delete_changes(history, ctx);
        if history.floor.take().is_some() {
            self.put_state(history, ctx);
        }
    }

    fn delete_changes<T>(self, history: &mut History<T>, ctx: &mut Context<'_>) {
        for change in history.changes.drain(..) {
            self.delete_change(change.epoch, ctx);
        }
        for (key, _) in history.repeated.drain() {
            ctx.store(self.by_bytes()).delete(&(REPEATED, key.as_slice()));
        }
    }

    fn delete_change(self, epoch: u64, ctx: &mut Context<'_>) {
        ctx.store(self.0.of::<(&str, u64), [u8]>()).delete(&(CHANGE, epoch));
    }

    fn each(self, kind: &str, ctx: &mut Context<'_>, mut visit: impl FnMut(Vec<u8>, Vec<u8>)) {
        ctx.store(self.by_bytes()).prefix(&(kind,), |(_, key), value| visit(key, value));
    }

    fn by_bytes<'a>(self) -> Store<(&'a str, &'a [u8]), [u8]> {
        self.0.of()
    }
}

/// Epoch, floor, meaning.
fn read_state(bytes: &[u8]) -> Option<(u64, Option<u64>, Vec<u8>)> {
    let mut reader = Reader::new(bytes)?;
    let (epoch, cut, floor) = (reader.number()?, reader.flag()?, reader.number()?);
    Some((epoch, cut.then_some(floor), reader.bytes()?.to_vec()))
}

fn read_change<T>(
    epoch: u64,
    bytes: &[u8],
    parse: fn(&[u8], &[u8]) -> Result<T, Reject>,
) -> Option<Change<T>> {
    let mut reader = Reader::new(bytes)?;
    let (position, term) = (reader.number()?.cast_signed(), reader.bytes()?.to_vec());
    let old = reader.option()?.and_then(|value| parse(&term, value).ok());
    Some(Change { epoch, position, term, old })
}

fn read_walk(bytes: &[u8]) -> Option<Walk> {
    let mut reader = Reader::new(bytes)?;
    let (done, at) = (reader.flag()?, reader.option()?.map(<[u8]>::to_vec));
    let mut walk = Walk { done, at, ..Walk::default() };
    for _ in 0..reader.number()? {
        let epoch = reader.number()?;
        let [from, to] = [reader.option()?, reader.option()?].map(|key| key.map(<[u8]>::to_vec));
        walk.segments.0.push(Segment { epoch, from, to });
    }
    Some(walk)
}
