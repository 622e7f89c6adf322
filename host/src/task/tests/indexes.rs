//! What a task makes of index functions that fail, answer too little or are not pure.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use crate::io::Limit;
use crate::record::{Header, RecordRef};
use crate::task::spec::IndexSpec;

/// Keys that were found, for each term that was looked for.
type Found = Rc<RefCell<Vec<Vec<String>>>>;

fn rows(from: i64, rows: &[(&str, &str)]) -> Chunk {
    let mut chunk = Chunk::new();
    let no_headers: [Header<'_>; 0] = [];
    for (offset, (key, value)) in (from..).zip(rows) {
        let place = (Timestamp(0), Offset(offset));
        chunk.push(Some(key.as_bytes()), Some(value.as_bytes()), no_headers.iter().copied(), place);
    }
    chunk
}

/// A task with an index on its items. A record of `updates` looks for the rows that have its value for a term.
fn indexed() -> (Bench, Found) {
    let mut spec = spec(BATCH, 10_000);
    let (name, on, identity) = ("by-value".into(), "items".into(), "by-value 1".into());
    spec.state.indexes.push(IndexSpec { name, on, identity });
    let found = Found::default();
    let seen = Rc::clone(&found);
    let bench = Bench::new(spec, move |batch, state| {
        let items = state.store("items").unwrap();
        for record in batch.records.iter().filter(|_| batch.source == SourceIndex(2)) {
            let limit = Limit { rows: 100, bytes: usize::MAX };
            let term = record.value().unwrap();
            let page = state.scan_index(items, "by-value", term, None, limit).unwrap();
            let key = |row: RecordRef<'_>| String::from_utf8_lossy(row.key().unwrap()).into_owned();
            seen.borrow_mut().push(page.rows.iter().map(key).collect());
        }
        Ok(Outcome::default())
    });
    (bench, found)
}

fn look(bench: &mut Bench, found: &Found, from: i64, term: &str) -> Vec<String> {
    bench.task.records(&place("updates"), rows(from, &[("key", term)]));
    bench.drain();
    found.borrow_mut().pop().unwrap()
}

#[test]
fn leaves_a_row_without_terms_on_which_the_index_function_fails_or_answers_too_little() {
    for bad in ["trap", "short"] {
        let (mut bench, found) = indexed();
        let all = [("a", "x"), ("b", bad), ("c", "x"), ("d", bad), ("e", "x")];
        bench.task.records(&place("items"), rows(0, &all));
        let letters = bench.drain();
        bench.commit();

        assert_eq!(letters, [], "the record itself is in order");
        assert_eq!(look(&mut bench, &found, 0, "x"), ["a", "c", "e"]);
        assert_eq!(look(&mut bench, &found, 1, bad), [""; 0]);

        // A row that is in order again is found.
        bench.task.records(&place("items"), rows(5, &[("b", "x")]));
        bench.drain();
        assert_eq!(look(&mut bench, &found, 2, "x"), ["a", "b", "c", "e"]);
    }
}

#[test]
fn finds_a_row_by_the_terms_that_it_got_and_not_by_those_that_an_impure_function_gives_later() {
    let (mut bench, found) = indexed();
    bench.task.records(&place("items"), rows(0, &[("a", "impure"), ("b", "impure")]));
    bench.drain();
    bench.commit();
    assert_eq!(look(&mut bench, &found, 0, "impure-0"), ["a", "b"]);

    bench.task.records(&place("items"), rows(2, &[("a", "impure")]));
    bench.drain();
    bench.commit();

    assert_eq!(look(&mut bench, &found, 1, "impure-0"), ["b"]);
    assert_eq!(look(&mut bench, &found, 2, "impure-2"), ["a"]);
    bench.task.records(&place("items"), rows(3, &[("a", "pure"), ("b", "pure")]));
    bench.drain();
    for (offset, term) in [(3, "impure-0"), (4, "impure-2")] {
        assert_eq!(look(&mut bench, &found, offset, term), [""; 0]);
    }
}
