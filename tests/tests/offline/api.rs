//! The admin API of a host process, and the commands that ask it.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, bail, ensure};
use gristmill_tests::cluster::{Cluster, Dev};
use gristmill_tests::host;
use gristmill_tests::http::get;
use gristmill_tests::process::Process;
use gristmill_tests::shop::Shop;
use gristmill_tests::turn;
use gristmill_tests::wait::{self, Seen};
use gristmill_tests::workload::{self, Items};
use serde_json::Value;

/// It is nowhere to be seen.
const SECRET: &str = "hunter2-is-not-a-good-password";

/// Lets the host of this pipeline file listen here.
fn listen(file: &Path, address: &str) -> Result<()> {
    let text = fs::read_to_string(file)?;
    let with_api = text.replacen("[app]\n", &format!("[app]\napi = \"{address}\"\n"), 1);
    let secret = format!("[kafka.client]\n\"sasl.password\" = \"{SECRET}\"\n");
    Ok(fs::write(file, with_api.replacen("[kafka.client]\n", &secret, 1))?)
}

/// Where a host said that it listens.
fn address(shop: &Shop, file: &Path, instance: &str) -> Result<SocketAddr> {
    let found = file.with_file_name(instance).join(&shop.app).join("api");
    wait::until("the host to say where it listens", || match fs::read_to_string(&found) {
        Ok(text) => Ok(Seen::Yes(text.lines().next().context("an empty file")?.parse()?)),
        Err(error) => Ok(Seen::NotYet(format!("`{}`: {error}", found.display()))),
    })
}

fn page(address: SocketAddr, path: &str) -> Result<Value> {
    get(address, path)?.json().with_context(|| path.to_owned())
}

fn await_ready(address: SocketAddr) -> Result<()> {
    wait::until("the host to be ready", || {
        let answer = get(address, "/readyz")?;
        Ok(if answer.status == 200 { Seen::Yes(()) } else { Seen::NotYet(answer.body) })
    })
}

/// Waits until all tasks are there and have nothing left to do.
fn await_rest(address: SocketAddr, tasks: usize) -> Result<Value> {
    wait::until("the lag to be gone", || {
        let seen = page(address, "/api/v1/tasks")?;
        let list = seen.get("tasks").and_then(Value::as_array).context("no tasks")?;
        let is_at_rest = list.iter().all(|task| task["lag"] == 0 && task["state"] == "running");
        Ok(if list.len() == tasks && is_at_rest { Seen::Yes(seen) } else { Seen::NotYet(seen.to_string()) })
    })
}

fn gristmill(arguments: &[&str], file: &Path) -> Result<Output> {
    let mut command = Command::new(host::binary()?);
    Ok(command.args(arguments).arg(file).env_remove("GRISTMILL_LOG").output()?)
}

fn succeeds(arguments: &[&str], file: &Path) -> Result<String> {
    host::command(arguments, file)
}

/// The standard error of a command that ends with this exit code.
fn fails(arguments: &[&str], file: &Path, exit_code: i32) -> Result<String> {
    let output = gristmill(arguments, file)?;
    let errors = String::from_utf8(output.stderr)?;
    ensure!(output.status.code() == Some(exit_code), "{arguments:?} ended with {}:\n{errors}", output.status);
    Ok(errors)
}

