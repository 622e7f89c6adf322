//! Brings the local store of a task up to date before the task is opened: first from the changelog, to its end, then the tables
//! whose topics are their own changelogs, to the committed positions.
//!
//! ```text
//! changelog   [ checkpoint ......... end, open transactions included )      then the position record is known
//! table       [ its checkpoint ..... committed position )                   without calling the plugin, but for terms
//! ```
//! What was read is applied in batches, each with a checkpoint: a restore that is interrupted goes on where it was.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::event;
use crate::fault::{Code, Fault};
use crate::id::{Offset, TaskId, Timestamp, TopicPartition};
use crate::io::{Instance, Restored, StoreEngine, Until};
use crate::record::Chunk;
use crate::task::rows::{Indexer, living, with_terms};
use crate::task::spec::{INBOX, Spec};
use crate::task::state::checkpoint::Checkpoint;
use crate::task::state::layout::{Layout, Store};
use crate::task::state::{self, PositionRecord, Restoring};
use crate::task::{Opening, Surroundings};

/// Why a restore does not go on.
#[derive(Debug)]
pub enum Setback {
    /// The local store cannot be used: it is dropped, and everything is read again.
    Unfit(&'static str),
    /// The task cannot be opened until somebody acts.
    Refused(Fault),
    /// Something failed that may pass.
    Failed(Fault),
}

/// A partition to be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// Which.
    pub place: TopicPartition,
    /// The first offset; none for the first record.
    pub from: Option<Offset>,
    /// How far.
    pub until: Until,
}

/// A restore under way.
pub struct Restoration {
    id: TaskId,
    spec: Arc<Spec>,
    layout: Arc<Layout>,
    engine: Box<dyn StoreEngine>,
    writes: Restoring,
    checkpoint: Checkpoint,
    /// The committed positions; those of the position record where the group has none.
    committed: BTreeMap<TopicPartition, Offset>,
    /// What the group had committed when this began.
    found: BTreeMap<TopicPartition, Offset>,
    /// Whether the group's offsets say that there is state.
    has_state: bool,
    changelog: TopicPartition,
    /// The first offset of the changelog: compaction leaves it where it is, so there is nothing before it.
    changelog_start: Offset,
    record: Option<PositionRecord>,
    /// What is being read.
    reading: BTreeMap<TopicPartition, Progress>,
    /// Tables of which something was read.
    renewed: BTreeSet<TopicPartition>,
    instance: Option<Box<dyn Instance>>,
    started: Duration,
    records: u64,
    /// Offsets that were read, and that are to be read as far as is known.
    read: u64,
    expected: u64,
}

/// How far the reading of a partition is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// The next offset.
    pub position: Offset,
    /// The position that is read to.
    pub until: Offset,
}

/// What is known when a restore begins.
pub struct Beginning<'a> {
    /// The task.
    pub id: &'a TaskId,
    /// Its transform.
    pub spec: &'a Arc<Spec>,
    /// The stable committed positions of its sources.
    pub committed: BTreeMap<TopicPartition, Offset>,
    /// Whether they were committed together with a position record.
    pub has_state: bool,
    /// Wall clock.
    pub now: Timestamp,
    /// Time that never goes back.
    pub elapsed: Duration,
}

