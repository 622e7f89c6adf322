//! Uncommitted writes: of the open transaction, and of the call that is under way.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::fault::Fault;
use crate::io::{StoreEngine, StoreRange, Visit, Write, is_empty_range};

/// Writes by key; none removes the key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overlay {
    writes: BTreeMap<Box<[u8]>, Option<Box<[u8]>>>,
    size_bytes: usize,
}

impl Overlay {
    /// The write of a key, if there is one.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        self.writes.get(key).map(Option::as_deref)
    }

    /// Writes a key; the last word counts.
    pub(crate) fn set(&mut self, key: impl Into<Box<[u8]>>, value: Option<Vec<u8>>) {
        let key = key.into();
        self.size_bytes = self.size_bytes.saturating_add(key.len() + value.as_ref().map_or(0, Vec::len));
        self.writes.insert(key, value.map(Vec::into_boxed_slice));
    }

    /// Takes over all writes of another one, which come later.
    pub(crate) fn absorb(&mut self, other: &mut Self) {
        self.size_bytes = self.size_bytes.saturating_add(std::mem::take(&mut other.size_bytes));
        if self.writes.is_empty() {
            std::mem::swap(&mut self.writes, &mut other.writes);
        } else {
            self.writes.append(&mut other.writes);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.writes.clear();
        self.size_bytes = 0;
    }

    /// Keys and values that were written, replaced ones too, in bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// The writes in the order of their keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Write<'_>> {
        self.writes.iter().map(|(key, value)| (&**key, value.as_deref()))
    }

    fn range<'s>(&'s self, range: StoreRange<'_>) -> impl Iterator<Item = Write<'s>> + use<'s> {
        // An empty range is one that `BTreeMap` may refuse.
        let found = (!is_empty_range(range)).then(|| self.writes.range::<[u8], _>(range));
        found.into_iter().flatten().map(|(key, value)| (&**key, value.as_deref()))
    }
}

/// Shows the pairs of a range as they are with these writes, the call's above the transaction's above what is committed, in the
/// order of their keys, until `visit` breaks.
pub(crate) fn scan(
    engine: Option<&dyn StoreEngine>,
    [transaction, call]: [&Overlay; 2],
    range: StoreRange<'_>,
    visit: &mut Visit<'_>,
) -> Result<(), Fault> {
    let mut writes = merged(transaction.range(range), call.range(range)).peekable();
    let mut is_over = false;
    if let Some(engine) = engine {
        engine.scan(range, &mut |key, value| {
            let flow = (|| {
                while let Some((written, new)) = writes.next_if(|(written, _)| *written < key) {
                    new.map_or(ControlFlow::Continue(()), |new| visit(written, new))?;
                }
                match writes.next_if(|(written, _)| *written == key) {
                    Some((_, new)) => new.map_or(ControlFlow::Continue(()), |new| visit(key, new)),
                    None => visit(key, value),
                }
            })();
            is_over |= flow.is_break();
            flow
        })?;
    }
    if is_over {
        return Ok(());
    }
    for (key, new) in writes {
        if new.is_some_and(|new| visit(key, new).is_break()) {
            break;
        }
    }
    Ok(())
}

/// Two lists of writes in the order of their keys; those of `above` win.
fn merged<'a>(
    below: impl Iterator<Item = Write<'a>>,
    above: impl Iterator<Item = Write<'a>>,
) -> impl Iterator<Item = Write<'a>> {
    let (mut below, mut above) = (below.peekable(), above.peekable());
    std::iter::from_fn(move || {
        let Some((upper, _)) = above.peek() else { return below.next() };
        let upper = *upper;
        if let Some(write) = below.next_if(|(lower, _)| *lower < upper) {
            return Some(write);
        }
        below.next_if(|(lower, _)| *lower == upper);
        above.next()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use std::ops::Bound;

    use super::*;
    use crate::io::Stores;
    use crate::memory::MemoryStores;

    type Model = BTreeMap<Vec<u8>, Vec<u8>>;

    fn overlay(writes: &[(u8, Option<u8>)], model: &mut Model) -> Overlay {
        let mut overlay = Overlay::default();
        for (key, value) in writes {
            overlay.set(vec![*key], value.map(|value| vec![value]));
            match value {
                Some(value) => drop(model.insert(vec![*key], vec![*value])),
                None => drop(model.remove(&vec![*key])),
            }
        }
        overlay
    }

    proptest! {
        #[test]
        fn scans_as_if_everything_were_written(
            committed in prop::collection::btree_map(0..30u8, 0..9u8, 0..20),
            transaction in prop::collection::vec((0..30u8, prop::option::of(0..9u8)), 0..12),
            call in prop::collection::vec((0..30u8, prop::option::of(0..9u8)), 0..12),
            start in 0..30u8, end in 0..30u8, most in 1..9usize,
        ) {
            let mut model: Model = committed.into_iter().map(|(key, value)| (vec![key], vec![value])).collect();
            let mut engine = MemoryStores::new().open(crate::id::Partition(0)).unwrap();
            engine.apply(&mut model.iter().map(|(key, value)| (key.as_slice(), Some(value.as_slice())))).unwrap();
            let transaction = overlay(&transaction, &mut model);
            let call = overlay(&call, &mut model);

            let (start, end) = ([start], [end]);
            let range = (Bound::Excluded(&start[..]), Bound::Excluded(&end[..]));
            let mut seen = Vec::new();
            scan(Some(&*engine), [&transaction, &call], range, &mut |key, value| {
                seen.push((key.to_vec(), value.to_vec()));
                if seen.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            }).unwrap();

            let wanted = model.into_iter().filter(|(key, _)| key[..] > start[..] && key[..] < end[..]);
            prop_assert_eq!(seen, wanted.take(most).collect::<Vec<_>>());
        }
    }
}
