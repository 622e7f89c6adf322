//! The store of one task in a database of its own: one keyspace, settings that were measured, no background surprises.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use fjall::config::{BlockSizePolicy, CompressionPolicy};
use fjall::{
    AbstractTree, CompressionType, Config, Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch,
    PersistMode,
};

use crate::fault::Fault;
use crate::io::{KEY_BYTES_MAX, StoreEngine, StoreRange, Visit, Write, is_empty_range};
use crate::store::failure::{self, Refusal, Trouble, guarded};

/// What is written goes to disk in pieces of about this size; in small ones in tests, so that they see many.
const MEMTABLE_BYTES: u64 = if cfg!(test) { 64 << 10 } else { 16 << 20 };

/// While a piece is on its way, the next one may grow to this; then writes wait.
const MEMTABLE_BYTES_MAX: u64 = 3 * MEMTABLE_BYTES;

/// The smallest bound that the engine takes: it is also what a process that died has to read again.
const JOURNAL_BYTES: u64 = 64 << 20;

/// Open files of a store; a database of 3 GiB has about that many.
const FILES_MAX: usize = 64;

/// The cache that all stores of a transform share.
pub(super) struct Cache {
    /// The engine does not name the type of its cache, so it is kept in a configuration that is used for nothing else.
    keeper: Config,
}

impl Cache {
    pub(super) fn new(bytes: u64) -> Self {
        Self { keeper: Database::builder(".").cache_size(bytes).into_config() }
    }
}

/// The open store of a task.
pub(super) struct FjallStore {
    // In this order they are dropped: the last owner of the database stops its thread.
    keyspace: Keyspace,
    database: Database,
    path: PathBuf,
}

/// Opens the database in a directory, an empty one if nothing is there.
pub(super) fn open(path: &Path, cache: &Cache) -> Result<FjallStore, Trouble> {
    let opened = guarded(|| {
        let mut config = Database::builder(path)
            .worker_threads(1)
            .max_journaling_size(JOURNAL_BYTES)
            .max_cached_files(Some(FILES_MAX))
            .journal_compression(CompressionType::None)
            .into_config();
        config.cache = Arc::clone(&cache.keeper.cache);
        let database = Database::open(config)?;
        let keyspace = database.keyspace("task", options)?;
        Ok(FjallStore { keyspace, database, path: path.to_owned() })
    });
    opened.map_err(|refusal| failure::on_open(path, refusal))
}

fn options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        // Never reached: the store turns its memtables itself, see `make_room`.
        .max_memtable_size(u64::MAX)
        .data_block_size_policy(BlockSizePolicy::all(4 << 10))
        .data_block_compression_policy(CompressionPolicy::all(CompressionType::None))
}

impl FjallStore {
    fn write(&self, writes: &mut dyn Iterator<Item = Write<'_>>) -> Result<(), Refusal> {
        let capacity = writes.size_hint().0;
        // To the operating system, not to the disk: that is enough when only the process dies.
        let mut batch = OwnedWriteBatch::with_capacity(self.database.clone(), capacity)
            .durability(Some(PersistMode::Buffer));
        for (key, value) in writes {
            // The engine panics on these.
            if !(1..=KEY_BYTES_MAX).contains(&key.len()) {
                return Err(Refusal::Key(key.len()));
            }
            match value {
                Some(value) => batch.insert(&self.keyspace, key, value),
                None => batch.remove(&self.keyspace, key),
            }
        }
        guarded(|| {
            batch.commit()?;
            self.make_room()
        })
    }

    /// Sends a full memtable to disk, and waits when the last one is not there yet.
    ///
    /// The engine would do it by itself, but with three faults: its thread asks itself through a bounded queue and can
    /// wait for itself for ever; a memtable grows without bound while a compaction runs; and a write waits for ever for a
    /// thread that died.
    fn make_room(&self) -> fjall::Result<()> {
        let size = || self.keyspace.tree.active_memtable().size();
        if size() < MEMTABLE_BYTES {
            return Ok(());
        }
        while self.keyspace.tree.sealed_memtable_count() > 0 {
            if size() < MEMTABLE_BYTES_MAX {
                return Ok(());
            }
            // An error if the engine's thread died.
            self.database.persist(PersistMode::Buffer)?;
            thread::sleep(Duration::from_millis(1));
        }
        self.keyspace.rotate_memtable().map(|_| ())
    }

    fn fault(&self, what: &str, refusal: Refusal) -> Fault {
        failure::on_use(&self.path, what, refusal)
    }
}

impl StoreEngine for FjallStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let value =
            guarded(|| self.keyspace.get(key)).map_err(|refusal| self.fault("cannot be read", refusal))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn scan(&self, range: StoreRange<'_>, visit: &mut Visit<'_>) -> Result<(), Fault> {
        if is_empty_range(range) {
            return Ok(());
        }
        let fault = |refusal| self.fault("cannot be read", refusal);
        let mut pairs = guarded(|| Ok(self.keyspace.range::<&[u8], _>(range))).map_err(fault)?;
        // Only the engine is guarded: a panic of the visitor is the visitor's.
        let mut next = || guarded(|| pairs.next().map(fjall::Guard::into_inner).transpose());
        while let Some((key, value)) = next().map_err(fault)? {
            if visit(&key, &value) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }

    fn apply(&mut self, writes: &mut dyn Iterator<Item = Write<'_>>) -> Result<(), Fault> {
        self.write(writes).map_err(|refusal| self.fault("cannot be written", refusal))
    }

    fn size_bytes(&self) -> u64 {
        self.keyspace.disk_space() + self.keyspace.tree.active_memtable().size()
    }
}