/// Checks each line of a page of metrics; a small reader of the format, without our writer's code.
fn check_metrics(page: &str) -> Result<()> {
    let is_name = |text: &str| {
        !text.is_empty()
            && !text.starts_with(|c: char| c.is_ascii_digit())
            && text.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
    };
    let mut typed = Vec::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').with_context(|| format!("no type in `{line}`"))?;
            ensure!(!typed.contains(&name), "`{name}` has two types");
            ensure!(kind != "counter" || name.ends_with("_total"), "the counter `{name}` has another ending");
            typed.push(name);
        } else if !line.starts_with("# HELP gristmill_") {
            let (series, value) = line.rsplit_once(' ').with_context(|| format!("no value in `{line}`"))?;
            let value: f64 = value.parse().with_context(|| format!("`{line}`"))?;
            ensure!(value.is_finite() && value >= 0.0, "`{line}`");
            let (name, labels) = series.split_once('{').with_context(|| format!("no labels in `{line}`"))?;
            let family = name.trim_end_matches("_sum").trim_end_matches("_count");
            ensure!(
                typed.last() == Some(&family) && family.starts_with("gristmill_"),
                "`{line}` is of no type"
            );
            let labels = labels.strip_suffix('}').with_context(|| format!("`{line}`"))?;
            ensure!(labels.starts_with("app=\""), "`{line}` has no application");
            for label in labels.split("\",") {
                let (name, _) = label.split_once("=\"").with_context(|| format!("`{label}` in `{line}`"))?;
                ensure!(is_name(name), "`{name}` in `{line}`");
            }
        }
    }
    ensure!(typed.len() > 10, "only {typed:?}");
    Ok(())
}

