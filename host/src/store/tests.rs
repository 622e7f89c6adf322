//! Tests of the stores on a real disk: what they keep, what they refuse to trust, and what bad days do to them.

mod crash;
mod disk;
mod model;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::event::registry;
use crate::fault::Code;
use crate::id::{AppId, TransformName};
use crate::io::StoreRange;

type Content = BTreeMap<Vec<u8>, Vec<u8>>;

const TASK: Partition = Partition(3);
const EVERYTHING: StoreRange<'static> = (Bound::Unbounded, Bound::Unbounded);
const CACHE_BYTES: u64 = 1 << 20;

/// The transform's name is the test's, because the metrics are the process's.
fn identity(test: &str) -> Identity {
    Identity {
        cluster_id: "cluster-1".into(),
        app: AppId::new("shop"),
        transform: TransformName::new(test),
        format: 1,
    }
}

fn stores(root: &Path, test: &str) -> FjallStores {
    FjallStores::new(root, identity(test), CACHE_BYTES)
}

fn apply(engine: &mut dyn StoreEngine, writes: &[(&[u8], Option<&[u8]>)]) -> Result<(), Fault> {
    engine.apply(&mut writes.iter().copied())
}

fn scanned(engine: &dyn StoreEngine, range: StoreRange<'_>) -> Result<Content, Fault> {
    let mut content = Content::new();
    engine.scan(range, &mut |key, value| {
        content.insert(key.to_vec(), value.to_vec());
        std::ops::ControlFlow::Continue(())
    })?;
    Ok(content)
}

/// How many stores of a test were dropped for this reason.
fn dropped(test: &str, kind: &str) -> usize {
    let wanted = [("transform", test), ("kind", kind)];
    let is_meant = |labels: &[(String, String)]| {
        wanted.iter().all(|(name, value)| labels.iter().any(|(n, v)| n == name && v == value))
    };
    let samples = registry().samples();
    let mut meant = samples
        .iter()
        .filter(|sample| sample.name == "gristmill_stores_dropped_total" && is_meant(&sample.labels));
    meant.next().map_or(0, count)
}

fn count(sample: &crate::event::Sample) -> usize {
    match sample.metric {
        crate::event::Metric::Counter(count) => count as usize,
        _ => 0,
    }
}

/// A store with one row, closed.
fn with_one_row(root: &Path, test: &str) {
    let mut engine = stores(root, test).open(TASK).unwrap();
    apply(engine.as_mut(), &[(b"key", Some(b"value"))]).unwrap();
}

#[test]
fn keeps_what_was_applied_when_it_is_opened_again() {
    let root = TempDir::new().unwrap();
    with_one_row(root.path(), "keeps");

    let engine = stores(root.path(), "keeps").open(TASK).unwrap();

    assert_eq!(engine.get(b"key").unwrap().as_deref(), Some(&b"value"[..]));
    assert_eq!(engine.get(b"kez").unwrap(), None);
    assert!(engine.size_bytes() > 0);
}

#[test]
fn keeps_tasks_apart() {
    let root = TempDir::new().unwrap();
    with_one_row(root.path(), "apart");

    let other = stores(root.path(), "apart").open(Partition(4)).unwrap();

    assert_eq!(scanned(other.as_ref(), EVERYTHING).unwrap(), Content::new());
}

#[test]
fn stops_a_scan_when_told_to() {
    let root = TempDir::new().unwrap();
    let mut engine = stores(root.path(), "stops").open(TASK).unwrap();
    apply(engine.as_mut(), &[(b"a", Some(b"1")), (b"b", Some(b"2")), (b"c", Some(b"3"))]).unwrap();

    let mut seen = Vec::new();
    let visit = &mut |key: &[u8], _: &[u8]| {
        seen.push(key.to_vec());
        if seen.len() == 2 { std::ops::ControlFlow::Break(()) } else { std::ops::ControlFlow::Continue(()) }
    };
    engine.scan(EVERYTHING, visit).unwrap();

    assert_eq!(seen, [b"a", b"b"]);
}

