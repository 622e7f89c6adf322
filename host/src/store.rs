//! The local stores on disk: one directory for each task, a copy of what Kafka holds, dropped when anything is odd.
//!
//! ```text
//! <state_dir>/<app>/<transform>/<partition>/
//!     identity        whose store it is and in which format; written before anything else
//!     identity.new    the same, half written
//!     data/           the engine's files
//! ```
//!
//! A store is never repaired and never trusted: if its identity is not exactly what is expected, or the engine finds
//! damage, the directory is removed, the event says why, and an empty store takes its place. A process that dies loses
//! nothing that was applied; a machine that dies loses the last batches, whole, and Kafka still has them.
//!
//! Two processes cannot meet here: the lock of the application's state directory is held by one.

mod engine;
mod failure;
mod identity;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::event::StoreDropped;
use crate::fault::Fault;
use crate::id::{Partition, TaskId};
use crate::io::{StoreEngine, Stores};
use crate::store::engine::Cache;
use crate::store::failure::{Damage, Trouble};
pub use crate::store::identity::Identity;

/// The local stores of a transform's tasks, below one directory.
pub struct FjallStores {
    root: PathBuf,
    identity: Identity,
    cache: Cache,
}

impl FjallStores {
    /// The stores below `<state_dir>/<app>/<transform>`. All of them share one cache of this many bytes; beside it, each
    /// takes up to 32 MiB of memory for what is not on disk yet, and little when it is at rest.
    pub fn new(root: &Path, identity: Identity, cache_bytes: u64) -> Self {
        Self { root: root.to_owned(), identity, cache: Cache::new(cache_bytes) }
    }

    fn directory(&self, task: Partition) -> PathBuf {
        self.root.join(task.to_string())
    }

    /// Opens what is there, or makes it when nothing is.
    fn open_as_it_is(&self, task: Partition) -> Result<Box<dyn StoreEngine>, Trouble> {
        let directory = self.directory(task);
        if self.identity.check(&directory, task)?.is_none() {
            self.identity.write(&directory, task)?;
        }
        Ok(Box::new(engine::open(&directory.join("data"), &self.cache)?))
    }

    fn report(&self, task: Partition, damage: &Damage) {
        let task_id = TaskId { transform: self.identity.transform.clone(), partition: task };
        let path = self.directory(task);
        StoreDropped { task: &task_id, path: &path, kind: damage.kind, reason: &damage.reason }.emit();
    }
}

impl Stores for FjallStores {
    fn open(&mut self, task: Partition) -> Result<Box<dyn StoreEngine>, Fault> {
        let damage = match self.open_as_it_is(task) {
            Err(Trouble::Damage(damage)) => damage,
            Ok(engine) => return Ok(engine),
            Err(Trouble::Fault(fault)) => return Err(fault),
        };
        self.report(task, &damage);
        self.discard(task)?;
        self.open_as_it_is(task).map_err(|trouble| trouble.into_fault(&self.directory(task)))
    }

    fn discard(&mut self, task: Partition) -> Result<(), Fault> {
        let path = self.directory(task);
        remove(&path).map_err(|error| failure::io(&path, "cannot be removed", error))
    }
}

/// Removes whatever is there, which may be no directory.
fn remove(path: &Path) -> std::io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests;
