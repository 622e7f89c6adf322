//! The pages, made from the board.

use std::time::Duration;

use crate::api::shapes::{
    Binding, Fault, Job, Jobs, Plugin, Position, Readiness, Reason, Restore, Store, Stores, Task, Tasks,
    Transform, Transforms, Worker,
};
use crate::config::pipeline::Deployment;
use crate::id::{Offset, TopicPartition};
use crate::status::{
    Board, FaultStatus, IngestBoard, IngestState, JobState, JobStatus, PartitionStatus, RestoreStatus, Seen,
    Standing, TaskState, TaskStatus, TransformBoard,
};

/// The version of the host.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(super) fn transforms(board: &Board) -> Transforms {
    Transforms {
        app: board.app().to_string(),
        instance: board.instance().to_string(),
        version: VERSION.to_owned(),
        transforms: board.transforms().iter().map(|transform| describe(board, transform)).collect(),
    }
}

fn describe(board: &Board, transform: &TransformBoard) -> Transform {
    let deployment = transform.deployment();
    let workers = board.workers(transform);
    let is_absent = workers.iter().any(|seen| seen.standing == Standing::Absent);
    let stopped = transform.stopped();
    Transform {
        name: deployment.name.to_string(),
        state: match &stopped {
            Some(_) => "stopped",
            None if is_absent => "starting",
            None => "running",
        }
        .to_owned(),
        fault: stopped.map(fault),
        plugin: Plugin {
            name: deployment.plugin.name.clone(),
            version: deployment.plugin.version.clone(),
            digest: deployment.plugin.digest.to_string(),
        },
        group: deployment.group(),
        sources: sources(deployment),
        sinks: deployment
            .sinks
            .iter()
            .map(|sink| Binding { name: sink.name.clone(), kind: None, topic: sink.topic.to_string() })
            .collect(),
        dead_letters: deployment.dead_letters.to_string(),
        workers: workers.iter().map(worker).collect(),
    }
}

fn sources(deployment: &Deployment) -> Vec<Binding> {
    let bound = deployment.sources.iter().flatten();
    let binding = |source: &crate::config::pipeline::BoundSource| Binding {
        name: source.name.clone(),
        kind: Some(source.kind.as_str().to_owned()),
        topic: source.topic.to_string(),
    };
    bound.map(binding).collect()
}

fn worker(seen: &Seen) -> Worker {
    let state = match seen.standing {
        Standing::Absent => "absent",
        Standing::WithoutProducer => "without-producer",
        Standing::Working => "working",
        Standing::Silent => "silent",
    };
    Worker { name: seen.worker.clone(), state: state.to_owned(), age_ms: millis(seen.age) }
}

pub(super) fn fault(status: FaultStatus) -> Fault {
    Fault { code: status.code.to_string(), message: status.message, hint: Some(status.hint) }
}

pub(super) fn tasks(board: &Board) -> Tasks {
    let ends = board.ends();
    let end = |place: &TopicPartition| ends.get(place).copied();
    Tasks {
        app: board.app().to_string(),
        instance: board.instance().to_string(),
        tasks: board.tasks().into_iter().map(|(seen, status)| task(&seen, status, end)).collect(),
    }
}

fn task(seen: &Seen, status: TaskStatus, end: impl Fn(&TopicPartition) -> Option<Offset>) -> Task {
    let positions: Vec<_> =
        status.positions.iter().map(|status| position(status, end(&status.place))).collect();
    let state = state_of(&status.state);
    let stopped = match status.state {
        TaskState::Stopped { code, message, hint } => Some(FaultStatus { code, message, hint }),
        TaskState::Closed | TaskState::Restoring | TaskState::Running => None,
    };
    Task {
        task: status.id.to_string(),
        transform: status.id.transform.to_string(),
        partition: status.id.partition.0,
        worker: seen.worker.clone(),
        state: state.to_owned(),
        fault: stopped.map(fault),
        waiting: status.waiting,
        lag: positions.iter().map(|position| position.lag).sum(),
        positions,
        restores: status.restores.iter().map(restore).collect(),
        age_ms: millis(seen.age),
    }
}

/// The names of a task's states, in pages and metrics.
pub(super) const TASK_STATES: [&str; 3] = ["restoring", "running", "stopped"];

pub(super) fn state_of(state: &TaskState) -> &'static str {
    match state {
        TaskState::Closed => "closed",
        TaskState::Restoring => "restoring",
        TaskState::Running => "running",
        TaskState::Stopped { .. } => "stopped",
    }
}

