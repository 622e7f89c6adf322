//! I10: what lies on the hosts' disks is what is committed in Kafka.
//!
//! The formats are written down here a second time, after the drawings in the host's modules, and not taken from its code.

use std::collections::{BTreeMap, BTreeSet};

use super::model::Model;
use super::observation::Observation;
use super::report::Report;
use crate::local::Local;
use crate::record::Record;

const CHECKPOINT: u8 = 0xff;
const INDEXES: u8 = 0x80;
const ROWS: std::ops::RangeInclusive<u8> = 0x01..=0x03;
const ITEMS: &[u8] = b"\x03items\0";
const BY_CLASS: &[u8] = b"\x80by-class\0";

/// The longest key of a row; an item with a longer one is rejected.
const ROW_KEY_MAX: usize = 32 << 10;

type Content = BTreeMap<Vec<u8>, Vec<u8>>;

/// How a store is to stand to what is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its host has ended by itself: nothing is missing in the store of each task's last owner.
    Level,
    /// Its host was killed: the last batch may be missing.
    Behind,
}

/// I10: each local store of a delivery-time transform equals the committed changelog up to its checkpoint, and its table of
/// items the committed items up to there; terms and index entries are those of the rows. `Level`: for each partition that has
/// a position, one of the stores has everything.
pub fn local_stores(
    seen: &Observation,
    changelog: &[Record],
    stores: &[Local],
    model: &Model,
    standing: Standing,
) -> Report {
    let mut report = Report::new("I10");
    let mut level = BTreeSet::new();
    for store in stores {
        let Some(bytes) = store.content.get(&[CHECKPOINT][..]) else {
            // It was made, and nothing was restored or committed yet.
            report.expect(store.content.is_empty(), || format!("{}: rows without a checkpoint", store.place));
            continue;
        };
        let Some(checkpoint) = Checkpoint::read(bytes) else {
            report.violated(|| format!("{}: its checkpoint makes no sense: {bytes:?}", store.place));
            continue;
        };
        let items = checkpoint.tables.get(seen.items.name.as_bytes()).copied().unwrap_or(0);
        let of_task = |records: &[Record], end: i64| {
            let own = records.iter().filter(|record| record.partition == store.partition);
            own.filter(|record| record.offset < end).cloned().collect::<Vec<_>>()
        };
        let items = (of_task(&seen.items.committed, items), items);
        let logged = of_task(changelog, checkpoint.changelog);
        let last = changelog.iter().rfind(|record| record.partition == store.partition);
        let has_all = last.is_none_or(|last| last.offset < checkpoint.changelog);
        if has_all && seen.positions.get(&store.partition) == Some(&items.1) {
            level.insert(store.partition);
        }
        compare(store, &logged, &items.0, model, &mut report);
    }
    if standing == Standing::Level {
        for partition in seen.positions.keys() {
            report.expect(level.contains(partition), || {
                format!("no store of partition {partition} has everything")
            });
        }
    }
    report
}

fn compare(store: &Local, logged: &[Record], items: &[Record], model: &Model, report: &mut Report) {
    let (mut wanted, mut terms) = (Content::new(), BTreeMap::new());
    for record in logged {
        let Some(key) = record.key.clone() else { continue };
        match &record.value {
            Some(value) => wanted.insert(key, value.clone()),
            None => wanted.remove(&key),
        };
    }
    for item in items {
        let Some(key) = item.key.as_deref().filter(|key| key.len() <= ROW_KEY_MAX) else { continue };
        let key = [ITEMS, key].concat();
        if item.value.is_some() {
            terms.insert(key.clone(), model.classes(item));
            wanted.insert(key, row(item));
        } else {
            terms.remove(&key);
            wanted.remove(&key);
        }
    }
    let mut found = BTreeSet::new();
    for (key, local) in &store.content {
        let kind = key.first().copied().unwrap_or_default();
        if kind >= INDEXES {
            continue;
        }
        let parts = if ROWS.contains(&kind) { parts(local) } else { Some((&local[..], BTreeSet::new())) };
        let row = parts.as_ref().map(|(row, _)| *row);
        report.expect(row.is_some() && wanted.get(key).map(Vec::as_slice) == row, || {
            let (key, wanted) = (shown(key), wanted.get(key).map(|value| shown(value)));
            format!("{}: {key} is {}, not {wanted:?}", store.place, shown(local))
        });
        let (own, wanted) = (parts.unwrap_or_default().1, terms.get(key).cloned().unwrap_or_default());
        let entries = own.iter().all(|term| store.content.contains_key(&entry(term, key)));
        report.expect(own == wanted && entries, || {
            format!(
                "{}: {} has the terms {own:?}, not {wanted:?}, in the index: {entries}",
                store.place,
                shown(key)
            )
        });
        found.insert(key);
    }
    for key in wanted.keys().filter(|key| !found.contains(key)) {
        report.expect(false, || format!("{}: {} is missing", store.place, shown(key)));
    }
}

