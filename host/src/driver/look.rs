//! What a scenario can look at: topics, as a reader of committed records sees them, and what the hosts know.

use std::collections::BTreeMap;

use crate::config::pipeline::Deployment;
use crate::driver::{Driver, Record};
use crate::id::{InstanceName, TaskId};
use crate::status::{Ask, JobStatus, ROWS_MAX, Refusal, Row, TaskState, TaskStatus};

impl Driver {
    /// What a reader of committed records sees of a topic, partition by partition. Empty for a topic that is not there.
    pub fn committed(&self, topic: &str) -> Vec<Record> {
        let places = self.cluster.partitions(&topic.into());
        let seen = places.iter().flat_map(|place| {
            let (stable_end, _) = self.cluster.ends(place);
            let stable =
                self.cluster.stored(place).into_iter().filter(move |entry| entry.offset < stable_end);
            stable.filter_map(|entry| Record::of(place, entry))
        });
        seen.collect()
    }

    /// The last committed record of each key of a topic, tombstones included.
    pub fn latest(&self, topic: &str) -> BTreeMap<Vec<u8>, Record> {
        let keyed = |record: Record| record.key.clone().map(|key| (key, record));
        self.committed(topic).into_iter().filter_map(keyed).collect()
    }

    /// The dead letters of all transforms, in the order of the pipeline.
    pub fn dead_letters(&self) -> Vec<Record> {
        let mut topics: Vec<_> =
            self.deployments().map(|deployment| deployment.dead_letters.clone()).collect();
        topics.dedup();
        topics.iter().flat_map(|topic| self.committed(topic.as_str())).collect()
    }

    /// The tasks of every host, closed ones too, with the host's name.
    pub fn status(&self) -> impl Iterator<Item = (&str, TaskStatus)> {
        self.hosts.iter().flat_map(|(name, host)| host.status().map(move |status| (name.as_str(), status)))
    }

    /// The jobs that are not done, each with its task.
    pub fn jobs(&self) -> Vec<(TaskId, JobStatus)> {
        let jobs = |task: TaskStatus| {
            let id = task.id;
            task.jobs.into_iter().map(move |job| (id.clone(), job))
        };
        self.status().flat_map(|(_, task)| jobs(task)).collect()
    }

    /// The rows of a store or a table of a transform, of all its tasks that run, task by task. Rows that a
    /// task has not committed yet are among them.
    ///
    /// # Errors
    /// There is no such store, or it failed.
    pub fn rows(&self, transform: &str, store: &str) -> Result<Vec<Row>, Refusal> {
        let mut rows = Vec::new();
        let is_meant =
            |(_, task): &(&str, TaskStatus)| task.id.transform.as_str() == transform && is_running(task);
        for (host, task) in self.status().filter(is_meant) {
            let mut after = None;
            loop {
                let ask = Ask::Scan { prefix: Vec::new(), after, limit: ROWS_MAX };
                let host = self.hosts.get(&InstanceName::new(host)).ok_or(Refusal::NotHere)?;
                let (page, next) = host.answer(&task.id, store, &ask)?;
                rows.extend(page);
                after = next;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(rows)
    }

    /// The transforms, in the order of the pipeline.
    pub fn deployments(&self) -> impl Iterator<Item = &Deployment> {
        self.transforms.iter().map(|staged| &staged.deployment)
    }
}

fn is_running(task: &TaskStatus) -> bool {
    task.state == TaskState::Running
}