impl Restoration {
    /// Begins with a local store as it was left. None for a transform that keeps nothing.
    ///
    /// # Errors
    /// The store is of no use.
    pub fn begin(beginning: Beginning<'_>, engine: Box<dyn StoreEngine>) -> Result<Option<Self>, Setback> {
        let Beginning { id, spec, committed, has_state, now, elapsed } = beginning;
        let Some(changelog) = &spec.state.changelog else { return Ok(None) };
        let layout = Arc::new(Layout::new(spec));
        let checkpoint = state::checkpoint(&*engine).map_err(Setback::Failed)?;
        if checkpoint.is_none() && !state::is_empty(&*engine).map_err(Setback::Failed)? {
            return Err(Setback::Unfit("it has rows, and no checkpoint that can be read"));
        }
        if let Some(checkpoint) = &checkpoint {
            let age = now.0.saturating_sub(checkpoint.time.0);
            if u128::try_from(age).is_ok_and(|age| age > spec.state.copy_age_max.as_millis()) {
                return Err(Setback::Unfit(
                    "it was not touched for so long that it may have missed deletions",
                ));
            }
            let mut topics = layout.copied_topics().chain([changelog]);
            if topics.any(|topic| spec.state.is_made_anew(topic, &checkpoint.topic_ids)) {
                return Err(Setback::Unfit("a topic that it is a copy of was made anew"));
            }
        }
        let changelog = TopicPartition::new(changelog, id.partition);
        let from = checkpoint.as_ref().map(|checkpoint| checkpoint.changelog);
        let position = from.unwrap_or_default();
        let indexes = layout.index_identities();
        let mut restoration = Self {
            id: id.clone(),
            spec: Arc::clone(spec),
            engine,
            writes: Restoring::new(&layout),
            checkpoint: checkpoint.unwrap_or_else(|| Checkpoint { indexes, ..Checkpoint::default() }),
            layout,
            found: committed.clone(),
            committed,
            has_state,
            reading: BTreeMap::from([(changelog.clone(), Progress { position, until: position })]),
            changelog,
            changelog_start: Offset(0),
            record: None,
            renewed: BTreeSet::new(),
            instance: None,
            started: elapsed,
            records: 0,
            read: 0,
            expected: 0,
        };
        restoration.checkpoint.time = now;
        let indexes = restoration.layout.index_identities();
        if restoration.checkpoint.indexes != indexes {
            // They mean something else, or are new: the task builds them while it works.
            restoration.checkpoint.indexes = indexes;
            restoration.checkpoint.rebuild = Some(Vec::new());
        }
        let topics = restoration.layout.copied_topics().chain([&restoration.changelog.topic]);
        restoration.checkpoint.topic_ids = spec.state.ids_of(topics);
        Ok(Some(restoration))
    }

    /// What the group had committed when this began.
    pub fn began_with(&self) -> &BTreeMap<TopicPartition, Offset> {
        &self.found
    }

    /// What is to be read first.
    pub fn wanted(&self) -> Vec<Wanted> {
        let from = (self.checkpoint.changelog > Offset(0)).then_some(self.checkpoint.changelog);
        vec![Wanted { place: self.changelog.clone(), from, until: Until::End }]
    }

    /// What is being read, and how far it is.
    pub fn progress(&self) -> impl Iterator<Item = (&TopicPartition, Progress)> {
        self.reading.iter().map(|(place, progress)| (place, *progress))
    }

    /// How many offsets were read, and how many are to be read as far as is known.
    pub fn offsets(&self) -> (u64, u64) {
        (self.read.min(self.expected), self.expected)
    }

    /// Whether everything was read.
    pub fn is_done(&self) -> bool {
        self.reading.is_empty()
    }

    /// Takes in what was read of a partition. Gives what is to be read next, once the changelog is done.
    ///
    /// # Errors
    /// It does not go on.
    pub fn take(
        &mut self,
        place: &TopicPartition,
        news: Restored,
        around: &Surroundings<'_>,
    ) -> Result<Vec<Wanted>, Setback> {
        match news {
            Restored::Began { until, bounds } => {
                if *place == self.changelog {
                    self.changelog_start = bounds.start;
                }
                let from = self.reading.get(place).map(|progress| progress.position).unwrap_or_default();
                event::RestoreBegan { task: &self.id, place, from, until }.emit();
                self.reading.entry(place.clone()).or_default().until = until;
                self.expected = self.expected.saturating_add(between(from, until));
            }
            Restored::Records(records) => self.apply(place, &records, around)?,
            Restored::Done(position) => return self.ended(place, position),
            Restored::OutOfRange(_) => {
                return Err(Setback::Unfit(
                    "what it was made from is not there any more: the topic was cut or made anew",
                ));
            }
            Restored::Failed(fault) => return Err(Setback::Failed(fault)),
        }
        Ok(Vec::new())
    }

