//! Local stores in memory that outlive their engines as a disk would, with the disk's troubles on demand.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::fault::{Code, Fault};
use crate::id::Partition;
use crate::io::{KEY_BYTES_MAX, StoreEngine, StoreRange, Stores, Visit, Write, is_empty_range};

/// How many applied batches can be taken back: more than a power loss costs, few enough to cost no memory.
const UNDO_MAX: usize = 64;

/// How an apply fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ApplyFailure {
    /// With `store_failed`; nothing was written.
    NotWritten,
    /// With `store_failed`, although everything was written.
    Written,
    /// With `disk_full`; nothing was written.
    DiskFull,
}

/// A disk with the stores of a transform's tasks. Clones are the same disk.
#[derive(Clone, Default)]
pub struct MemoryStores {
    disk: Arc<RwLock<Disk>>,
}

#[derive(Default)]
struct Disk {
    images: BTreeMap<Partition, Arc<RwLock<Image>>>,
    fail_next: Option<ApplyFailure>,
    is_read_only: bool,
}

/// What the disk holds for a task.
#[derive(Default)]
struct Image {
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What the rows of each of the last batches were before it, the newest at the back.
    undo: VecDeque<Vec<Before>>,
}

/// A key with the value that it had; none when it had none.
type Before = (Vec<u8>, Option<Vec<u8>>);

impl MemoryStores {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the next apply fail, of whichever task.
    pub fn fail_next_apply(&self, failure: ApplyFailure) {
        write(&self.disk).fail_next = Some(failure);
    }

    /// From now on nothing can be written, or everything again.
    pub fn set_read_only(&self, is_read_only: bool) {
        write(&self.disk).is_read_only = is_read_only;
    }

    /// Loses everything. Engines that are open write into the void, like a process whose files were deleted.
    pub fn lose_disk(&self) {
        write(&self.disk).images.clear();
    }

    /// Takes the last batches of a task back, as a power loss does; at most 64 of them. Returns how many they were.
    pub fn lose_last(&self, task: Partition, batches: usize) -> usize {
        let Some(image) = read(&self.disk).images.get(&task).cloned() else { return 0 };
        let mut image = write(&image);
        (0..batches).take_while(|_| image.undo_one()).count()
    }

    /// The tasks that have a store.
    pub fn tasks(&self) -> Vec<Partition> {
        read(&self.disk).images.keys().copied().collect()
    }

    /// Everything in a task's store; empty when there is none.
    pub fn content(&self, task: Partition) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let image = read(&self.disk).images.get(&task).cloned();
        image.map(|image| read(&image).rows.clone()).unwrap_or_default()
    }
}

impl Stores for MemoryStores {
    fn open(&mut self, task: Partition) -> Result<Box<dyn StoreEngine>, Fault> {
        let mut disk = write(&self.disk);
        if disk.is_read_only {
            return Err(read_only());
        }
        let image = disk.images.entry(task).or_default();
        // The disk has one, an engine that is still open would be another: a real one has a lock.
        if Arc::strong_count(image) > 1 {
            return Err(Fault::new(
                Code::StoreFailed,
                format!("the local store of partition {task} is open already"),
            ));
        }
        Ok(Box::new(MemoryStore { disk: Arc::clone(&self.disk), image: Arc::clone(image) }))
    }

    fn discard(&mut self, task: Partition) -> Result<(), Fault> {
        let mut disk = write(&self.disk);
        if disk.is_read_only {
            return Err(read_only());
        }
        disk.images.remove(&task);
        Ok(())
    }
}

/// The open store of a task.
pub struct MemoryStore {
    disk: Arc<RwLock<Disk>>,
    image: Arc<RwLock<Image>>,
}

impl MemoryStore {
    /// An empty one that is on no disk.
    pub fn new() -> Self {
        Self { disk: Arc::default(), image: Arc::default() }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl StoreEngine for MemoryStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        Ok(read(&self.image).rows.get(key).cloned())
    }