fn position(status: &PartitionStatus, end: Option<Offset>) -> Position {
    Position {
        topic: status.place.topic.to_string(),
        partition: status.place.partition.0,
        position: status.position.0,
        committed: status.committed.map(|offset| offset.0),
        end: end.map(|offset| offset.0),
        lag: lag(status, end),
    }
}

/// What is not committed yet counts. The end was asked before or after the position, so it may lie before it.
pub(super) fn lag(status: &PartitionStatus, end: Option<Offset>) -> Option<i64> {
    let from = status.committed.unwrap_or(status.position);
    end.map(|end| end.0.saturating_sub(from.0).max(0))
}

fn restore(status: &RestoreStatus) -> Restore {
    Restore {
        topic: status.place.topic.to_string(),
        partition: status.place.partition.0,
        read: status.read.0,
        until: status.until.map(|offset| offset.0),
    }
}

pub(super) fn jobs(board: &Board) -> Jobs {
    let tasks = board.tasks().into_iter();
    let of_task = |(_, task): (Seen, TaskStatus)| {
        let jobs: Vec<_> = task.jobs.iter().map(|status| job(&task, status)).collect();
        jobs
    };
    Jobs {
        app: board.app().to_string(),
        instance: board.instance().to_string(),
        jobs: tasks.flat_map(of_task).collect(),
    }
}

fn job(task: &TaskStatus, status: &JobStatus) -> Job {
    let (state, fault) = match &status.state {
        JobState::Waiting => ("waiting", None),
        JobState::Running => ("running", None),
        JobState::Failed { code, message } => {
            ("failed", Some(Fault { code: code.clone(), message: message.clone(), hint: None }))
        }
    };
    Job {
        task: task.id.to_string(),
        transform: task.id.transform.to_string(),
        kind: status.kind.clone(),
        name: status.name.clone(),
        generation: status.generation,
        state: state.to_owned(),
        fault,
        visited: status.visited,
        emitted: status.emitted,
        total: status.total,
        progress: status.progress(),
        per_second: status.per_second,
        left_ms: status.left.map(millis),
    }
}

pub(super) fn stores(board: &Board) -> Stores {
    let of_task = |(_, task): (Seen, TaskStatus)| {
        let (name, transform) = (task.id.to_string(), task.id.transform.to_string());
        let store = move |status: crate::status::StoreStatus| Store {
            task: name.clone(),
            transform: transform.clone(),
            name: status.name,
            rows: status.rows,
            bytes: status.bytes,
        };
        task.stores.into_iter().map(store)
    };
    Stores {
        app: board.app().to_string(),
        instance: board.instance().to_string(),
        stores: board.tasks().into_iter().flat_map(of_task).collect(),
    }
}

pub(super) fn readiness(board: &Board) -> Readiness {
    let mut reasons = Vec::new();
    for transform in board.transforms() {
        let name = &transform.deployment().name;
        match transform.stopped() {
            Some(fault) => {
                let message = format!("transform `{name}` has stopped: {}", fault.message);
                reasons.push(Reason { code: fault.code.to_string(), message });
            }
            None => reasons.extend(board.workers(transform).iter().filter_map(missing)),
        }
    }
    reasons.extend(board.ingests().iter().filter_map(stopped));
    reasons.extend(board.tasks().iter().filter_map(|(_, task)| held_up(task)));
    Readiness { ready: reasons.is_empty(), reasons }
}

/// An ingest that cannot work. A run that failed is none: the next one comes.
fn stopped(board: &IngestBoard) -> Option<Reason> {
    let IngestState::Stopped(fault) = board.status().state else { return None };
    let message = format!("ingest `{}` has stopped: {}", board.ingest().name, fault.message);
    Some(Reason { code: fault.code.to_string(), message })
}

fn missing(seen: &Seen) -> Option<Reason> {
    let (code, what) = match seen.standing {
        Standing::Working => return None,
        Standing::Absent => ("worker_absent", "has not started yet, or has ended".to_owned()),
        Standing::WithoutProducer => ("worker_without_producer", "has no producer yet".to_owned()),
        Standing::Silent => ("worker_silent", format!("has not been seen for {} s", seen.age.as_secs())),
    };
    Some(Reason { code: code.to_owned(), message: format!("worker `{}` {what}", seen.worker) })
}

fn held_up(task: &TaskStatus) -> Option<Reason> {
    let id = &task.id;
    let (code, message) = match &task.state {
        TaskState::Closed | TaskState::Running => return None,
        TaskState::Restoring => ("task_restoring", format!("task `{id}` restores its state")),
        TaskState::Stopped { code, message, .. } => {
            (code.as_str(), format!("task `{id}` has stopped: {message}"))
        }
    };
    Some(Reason { code: code.to_owned(), message })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
