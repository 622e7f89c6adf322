//! What a task makes of indexes that its local copy does not have yet.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use crate::io::{Limit, Stores as _};
use crate::record::Header;
use crate::task::rebuild::REBUILD;
use crate::task::spec::IndexSpec;
use crate::task::state;

/// More than two steps.
const ROWS: i64 = 1_200;

fn record(number: i64, value: &str) -> Chunk {
    let mut chunk = Chunk::new();
    let no_headers: [Header<'_>; 0] = [];
    let key = format!("k{number:05}");
    chunk.push(Some(key.as_bytes()), Some(value.as_bytes()), no_headers, (Timestamp(0), Offset(number)));
    chunk
}

/// A task that keeps so many rows, without an index.
fn stocked() -> Bench {
    let mut bench = Bench::new(spec(BATCH, 10_000), |_, _| Ok(Outcome::default()));
    bench.commit();
    for number in 0..ROWS {
        bench.task.records(&place("items"), record(number, "old"));
        bench.drain();
    }
    bench.commit();
    bench.task.close();
    bench
}

/// The same task with the indexes of these names, which its copy was not made for. It tells how many rows with the value
/// `old` each record finds.
fn indexed(before: &Bench, indexes: &[&str], rebuild: Option<Vec<u8>>) -> (Bench, Rc<RefCell<Vec<usize>>>) {
    let mut spec = spec(BATCH, 10_000);
    spec.state.indexes.extend(indexes.iter().map(|name| IndexSpec {
        name: (*name).into(),
        on: "items".into(),
        identity: format!("{name} 1"),
    }));
    let (found, first) = (Rc::new(RefCell::new(Vec::new())), indexes.first().map(|name| (*name).to_owned()));
    let seen = Rc::clone(&found);
    let mut bench = Bench::new(spec, move |_, state| {
        let items = state.store("items").unwrap();
        if let Some(index) = &first {
            let limit = Limit { rows: 10_000, bytes: usize::MAX };
            let page = state.scan_index(items, index, b"old", None, limit).map_err(|error| match error {
                crate::io::StateError::Failed(fault) => {
                    assert_eq!(fault.code(), Code::IndexBuilding);
                    CallError::State { code: fault.code(), message: fault.to_string() }
                }
                crate::io::StateError::Refused(message) => CallError::Trap { message, location: None },
            })?;
            seen.borrow_mut().push(page.rows.len());
        }
        Ok(Outcome::default())
    });
    bench.stores = before.stores.clone();
    bench.open_rebuilding(Offset(ROWS), rebuild);
    (bench, found)
}

/// The entries in the local store.
fn entries(bench: &mut Bench) -> usize {
    bench.task.close();
    let store = bench.stores.open(Partition(0)).unwrap();
    let (mut count, prefix) = (0, [state::key::Kind::Index as u8]);
    let start = std::ops::Bound::Included(&prefix[..]);
    store
        .scan((start, std::ops::Bound::Excluded(&[0xff])), &mut |_, _| {
            count += 1;
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    count
}

fn cursor(bench: &Bench) -> Option<Vec<u8>> {
    state::checkpoint(&*bench.stores.clone().open(Partition(0)).unwrap()).unwrap().unwrap().rebuild
}

#[test]
fn builds_an_index_that_was_added_while_records_wait_for_it_only_if_they_scan_it() {
    let before = stocked();
    let (mut bench, found) = indexed(&before, &["by-value"], Some(Vec::new()));

    bench.task.records(&place("items"), record(ROWS, "new"));
    bench.turn();
    let shown = bench.task.jobs(Duration::ZERO);
    for _ in 0..20 {
        bench.elapsed += Duration::from_millis(100);
        bench.drain();
    }
    bench.commit();

    assert_eq!((shown[0].kind.as_str(), shown[0].name.as_str()), (REBUILD, "by-value"));
    assert_eq!(*found.borrow(), [ROWS as usize], "the call was made before the index was there");
    assert!(bench.task.jobs(Duration::ZERO).is_empty());
    assert_eq!(entries(&mut bench), ROWS as usize + 1);
    assert_eq!(cursor(&bench), None);
}

#[test]
fn goes_on_with_an_index_where_a_restart_left_it() {
    let before = stocked();
    let (mut bench, _) = indexed(&before, &["by-value"], Some(Vec::new()));
    (0..2).for_each(|_| assert!(matches!(bench.turn(), Turn::Searching)));
    let visited = bench.task.jobs(Duration::ZERO)[0].visited;
    bench.task.close();
    let left = cursor(&bench);
    assert!(left.as_ref().is_some_and(|left| !left.is_empty()));

    let (mut bench, _) = indexed(&bench, &["by-value"], left);
    bench.turn();
    let rest = bench.task.jobs(Duration::ZERO)[0].visited;
    bench.drain();

    assert_eq!((visited, rest), (1_000, ROWS as u64 - 1_000));
    assert_eq!(entries(&mut bench), ROWS as usize);
}

#[test]
fn removes_the_entries_of_an_index_that_is_no_more() {
    let before = stocked();
    let (mut bench, _) = indexed(&before, &["a", "b", "c"], Some(Vec::new()));
    bench.drain();
    assert_eq!(entries(&mut bench), 3 * ROWS as usize);

    let (mut bench, found) = indexed(&bench, &["b"], Some(Vec::new()));
    bench.drain();
    bench.task.records(&place("items"), record(ROWS, "new"));
    bench.drain();

    assert_eq!(*found.borrow(), [ROWS as usize]);
    bench.task.rewind();
    assert_eq!(entries(&mut bench), ROWS as usize);
}

#[test]
fn keeps_what_records_write_while_an_index_is_built() {
    let before = stocked();
    let (mut bench, _) = indexed(&before, &["by-value"], Some(Vec::new()));
    bench.turn();
    // Behind and before the cursor.
    for number in [3, 1_100] {
        let mut changed = Chunk::new();
        let no_headers: [Header<'_>; 0] = [];
        let key = format!("k{number:05}");
        let at = (Timestamp(0), Offset(ROWS + number));
        changed.push(Some(key.as_bytes()), Some(b"new"), no_headers, at);
        bench.task.records(&place("items"), changed);
    }
    for _ in 0..20 {
        bench.elapsed += Duration::from_millis(100);
        bench.drain();
        bench.commit();
    }

    let items = bench.task.state().store("items").unwrap();
    let limit = Limit { rows: 10_000, bytes: usize::MAX };
    let rows =
        |term: &[u8]| bench.task.state().scan_index(items, "by-value", term, None, limit).unwrap().rows.len();
    assert_eq!((rows(b"new"), rows(b"old")), (2, ROWS as usize - 2));
}
