//! Orders of an operator: the scenario that holds on each kind of broker.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::client::{Client, Isolation};
use crate::fanout::{end, stocked};
use crate::fold::Fold;
use crate::host;
use crate::logistics::{self, BULKY};
use crate::process::Process;
use crate::read;
use crate::shop::Shop;
use crate::wait::{self, Seen};

/// Pages of so many rows, and so few of them that a fault or an order meets a job under way.
const SLOW: &str = "jobs.step = 50\njobs.rate = 250";

/// How `jobs list` calls the job that sends all items again.
const JOB: [&str; 2] = ["gristmill.repeat", "items"];

/// Sends rows again: of some keys, of an index, all of them with a host that is killed in the middle. Each goes out as often
/// as it was ordered. Then an order is taken back.
///
/// # Errors
/// When an order is lost, carried out twice, or refused.
pub fn sends_rows_again(client: Client, partitions: i32, size: usize) -> Result<()> {
    let shop = Shop::new(client, partitions)?.with_settings(SLOW);
    let (mut logistics, catalogue) = stocked(&shop, size)?;
    let mut host = shop.start("a")?;
    let mut fold = Fold::new(&shop)?;
    logistics.set(BULKY, 5)?;
    let mut before = fold.await_converged(&mut [("a", &mut host)])?;
    let file = shop.pipeline("a")?;
    let reemit = |options: &[&str]| -> Result<String> {
        let fixed = ["reemit", "--transform", "delivery-time", "--source", "items"];
        host::command(&[&fixed, options].concat(), &file)
    };
    let mut expect = |what: &str, outputs: usize, fold: &mut Fold<'_>, host: &mut Process| -> Result<()> {
        before += outputs;
        fold.await_count(before, &mut [&mut *host])?;
        let now = fold.await_converged(&mut [("a", host)])?;
        ensure!(now == before, "{what}: {now} outputs instead of {before}");
        Ok(())
    };

    reemit(&["--key", &logistics::key(1), "--key", "nobody has this one", "--key", &logistics::key(2)])?;
    expect("two rows of three keys", 2, &mut fold, &mut host)?;
    let keys = file.with_extension("keys");
    let lines: Vec<_> = (0..size / 10).map(logistics::key).collect();
    fs::write(&keys, lines.join("\n")).context("cannot write the keys")?;
    reemit(&["--keys", &keys.display().to_string()])?;
    expect("the rows of a file of keys", size / 10, &mut fold, &mut host)?;
    reemit(&["--index", &format!("by-class={BULKY}")])?;
    expect("the rows of a class", catalogue.bulky(), &mut fold, &mut host)?;

    reemit(&["--all"])?;
    for part in 1..4 {
        let instant = fold.count()? + size / 10 * part;
        fold.await_count(instant, &mut [&mut host])?;
        host.kill()?;
        host = shop.start("a")?;
    }
    expect("all rows, with a host that is killed again and again", size, &mut fold, &mut host)?;

    reemit(&["--all"])?;
    fold.await_count(before + 1, &mut [&mut host])?;
    let file_text = file.display().to_string();
    run(&["jobs", "cancel", &file_text, JOB[0], JOB[1], "--transform", "delivery-time"])?;
    wait::until("the job to be gone", || {
        let jobs = host::command(&["jobs", "list", "--json"], &file)?;
        Ok(if jobs.trim() == "[]" { Seen::Yes(()) } else { Seen::NotYet(jobs) })
    })?;
    let after = fold.count()?;
    ensure!(after < before + size, "{after} outputs: the job came to its end before it was cancelled");
    let refused = read::whole(&shop.client, &shop.dead_letters(), Isolation::Committed)?;
    ensure!(refused.is_empty(), "{refused:?}");
    end(host).map(drop)
}

fn run(arguments: &[&str]) -> Result<()> {
    let output = Command::new(host::binary()?).args(arguments).output().context("cannot run gristmill")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "gristmill {arguments:?} ended with {}:\n{errors}", output.status);
    Ok(())
}
