//! Processes that are killed, and files that end too early: what is left is whole batches, from the first one on.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::model::copy;
use super::*;

/// Rows of a batch; four batches fill a memtable in tests.
const ROWS: u64 = 50;
const KEYS: u64 = 500;

/// Holds the number of batches.
const COUNT: &[u8] = b"count";

/// The directory that the child of a test works in.
const ROOT: &str = "GRISTMILL_TEST_STORE_ROOT";

/// What the batch of a number writes. Each fifth row is removed.
fn batch(number: u64) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
    let mut writes = BTreeMap::from([(COUNT.to_vec(), Some((number + 1).to_be_bytes().to_vec()))]);
    for row in 0..ROWS {
        let random = (number * ROWS + row + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let value = [number.to_be_bytes().as_slice(), &[b'x'; 300]].concat();
        writes.insert(format!("row-{:04}", random % KEYS).into_bytes(), (row % 5 != 0).then_some(value));
    }
    writes
}

fn apply_batch(engine: &mut dyn StoreEngine, number: u64) {
    let writes = batch(number);
    engine.apply(&mut writes.iter().map(|(key, value)| (key.as_slice(), value.as_deref()))).unwrap();
}

fn expected(batches: u64) -> Content {
    let mut content = Content::new();
    for (key, value) in (0..batches).flat_map(batch) {
        match value {
            Some(value) => content.insert(key, value),
            None => content.remove(&key),
        };
    }
    content
}

/// How many batches are in a store, each of them whole and none left out.
fn whole_batches(engine: &dyn StoreEngine) -> Result<u64, Fault> {
    let content = scanned(engine, EVERYTHING)?;
    let batches =
        content.get(COUNT).map_or(0, |count| u64::from_be_bytes(count.as_slice().try_into().unwrap()));
    assert!(content == expected(batches), "the content is not that of {batches} batches");
    Ok(batches)
}

/// Runs a test of this file in a process of its own.
fn child(test: &str, root: &Path) -> Child {
    let name = format!("store::tests::crash::{test}");
    Command::new(std::env::current_exe().unwrap())
        .args([&name, "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .env(ROOT, root)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
#[ignore = "the child of another test, which kills it"]
fn applies_until_it_is_killed() {
    let root = PathBuf::from(std::env::var(ROOT).unwrap());
    let mut engine = stores(&root, "killed").open(TASK).unwrap();
    let first = whole_batches(engine.as_ref()).unwrap();
    for number in first.. {
        apply_batch(engine.as_mut(), number);
        use std::io::Write;
        writeln!(std::io::stdout(), "\napplied {}", number + 1).unwrap();
    }
}

#[test]
fn has_every_applied_batch_after_its_process_was_killed() {
    let root = TempDir::new().unwrap();
    let mut before = 0;
    // Within a memtable, while one is flushed, while tables are compacted.
    for batches in [1, 3, 5, 40, 120] {
        let mut child = child("applies_until_it_is_killed", root.path());
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let counts = lines.filter_map(|line| line.strip_prefix("applied ")?.parse::<u64>().ok());
        let applied = counts.take(batches).last().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();

        let found = whole_batches(stores(root.path(), "killed").open(TASK).unwrap().as_ref()).unwrap();

        assert!(applied >= before + batches as u64 && found >= applied, "{found} of {applied}");
        assert_eq!(dropped("killed", "damaged"), 0);
        before = found;
    }
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// A closed store with memtables, tables and a journal, and how many batches are in it.
fn closed_store(root: &Path, test: &str) -> u64 {
    let batches = 30;
    let mut engine = stores(root, test).open(TASK).unwrap();
    (0..batches).for_each(|number| apply_batch(engine.as_mut(), number));
    drop(engine);
    // The journal is cut to what is in it when it is read.
    assert_eq!(whole_batches(stores(root, test).open(TASK).unwrap().as_ref()).unwrap(), batches);
    batches
}

/// Opens a store whose file was changed. Either it is named and dropped, or it holds whole batches, or it cannot be read;
/// how many batches it holds.
fn survives(root: &Path, test: &str) -> Option<u64> {
    let before = dropped(test, "damaged");
    let engine = stores(root, test).open(TASK).unwrap();
    let batches = whole_batches(engine.as_ref()).ok();
    if dropped(test, "damaged") > before {
        assert_eq!(batches, Some(0));
        return None;
    }
    batches
}

#[test]
fn holds_whole_batches_or_is_dropped_when_a_file_ends_too_early() {
    let root = TempDir::new().unwrap();
    let batches = closed_store(root.path(), "cut");
    let names: Vec<_> =
        files(root.path()).iter().map(|f| f.strip_prefix(root.path()).unwrap().to_owned()).collect();
    assert!(
        names.iter().any(|name| name.extension().is_some_and(|e| e == "jnl")) && names.len() > 6,
        "{names:?}"
    );

    let (mut dropped, mut kept, mut shorter) = (0, 0, 0);
    for name in &names {
        let length = std::fs::metadata(root.path().join(name)).unwrap().len();
        let is_journal = name.extension().is_some_and(|extension| extension == "jnl");
        let parts = if is_journal { 24 } else { 3 };
        let mut lengths: Vec<_> =
            (0..parts).map(|part| length * part / parts).chain([1, length.saturating_sub(1)]).collect();
        lengths.dedup();
        for cut in lengths.into_iter().filter(|cut| *cut < length) {
            let copied = TempDir::new().unwrap();
            copy(root.path(), copied.path());
            std::fs::File::options()
                .write(true)
                .open(copied.path().join(name))
                .unwrap()
                .set_len(cut)
                .unwrap();
            match survives(copied.path(), "cut") {
                None => dropped += 1,
                Some(found) if found == batches => kept += 1,
                Some(found) => {
                    assert!(found < batches, "{} at {cut}", name.display());
                    shorter += 1;
                }
            }
        }
    }

    // Each kind of end was seen, or this test sees nothing.
    assert!(dropped > 0 && kept > 0 && shorter > 0, "{dropped} dropped, {kept} kept, {shorter} shorter");
}

#[test]
fn holds_whole_batches_or_is_dropped_when_a_file_is_missing_or_overwritten() {
    let root = TempDir::new().unwrap();
    closed_store(root.path(), "gone");
    let names: Vec<_> =
        files(root.path()).iter().map(|f| f.strip_prefix(root.path()).unwrap().to_owned()).collect();

    for name in &names {
        for content in [None, Some(b"rubbish".repeat(1000))] {
            let copied = TempDir::new().unwrap();
            copy(root.path(), copied.path());
            let file = copied.path().join(name);
            match content {
                None => std::fs::remove_file(&file).unwrap(),
                Some(content) => std::fs::write(&file, content).unwrap(),
            }
            survives(copied.path(), "gone");
        }
    }

    assert!(dropped("gone", "damaged") > 0);
}
