//! The local stores that hosts have left on disk: read whole, once their process has ended.

use std::collections::BTreeMap;
use std::fs;
use std::ops::{Bound, ControlFlow};
use std::path::Path;

use anyhow::{Context, Result};
use gristmill_host::id::{AppId, Partition, TransformName};
use gristmill_host::io::Stores as _;
use gristmill_host::store::{FjallStores, Identity};

/// What the engine may keep in memory while a store is read.
const CACHE_BYTES: u64 = 8 << 20;

/// The local store of one task.
#[derive(Clone, Debug, Default)]
pub struct Local {
    /// Whose it is, for messages: `a/3`.
    pub place: String,
    /// The task's partition.
    pub partition: i32,
    /// Every key with its value.
    pub content: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Reads the stores below a transform's directory `<state_dir>/<app>/<transform>`. `host` is for messages.
///
/// # Errors
/// When a store cannot be read, as while its host lives.
pub fn stores(host: &str, directory: &Path) -> Result<Vec<Local>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| format!("no stores in `{}`", directory.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Ok(partition) = name.parse() else { continue };
        let content = content(directory, partition)
            .with_context(|| format!("cannot read the store in `{}`", path.display()))?;
        found.push(Local { place: format!("{host}/{partition}"), partition, content });
    }
    found.sort_by_key(|store| store.partition);
    Ok(found)
}

fn content(directory: &Path, partition: i32) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    // Whose it is, is taken from the store itself: a foreign one would be dropped instead of being read.
    let identity = fs::read_to_string(directory.join(partition.to_string()).join("identity"))?;
    let field = |name: &str| {
        let lines = identity.lines().filter_map(|line| line.split_once(" = "));
        let mut value =
            lines.filter(|(key, _)| *key == name).map(|(_, value)| value.trim_matches('"').to_owned());
        value.next_back().with_context(|| format!("no `{name}` in the identity"))
    };
    let identity = Identity {
        cluster_id: field("cluster_id")?,
        app: AppId::new(&field("app")?),
        transform: TransformName::new(&field("transform")?),
        format: field("format")?.parse()?,
    };
    let engine = FjallStores::new(directory, identity, CACHE_BYTES).open(Partition(partition))?;
    let mut content = BTreeMap::new();
    engine.scan((Bound::Unbounded, Bound::Unbounded), &mut |key, value| {
        content.insert(key.to_vec(), value.to_vec());
        ControlFlow::Continue(())
    })?;
    Ok(content)
}
