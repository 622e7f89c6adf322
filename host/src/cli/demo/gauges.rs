//! What the host tells of itself through its admin API, as anybody can ask it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::api::shapes::{Callouts, Ingests, Jobs, Tasks};
use crate::cli::running;
use crate::clock::Clock;
use crate::fault::{Code, Fault};

/// A walk that was so often not there any more, is done: longer than a host that was just started needs to tell of it.
const GONE: u32 = 8;

/// Rates are taken over this time.
const RATE_OVER: Duration = Duration::from_secs(2);

/// What the host has told last.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Reading {
    /// Whether there is a host that answers.
    pub(super) is_there: bool,
    /// The ingest of the database.
    pub(super) ingest: Ingested,
    /// By transform.
    pub(super) transforms: BTreeMap<String, Progress>,
    /// How often in a row there was no job, with a host that answers.
    jobless: u32,
    /// Callouts that wait.
    pub(super) queued: usize,
    /// Requests under way.
    pub(super) dispatching: usize,
    /// Callouts whose outcome a person has to look at.
    pub(super) in_doubt: usize,
}

/// The ingest.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Ingested {
    /// Runs of this host.
    pub(super) runs: u64,
    /// Rows that the last of them has read.
    pub(super) rows: u64,
    /// Whether it would have deleted too much.
    pub(super) is_refusing: bool,
}

/// A transform.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Progress {
    /// Records that it has not processed; none while a task has not told.
    pub(super) lag: Option<i64>,
    /// Records a second, lately.
    pub(super) per_second: f64,
    /// Tasks that restore.
    pub(super) restoring: usize,
    /// How many rows its jobs have looked at, and of how many, if it has jobs.
    pub(super) walk: Option<(u64, u64)>,
}

impl Reading {
    /// Whether no job is left.
    pub(super) fn is_jobless(&self) -> bool {
        self.is_there && self.jobless >= GONE
    }

    /// Whether everything is processed and nothing is under way.
    pub(super) fn is_at_rest(&self) -> bool {
        let is_done = |progress: &Progress| progress.lag == Some(0) && progress.restoring == 0;
        self.is_jobless()
            && self.queued + self.dispatching == 0
            && !self.transforms.is_empty()
            && self.transforms.values().all(is_done)
    }
}

/// Who asks.
pub(super) struct Gauges {
    file: PathBuf,
    clock: Clock,
    host: Option<running::Host>,
    /// By task and job.
    walks: BTreeMap<(String, String), Walk>,
    /// By transform, when how many records had been processed.
    past: BTreeMap<String, Vec<(Duration, i64)>>,
    reading: Reading,
}

struct Walk {
    transform: String,
    visited: u64,
    total: u64,
    /// How often in a row it was not there.
    missed: u32,
}

impl Gauges {
    /// Asks the host that runs with this pipeline file.
    pub(super) fn new(file: &Path, clock: &Clock) -> Self {
        Self {
            file: file.to_owned(),
            clock: clock.clone(),
            host: None,
            walks: BTreeMap::new(),
            past: BTreeMap::new(),
            reading: Reading::default(),
        }
    }

    /// What the host says now; the last that it said, when it does not answer.
    pub(super) fn read(&mut self) -> Reading {
        if self.ask().is_err() {
            // A host that was killed does not answer, and one that has just been started has not said yet where it listens.
            (self.host, self.reading.is_there, self.reading.jobless) = (None, false, 0);
            self.past.clear();
            for progress in self.reading.transforms.values_mut() {
                *progress = Progress { walk: progress.walk, ..Progress::default() };
            }
        }
        self.reading.clone()
    }

    fn ask(&mut self) -> Result<(), Fault> {
        let host = match self.host.take() {
            Some(host) => host,
            None => running::Host::find(Some(&self.file), None)?,
        };
        let (tasks, jobs) = (host.get("/api/v1/tasks")?, host.get("/api/v1/jobs")?);
        let ingests = host.get("/api/v1/ingests")?;
        // The workers answer this one themselves, and one that restores does not.
        let callouts = host.get("/api/v1/callouts?limit=1000").ok();
        self.host = Some(host);
        self.reading.is_there = true;
        self.take_tasks(&tasks);
        self.take_jobs(&jobs);
        self.take_ingests(&ingests);
        if let Some(callouts) = callouts {
            self.take_callouts(&callouts);
        }
        Ok(())
    }