    fn scan(&self, range: StoreRange<'_>, visit: &mut Visit<'_>) -> Result<(), Fault> {
        if is_empty_range(range) {
            return Ok(());
        }
        for (key, value) in read(&self.image).rows.range::<[u8], _>(range) {
            if visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn apply(&mut self, writes: &mut dyn Iterator<Item = Write<'_>>) -> Result<(), Fault> {
        let (failure, is_read_only) = {
            let mut disk = write(&self.disk);
            (disk.fail_next.take(), disk.is_read_only)
        };
        if is_read_only {
            return Err(read_only());
        }
        let writes = checked(writes)?;
        match failure {
            Some(ApplyFailure::NotWritten) => return Err(failed()),
            Some(ApplyFailure::DiskFull) => {
                return Err(Fault::new(Code::DiskFull, "the disk of the local store is full"));
            }
            Some(ApplyFailure::Written) | None => write(&self.image).apply(&writes),
        }
        if failure.is_some() { Err(failed()) } else { Ok(()) }
    }

    fn size_bytes(&self) -> u64 {
        let sizes = read(&self.image).rows.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        sizes as u64
    }
}

impl Image {
    fn apply(&mut self, writes: &[Write<'_>]) {
        let mut before = Vec::new();
        for &(key, value) in writes {
            before.push((key.to_vec(), self.put(key, value)));
        }
        self.undo.push_back(before);
        if self.undo.len() > UNDO_MAX {
            self.undo.pop_front();
        }
    }

    fn put(&mut self, key: &[u8], value: Option<&[u8]>) -> Option<Vec<u8>> {
        match value {
            Some(value) => self.rows.insert(key.to_vec(), value.to_vec()),
            None => self.rows.remove(key),
        }
    }

    fn undo_one(&mut self) -> bool {
        let Some(before) = self.undo.pop_back() else { return false };
        // Backwards, so that it is right even if a key came twice.
        for (key, value) in before.into_iter().rev() {
            self.put(&key, value.as_deref());
        }
        true
    }
}

/// The writes, if they keep to the contract: an engine on disk cannot take others.
fn checked<'a>(writes: &mut dyn Iterator<Item = Write<'a>>) -> Result<Vec<Write<'a>>, Fault> {
    let writes: Vec<_> = writes.collect();
    let is_fit = writes.iter().all(|(key, _)| (1..=KEY_BYTES_MAX).contains(&key.len()));
    let do_ascend = writes.is_sorted_by(|(one, _), (other, _)| one < other);
    if is_fit && do_ascend { Ok(writes) } else { Err(failed().because("the keys are unfit or unsorted")) }
}

fn failed() -> Fault {
    Fault::new(Code::StoreFailed, "the local store cannot be written")
}

fn read_only() -> Fault {
    failed().because("the disk is read-only")
}

/// A test that panicked with the lock held has failed already.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::ops::{Bound, ControlFlow};

    use super::*;

    const TASK: Partition = Partition(3);

    fn apply(engine: &mut dyn StoreEngine, writes: &[(&str, Option<&str>)]) -> Result<(), Fault> {
        engine.apply(&mut writes.iter().map(|(key, value)| (key.as_bytes(), value.map(str::as_bytes))))
    }

