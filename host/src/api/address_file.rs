//! Where the admin API of a host listens, for commands that know its pipeline file.
//!
//! ```text
//! <state_dir>/<app>/api     127.0.0.1:9180
//!                           the name of the instance
//! ```

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::fault::{Code, Fault};
use crate::id::InstanceName;

const NAME: &str = "api";

/// The file; it is removed when this is dropped. A host that was killed leaves it behind.
#[derive(Debug)]
pub struct AddressFile(PathBuf);

/// What the file says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// Where the host listens.
    pub address: SocketAddr,
    /// The name of its process: another host may have the port by now.
    pub instance: String,
}

impl AddressFile {
    /// Writes the file into the directory of an application.
    ///
    /// # Errors
    /// `state_dir_unusable`.
    pub(super) fn write(
        directory: &Path,
        address: SocketAddr,
        instance: &InstanceName,
    ) -> Result<Self, Fault> {
        let path = directory.join(NAME);
        let half_written = directory.join("api.new");
        fs::write(&half_written, format!("{address}\n{instance}\n"))
            .and_then(|()| fs::rename(&half_written, &path))
            .map_err(|error| {
                let what = format!("state directory `{}` cannot be written", directory.display());
                Fault::new(Code::StateDirUnusable, what).because(error)
            })?;
        Ok(Self(path))
    }

    /// Where the file of an application is.
    pub fn path(directory: &Path) -> PathBuf {
        directory.join(NAME)
    }

    /// Reads the file of an application; none if no host has written it.
    pub fn read(directory: &Path) -> Option<Found> {
        let text = fs::read_to_string(directory.join(NAME)).ok()?;
        let mut lines = text.lines();
        let address = lines.next()?.parse().ok()?;
        Some(Found { address, instance: lines.next()?.to_owned() })
    }
}

impl Drop for AddressFile {
    fn drop(&mut self) {
        // A file that is left behind leads to a port where nobody answers, and commands say so.
        drop(fs::remove_file(&self.0));
    }
}
