//! What becomes of an error of the engine or the disk: damage is dropped, anything else is a fault with a hint.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::fault::{Code, Fault};
use crate::io::KEY_BYTES_MAX;

/// Why a store cannot be opened.
#[derive(Debug)]
pub(super) enum Trouble {
    /// What is there cannot be used: remove it.
    Damage(Damage),
    /// Nothing could be made in its place either.
    Fault(Fault),
}

/// What is wrong with the content of a directory.
#[derive(Debug)]
pub(super) struct Damage {
    /// `foreign`, `format` or `damaged`.
    pub(super) kind: &'static str,
    /// The same for a person.
    pub(super) reason: String,
}

impl Damage {
    pub(super) fn new(kind: &'static str, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into() }
    }
}

impl From<Damage> for Trouble {
    fn from(damage: Damage) -> Self {
        Self::Damage(damage)
    }
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Trouble {
    /// The fault of a place where not even an empty store can be made.
    pub(super) fn into_fault(self, path: &Path) -> Fault {
        match self {
            Self::Fault(fault) => fault,
            Self::Damage(damage) => failed(path, "cannot be made").because(damage.reason),
        }
    }
}

/// Why the engine did not do something.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It said so.
    Error(fjall::Error),
    /// It panicked, which it does on some kinds of damage.
    Panic(String),
    /// It was not asked: it takes no key of this length.
    Key(usize),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panic(message) => write!(f, "the storage engine panicked: {message}"),
            Self::Key(bytes) => write!(f, "a key has {bytes} bytes, not 1 to {KEY_BYTES_MAX}"),
            // The engine's own words are its debug form with a prefix; an error of the disk says more.
            Self::Error(error) => match disk_error(error) {
                Some(error) => error.fmt(f),
                None => error.fmt(f),
            },
        }
    }
}

impl Error for Refusal {}

/// Calls the engine; its panics are errors.
pub(super) fn guarded<T>(call: impl FnOnce() -> fjall::Result<T>) -> Result<T, Refusal> {
    // Safe to go on: after any error the store is closed and dropped, whatever state it is in.
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(Refusal::Error),
        Err(panic) => Err(Refusal::Panic(panic_message(panic.as_ref()))),
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned()
}

/// What a refusal to open means: damage, unless the fault is the disk's or the system's.
pub(super) fn on_open(path: &Path, refusal: Refusal) -> Trouble {
    if let Refusal::Error(error) = &refusal {
        if matches!(error, fjall::Error::Locked) {
            return failed(path, "is open already").because(refusal).into();
        }
        if let Some(error) = disk_error(error).filter(|error| is_systems(error)) {
            return io(path, "cannot be opened", copy(error)).into();
        }
    }
    Damage::new("damaged", refusal.to_string()).into()
}

/// What a refusal to read or write means.
pub(super) fn on_use(path: &Path, what: &str, refusal: Refusal) -> Fault {
    match &refusal {
        Refusal::Error(error) => match disk_error(error) {
            Some(error) => io(path, what, copy(error)),
            // A thread of the engine failed before and left no reason; a full disk is by far the likeliest.
            None if matches!(error, fjall::Error::Poisoned) && is_full(path) => full(path).because(refusal),
            None => failed(path, what).because(refusal),
        },
        Refusal::Panic(_) | Refusal::Key(_) => failed(path, what).because(refusal),
    }
}

/// The fault of a failed operation on a file.
pub(super) fn io(path: &Path, what: &str, error: io::Error) -> Fault {
    if is_no_room(&error) { full(path).because(error) } else { failed(path, what).because(error) }
}

pub(super) fn failed(path: &Path, what: &str) -> Fault {
    Fault::new(Code::StoreFailed, format!("the local store `{}` {what}", path.display()))
}

fn full(path: &Path) -> Fault {
    Fault::new(Code::DiskFull, format!("the local store `{}` has no room left on its disk", path.display()))
}

/// The error of the disk behind an error of the engine.
fn disk_error(error: &fjall::Error) -> Option<&io::Error> {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error);
        }
        next = error.source();
    }
    None
}

fn copy(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

fn is_no_room(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}

/// Whether the system is to blame and not the files: removing them would help nobody.
fn is_systems(error: &io::Error) -> bool {
    let is_out_of_files = matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE));
    is_out_of_files
        || is_no_room(error)
        || matches!(
            error.kind(),
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::OutOfMemory
        )
}

/// Whether a file of any size could not be written: looked up by writing one.
fn is_full(path: &Path) -> bool {
    /// More than a file system keeps in store for the last small file.
    const PROBE: &[u8] = &[0; 1 << 20];
    let probe = path.with_extension("probe");
    let written = std::fs::write(&probe, PROBE);
    // It may not exist, and nobody reads it.
    std::fs::remove_file(&probe).ok();
    written.is_err_and(|error| is_no_room(&error))
}