/// The entry of a row of the items in the index.
fn entry(term: &str, key: &[u8]) -> Vec<u8> {
    let escaped = term.as_bytes().iter().flat_map(|byte| match byte {
        0 => vec![0, 0xff],
        byte => vec![*byte],
    });
    let key = key.strip_prefix(ITEMS).unwrap_or(key);
    BY_CLASS.iter().copied().chain(escaped).chain([0, 0]).chain(key.iter().copied()).collect()
}

/// The row that a record of a table makes.
fn row(item: &Record) -> Vec<u8> {
    let mut row = vec![1];
    put(&mut row, item.partition.unsigned_abs().into());
    put(&mut row, item.offset.unsigned_abs());
    row.extend(item.timestamp.to_be_bytes());
    put(&mut row, item.headers.len() as u64);
    for (name, value) in &item.headers {
        put(&mut row, name.len() as u64);
        row.extend(name);
        row.push(u8::from(value.is_some()));
        if let Some(value) = value {
            put(&mut row, value.len() as u64);
            row.extend(value);
        }
    }
    row.extend(item.value.as_deref().unwrap_or_default());
    row
}

/// A row as it lies in a store: what the changelog holds, and the terms.
fn parts(local: &[u8]) -> Option<(&[u8], BTreeSet<String>)> {
    let (rest, tail) = local.split_at_checked(local.len().checked_sub(4)?)?;
    let start = usize::try_from(u32::from_be_bytes(tail.try_into().ok()?)).ok()?;
    let (row, mut terms) = rest.split_at_checked(start)?;
    let mut found = BTreeSet::new();
    while !terms.is_empty() {
        for _ in 0..number(&mut terms)? {
            found.insert(String::from_utf8(bytes(&mut terms)?.to_vec()).ok()?);
        }
    }
    Some((row, found))
}

/// How far a store is.
struct Checkpoint {
    changelog: i64,
    tables: BTreeMap<Vec<u8>, i64>,
}

impl Checkpoint {
    fn read(mut rest: &[u8]) -> Option<Self> {
        let rest = &mut rest;
        (take(rest, 1)? == [3]).then_some(())?;
        take(rest, 8)?;
        let changelog = i64::try_from(number(rest)?).ok()?;
        let mut tables = BTreeMap::new();
        for _ in 0..number(rest)? {
            let topic = bytes(rest)?.to_vec();
            tables.insert(topic, i64::try_from(number(rest)?).ok()?);
        }
        Some(Self { changelog, tables })
    }
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(count)?;
    *rest = left;
    Some(taken)
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *take(rest, 1)?.first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let count = usize::try_from(number(rest)?).ok()?;
    take(rest, count)
}