    fn apply(
        &mut self,
        place: &TopicPartition,
        records: &Chunk,
        around: &Surroundings<'_>,
    ) -> Result<(), Setback> {
        let Some(last) = records.last() else { return Ok(()) };
        let next = last.offset().next();
        self.records = self.records.saturating_add(records.len() as u64);
        if *place == self.changelog {
            self.write_logged(records, around).map_err(Setback::Refused)?;
            self.checkpoint.changelog = next;
        } else {
            self.write_table(place, records, around).map_err(Setback::Refused)?;
            self.checkpoint.tables.insert(place.topic.clone(), next);
            self.renewed.insert(place.clone());
        }
        let progress = self.reading.entry(place.clone()).or_default();
        self.read = self.read.saturating_add(between(progress.position, next));
        progress.position = next;
        self.save()
    }

    fn save(&mut self) -> Result<(), Setback> {
        self.writes.apply(&mut *self.engine, &self.checkpoint).map_err(|fault| {
            event::StoreDiscarded { task: &self.id, reason: &fault.to_string() }.emit();
            Setback::Unfit("it cannot be written")
        })
    }

    /// Writes records of the changelog; rows with indexes get their terms.
    fn write_logged(&mut self, records: &Chunk, around: &Surroundings<'_>) -> Result<(), Fault> {
        let layout = Arc::clone(&self.layout);
        for record in records.iter() {
            let Some(key) = record.key() else { continue };
            let indexed = self.writes.row_of(key).filter(|(store, _)| {
                layout.stores.get(*store).is_some_and(|store| !store.indexes.is_empty())
            });
            let (Some((position, row_key)), Some(value)) = (indexed, record.value()) else {
                self.writes.set_logged(key, record.value(), &[]);
                continue;
            };
            let Some(store) = layout.stores.get(position) else { continue };
            let mut row = Chunk::new();
            if self.writes.push_row(position, row_key, value, &mut row).is_none() {
                continue;
            }
            let terms = self.terms(store, &row, around)?;
            let of_row: Vec<Vec<&[u8]>> = terms
                .iter()
                .map(|of_index| of_index.first().into_iter().flatten().map(Vec::as_slice).collect())
                .collect();
            self.writes.set_logged(key, Some(value), &of_row);
        }
        Ok(())
    }

    fn write_table(
        &mut self,
        place: &TopicPartition,
        records: &Chunk,
        around: &Surroundings<'_>,
    ) -> Result<(), Fault> {
        let layout = Arc::clone(&self.layout);
        let Some((table, _)) = layout.own_changelogs().find(|(_, topic)| **topic == place.topic) else {
            return Ok(());
        };
        let chosen = living(records);
        let terms = self.terms(table, chosen.as_ref().unwrap_or(records), around)?;
        let writes = &mut self.writes;
        with_terms(records, &terms, |record, terms| writes.set_row(table, place.partition, record, terms));
        Ok(())
    }

    fn terms(
        &mut self,
        store: &Store,
        rows: &Chunk,
        around: &Surroundings<'_>,
    ) -> Result<Vec<crate::task::rows::RowTerms>, Fault> {
        let mut indexer = Indexer { instance: &mut self.instance, task: &self.id, around };
        indexer.all_terms(&self.layout, store, rows)
    }

    fn ended(&mut self, place: &TopicPartition, position: Offset) -> Result<Vec<Wanted>, Setback> {
        self.reading.remove(place);
        if *place != self.changelog {
            self.checkpoint.tables.insert(place.topic.clone(), position);
            return self.save().map(|()| Vec::new());
        }
        self.checkpoint.changelog = position;
        self.save()?;
        self.settle_positions()?;
        self.tables()
    }

