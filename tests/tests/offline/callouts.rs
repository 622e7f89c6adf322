//! What an operator does about callouts without an answer.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use gristmill_tests::activations::{Desk, Feed, Progress};
use gristmill_tests::checker::{self, Promise};
use gristmill_tests::cluster::{Cluster, Dev};
use gristmill_tests::rest_server::Behaviour;
use gristmill_tests::turn;
use gristmill_tests::wait::{self, Seen};
use serde_json::Value;

const ACTIVATIONS: usize = 5;

fn run(desk: &Desk, file: &Path, arguments: &[&str]) -> Result<String> {
    let (command, more) = arguments.split_at(2.min(arguments.len()));
    let output = desk.gristmill(command, file)?.args(more).output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{arguments:?} ended with {}:\n{errors}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

fn list(desk: &Desk, file: &Path) -> Result<Vec<Value>> {
    let page: Value = serde_json::from_str(&run(desk, file, &["callouts", "list", "--json"])?)?;
    Ok(page.get("callouts").and_then(Value::as_array).context("no callouts")?.clone())
}

fn member(callout: &Value, name: &str) -> String {
    callout.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Waits until the list is as wanted.
fn await_list(desk: &Desk, file: &Path, is_so: impl Fn(&[Value]) -> bool) -> Result<Vec<Value>> {
    wait::until("another list of callouts", || {
        let found = list(desk, file)?;
        Ok(if is_so(&found) { Seen::Yes(found) } else { Seen::NotYet(format!("{found:?}")) })
    })
}

#[test]
fn takes_records_through_three_transforms_to_one_request_for_each_activation() -> Result<()> {
    let _turn = turn::take();
    let dev = Dev::start()?;
    let desk = Desk::new(dev.client(), Promise::AtMostOnce, &Behaviour::default())?;
    let mut feed = Feed::new(1, 200);
    let mut progress = Progress::new(&desk)?;
    let mut host = desk.start("a")?;

    feed.send(&desk, &desk.producer()?, usize::MAX)?;
    progress.await_outcomes(200, &mut [&mut host])?;

    let seen = desk.observe()?;
    ensure!(seen.details.committed.len() == 200, "{} details", seen.details.committed.len());
    checker::all_hold(&desk.reports(&seen))
}

#[test]
fn shows_retries_and_closes_callouts_in_doubt() -> Result<()> {
    let _turn = turn::take();
    let dev = Dev::start()?;
    let never = Behaviour::default().with("reset-after", 1.0);
    let desk = Desk::new(dev.client(), Promise::AtMostOnce, &never)?;
    let file = desk.pipeline("a")?;
    let mut progress = Progress::new(&desk)?;
    let mut host = desk.start("a")?;
    Feed::new(1, ACTIVATIONS).send(&desk, &desk.producer()?, usize::MAX)?;
    progress.await_outcomes(ACTIVATIONS, &mut [&mut host])?;

    let doubts = await_list(&desk, &file, |list| list.len() == ACTIVATIONS)?;
    ensure!(doubts.iter().all(|doubt| member(doubt, "state") == "in-doubt"), "{doubts:?}");
    let ids: Vec<_> = doubts.iter().map(|doubt| member(doubt, "id")).collect();
    let first = ids.first().context("no id")?;
    let output = desk.gristmill(&["callouts", "show"], &file)?.arg(first).output()?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(text.contains("state       in-doubt\n") && text.contains("/products/X-"), "{text}");

    let output = desk.gristmill(&["callouts", "retry"], &file)?.arg(first).output()?;
    let said = String::from_utf8(output.stdout)?;
    ensure!(said.contains("a new and deliberate call with a new id"), "{said}");
    let retried = await_list(&desk, &file, |list| {
        list.iter().any(|one| member(one, "retry_of") == *first && member(one, "state") == "in-doubt")
    })?;
    ensure!(retried.len() == ACTIVATIONS, "{retried:?}");
    ensure!(retried.iter().all(|one| member(one, "id") != *first), "the old one is still there: {retried:?}");
    let requests = desk.server.requests()?;
    ensure!(requests.len() == ACTIVATIONS + 1, "{} requests", requests.len());

    let ids: Vec<_> = retried.iter().map(|one| member(one, "id")).collect();
    let output = desk.gristmill(&["callouts", "done"], &file)?.args(&ids).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    await_list(&desk, &file, <[Value]>::is_empty)?;
    ensure!(desk.server.requests()?.len() == ACTIVATIONS + 1, "something was called again");
    ensure!(host.terminate(wait::PATIENCE)?.success(), "{}", host.tail());
    Ok(())
}