fn shown(bytes: &[u8]) -> String {
    bytes.iter().take(100).flat_map(|byte| byte.escape_ascii()).map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::testing;

    const AT: (i64, i64) = (7, 20);

    fn logged(partition: i32, offset: i64, key: &[u8], value: Option<&[u8]>) -> Record {
        let (key, value) = (Some(key.to_vec()), value.map(<[u8]>::to_vec));
        Record { partition, offset, key, value, headers: vec![], timestamp: 0 }
    }

    fn changelog() -> Vec<Record> {
        vec![
            logged(0, 1, b"\0", Some(b"\x01old")),
            logged(0, 2, b"\x01follow\0gone", Some(b"\x01x")),
            logged(0, 4, b"\x01follow\0kept", Some(b"\x01y")),
            logged(0, 5, b"\x01follow\0gone", None),
            logged(0, 6, b"\0", Some(b"\x01new")),
            logged(1, 9, b"\0", Some(b"\x01other")),
        ]
    }

    fn checkpoint((changelog, items): (i64, i64)) -> Vec<u8> {
        let mut bytes = vec![3, 0, 0, 0, 0, 0, 0, 0, 0];
        put(&mut bytes, changelog.unsigned_abs());
        bytes.extend(b"\x01\x05items");
        put(&mut bytes, items.unsigned_abs());
        bytes
    }

    fn local(mut row: Vec<u8>, terms: &[&str]) -> Vec<u8> {
        let start = u32::try_from(row.len()).unwrap();
        put(&mut row, terms.len() as u64);
        for term in terms {
            put(&mut row, term.len() as u64);
            row.extend(term.as_bytes());
        }
        row.extend(start.to_be_bytes());
        row
    }

    /// The store of task 0, which has the keys a and c.
    fn store(seen: &Observation) -> Local {
        let mut content = Content::from([
            (vec![CHECKPOINT], checkpoint(AT)),
            (vec![0], b"\x01new".to_vec()),
            (b"\x01follow\0kept".to_vec(), b"\x01y\0\0\0\x02".to_vec()),
        ]);
        for (name, terms) in [("a", &["small"][..]), ("c", &["bulky", "small"])] {
            let item = seen.items.committed.iter().rfind(|item| item.key_text() == name).unwrap();
            let key = [ITEMS, name.as_bytes()].concat();
            for term in terms {
                content.insert(entry(term, &key), Vec::new());
            }
            content.insert(key, local(row(item), terms));
        }
        // Of a class that the item had before: left behind.
        content.insert(entry("bulky", b"a"), Vec::new());
        Local { place: "a/0".into(), partition: 0, content }
    }

    fn violations(change: impl FnOnce(&mut Local)) -> usize {
        let (seen, model) = testing::world();
        let mut store = store(&seen);
        change(&mut store);
        let report = local_stores(&seen, &changelog(), &[store], &model, Standing::Behind);
        assert!(report.to_string().contains("looked at"), "{report}");
        report.violations()
    }

    #[test]
    fn holds_for_a_store_that_is_as_committed() {
        assert_eq!(violations(|_| ()), 0);
    }

    #[test]
    fn finds_rows_that_are_missing_too_many_or_others() {
        let kept = b"\x01follow\0kept";
        assert_eq!(violations(|store| drop(store.content.remove(&kept[..]))), 1);
        assert_eq!(violations(|store| store.content.get_mut(&kept[..]).unwrap()[1] = b'z'), 1);
        let gone = (b"\x01follow\0gone".to_vec(), b"\x01x\0\0\0\x02".to_vec());
        assert_eq!(violations(|store| store.content.extend([gone])), 1);
        assert_eq!(violations(|store| store.content.extend([(vec![0], b"\x01old".to_vec())])), 1);
        assert_eq!(violations(|store| drop(store.content.remove(&b"\x03items\0a"[..]))), 1);
        assert_eq!(violations(|store| drop(store.content.remove(&[CHECKPOINT][..]))), 1);
    }

    #[test]
    fn finds_what_is_newer_than_the_checkpoint() {
        // The record of offset 6 is not committed to the store yet; that of the last item is.
        assert_eq!(violations(|s| drop(s.content.insert(vec![CHECKPOINT], checkpoint((6, AT.1))))), 1);
        assert_eq!(violations(|s| drop(s.content.insert(vec![CHECKPOINT], checkpoint((AT.0, 12))))), 2);
    }

    #[test]
    fn finds_terms_and_entries_that_are_not_those_of_the_row() {
        let (seen, _) = testing::world();
        let item = seen.items.committed.iter().rfind(|item| item.key_text() == "c").unwrap();
        let (key, other) = (b"\x03items\0c", local(row(item), &["bulky"]));

        assert_eq!(violations(|store| drop(store.content.insert(key.to_vec(), other))), 1);
        assert_eq!(violations(|store| drop(store.content.remove(&entry("small", b"c")))), 1);
    }

    #[test]
    fn wants_one_store_of_each_partition_that_has_everything() {
        let (mut seen, model) = testing::world();
        let level = |seen: &Observation, stores: &[Local]| {
            local_stores(seen, &changelog(), stores, &model, Standing::Level).violations()
        };
        seen.positions.remove(&1);
        assert_eq!(level(&seen, &[store(&seen)]), 0);
        assert_eq!(level(&seen, &[]), 1);

        seen.positions.insert(0, 22);
        assert_eq!(level(&seen, &[store(&seen)]), 1);
    }
}
