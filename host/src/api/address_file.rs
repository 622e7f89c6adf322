//! Where the admin API of a host listens, for commands that know its pipeline file.
//!
//! ```text
//! <state_dir>/<app>/api     127.0.0.1:9180
//!                           the name of the instance
//!                           the token for orders
//! ```
//! Only the user of the host can read it.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::api::token::Token;
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
    /// What orders need; a host of an earlier version has none.
    pub token: Option<String>,
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
        token: &Token,
    ) -> Result<Self, Fault> {
        let path = directory.join(NAME);
        let half_written = directory.join("api.new");
        let text = format!("{address}\n{instance}\n{}\n", token.expose());
        write_private(&half_written, &text).and_then(|()| fs::rename(&half_written, &path)).map_err(
            |error| {
                let what = format!("state directory `{}` cannot be written", directory.display());
                Fault::new(Code::StateDirUnusable, what).because(error)
            },
        )?;
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
        let instance = lines.next()?.to_owned();
        Some(Found { address, instance, token: lines.next().map(str::to_owned) })
    }
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    // A file that a crash has left behind keeps its permissions when it is opened.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

impl Drop for AddressFile {
    fn drop(&mut self) {
        // A file that is left behind leads to a port where nobody answers, and commands say so.
        drop(fs::remove_file(&self.0));
    }
}
