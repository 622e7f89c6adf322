//! Disks that cannot be written.

use std::process::Command;

use super::*;

/// The directory that the child of a test works in.
const ROOT: &str = "GRISTMILL_TEST_STORE_ROOT";

#[test]
fn says_so_when_not_even_an_empty_store_can_be_made() {
    let root = TempDir::new().unwrap();
    let file = root.path().join("file");
    std::fs::write(&file, "").unwrap();

    let fault = stores(&file, "no-root").open(TASK).map(|_| ()).unwrap_err();

    assert_eq!(fault.code(), Code::StoreFailed);
    assert!(fault.remedy().contains("permissions"), "{}", fault.report());
    assert_eq!(stores(&file, "no-root").discard(TASK).unwrap_err().code(), Code::StoreFailed);
}

/// Runs a test of this file as root of a namespace, after a command; none where the system does not allow it.
fn in_namespace(test: &str, root: &Path, command: &str) -> Option<bool> {
    let may = Command::new("unshare").args(["-rm", "true"]).status();
    if !may.is_ok_and(|status| status.success()) {
        return None;
    }
    let name = format!("store::tests::disk::{test}");
    let script = format!("{command} && exec \"$0\" {name} --exact --ignored --test-threads=1");
    let executable = std::env::current_exe().unwrap();
    let output = Command::new("unshare")
        .args(["-rm", "sh", "-c", &script])
        .arg(executable)
        .env(ROOT, root)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    Some(text.contains("1 passed"))
}

fn root() -> std::path::PathBuf {
    std::env::var(ROOT).unwrap().into()
}

#[test]
fn fails_with_a_hint_on_a_read_only_disk() {
    let root = TempDir::new().unwrap();
    with_one_row(root.path(), "read-only");
    let command = format!("mount --bind {0} {0} && mount -o remount,ro,bind {0}", root.path().display());

    if let Some(passed) = in_namespace("child_on_a_read_only_disk", root.path(), &command) {
        assert!(passed);
    }
    // Untouched, for the day when the disk can be written again.
    let engine = stores(root.path(), "read-only").open(TASK).unwrap();
    assert!(engine.get(b"key").unwrap().is_some());
}

#[test]
#[ignore = "the child of another test"]
fn child_on_a_read_only_disk() {
    for task in [TASK, Partition(4)] {
        let fault = stores(&root(), "read-only").open(task).map(|_| ()).unwrap_err();
        assert_eq!(fault.code(), Code::StoreFailed);
        assert!(fault.cause().contains("Read-only file system"), "{}", fault.report());
    }
    assert_eq!(dropped("read-only", "damaged"), 0);
}

#[test]
fn fails_with_disk_full_on_a_full_disk() {
    let root = TempDir::new().unwrap();
    let command = format!("mount -t tmpfs -o size=3m tmpfs {}", root.path().display());

    if let Some(passed) = in_namespace("child_on_a_full_disk", root.path(), &command) {
        assert!(passed);
    }
}

#[test]
#[ignore = "the child of another test"]
fn child_on_a_full_disk() {
    let mut stores = stores(&root(), "full");
    let mut engine = stores.open(TASK).unwrap();
    let value = vec![7; 10_000];
    let mut applied = 0_u32;
    let fault = loop {
        match apply(engine.as_mut(), &[(&applied.to_be_bytes(), Some(&value))]) {
            Ok(()) => applied += 1,
            Err(fault) => break fault,
        }
    };

    assert_eq!(fault.code(), Code::DiskFull, "{}", fault.report());
    assert!(fault.remedy().contains("Make room"), "{}", fault.remedy());
    assert!((20..300).contains(&applied), "{applied}");

    // The heart drops the store now; there is room again, and the next one works.
    drop(engine);
    stores.discard(TASK).unwrap();
    let mut engine = stores.open(TASK).unwrap();
    apply(engine.as_mut(), &[(b"key", Some(b"value"))]).unwrap();
}

/// Works on every system, and tells a batch that does not fit from one that does.
#[test]
fn fails_with_disk_full_when_a_file_may_not_grow() {
    let root = TempDir::new().unwrap();
    let name = "store::tests::disk::child_whose_files_may_not_grow";
    // In units of 512 bytes: as long as the journal is made, 64 MiB.
    let script =
        format!("trap '' XFSZ; ulimit -f 131072; exec \"$0\" {name} --exact --ignored --test-threads=1");

    let output = Command::new("sh")
        .args(["-c", &script])
        .arg(std::env::current_exe().unwrap())
        .env(ROOT, root.path())
        .output()
        .unwrap();

    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
#[ignore = "the child of another test"]
fn child_whose_files_may_not_grow() {
    let mut engine = stores(&root(), "grow").open(TASK).unwrap();
    apply(engine.as_mut(), &[(b"key", Some(b"value"))]).unwrap();
    let value = vec![7; 65 << 20];

    let fault = apply(engine.as_mut(), &[(b"large", Some(&value)), (b"small", Some(b"1"))]).unwrap_err();

    assert_eq!(fault.code(), Code::DiskFull, "{}", fault.report());
    drop(engine);
    let engine = stores(&root(), "grow").open(TASK).unwrap();
    assert_eq!(
        scanned(engine.as_ref(), EVERYTHING).unwrap(),
        Content::from([(b"key".to_vec(), b"value".to_vec())])
    );
}
