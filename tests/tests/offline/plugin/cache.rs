//! The cache of compiled plugins: used when it is what the host wrote, and never otherwise.

use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use gristmill_host::plugin::Runtime;
use tempfile::TempDir;

use super::stage::{HOSTILE, RAW, bytes};

/// Loads the hostile plugin in a host of its own that keeps its cache there.
fn load(dir: &Path) -> Result<()> {
    load_fixture(dir, HOSTILE)
}

fn load_fixture(dir: &Path, folder: &str) -> Result<()> {
    let runtime = Runtime::new(Some(dir.to_owned())).map_err(|fault| anyhow!(fault.report()))?;
    let plugin = runtime.load("p.wasm", &bytes(folder)?).map_err(|fault| anyhow!(fault.report()))?;
    assert!(folder.ends_with(
        plugin.manifest_text().lines().nth(1).and_then(|line| line.split('"').nth(1)).context("a name")?
    ));
    Ok(())
}

/// A cache that holds the hostile plugin.
fn filled() -> Result<(TempDir, PathBuf)> {
    let parent = tempfile::tempdir()?;
    let dir = parent.path().join("compiled");
    load(&dir)?;
    Ok((parent, dir))
}

/// The only entry.
fn entry(dir: &Path) -> Result<PathBuf> {
    let paths = fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let mut entries = paths.into_iter().filter(|path| path.extension().is_some_and(|e| e == "cwasm"));
    let entry = entries.next().context("no entry")?;
    assert_eq!(entries.next(), None);
    Ok(entry)
}

/// Tells whether the entry is another file than before: it was compiled and written again.
fn is_replaced_by_a_start(dir: &Path) -> Result<bool> {
    let before = fs::metadata(entry(dir)?)?;
    load(dir)?;
    let after = fs::metadata(entry(dir)?)?;
    Ok((before.ino(), before.mtime_nsec()) != (after.ino(), after.mtime_nsec()))
}

#[test]
fn is_for_the_host_alone() -> Result<()> {
    let (_parent, dir) = filled()?;

    let mode = |path: &Path| -> Result<u32> { Ok(fs::metadata(path)?.mode() & 0o777) };
    assert_eq!(mode(&dir)?, 0o700);
    assert_eq!(mode(&dir.join("key"))?, 0o600);
    assert_eq!(mode(&entry(&dir)?)?, 0o600);
    Ok(())
}

#[test]
fn is_used_by_the_next_start() -> Result<()> {
    let (_parent, dir) = filled()?;

    assert!(!is_replaced_by_a_start(&dir)?);
    Ok(())
}

#[test]
fn replaces_an_entry_in_which_a_byte_was_changed() -> Result<()> {
    let (_parent, dir) = filled()?;
    let whole = fs::read(entry(&dir)?)?;

    for place in [0, 40, whole.len() / 2, whole.len() - 1] {
        let mut tampered = whole.clone();
        tampered[place] ^= 1;
        fs::write(entry(&dir)?, &tampered)?;
        assert!(is_replaced_by_a_start(&dir)?, "byte {place}");
        assert_ne!(fs::read(entry(&dir)?)?, tampered, "byte {place}");
    }
    assert!(!is_replaced_by_a_start(&dir)?);
    Ok(())
}

#[test]
fn replaces_an_entry_that_is_cut_off_or_empty() -> Result<()> {
    let (_parent, dir) = filled()?;
    let whole = fs::read(entry(&dir)?)?;

    for len in [0, 31, 32, whole.len() - 1] {
        fs::write(entry(&dir)?, &whole[..len])?;
        assert!(is_replaced_by_a_start(&dir)?, "{len} bytes");
    }
    Ok(())
}

#[test]
fn does_not_take_the_entry_of_another_plugin() -> Result<()> {
    let (_parent, dir) = filled()?;
    let (_other_parent, other_dir) = filled()?;
    fs::copy(dir.join("key"), other_dir.join("key"))?;
    fs::remove_file(entry(&other_dir)?)?;
    load_fixture(&other_dir, RAW)?;

    // Written by this host and with this host's key, but for another component.
    fs::copy(entry(&other_dir)?, entry(&dir)?)?;

    assert!(is_replaced_by_a_start(&dir)?);
    Ok(())
}

#[test]
fn trusts_nothing_once_its_key_could_have_been_seen_or_is_lost() -> Result<()> {
    let (_parent, dir) = filled()?;
    let key = dir.join("key");

    fs::set_permissions(&key, Permissions::from_mode(0o644))?;
    assert!(is_replaced_by_a_start(&dir)?);
    assert_eq!(fs::metadata(&key)?.mode() & 0o777, 0o600);

    fs::remove_file(&key)?;
    assert!(is_replaced_by_a_start(&dir)?);

    fs::write(&key, "short")?;
    assert!(is_replaced_by_a_start(&dir)?);
    assert!(!is_replaced_by_a_start(&dir)?);
    Ok(())
}

#[test]
fn goes_on_without_a_cache_where_none_can_be() -> Result<()> {
    let parent = tempfile::tempdir()?;
    let file = parent.path().join("file");
    fs::write(&file, "in the way")?;

    load(&file.join("compiled"))
}
