//! The page of metrics: what events have counted, and what the board shows at this moment.

use crate::api::{pages, prometheus};
use crate::event::{Metric, Sample, registry};
use crate::id::{Offset, TopicPartition};
use crate::status::{Board, Seen, Standing, TaskStatus};

/// The page in Prometheus's text form.
pub(super) fn page(board: &Board) -> String {
    let mut samples = registry().samples();
    samples.extend(of_board(board));
    prometheus::page(board.app().as_str(), &samples)
}

fn of_board(board: &Board) -> Vec<Sample> {
    let ready = if pages::readiness(board).ready { 1.0 } else { 0.0 };
    let mut samples = vec![
        gauge("gristmill_build_info", &[("version", pages::VERSION)], 1.0),
        gauge("gristmill_ready", &[], ready),
    ];
    for transform in board.transforms() {
        let name = transform.deployment().name.as_str();
        samples.extend(board.workers(transform).iter().flat_map(|seen| of_worker(name, seen)));
    }
    let ends = board.ends();
    for (_, task) in board.tasks() {
        samples.extend(of_task(&task, |place| ends.get(place).copied()));
        samples.extend(of_work(&task));
    }
    samples
}

fn of_worker(transform: &str, seen: &Seen) -> [Sample; 2] {
    let labels = [("transform", transform), ("worker", seen.worker.as_str())];
    let up = if seen.standing == Standing::Working { 1.0 } else { 0.0 };
    [
        gauge("gristmill_worker_up", &labels, up),
        gauge("gristmill_worker_age_seconds", &labels, seen.age.as_secs_f64()),
    ]
}

fn of_task(task: &TaskStatus, end: impl Fn(&TopicPartition) -> Option<Offset>) -> Vec<Sample> {
    let (transform, id) = (task.id.transform.as_str(), task.id.to_string());
    let base = [("transform", transform), ("task", id.as_str())];
    let state = pages::state_of(&task.state);
    let mut samples: Vec<_> = pages::TASK_STATES
        .iter()
        .map(|name| {
            let value = if *name == state { 1.0 } else { 0.0 };
            gauge("gristmill_task_state", &with(&base, &[("state", name)]), value)
        })
        .collect();
    samples.push(gauge("gristmill_task_waiting_records", &base, task.waiting as f64));
    for status in &task.positions {
        let partition = status.place.partition.to_string();
        let labels = with(&base, &[("topic", status.place.topic.as_str()), ("partition", &partition)]);
        samples.push(gauge("gristmill_source_position_offset", &labels, status.position.0 as f64));
        let committed = status.committed.map(|offset| offset.0);
        samples.extend(
            [
                ("gristmill_source_committed_offset", committed),
                ("gristmill_source_lag_records", pages::lag(status, end(&status.place))),
            ]
            .into_iter()
            .filter_map(|(name, value)| Some(gauge(name, &labels, value? as f64))),
        );
    }
    samples
}

/// Restores, jobs and stores.
fn of_work(task: &TaskStatus) -> Vec<Sample> {
    let (transform, id) = (task.id.transform.as_str(), task.id.to_string());
    let base = [("transform", transform), ("task", id.as_str())];
    let mut samples = Vec::new();
    for restore in &task.restores {
        let partition = restore.place.partition.to_string();
        let labels = with(&base, &[("topic", restore.place.topic.as_str()), ("partition", &partition)]);
        let left = restore.until.map(|until| until.0.saturating_sub(restore.read.0).max(0));
        samples.extend(left.map(|left| gauge("gristmill_restore_left_records", &labels, left as f64)));
    }
    for job in &task.jobs {
        let labels = with(&base, &[("kind", job.kind.as_str()), ("job", job.name.as_str())]);
        samples.push(gauge("gristmill_job_visited_rows", &labels, job.visited as f64));
        samples.push(gauge("gristmill_job_emitted_records", &labels, job.emitted as f64));
        samples.extend(job.total.map(|total| gauge("gristmill_job_rows", &labels, total as f64)));
    }
    for store in &task.stores {
        let labels = with(&base, &[("store", store.name.as_str())]);
        samples.extend(store.rows.map(|rows| gauge("gristmill_store_rows", &labels, rows as f64)));
        samples.extend(store.bytes.map(|bytes| gauge("gristmill_store_bytes", &labels, bytes as f64)));
    }
    samples
}

fn with<'a>(base: &[(&'a str, &'a str)], more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    base.iter().chain(more).copied().collect()
}

fn gauge(name: &str, labels: &[(&str, &str)], value: f64) -> Sample {
    let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Sample { name: name.to_owned(), labels: labels.collect(), metric: Metric::Gauge(value) }
}
