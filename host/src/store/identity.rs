//! The file that says whose store a directory is, and in which format.
//!
//! ```text
//! layout = 1                  of the directory and the engine's files
//! cluster_id = "..."          where the state is kept
//! app = "shop"
//! transform = "delivery-time"
//! partition = 3
//! format = 1                  of the keys and values
//! ```

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::id::{AppId, Partition, TransformName};
use crate::store::failure::{self, Damage, Trouble};

/// Grows when older hosts could not use the directory, or newer ones would misread it.
const LAYOUT: u32 = 1;

/// More than any identity takes: a longer file is none.
const SIZE_MAX: u64 = 16 * 1024;

/// Whose state it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The Kafka cluster that keeps it.
    pub cluster_id: String,
    /// The application.
    pub app: AppId,
    /// The transform.
    pub transform: TransformName,
    /// The format of the keys and values; the task's business.
    pub format: u32,
}

/// As it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    layout: u32,
    cluster_id: String,
    app: String,
    transform: String,
    partition: i32,
    format: u32,
}

impl Identity {
    /// Looks whether a directory is a task's store; none when nothing is there.
    pub(super) fn check(&self, directory: &Path, task: Partition) -> Result<Option<()>, Trouble> {
        let is_directory = match fs::metadata(directory) {
            Ok(metadata) => metadata.is_dir(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            // Something above it is no directory.
            Err(error) => return Err(failure::io(directory, "cannot be reached", error).into()),
        };
        if !is_directory {
            return Err(Damage::new("damaged", "it is not a directory").into());
        }
        let written = read(&directory.join("identity"))?;
        match self.difference(&written, task) {
            Some(damage) => Err(damage.into()),
            None => Ok(Some(())),
        }
    }

    fn difference(&self, written: &Written, task: Partition) -> Option<Damage> {
        let formats = [("layout", written.layout, LAYOUT), ("format", written.format, self.format)];
        if let Some((name, is, wanted)) = formats.into_iter().find(|(_, is, wanted)| is != wanted) {
            return Some(Damage::new("format", format!("its {name} is {is}, this host reads {wanted}")));
        }
        let (is_partition, partition) = (written.partition.to_string(), task.to_string());
        let names = [
            ("cluster", &*written.cluster_id, &*self.cluster_id),
            ("application", &written.app, self.app.as_str()),
            ("transform", &written.transform, self.transform.as_str()),
            ("partition", &is_partition, &partition),
        ];
        let (name, is, wanted) = names.into_iter().find(|(_, is, wanted)| is != wanted)?;
        Some(Damage::new("foreign", format!("it belongs to {name} `{is}`, not `{wanted}`")))
    }

    /// Makes the directory with its identity; other content of it stays.
    pub(super) fn write(&self, directory: &Path, task: Partition) -> Result<(), Fault> {
        let written = Written {
            layout: LAYOUT,
            cluster_id: self.cluster_id.clone(),
            app: self.app.to_string(),
            transform: self.transform.to_string(),
            partition: task.0,
            format: self.format,
        };
        let text = toml::to_string(&written)
            .map_err(|error| failure::failed(directory, "cannot be named").because(error))?;
        let half_written = directory.join("identity.new");
        // Not synced: a file that a power loss emptied is found, and costs a restore.
        fs::create_dir_all(directory)
            .and_then(|()| fs::write(&half_written, text))
            .and_then(|()| fs::rename(&half_written, directory.join("identity")))
            .map_err(|error| failure::io(directory, "cannot be made", error))
    }
}

fn read(file: &Path) -> Result<Written, Damage> {
    let unreadable =
        |error: std::io::Error| Damage::new("damaged", format!("its identity cannot be read: {error}"));
    if fs::metadata(file).map_err(unreadable)?.len() > SIZE_MAX {
        return Err(Damage::new("damaged", "its identity is too long"));
    }
    let text = fs::read_to_string(file).map_err(unreadable)?;
    // The first line alone: an error of the parser quotes the file over several.
    let reason = |error: toml::de::Error| format!("its identity makes no sense: {}", error.message());
    toml::from_str(&text).map_err(|error| Damage::new("damaged", reason(error)))
}
