//! `gristmill status`: what a running host does.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::api::shapes::{Ingests, Jobs, Readiness, Stores, Task, Tasks, Transform, Transforms};
use crate::cli::running::Host;
use crate::cli::{ingest, jobs, output};
use crate::fault::Fault;

/// Shows what a running host does: its transforms, tasks, lag, jobs, stores and ingests.
#[derive(Args, Debug)]
#[command(after_help = "Talks to: a running host of this machine\n\
                        Example:  gristmill status shop.toml")]
pub(super) struct Options {
    /// The pipeline file that the host runs with. Without it, the host at --api is asked.
    file: Option<PathBuf>,

    /// Where the host's admin API listens; its log says so. Default: 127.0.0.1:9180
    #[arg(long, value_name = "ADDRESS", conflicts_with = "file")]
    api: Option<SocketAddr>,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// All pages of a host.
struct Pages {
    transforms: Transforms,
    tasks: Tasks,
    jobs: Jobs,
    stores: Stores,
    ingests: Ingests,
    readiness: Readiness,
}

pub(super) fn run(options: &Options) -> Result<(), Fault> {
    let host = Host::find(options.file.as_deref(), options.api)?;
    let pages = Pages {
        transforms: host.get("/api/v1/transforms")?,
        tasks: host.get("/api/v1/tasks")?,
        jobs: host.get("/api/v1/jobs")?,
        stores: host.get("/api/v1/stores")?,
        ingests: host.get("/api/v1/ingests")?,
        readiness: host.get("/readyz")?,
    };
    if options.json {
        let Pages { transforms, tasks, jobs, stores, ingests, readiness } = pages;
        return output::print_json(&json!({
            "app": transforms.app,
            "instance": transforms.instance,
            "version": transforms.version,
            "ready": readiness.ready,
            "reasons": readiness.reasons,
            "transforms": transforms.transforms,
            "tasks": tasks.tasks,
            "jobs": jobs.jobs,
            "stores": stores.stores,
            "ingests": ingests.ingests,
        }));
    }
    output::print(&text(&pages, &host.address().to_string()))
}

fn text(pages: &Pages, address: &str) -> String {
    let Transforms { app, instance, version, transforms } = &pages.transforms;
    let ready = if pages.readiness.ready { "ready" } else { "not ready" };
    let mut text = format!("{app}, instance {instance}, gristmill {version} on {address}: {ready}\n");
    for reason in &pages.readiness.reasons {
        text.push_str(&format!("  {}: {}\n", reason.code, reason.message));
    }
    if !transforms.is_empty() {
        text.push('\n');
        text.push_str(&output::columns(&transforms_table(transforms)));
    }
    if !pages.tasks.tasks.is_empty() {
        text.push('\n');
        text.push_str(&output::columns(&tasks_table(&pages.tasks.tasks)));
    }
    if !pages.jobs.jobs.is_empty() {
        text.push('\n');
        text.push_str(&jobs::table(&pages.jobs.jobs));
    }
    if !pages.stores.stores.is_empty() {
        text.push('\n');
        text.push_str(&output::columns(&stores_table(&pages.stores)));
    }
    if !pages.ingests.ingests.is_empty() {
        text.push('\n');
        text.push_str(&ingest::table(&pages.ingests));
    }
    text
}

fn transforms_table(transforms: &[Transform]) -> Vec<[String; 4]> {
    let head = ["TRANSFORM", "STATE", "WORKERS", "PLUGIN"].map(str::to_owned);
    let row = |transform: &Transform| {
        let working = transform.workers.iter().filter(|worker| worker.state == "working").count();
        [
            transform.name.clone(),
            transform.state.clone(),
            format!("{working} of {}", transform.workers.len()),
            format!("{} {}", transform.plugin.name, transform.plugin.version),
        ]
    };
    std::iter::once(head).chain(transforms.iter().map(row)).collect()
}

fn tasks_table(tasks: &[Task]) -> Vec<[String; 5]> {
    let head = ["TASK", "STATE", "LAG", "WAITING", "FAULT"].map(str::to_owned);
    let row = |task: &Task| {
        [
            task.task.clone(),
            state(task),
            known(task.lag),
            task.waiting.to_string(),
            task.fault.as_ref().map(|fault| format!("{}: {}", fault.code, fault.message)).unwrap_or_default(),
        ]
    };
    std::iter::once(head).chain(tasks.iter().map(row)).collect()
}

/// The state, and how far a restore is.
fn state(task: &Task) -> String {
    let sum = |each: fn(&crate::api::shapes::Restore) -> Option<i64>| task.restores.iter().map(each).sum();
    let (read, until): (Option<i64>, Option<i64>) =
        (sum(|restore| Some(restore.read)), sum(|restore| restore.until));
    match (read, until) {
        (Some(read), Some(until)) if !task.restores.is_empty() => format!("{} {read}/{until}", task.state),
        _ => task.state.clone(),
    }
}

fn stores_table(stores: &Stores) -> Vec<[String; 4]> {
    let head = ["TASK", "STORE", "ROWS", "BYTES"].map(str::to_owned);
    let row = |store: &crate::api::shapes::Store| {
        [store.task.clone(), store.name.clone(), known(store.rows), known(store.bytes)]
    };
    std::iter::once(head).chain(stores.stores.iter().map(row)).collect()
}

/// A number, or a mark for one that is not known.
pub(super) fn known<T: ToString>(number: Option<T>) -> String {
    number.map_or_else(|| "?".to_owned(), |number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_everything_on_one_screen() {
        let page = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        let transforms = page(
            r#"{"app":"shop","instance":"a","version":"0.1.0","transforms":[{"name":"delivery-time","state":"running",
            "fault":null,"plugin":{"name":"delivery-time","version":"0.1.0","digest":"sha256:07"},"group":"shop.delivery-time",
            "sources":[],"sinks":[],"dead_letters":"d","workers":[{"name":"w0","state":"working","age_ms":5},
            {"name":"w1","state":"silent","age_ms":5}]}]}"#,
        );
        let tasks = page(
            r#"{"app":"shop","instance":"a","tasks":[
            {"task":"delivery-time/0","transform":"delivery-time","partition":0,"worker":"w0","state":"restoring","fault":null,
             "waiting":0,"lag":null,"positions":[],"restores":[{"topic":"c","partition":0,"read":5,"until":9}],"age_ms":1},
            {"task":"delivery-time/1","transform":"delivery-time","partition":1,"worker":"w0","state":"stopped",
             "fault":{"code":"plugin_fatal","message":"it said no"},"waiting":7,"lag":120,"positions":[],"restores":[],
             "age_ms":1}]}"#,
        );
        let jobs = page(
            r#"{"app":"shop","instance":"a","jobs":[{"task":"delivery-time/0","transform":"delivery-time",
            "kind":"follow-class","name":"class:bulky","generation":2,"state":"running","fault":null,"visited":30,"emitted":20,
            "total":120,"progress":0.25,"per_second":9.5,"left_ms":70000}]}"#,
        );
        let stores = page(
            r#"{"app":"shop","instance":"a","stores":[{"task":"delivery-time/0","transform":"delivery-time","name":"items",
            "rows":null,"bytes":4096}]}"#,
        );
        let ingests = page(
            r#"{"app":"shop","instance":"a","ingests":[{"name":"classes","kind":"sql","topic":"c","state":"waiting","fault":null,
            "schedule":"every 10m","address":null,"stage":null,"done":null,"next_at":null,"runs":0,"served":0,"last":null}]}"#,
        );
        let readiness =
            page(r#"{"ready":false,"reasons":[{"code":"worker_silent","message":"worker `w1` is silent"}]}"#);
        let pages = Pages {
            transforms: serde_json::from_value(transforms).unwrap(),
            tasks: serde_json::from_value(tasks).unwrap(),
            jobs: serde_json::from_value(jobs).unwrap(),
            stores: serde_json::from_value(stores).unwrap(),
            ingests: serde_json::from_value(ingests).unwrap(),
            readiness: serde_json::from_value(readiness).unwrap(),
        };

        let expected = "\
shop, instance a, gristmill 0.1.0 on 127.0.0.1:9180: not ready
  worker_silent: worker `w1` is silent

TRANSFORM      STATE    WORKERS  PLUGIN
delivery-time  running  1 of 2   delivery-time 0.1.0

TASK             STATE          LAG  WAITING  FAULT
delivery-time/0  restoring 5/9  ?    0
delivery-time/1  stopped        120  7        plugin_fatal: it said no

TASK             JOB                       STATE    PROGRESS                        VISITED  EMITTED  RATE   LEFT
delivery-time/0  follow-class class:bulky  running  [#####---------------]  25.0 %  30/120   20       9.5/s  1m 10s

TASK             STORE  ROWS  BYTES
delivery-time/0  items  ?     4096

INGEST   KIND  TOPIC  STATE    SCHEDULE   LAST RUN
classes  sql   c      waiting  every 10m
";
        assert_eq!(text(&pages, "127.0.0.1:9180"), expected);
    }
}
