//! The state directory of one host process: locked while the process lives, and the keeper of its instance name.
//!
//! ```text
//! <state_dir>/<app>/lock          held exclusively by the running process
//! <state_dir>/<app>/instance      the name that was made for this directory, one line
//! <state_dir>/<app>/api           where the admin API listens, while the process lives
//! ```

use std::fs::{self, File, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};

use crate::config::pipeline::App;
use crate::fault::{Code, Fault};
use crate::id::InstanceName;

/// A state directory that belongs to this process until it is dropped.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    instance: InstanceName,
    /// Closing the file releases the lock.
    _lock: File,
}

impl StateDir {
    /// Makes the directory if need be, locks it, and finds or makes the name of this instance.
    ///
    /// # Errors
    /// `state_dir_unusable` when it cannot be made, written or locked.
    pub fn open(app: &App) -> Result<Self, Fault> {
        let path = path(app);
        fs::create_dir_all(&path).map_err(|error| unusable(&path, "cannot be made", error))?;
        let lock = lock(&path)?;
        let instance = match &app.instance {
            Some(name) => name.clone(),
            None => kept_instance(&path)?,
        };
        Ok(Self { path, instance, _lock: lock })
    }

    /// Where it is: `<state_dir>/<app>`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The stable name of this process.
    pub fn instance(&self) -> &InstanceName {
        &self.instance
    }
}

/// Where what belongs to an application lies, whether it is there or not.
pub fn path(app: &App) -> PathBuf {
    app.state_dir.join(app.id.as_str())
}

fn lock(path: &Path) -> Result<File, Fault> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path.join("lock"))
        .map_err(|error| unusable(path, "cannot be written", error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Fault::new(
            Code::StateDirUnusable,
            format!("state directory `{}` is in use by another host process", path.display()),
        )
        .hint("give each host its own `[app] state_dir`, or stop the other process")),
        Err(TryLockError::Error(error)) => Err(unusable(path, "cannot be locked", error)),
    }
}

/// The name that was made for this directory before, or a new one: a process that comes back takes its partitions up
/// again and fences the transactions that it left open.
fn kept_instance(path: &Path) -> Result<InstanceName, Fault> {
    let file = path.join("instance");
    if let Ok(name) = fs::read_to_string(&file)
        && !name.trim().is_empty()
    {
        return Ok(InstanceName::new(name.trim()));
    }
    let name = format!("{:016x}", RandomState::new().hash_one(std::process::id()));
    let half_written = path.join("instance.new");
    fs::write(&half_written, format!("{name}\n"))
        .and_then(|()| fs::rename(&half_written, &file))
        .map_err(|error| unusable(path, "cannot be written", error))?;
    Ok(InstanceName::new(&name))
}

fn unusable(path: &Path, what: &str, error: io::Error) -> Fault {
    Fault::new(Code::StateDirUnusable, format!("state directory `{}` {what}", path.display())).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::AppId;

    fn app(state_dir: &Path) -> App {
        App { id: AppId::new("shop"), state_dir: state_dir.to_owned(), instance: None, api: None }
    }

    #[test]
    fn keeps_the_instance_name_across_restarts() {
        let dir = tempfile::tempdir().unwrap();

        let first = StateDir::open(&app(dir.path())).unwrap().instance().clone();
        let second = StateDir::open(&app(dir.path())).unwrap().instance().clone();

        assert_eq!(first, second);
    }

    #[test]
    fn makes_another_name_in_another_directory() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());

        let first = StateDir::open(&app(one.path())).unwrap().instance().clone();
        let second = StateDir::open(&app(two.path())).unwrap().instance().clone();

        assert_ne!(first, second);
    }

    #[test]
    fn refuses_a_directory_that_another_host_uses() {
        let dir = tempfile::tempdir().unwrap();
        let _held = StateDir::open(&app(dir.path())).unwrap();

        let fault = StateDir::open(&app(dir.path())).unwrap_err();

        assert_eq!(fault.code(), Code::StateDirUnusable);
        assert!(fault.message().contains("in use by another host process"), "{fault}");
    }

    #[test]
    fn refuses_a_place_where_no_directory_can_be_made() {
        let file = tempfile::NamedTempFile::new().unwrap();

        let fault = StateDir::open(&app(file.path())).unwrap_err();

        assert_eq!(fault.code(), Code::StateDirUnusable);
    }
}