    fn scanned(engine: &dyn StoreEngine, range: StoreRange<'_>, pairs: usize) -> String {
        let mut seen = Vec::new();
        let visit = &mut |key: &[u8], value: &[u8]| {
            seen.push(format!("{}={}", String::from_utf8_lossy(key), String::from_utf8_lossy(value)));
            if seen.len() == pairs { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        engine.scan(range, visit).unwrap();
        seen.join(" ")
    }

    fn filled() -> MemoryStores {
        let mut stores = MemoryStores::new();
        let mut engine = stores.open(TASK).unwrap();
        apply(engine.as_mut(), &[("a", Some("1")), ("b", Some("2"))]).unwrap();
        apply(engine.as_mut(), &[("a", None), ("b", Some("3")), ("c", Some("4"))]).unwrap();
        stores
    }

    #[test]
    fn keeps_its_content_while_closed() {
        let mut stores = filled();

        let engine = stores.open(TASK).unwrap();

        assert_eq!(engine.get(b"a").unwrap(), None);
        assert_eq!(engine.get(b"b").unwrap().as_deref(), Some(&b"3"[..]));
        assert_eq!(scanned(engine.as_ref(), (Bound::Unbounded, Bound::Unbounded), 9), "b=3 c=4");
        assert_eq!(engine.size_bytes(), 4);
        assert_eq!(
            scanned(stores.open(Partition(4)).unwrap().as_ref(), (Bound::Unbounded, Bound::Unbounded), 9),
            ""
        );
    }

    #[test]
    fn scans_any_range_until_told_to_stop() {
        let engine = filled().open(TASK).unwrap();
        let (b, c) = (&b"b"[..], &b"c"[..]);

        for (range, expected) in [
            ((Bound::Included(b), Bound::Excluded(c)), "b=3"),
            ((Bound::Excluded(b), Bound::Unbounded), "c=4"),
            ((Bound::Included(c), Bound::Included(b)), ""),
            ((Bound::Excluded(b), Bound::Excluded(b)), ""),
            ((Bound::Excluded(b), Bound::Included(b)), ""),
            ((Bound::Included(b), Bound::Included(b)), "b=3"),
        ] {
            assert_eq!(scanned(engine.as_ref(), range, 9), expected, "{range:?}");
        }
        assert_eq!(scanned(engine.as_ref(), (Bound::Unbounded, Bound::Unbounded), 1), "b=3");
    }

    #[test]
    fn loses_the_last_batches_whole() {
        let stores = filled();

        assert_eq!(stores.lose_last(TASK, 1), 1);
        let earlier = stores.content(TASK);
        assert_eq!(stores.lose_last(TASK, 9), 1);

        assert_eq!(earlier, BTreeMap::from([(b"a".into(), b"1".into()), (b"b".into(), b"2".into())]));
        assert_eq!(stores.content(TASK), BTreeMap::new());
    }

    #[test]
    fn fails_the_next_apply_only_and_as_told() {
        for (failure, code, is_written) in [
            (ApplyFailure::NotWritten, Code::StoreFailed, false),
            (ApplyFailure::Written, Code::StoreFailed, true),
            (ApplyFailure::DiskFull, Code::DiskFull, false),
        ] {
            let mut stores = filled();
            let mut engine = stores.open(TASK).unwrap();
            stores.fail_next_apply(failure);

            let fault = apply(engine.as_mut(), &[("d", Some("5"))]).unwrap_err();

            assert_eq!(fault.code(), code);
            assert_eq!(engine.get(b"d").unwrap().is_some(), is_written, "{failure:?}");
            apply(engine.as_mut(), &[("e", Some("6"))]).unwrap();
        }
    }

    #[test]
    fn refuses_keys_that_an_engine_on_disk_could_not_take() {
        let long = "k".repeat(KEY_BYTES_MAX + 1);
        for keys in [&["", "a"][..], &[&long], &["b", "a"], &["a", "a"]] {
            let mut engine = MemoryStore::new();
            let writes: Vec<_> = keys.iter().map(|key| (*key, Some("1"))).collect();

            assert_eq!(apply(&mut engine, &writes).unwrap_err().code(), Code::StoreFailed);
            assert_eq!(engine.size_bytes(), 0);
        }
    }

    #[test]
    fn is_empty_after_its_disk_is_lost_or_its_store_discarded() {
        let mut lost = filled();
        let mut discarded = filled();

        lost.lose_disk();
        discarded.discard(TASK).unwrap();

        assert_eq!((lost.tasks(), discarded.tasks()), (vec![], vec![]));
        assert_eq!(lost.open(TASK).unwrap().size_bytes(), 0);
    }

    #[test]
    fn refuses_to_open_or_write_while_read_only() {
        let mut stores = filled();
        let mut engine = stores.open(TASK).unwrap();
        stores.set_read_only(true);

        assert_eq!(apply(engine.as_mut(), &[("d", None)]).unwrap_err().code(), Code::StoreFailed);
        assert_eq!(stores.open(Partition(4)).map(|_| ()).unwrap_err().code(), Code::StoreFailed);

        stores.set_read_only(false);
        apply(engine.as_mut(), &[("d", None)]).unwrap();
    }

    #[test]
    fn refuses_to_open_a_store_twice() {
        let mut stores = filled();
        let engine = stores.open(TASK).unwrap();

        assert_eq!(stores.open(TASK).map(|_| ()).unwrap_err().code(), Code::StoreFailed);

        drop(engine);
        stores.open(TASK).unwrap();
    }
}
