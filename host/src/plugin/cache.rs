//! Compiled components on disk, so that a restart does not compile again.
//!
//! Running a damaged compiled component is running any code at all, and the engine does not check what it is given. So an
//! entry is used only when its code says that this host wrote it, byte by byte; anything else is compiled anew and
//! replaced. The directory belongs to the host alone (0700), and so does the key in it (0600).
//!
//! ```text
//! <dir>/key                                    32 random bytes
//! <dir>/<component's SHA-256>-<engine>.cwasm   HMAC-SHA256(key, name, compiled) | compiled
//! ```

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;
use std::{fs, io};

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::id::Digest;
use crate::plugin::mac;
use crate::plugin::mac::{KEY_BYTES, MAC_BYTES};

/// Entries that are kept; the oldest go first. A host runs a handful of plugins, a developer makes a new one each minute.
const ENTRIES_MAX: usize = 64;

const EXTENSION: &str = "cwasm";

/// A directory of compiled components for one engine.
pub(crate) struct Cache {
    dir: PathBuf,
    key: [u8; KEY_BYTES],
    engine: Engine,
    /// Tells engines apart whose code does not fit each other: version, settings, processor.
    compatibility: u64,
}

impl Cache {
    /// Opens a directory, and makes it and its key when they are missing or not as they should be.
    ///
    /// # Errors
    /// When the directory cannot be made, is not ours, or the key cannot be written.
    pub(crate) fn open(dir: &Path, engine: &Engine) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let found = fs::metadata(dir)?;
        if found.uid() != own_user() {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "the directory belongs to another user",
            ));
        }
        if found.mode() & 0o077 != 0 {
            fs::set_permissions(dir, Permissions::from_mode(0o700))?;
        }
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let compatibility = hasher.finish();
        Ok(Self { dir: dir.to_owned(), key: key(dir)?, engine: engine.clone(), compatibility })
    }

    /// The compiled form of the component with this digest, if it is here and untouched.
    pub(crate) fn read(&self, digest: &Digest) -> Option<Component> {
        let name = self.name(digest);
        let entry = fs::read(self.dir.join(&name)).ok()?;
        let (code, compiled) = entry.split_at_checked(MAC_BYTES)?;
        if !mac::is_same(code, &mac::hmac(&self.key, &[name.as_bytes(), compiled])) {
            return None;
        }
        // SAFETY: the code proves that these bytes are what this host's `Component::serialize` gave for an engine of the
        // same compatibility, which is part of the name. They are in memory, so nobody changes them meanwhile.
        unsafe { Component::deserialize(&self.engine, compiled) }.ok()
    }

    /// Keeps a compiled component, in place of whatever is there under its name.
    ///
    /// # Errors
    /// When it cannot be written. Nothing is lost but time.
    pub(crate) fn write(&self, digest: &Digest, component: &Component) -> io::Result<()> {
        let compiled = component.serialize().map_err(io::Error::other)?;
        let name = self.name(digest);
        let code = mac::hmac(&self.key, &[name.as_bytes(), &compiled]);
        write_whole(&self.dir.join(&name), &[&code, &compiled])?;
        self.forget_oldest()
    }

    /// Where the entries are.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    fn name(&self, digest: &Digest) -> String {
        let digest: String = digest.0.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{digest}-{:016x}.{EXTENSION}", self.compatibility)
    }

    fn forget_oldest(&self) -> io::Result<()> {
        let mut entries: Vec<(SystemTime, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.path().extension().is_some_and(|extension| extension == EXTENSION) {
                entries.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        entries.sort();
        let superfluous = entries.len().saturating_sub(ENTRIES_MAX);
        entries.iter().take(superfluous).try_for_each(|(_, path)| fs::remove_file(path))
    }
}

/// The key of a directory; a new one when there is none, or none that only we can know. With a new one all entries are
/// strangers.
fn key(dir: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let path = dir.join("key");
    if let Some(key) = read_key(&path) {
        return Ok(key);
    }
    let mut key = [0; KEY_BYTES];
    File::open("/dev/urandom")?.read_exact(&mut key)?;
    write_whole(&path, &[&key])?;
    // Another host that starts at the same time may have put its key in place of ours: the last one counts for both.
    read_key(&path).ok_or_else(|| io::Error::other("the key that was just written is not there"))
}

fn read_key(path: &Path) -> Option<[u8; KEY_BYTES]> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path).ok()?;
    let found = file.metadata().ok()?;
    if found.uid() != own_user() || found.mode() & 0o077 != 0 || found.len() != KEY_BYTES as u64 {
        return None;
    }
    let mut key = [0; KEY_BYTES];
    (&file).read_exact(&mut key).ok()?;
    Some(key)
}

/// Writes a file that is there whole or not at all, for us alone.
fn write_whole(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    static WRITES: AtomicU64 = AtomicU64::new(0);
    let number = WRITES.fetch_add(1, Ordering::Relaxed);
    let temporary = path.with_extension(format!("{}-{number}.tmp", std::process::id()));
    let written = (|| {
        let options = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary);
        let mut file = options?;
        parts.iter().try_for_each(|part| file.write_all(part))?;
        fs::rename(&temporary, path)
    })();
    if written.is_err() {
        // It may not even have been made; the error that counts is the first one.
        fs::remove_file(&temporary).ok();
    }
    written
}

fn own_user() -> u32 {
    // SAFETY: the call takes nothing, touches no memory and cannot fail.
    unsafe { libc::geteuid() }
}
