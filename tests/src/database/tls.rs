//! The files with which servers encrypt.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::write;
use crate::certificates::Certificates;

/// The certificate of the authority.
pub(super) fn authority(dir: &Path) -> PathBuf {
    dir.join("authority.crt")
}

pub(super) fn certificate(dir: &Path) -> PathBuf {
    dir.join("server.crt")
}

pub(super) fn key(dir: &Path) -> PathBuf {
    dir.join("server.key")
}

pub(super) fn prepare(dir: &Path) -> Result<()> {
    let certificates = Certificates::make()?;
    write(&authority(dir), &certificates.authority)?;
    write(&certificate(dir), &certificates.server)?;
    write(&key(dir), &certificates.key)?;
    // PostgreSQL does not start with a key that others can read.
    fs::set_permissions(key(dir), Permissions::from_mode(0o600))?;
    Ok(())
}
