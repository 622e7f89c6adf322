//! A folder for each test process, with the logs and data of everything that it starts.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{env, fs, process};

use anyhow::{Context, Result};

/// How many folders of earlier runs are kept for people who look into a failure.
const KEPT: usize = 6;

/// Makes a new folder below this process's own, `target/test-runs/<pid>/<name>-<n>`.
///
/// # Errors
/// When the folder cannot be made.
pub fn make(name: &str) -> Result<PathBuf> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let dir = own()?.join(format!("{name}-{n}"));
    fs::create_dir_all(&dir).with_context(|| format!("cannot make `{}`", dir.display()))?;
    Ok(dir)
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// Cargo's folder for what it builds, found from the place of the running program.
///
/// # Errors
/// When this is not a program that Cargo built.
pub fn target() -> Result<PathBuf> {
    let program = env::current_exe().context("cannot tell where this program lies")?;
    // target/<profile>/deps/<test>, or target/<profile>/<program>
    let depth = if program.parent().is_some_and(|dir| dir.ends_with("deps")) { 3 } else { 2 };
    let target =
        program.ancestors().nth(depth).context("this program does not lie in Cargo's target folder")?;
    Ok(target.to_owned())
}

fn own() -> Result<PathBuf> {
    static SWEPT: OnceLock<()> = OnceLock::new();
    let runs = target()?.join("test-runs");
    SWEPT.get_or_init(|| sweep(&runs));
    Ok(runs.join(process::id().to_string()))
}

/// Removes the oldest folders of processes that have ended. Failures do not matter: another test may sweep as well.
fn sweep(runs: &Path) {
    let Ok(entries) = fs::read_dir(runs) else { return };
    let mut ended: Vec<_> = entries
        .flatten()
        .filter(|entry| !Path::new("/proc").join(entry.file_name()).exists())
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    ended.sort();
    let surplus = ended.len().saturating_sub(KEPT);
    for (_, path) in ended.into_iter().take(surplus) {
        drop(fs::remove_dir_all(path));
    }
}
