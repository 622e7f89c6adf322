//! A large table must not have to fit into memory.

use std::process::Command;

use anyhow::{Context, Result};
use gristmill_host::ingest::run::Rows;

use super::{Target, open};

const ROWS: u32 = 1_000_000;

/// What a reader may take beside the row at hand. The rows themselves are more than ten times as many bytes.
const GROWTH_KB: u64 = 24 << 10;

/// Where the reader is found by the test that starts it.
const READER: &str = "offline::databases::memory::reads_a_million_rows_alone";

#[test]
fn reads_a_million_rows_in_little_memory() {
    // In a process of its own: other tests take memory at the same time.
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", READER, "--nocapture"])
        .output()
        .unwrap();

    let told = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && told.contains("1 passed"), "{told}");
}

/// Run by the test above.
#[test]
#[ignore = "measures the memory of its process, and must be alone in it"]
fn reads_a_million_rows_alone() {
    let filler = "x".repeat(300);
    for (target, query) in [
        (Target::postgres(), format!("SELECT n AS k, '{filler}' AS v FROM generate_series(1, {ROWS}) AS n")),
        (Target::mariadb(), format!("SELECT seq AS k, '{filler}' AS v FROM seq_1_to_{ROWS}")),
        (
            Target::sqlite(),
            format!(
                "WITH RECURSIVE n(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM n WHERE k < {ROWS})
                 SELECT k, '{filler}' AS v FROM n"
            ),
        ),
    ] {
        let before = resident_kb().unwrap();
        let (mut rows, mut bytes, mut most) = (0, 0, before);

        open(&target.ingest(&query))
            .each(&mut |row| {
                rows += 1;
                bytes += row.key.len() + row.value.len();
                if rows % 10_000 == 0 {
                    most = most.max(resident_kb().unwrap());
                }
                Ok(())
            })
            .unwrap();

        let growth = most - before;
        println!("{rows} rows, {bytes} bytes: {growth} KiB more");
        assert_eq!(rows, ROWS);
        assert!(growth < GROWTH_KB, "{growth} KiB more");
    }
}

fn resident_kb() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