/// The sum of the samples of a metric.
fn total(page: &str, name: &str) -> f64 {
    let lines = page.lines().filter(|line| line.split('{').next() == Some(name));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[test]
fn tells_what_a_host_does_in_pages_metrics_and_commands() -> Result<()> {
    let _turn = turn::take();
    let dev = Dev::start()?;
    let shop = Shop::new(dev.client(), 2)?;
    shop.prepare()?;
    let producer = shop.producer()?;
    let mut items = Items::new(workload::seed(), 300);
    items.send(&producer, &shop.items, 300)?;
    producer.drain()?;
    let file = shop.pipeline("a")?;
    listen(&file, "127.0.0.1:0")?;

    let mut host = host::run(&file)?;
    let address = address(&shop, &file, "a")?;
    await_ready(address)?;
    let tasks = await_rest(address, 2)?;
    let metrics = get(address, "/metrics")?.body;

    let position = &tasks["tasks"][0]["positions"][0];
    ensure!(position["topic"] == shop.items.as_str() && position["committed"] == position["end"], "{tasks}");
    let transforms = page(address, "/api/v1/transforms")?;
    ensure!(transforms["app"] == shop.app.as_str() && transforms["instance"] == "a", "{transforms}");
    ensure!(transforms["transforms"][0]["workers"][0]["state"] == "working", "{transforms}");
    check_metrics(&metrics)?;
    ensure!(total(&metrics, "gristmill_records_in_total") >= 300.0, "{metrics}");
    ensure!(total(&metrics, "gristmill_ready") == 1.0, "{metrics}");

    let text = succeeds(&["status"], &file)?;
    let head =
        format!("{}, instance a, gristmill {} on {address}: ready\n", shop.app, env!("CARGO_PKG_VERSION"));
    ensure!(text.starts_with(&head) && text.contains("\ndelivery-time/1  running  0    0\n"), "{text}");
    let json: Value = serde_json::from_str(&succeeds(&["status", "--json"], &file)?)?;
    ensure!(
        json["ready"] == true && json["tasks"].as_array().is_some_and(|tasks| tasks.len() == 2),
        "{json}"
    );
    ensure!(succeeds(&["jobs", "list"], &file)? == "no jobs\n", "there are jobs");
    ensure!(succeeds(&["jobs", "list", "--json"], &file)? == "[]\n", "there are jobs");
    let named = succeeds(&["status", "--api"], Path::new(&address.to_string()))?;
    ensure!(named.starts_with(&head), "{named}");
    let errors = fails(&["state", "get", "delivery-time/7", "items", "SKU-1", "--file"], &file, 3)?;
    ensure!(errors.contains("code: task_not_here"), "{errors}");

    let paths =
        ["/metrics", "/readyz", "/api/v1/transforms", "/api/v1/tasks", "/api/v1/jobs", "/api/v1/stores"];
    for path in paths {
        let answer = format!("{:?}", get(address, path)?);
        ensure!(!answer.contains(SECRET), "{path} shows a secret");
    }
    ensure!(!host.output()?.contains(SECRET), "the log shows a secret");

    host.terminate(wait::PATIENCE)?;
    ensure!(get(address, "/healthz").is_err(), "something answers still");
    let errors = fails(&["status"], &file, 3)?;
    ensure!(errors.contains("no host runs with the pipeline file"), "{errors}");
    ensure!(errors.ends_with("code: host_unreachable\n"), "{errors}");
    Ok(())
}

#[test]
fn starts_two_hosts_that_want_the_same_port() -> Result<()> {
    let _turn = turn::take();
    let dev = Dev::start()?;
    let shop = Shop::new(dev.client(), 2)?;
    shop.prepare()?;
    let wanted = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let files = [shop.pipeline("a")?, shop.pipeline("b")?];
    for file in &files {
        listen(file, &wanted.to_string())?;
    }

    let first = host::run(&files[0])?;
    await_ready(address(&shop, &files[0], "a")?)?;
    let mut second = host::run(&files[1])?;
    let other = address(&shop, &files[1], "b")?;
    await_ready(other)?;

    ensure!(address(&shop, &files[0], "a")? == wanted && other != wanted, "{other} and {wanted}");
    second.await_output("it listens at another port")?;
    for (file, instance) in files.iter().zip(["a", "b"]) {
        let status: Value = serde_json::from_str(&succeeds(&["status", "--json"], file)?)?;
        ensure!(status["instance"] == instance, "asked {instance}: {status}");
    }
    // Killed, so its file is left behind, and another host has the port by now.
    first.kill()?;
    let errors = fails(&["status"], &files[0], 3)?;
    ensure!(errors.contains(&format!("error: no host answers on `{wanted}`\n")), "{errors}");
    let file = files[0].with_file_name("a").join(&shop.app).join("api");
    fs::write(file, format!("{other}\na\n"))?;
    let errors = fails(&["status"], &files[0], 3)?;
    ensure!(errors.contains("has ended\n") && errors.contains("there is instance `b`"), "{errors}");
    Ok(())
}

#[test]
fn refuses_an_address_that_other_machines_could_reach() -> Result<()> {
    let dev = Dev::start()?;
    let shop = Shop::new(dev.client(), 1)?;
    let file = shop.pipeline("a")?;
    listen(&file, "0.0.0.0:9180")?;

    let errors = fails(&["run"], &file, 2)?;

    ensure!(
        errors.contains("error: `app.api` is `0.0.0.0:9180`, which other machines could reach"),
        "{errors}"
    );
    ensure!(errors.ends_with("code: api_not_loopback\n"), "{errors}");
    Ok(())
}

#[test]
fn answers_while_no_broker_does() -> Result<()> {
    let _turn = turn::take();
    let dev = Dev::start()?;
    let shop = Shop::new(dev.client(), 1)?;
    let file = shop.pipeline("a")?;
    listen(&file, "127.0.0.1:0")?;
    // Port 1 of this machine: nobody listens there.
    fs::write(&file, fs::read_to_string(&file)?.replace(shop.client.bootstrap(), "127.0.0.1:1"))?;

    let host = host::run(&file)?;
    let address = address(&shop, &file, "a")?;

    let alive = get(address, "/healthz")?;
    let ready = get(address, "/readyz")?;
    ensure!(alive.status == 200 && ready.status == 503, "{alive:?}, {ready:?}");
    ensure!(ready.body.contains("worker_absent"), "{ready:?}");
    kill(host)
}

/// The host gives up on its broker after 15 s; it has not yet.
fn kill(host: Process) -> Result<()> {
    match host.kill() {
        Ok(()) => Ok(()),
        Err(error) => bail!("the host has ended before it was asked: {error:#}"),
    }
}
