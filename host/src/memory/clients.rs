//! The clients of one worker, made together.

use crate::id::TopicName;
use crate::memory::{Cluster, MemoryRestorer, MemorySink, MemorySource, Process};

/// Who a worker is to the cluster.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Its consumer group.
    pub group: &'a str,
    /// Its name in the group.
    pub name: &'a str,
    /// Its transactional id.
    pub transactional_id: &'a str,
    /// What the group reads.
    pub topics: &'a [TopicName],
    /// Records that a poll, or a step of a restore, hands out at most.
    pub chunk_records: usize,
}

/// What a worker talks to the cluster with.
pub struct Clients {
    /// The consumer, which has joined its group.
    pub source: MemorySource,
    /// The producer. It has fenced the one before.
    pub sink: MemorySink,
    /// The reader of changelogs. The hook knows it under the member's name and `restorer`.
    pub restorer: MemoryRestorer,
}

impl Cluster {
    /// Makes the clients of a worker. They die with the process.
    pub fn join(&self, process: &Process, member: &Member<'_>) -> Clients {
        let Member { group, name, transactional_id, topics, chunk_records } = *member;
        let restorer = format!("{name} restorer");
        Clients {
            sink: MemorySink::new(self, process, transactional_id, group),
            source: MemorySource::new(self, process, (group, name), topics, chunk_records),
            restorer: MemoryRestorer::new(self, process, &restorer, chunk_records),
        }
    }
}
