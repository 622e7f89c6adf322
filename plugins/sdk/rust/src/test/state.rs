//! What a plugin writes during a call: stores and jobs.

use std::collections::BTreeMap;

use crate::bindings::gristmill::transform::jobs::Job;

/// Stores and jobs. A call that is dropped leaves them as they were.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) stores: BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>>,
    /// By kind and name.
    pub(super) jobs: BTreeMap<(String, String), Job>,
    generation: u64,
}

impl State {
    pub(super) fn start(&mut self, kind: &str, name: &str, payload: &[u8]) -> u64 {
        self.generation += 1;
        let superseded = self.jobs.remove(&(kind.to_owned(), name.to_owned()));
        let job = Job {
            kind: kind.to_owned(),
            name: name.to_owned(),
            generation: self.generation,
            payload: payload.to_vec(),
            cursor: None,
            superseded_cursor: superseded.and_then(|job| job.cursor.or(job.superseded_cursor)),
        };
        self.jobs.insert((kind.to_owned(), name.to_owned()), job);
        self.generation
    }

    pub(super) fn cancel(&mut self, kind: &str, name: &str) -> bool {
        self.jobs.remove(&(kind.to_owned(), name.to_owned())).is_some()
    }

    pub(super) fn find(&self, kind: &str, name: &str) -> Option<Job> {
        self.jobs.get(&(kind.to_owned(), name.to_owned())).cloned()
    }

    /// Takes over what a step answered, unless it has ended or superseded its own job.
    pub(super) fn step_done(&mut self, job: &Job, cursor: Option<Vec<u8>>) {
        let key = (job.kind.clone(), job.name.clone());
        let Some(own) = self.jobs.get_mut(&key).filter(|own| own.generation == job.generation) else {
            return;
        };
        match cursor {
            Some(cursor) => own.cursor = Some(cursor),
            None => drop(self.jobs.remove(&key)),
        }
    }

    /// In a form that can be compared; stores that have become empty are none.
    pub(super) fn seen(&self) -> String {
        let stores: BTreeMap<_, _> = self.stores.iter().filter(|(_, rows)| !rows.is_empty()).collect();
        format!("stores {stores:?}, jobs {:?}", self.jobs)
    }
}
