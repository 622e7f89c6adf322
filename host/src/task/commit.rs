//! A task's part in a commit: what goes into the transaction, and what follows when Kafka has committed it.

use std::collections::BTreeMap;

use crate::fault::Fault;
use crate::id::{Offset, Timestamp, TopicName, TopicPartition};
use crate::io::{Committed, Write};
use crate::task::spec::Place;
use crate::task::state::checkpoint::Checkpoint;
use crate::task::state::{PositionRecord, note};
use crate::task::{Phase, Task, buffer};

impl Task {
    /// The positions to commit: of every source that moved, and always of the first one, which shows the broker that the commit
    /// comes from the current member of the group.
    pub fn positions(&self) -> Vec<(TopicPartition, Committed)> {
        let moved = self.buffer.inputs().iter().enumerate().filter(|(index, input)| {
            let has_moved = input.committed() != Some(input.position());
            *index == 0 || has_moved
        });
        let has_state = self.spec.state.changelog.is_some();
        let note = if has_state { note(self.next_sequence()) } else { String::new() };
        let committed = |input: &buffer::Input| Committed { position: input.position(), note: note.clone() };
        moved.map(|(_, input)| (input.place().clone(), committed(input))).collect()
    }

    /// Writes the position record: everything else that the commit consists of is in the state already.
    pub fn seal(&mut self) {
        if self.spec.state.changelog.is_some() {
            self.state.set_position(&self.next_record());
        }
    }

    /// Breaks the rule that the local store holds only what is committed.
    pub(crate) fn store_unsafely(&mut self, now: Timestamp) {
        let (record, checkpoint) = (self.next_record(), self.checkpoint(now));
        let tables =
            checkpoint.tables.keys().filter_map(|topic| Some((topic.clone(), *record.sources.get(topic)?)));
        let checkpoint = Checkpoint { tables: tables.collect(), ..checkpoint };
        self.state.store_unsafely(&checkpoint);
    }

    /// Breaks the rule that the broadcast positions are part of the commit.
    pub(crate) fn seal_without_broadcasts(&mut self) {
        self.state.set_position(&PositionRecord { broadcasts: BTreeMap::new(), ..self.next_record() });
    }

    fn next_sequence(&self) -> u64 {
        self.record.sequence.saturating_add(1)
    }

    fn next_record(&self) -> PositionRecord {
        let inputs = self.buffer.inputs().iter();
        PositionRecord {
            sequence: self.next_sequence(),
            stream_time: self.stream_time,
            generation: self.state.generation(),
            state_version: self.spec.state.version,
            plugin: self.spec.state.plugin.clone(),
            sources: inputs.map(|input| (input.place().topic.clone(), input.position())).collect(),
            broadcasts: self.broadcast.positions(),
            topic_ids: self.spec.state.ids_of(self.spec.sources.iter().flatten().map(|source| &source.topic)),
        }
    }

    /// What goes to the changelog with the next commit.
    pub fn logged(&self) -> impl Iterator<Item = Write<'_>> {
        self.state.logged()
    }

    /// What the open transaction has written to the state, in bytes.
    pub fn written_bytes(&self) -> usize {
        self.state.transaction_bytes()
    }

    /// What [`Task::positions`] and [`Task::logged`] gave is committed. `acknowledged` is the highest offset of the changelog
    /// records.
    ///
    /// # Errors
    /// The local store failed: it has to be discarded and restored.
    pub fn commit(&mut self, acknowledged: Option<Offset>, now: Timestamp) -> Result<(), Fault> {
        self.forget_culprits();
        self.record = self.next_record();
        self.buffer.commit();
        self.broadcast.commit();
        self.commit_callouts();
        self.has_effects = false;
        if let Some(last) = acknowledged {
            self.changelog = last.next();
        }
        if self.is_fresh() {
            self.phase = Phase::Running;
        }
        self.state.commit(&self.checkpoint(now))
    }

    fn forget_culprits(&mut self) {
        if self.culprits.is_empty() {
            return;
        }
        for input in self.buffer.inputs() {
            let (source, partition, offset) = (input.source(), self.id.partition, input.position());
            self.culprits.forget_before(Place { source, partition, offset, is_apart: false });
        }
        self.broadcast.places().for_each(|place| self.culprits.forget_before(place));
        self.culprits.forget_apart();
    }

    pub(super) fn checkpoint(&self, now: Timestamp) -> Checkpoint {
        let layout = self.state.layout();
        let position = |topic: &TopicName| self.record.sources.get(topic).copied();
        Checkpoint {
            time: now,
            changelog: self.changelog,
            tables: layout
                .own_changelogs()
                .filter_map(|(_, topic)| Some((topic.clone(), position(topic)?)))
                .collect(),
            indexes: layout.index_identities(),
            rebuild: self.rebuild.as_ref().map(|rebuild| rebuild.cursor().to_vec()),
            topic_ids: self.spec.state.ids_of(layout.copied_topics().chain(&self.spec.state.changelog)),
        }
    }
}