    fn take_tasks(&mut self, page: &Tasks) {
        let now = self.clock.elapsed();
        let mut transforms: BTreeMap<&str, (Option<i64>, i64, usize)> = BTreeMap::new();
        for task in &page.tasks {
            let entry = transforms.entry(&task.transform).or_insert((Some(0), 0, 0));
            entry.0 = entry.0.zip(task.lag).map(|(sum, lag)| sum + lag);
            entry.1 += task.positions.iter().map(|position| position.position).sum::<i64>();
            entry.2 += usize::from(task.state == "restoring");
        }
        for (name, (lag, processed, restoring)) in transforms {
            let past = self.past.entry(name.to_owned()).or_default();
            past.push((now, processed));
            past.retain(|(at, _)| now.saturating_sub(*at) <= RATE_OVER);
            let per_second = past.first().map_or(0.0, |(at, before)| {
                let passed = now.saturating_sub(*at).as_secs_f64();
                if passed > 0.0 { (processed - before).max(0) as f64 / passed } else { 0.0 }
            });
            let progress = self.reading.transforms.entry(name.to_owned()).or_default();
            (progress.lag, progress.per_second, progress.restoring) = (lag, per_second, restoring);
        }
    }

    fn take_jobs(&mut self, page: &Jobs) {
        self.walks.values_mut().for_each(|walk| walk.missed += 1);
        for job in &page.jobs {
            let total = job.total.unwrap_or_default();
            let walk = Walk { transform: job.transform.clone(), visited: job.visited, total, missed: 0 };
            self.walks.insert((job.task.clone(), job.name.clone()), walk);
        }
        self.reading.jobless = if page.jobs.is_empty() { self.reading.jobless + 1 } else { 0 };
        let is_under_way: Vec<_> = self
            .walks
            .values()
            .filter(|walk| walk.missed < GONE)
            .map(|walk| walk.transform.clone())
            .collect();
        self.walks.retain(|_, walk| is_under_way.contains(&walk.transform));
        for (name, progress) in &mut self.reading.transforms {
            let own = self.walks.values().filter(|walk| walk.transform == *name);
            // A task that does not tell of its part any more has done it.
            let part = |walk: &Walk| if walk.missed < GONE { walk.visited } else { walk.total };
            let sum = own.fold((0, 0), |sum, walk| (sum.0 + part(walk), sum.1 + walk.total));
            progress.walk = (sum.1 > 0).then_some(sum);
        }
    }

    fn take_ingests(&mut self, page: &Ingests) {
        let Some(ingest) = page.ingests.first() else { return };
        let refused = Code::IngestDeletes.as_str();
        let (own, last) = (&mut self.reading.ingest, ingest.last.as_ref());
        own.runs = ingest.runs;
        own.is_refusing =
            last.and_then(|last| last.fault.as_ref()).is_some_and(|fault| fault.code == refused);
        if let Some(last) = last.filter(|last| last.fault.is_none()) {
            own.rows = [last.inserts, last.updates, last.unchanged].into_iter().flatten().sum();
        }
    }

    fn take_callouts(&mut self, page: &Callouts) {
        let of = |states: &[&str]| {
            page.callouts.iter().filter(|callout| states.contains(&callout.state.as_str())).count()
        };
        self.reading.queued = of(&["queued"]);
        self.reading.dispatching = of(&["dispatching"]);
        self.reading.in_doubt = of(&["in-doubt", "gave-up"]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gauges() -> Gauges {
        let mut gauges = Gauges::new(Path::new("shop.toml"), &Clock::system());
        gauges.reading.transforms.insert("t".to_owned(), Progress { lag: Some(0), ..Progress::default() });
        gauges.reading.is_there = true;
        gauges
    }

    fn jobs(visited: &[(&str, u64)]) -> Jobs {
        let job = |(task, visited): &(&str, u64)| {
            serde_json::json!({
                "task": task, "transform": "t", "kind": "follow-class", "name": "bulky", "generation": 1,
                "state": "running", "fault": null, "visited": visited, "emitted": 0, "total": 100,
                "progress": null, "per_second": 0.0, "left_ms": null,
            })
        };
        let jobs: Vec<_> = visited.iter().map(job).collect();
        serde_json::from_value(serde_json::json!({ "app": "a", "instance": "i", "jobs": jobs })).unwrap()
    }

    #[test]
    fn counts_the_part_of_a_task_that_tells_of_its_walk_no_more_as_done() {
        let mut gauges = gauges();
        gauges.take_jobs(&jobs(&[("t/0", 10), ("t/1", 20)]));

        assert_eq!(gauges.reading.transforms["t"].walk, Some((30, 200)));
        (0..GONE).for_each(|_| gauges.take_jobs(&jobs(&[("t/1", 60)])));
        assert_eq!(gauges.reading.transforms["t"].walk, Some((160, 200)));
    }

    #[test]
    fn is_at_rest_only_when_no_job_was_there_for_a_while() {
        let mut gauges = gauges();
        gauges.take_jobs(&jobs(&[("t/0", 10)]));

        (1..GONE).for_each(|_| gauges.take_jobs(&jobs(&[])));
        assert!(!gauges.reading.is_at_rest());
        gauges.take_jobs(&jobs(&[]));
        assert!(gauges.reading.is_at_rest());
        assert_eq!(gauges.reading.transforms["t"].walk, None);
    }
}
