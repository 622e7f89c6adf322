//! Reading a broadcast topic into the view that the tasks of a process share.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::id::{Offset, TopicName, TopicPartition};
use crate::memory::Cluster;
use crate::record::Chunk;
use crate::view::{SharedView, View};

/// A reader of a broadcast topic. It reads when it is told to, so that it can lag behind.
pub struct MemoryBroadcast {
    cluster: Cluster,
    places: Vec<TopicPartition>,
    view: SharedView,
}

impl MemoryBroadcast {
    /// A reader that has read nothing yet. The view is complete once it holds what is stable now.
    pub fn new(cluster: &Cluster, topic: &TopicName) -> Self {
        let places = cluster.partitions(topic);
        let ends: BTreeMap<_, _> =
            places.iter().map(|place| (place.partition, cluster.bounds(place).stable_end)).collect();
        let starts = ends.keys().map(|partition| (*partition, Offset(0)));
        let view = Arc::new(RwLock::new(View::new(starts, &ends)));
        Self { cluster: cluster.clone(), places, view }
    }

    /// What it has read.
    pub fn view(&self) -> &SharedView {
        &self.view
    }

    /// Reads on to the last stable offsets.
    pub fn read(&self) {
        // A test that panicked with the lock held has failed already.
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.cluster.state.borrow_mut();
        for place in &self.places {
            let Some(log) = state.log(place) else { continue };
            let mut chunk = Chunk::new();
            log.stable_from(view.position(place.partition)).for_each(|entry| entry.push_to(&mut chunk));
            view.apply(place.partition, &chunk);
            view.advance(place.partition, log.stable_end());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::id::{Partition, Timestamp};
    use crate::io::TopicFacts;
    use crate::memory::{Content, Fate, Timeouts};

    #[test]
    fn reads_committed_records_to_the_last_stable_offset_when_it_is_told_to() {
        let cluster = Cluster::new(&Clock::manual(Timestamp(0)), Timeouts::default());
        cluster.create(&"classes".into(), 2, TopicFacts::default());
        let place = |partition| TopicPartition::new(&"classes".into(), Partition(partition));
        let record = |key: &str| Content::Record {
            key: Some(key.as_bytes().to_vec()),
            value: None,
            headers: Vec::new(),
            timestamp: Timestamp(0),
        };
        cluster.append(&place(0), record("a"));
        let reader = MemoryBroadcast::new(&cluster, &"classes".into());
        cluster.append_transaction(&place(1), vec![record("b")], Fate::Committed);
        cluster.append_transaction(&place(1), vec![record("c")], Fate::Aborted);
        assert!(!reader.view().read().unwrap().is_complete());

        reader.read();

        let view = reader.view().read().unwrap();
        assert!(view.is_complete() && view.knows(b"a") && view.knows(b"b") && !view.knows(b"c"));
        assert_eq!((view.position(Partition(0)), view.position(Partition(1))), (Offset(1), Offset(4)));
    }
}