    /// Compares what the state stands for with the group's offsets: both are committed together.
    fn settle_positions(&mut self) -> Result<(), Setback> {
        let record = state::position_record(&*self.engine).map_err(Setback::Failed)?;
        let Some(mut record) = record else {
            if self.has_state {
                // The worker makes sure that nobody else has committed meanwhile.
                let what = format!("the state of task `{}` is gone", self.id);
                let cause = format!(
                    "`{}` holds no position record, but positions were committed with one",
                    self.changelog
                );
                return Err(Setback::Refused(Fault::new(Code::StateLost, what).because(cause)));
            }
            return Ok(());
        };
        if self.changelog_start > Offset(0) {
            // Another host could not restore it, even where the local copy has it still.
            let what = format!("the state of task `{}` is not whole", self.id);
            let cause =
                format!("the first {} records of `{}` were deleted", self.changelog_start, self.changelog);
            return Err(Setback::Refused(Fault::new(Code::StateLost, what).because(cause)));
        }
        if record.state_version > self.spec.state.version {
            let what =
                format!("the state of task `{}` was written by a later version of the plugin", self.id);
            let (theirs, own) = (record.state_version, self.spec.state.version);
            let cause = format!("it has state version {theirs}, the plugin has {own}");
            return Err(Setback::Refused(Fault::new(Code::StateTooNew, what).because(cause)));
        }
        for source in self.spec.partitioned() {
            let place = TopicPartition::new(&source.topic, self.id.partition);
            if self.spec.state.is_made_anew(&source.topic, &record.topic_ids) {
                if source.index == INBOX {
                    // Orders that were in the earlier one are gone, and nothing depends on them.
                    continue;
                }
                let what =
                    format!("the topic of source `{}` of task `{}` was made anew", source.name, self.id);
                let cause = format!("the state of the task belongs to an earlier topic `{}`", source.topic);
                return Err(Setback::Refused(Fault::new(Code::SourceRecreated, what).because(cause)));
            }
            let (group, own) =
                (self.committed.get(&place).copied(), record.sources.get(&source.topic).copied());
            match (group, own) {
                (Some(group), Some(own)) if group != own => return Err(self.disagreement(&place, group, own)),
                (None, Some(own)) => drop(self.committed.insert(place, own)),
                _ => {}
            }
        }
        // All of the new topic is applied: what its rows replace in the copy is older, whatever its offset.
        let ids = &record.topic_ids;
        record.broadcasts.retain(|place, _| !self.spec.state.is_made_anew(&place.topic, ids));
        self.record = Some(record);
        Ok(())
    }

    fn disagreement(&self, place: &TopicPartition, group: Offset, own: Offset) -> Setback {
        let what =
            format!("the state of task `{}` and the committed positions do not belong together", self.id);
        let cause = format!("the group `{place}` is at {group}, the state at {own}");
        Setback::Refused(Fault::new(Code::PositionsDisagree, what).because(cause))
    }

    /// The tables that are behind their committed positions.
    fn tables(&mut self) -> Result<Vec<Wanted>, Setback> {
        let mut wanted = Vec::new();
        for (_, topic) in self.layout.own_changelogs() {
            let place = TopicPartition::new(topic, self.id.partition);
            let Some(committed) = self.committed.get(&place).copied() else { continue };
            let from = self.checkpoint.tables.get(topic).copied();
            if from.is_some_and(|from| from > committed) {
                return Err(Setback::Unfit("a table of it is ahead of the committed position"));
            }
            if from == Some(committed) {
                continue;
            }
            let position = from.unwrap_or_default();
            self.reading.insert(place.clone(), Progress { position, until: committed });
            wanted.push(Wanted { place, from, until: Until::Position(committed) });
        }
        Ok(wanted)
    }

    /// What the task begins with, once everything was read. `end_of` tells the end that a table's topic has now: rows below the
    /// committed position may have been compacted away in favour of later ones, up to there.
    ///
    /// # Errors
    /// What `end_of` answers.
    pub fn finish(
        self,
        elapsed: Duration,
        mut end_of: impl FnMut(&TopicPartition) -> Result<Offset, Fault>,
    ) -> Result<(Opening, Box<dyn StoreEngine>), Fault> {
        let took = elapsed.saturating_sub(self.started);
        event::RestoreEnded { task: &self.id, records: self.records, took }.emit();
        let ends = self.renewed.iter().map(|place| Ok((place.clone(), end_of(place)?)));
        let catch_up = ends.collect::<Result<_, Fault>>()?;
        let opening = Opening {
            // Where the group has forgotten a position, the first commit tells it again.
            positions: self.committed,
            committed: self.found,
            record: self.record.unwrap_or_default(),
            changelog: self.checkpoint.changelog,
            catch_up,
            rebuild: self.checkpoint.rebuild,
        };
        Ok((opening, self.engine))
    }
}

/// How many offsets lie from one to another.
fn between(from: Offset, until: Offset) -> u64 {
    u64::try_from(until.0.saturating_sub(from.0)).unwrap_or(0)
}
