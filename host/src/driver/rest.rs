//! When nothing is left to do, and what still waits when something is.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;

use crate::driver::Driver;
use crate::driver::setup::Staged;
use crate::id::{Partition, TaskId, TopicPartition};
use crate::status::{JobState, TaskState, TaskStatus};

/// A scenario did not come to where it should have come. Tells what still waits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stuck {
    /// What was waited for.
    pub what: String,
    /// What was not done by then, for people. Never empty.
    pub waits: Vec<String>,
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} did not come: {}", self.what, self.waits.join("; "))
    }
}

impl Error for Stuck {}

impl Driver {
    /// What is left to do, or waits for somebody; empty when nothing does.
    pub(super) fn waits(&self) -> Vec<String> {
        let mut waits: Vec<_> = self
            .ended
            .iter()
            .map(|(host, fault)| format!("host `{host}` ended: {}", fault.report()))
            .collect();
        if self.awake().next().is_none() {
            waits.push("no host runs".to_owned());
            return waits;
        }
        // A host that stands still does not know what has become of its tasks.
        let statuses: Vec<_> = self.awake().flat_map(|(_, host)| host.status()).collect();
        for staged in &self.transforms {
            waits.extend(self.missing_tasks(staged, &statuses));
            waits.extend(self.lags(staged));
        }
        waits.extend(statuses.iter().flat_map(of_task));
        let busy = self.awake().filter(|(_, host)| !host.is_at_rest());
        waits.extend(busy.map(|(name, _)| format!("host `{name}` has not committed everything")));
        waits
    }

    /// Tasks that no host has open.
    fn missing_tasks(&self, staged: &Staged, statuses: &[TaskStatus]) -> Vec<String> {
        let known: BTreeSet<_> = statuses
            .iter()
            .filter(|status| status.state != TaskState::Closed)
            .map(|status| &status.id)
            .collect();
        let tasks = i32::try_from(staged.spec.tasks).unwrap_or(i32::MAX);
        let ids = (0..tasks).map(|partition| TaskId {
            transform: staged.spec.transform.clone(),
            partition: Partition(partition),
        });
        ids.filter(|id| !known.contains(id)).map(|id| format!("task `{id}` is nowhere open")).collect()
    }

    /// Partitions that are not handled to their end.
    fn lags(&self, staged: &Staged) -> Vec<String> {
        let group = staged.deployment.group();
        let places = staged.deployment.subscription().flat_map(|topic| self.cluster.partitions(&topic));
        let lag = |place: TopicPartition| {
            let (end, _) = self.cluster.ends(&place);
            let position = self.cluster.committed(&group, &place).map_or(0, |committed| committed.position.0);
            let transform = &staged.spec.transform;
            (position != end.0)
                .then(|| format!("`{transform}` has committed {position} of {end} in `{place}`"))
        };
        places.filter_map(lag).collect()
    }
}

/// What a task waits for.
fn of_task(status: &TaskStatus) -> Vec<String> {
    let id = &status.id;
    let mut waits = Vec::new();
    match &status.state {
        TaskState::Stopped { code, message, .. } => {
            waits.push(format!("task `{id}` has stopped: {message} ({})", code.as_str()));
        }
        TaskState::Restoring => waits.push(format!("task `{id}` restores")),
        TaskState::Closed | TaskState::Running => {}
    }
    if status.waiting > 0 {
        waits.push(format!("{} records wait in task `{id}`", status.waiting));
    }
    let callouts = status.callouts.waiting.saturating_add(status.callouts.under_way);
    if callouts > 0 {
        waits.push(format!("{callouts} callouts of task `{id}` have not ended"));
    }
    for job in &status.jobs {
        let name = format!("job `{} {}` of task `{id}`", job.kind, job.name);
        waits.push(match &job.state {
            JobState::Failed { code, message } => format!("{name} has failed: {message} ({code})"),
            JobState::Waiting | JobState::Running => format!("{name} has visited {} rows", job.visited),
        });
    }
    waits
}