#[test]
fn is_empty_after_it_was_discarded_or_deleted_while_stopped() {
    let root = TempDir::new().unwrap();
    with_one_row(root.path(), "discarded");
    stores(root.path(), "discarded").discard(TASK).unwrap();
    stores(root.path(), "discarded").discard(TASK).unwrap();

    let engine = stores(root.path(), "discarded").open(TASK).unwrap();

    assert_eq!(scanned(engine.as_ref(), EVERYTHING).unwrap(), Content::new());
    assert_eq!(["foreign", "format", "damaged"].map(|kind| dropped("discarded", kind)), [0, 0, 0]);
}

#[test]
fn refuses_to_open_a_store_twice_and_leaves_it_alone() {
    let root = TempDir::new().unwrap();
    with_one_row(root.path(), "twice");
    let engine = stores(root.path(), "twice").open(TASK).unwrap();

    let fault = stores(root.path(), "twice").open(TASK).map(|_| ()).unwrap_err();

    assert_eq!(fault.code(), Code::StoreFailed);
    assert!(fault.message().ends_with("is open already"), "{fault}");
    assert!(engine.get(b"key").unwrap().is_some());
}

#[test]
fn refuses_keys_that_the_engine_cannot_take() {
    let root = TempDir::new().unwrap();
    let mut engine = stores(root.path(), "keys").open(TASK).unwrap();
    let (longest, longer) = (vec![b'k'; crate::io::KEY_BYTES_MAX], vec![b'k'; crate::io::KEY_BYTES_MAX + 1]);
    apply(engine.as_mut(), &[(&longest, Some(b"1"))]).unwrap();

    for key in [&b""[..], &longer] {
        let fault = apply(engine.as_mut(), &[(key, Some(b"1"))]).unwrap_err();
        assert_eq!(fault.code(), Code::StoreFailed);
        assert!(fault.cause().contains(&format!("a key has {} bytes", key.len())), "{}", fault.cause());
    }
    assert_eq!(scanned(engine.as_ref(), EVERYTHING).unwrap(), Content::from([(longest, b"1".to_vec())]));
}

#[test]
fn names_and_drops_a_store_that_is_not_its_own() {
    let text = "layout = 1\ncluster_id = \"cluster-1\"\napp = \"shop\"\ntransform = \"T\"\npartition = 3\nformat = 1\n";
    let long = "#".repeat(20_000);
    for (test, from, to, kind) in [
        ("own-cluster", "cluster-1", "cluster-2", "foreign"),
        ("own-app", "\"shop\"", "\"shop2\"", "foreign"),
        ("own-transform", "\"T\"", "\"other\"", "foreign"),
        ("own-partition", "partition = 3", "partition = 4", "foreign"),
        ("own-format", "format = 1", "format = 2", "format"),
        ("own-layout", "layout = 1", "layout = 9", "format"),
        ("own-unknown", "format = 1", "format = 1\nnew = true", "damaged"),
        ("own-cut", "format = 1\n", "", "damaged"),
        ("own-garbage", text, "\u{0}\u{1}", "damaged"),
        ("own-empty", text, "", "damaged"),
        ("own-long", text, &long, "damaged"),
        ("own-same", "none", "", "none"),
    ] {
        let root = TempDir::new().unwrap();
        with_one_row(root.path(), test);
        let file = root.path().join("3/identity");
        let written = text.replace("\"T\"", &format!("\"{test}\""));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), written);
        let from = from.replace("\"T\"", &format!("\"{test}\""));
        let changed = if from.contains("layout = 1\nc") { to.to_owned() } else { written.replace(&from, to) };
        std::fs::write(&file, changed).unwrap();

        let engine = stores(root.path(), test).open(TASK).unwrap();

        assert_eq!(scanned(engine.as_ref(), EVERYTHING).unwrap().is_empty(), kind != "none", "{test}");
        assert_eq!(dropped(test, kind), usize::from(kind != "none"), "{test}");
        drop(engine);
        with_one_row(root.path(), test);
        assert_eq!(dropped(test, kind), usize::from(kind != "none"), "{test}: dropped again");
    }
}

#[test]
fn names_and_drops_what_is_no_store() {
    let (file, bare) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    std::fs::write(file.path().join("3"), "a file").unwrap();
    std::fs::create_dir_all(bare.path().join("3/data")).unwrap();

    for (root, test) in [(&file, "no-directory"), (&bare, "no-identity")] {
        with_one_row(root.path(), test);
        assert_eq!(dropped(test, "damaged"), 1, "{test}");
    }
}
