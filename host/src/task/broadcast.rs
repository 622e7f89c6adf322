//! How far a task has applied the topics of its broadcast tables, and what comes next. Its own copy of the tables is in its
//! state.
//!
//! What the shared view holds beyond the committed positions is applied in offset order, between batches, and goes to the
//! plugin as batches of its own: all that was there when the task began before the first record, later changes in turn with
//! records. Deletions that compaction has hidden are found at the beginning, by comparing the copy with the view.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{PoisonError, RwLockReadGuard};

use crate::config::pipeline::BatchBounds;
use crate::event;
use crate::fault::Fault;
use crate::id::{Offset, Partition, SourceIndex, Timestamp, TopicName, TopicPartition};
use crate::record::Chunk;
use crate::task::causal;
use crate::task::run::Run;
use crate::task::spec::{Place, Spec};
use crate::task::state::{Positions, TaskState};
use crate::view::{SharedView, View};

/// The views of the broadcast topics, by source.
pub type Views = BTreeMap<SourceIndex, SharedView>;

/// The broadcast side of a task.
#[derive(Debug)]
pub(crate) struct Broadcast {
    feeds: Vec<Feed>,
    has_begun: bool,
    /// What the view held beyond the committed positions when the task began; it comes before any record. Taken out at once,
    /// because the view forgets what is replaced, and then the copy would have gaps.
    catch_up: VecDeque<Run>,
    /// A change was taken last: the next turn is for records.
    had_turn: bool,
}

#[derive(Debug)]
struct Feed {
    source: SourceIndex,
    topic: TopicName,
    /// The next offset to apply, by partition.
    applied: BTreeMap<Partition, Offset>,
    /// The same, as committed.
    committed: BTreeMap<Partition, Offset>,
}

impl Broadcast {
    /// Nothing applied of a transform's broadcast sources.
    pub(crate) fn new(spec: &Spec) -> Self {
        let feeds = spec.broadcasts().map(|source| Feed {
            source: source.index,
            topic: source.topic.clone(),
            applied: BTreeMap::new(),
            committed: BTreeMap::new(),
        });
        Self { feeds: feeds.collect(), has_begun: false, catch_up: VecDeque::new(), had_turn: false }
    }

    /// Starts over from committed positions, when the views have reached them.
    pub(crate) fn open(&mut self, positions: &Positions) {
        for feed in &mut self.feeds {
            let own = positions.iter().filter(|(place, _)| place.topic == feed.topic);
            feed.committed = own.map(|(place, offset)| (place.partition, *offset)).collect();
        }
        self.rewind();
    }

    /// Drops what is not committed.
    pub(crate) fn rewind(&mut self) {
        for feed in &mut self.feeds {
            feed.applied = feed.committed.clone();
        }
        self.has_begun = false;
        self.catch_up.clear();
    }

    /// What was applied is committed now.
    pub(crate) fn commit(&mut self) {
        for feed in &mut self.feeds {
            feed.committed.clone_from(&feed.applied);
        }
    }

    /// The positions that are applied.
    pub(crate) fn positions(&self) -> Positions {
        let places = self.feeds.iter().flat_map(|feed| {
            feed.applied
                .iter()
                .map(|(partition, offset)| (TopicPartition::new(&feed.topic, *partition), *offset))
        });
        places.collect()
    }

    /// Whether an offset of a broadcast topic is applied; none for a topic that is no broadcast source.
    pub(crate) fn has_applied(&self, place: &TopicPartition, offset: Offset) -> Option<bool> {
        let feed = self.feeds.iter().find(|feed| feed.topic == place.topic)?;
        Some(feed.applied(place.partition) > offset)
    }

    /// Whether the view has read an offset of a broadcast topic, so that it will be applied.
    pub(crate) fn is_read(&self, views: &Views, place: &TopicPartition, offset: Offset) -> bool {
        let feed = self.feeds.iter().find(|feed| feed.topic == place.topic);
        let view = feed.and_then(|feed| read(views, feed.source));
        view.is_some_and(|view| view.position(place.partition) > offset)
    }

    /// The value of `gristmill-after` for the sinks of a transform, as of now; none for sinks without one.
    pub(crate) fn after(&self, spec: &Spec) -> Vec<Option<String>> {
        let value = |sources: &[SourceIndex]| {
            let feeds = self.feeds.iter().filter(|feed| sources.contains(&feed.source));
            let places: Vec<_> = feeds
                .flat_map(|feed| {
                    let place = |(partition, offset): (&Partition, &Offset)| {
                        (TopicPartition::new(&feed.topic, *partition), *offset)
                    };
                    feed.applied.iter().map(place)
                })
                .collect();
            causal::write(places.iter().map(|(place, offset)| (place, *offset)))
        };
        let sinks = spec.sinks.iter();
        sinks
            .map(|sink| (!sink.after.is_empty()).then(|| value(&sink.after)).filter(|text| !text.is_empty()))
            .collect()
    }

    /// The positions that are applied, as places.
    pub(crate) fn places(&self) -> impl Iterator<Item = Place> {
        self.feeds.iter().flat_map(|feed| {
            let place = |(partition, offset): (&Partition, &Offset)| Place {
                source: feed.source,
                partition: *partition,
                is_apart: false,
                offset: *offset,
            };
            feed.applied.iter().map(place)
        })
    }

    /// Whether a run comes from here.
    pub(crate) fn is_source(&self, source: SourceIndex) -> bool {
        self.feeds.iter().any(|feed| feed.source == source)
    }

    /// A run was done; its position counts from now on.
    pub(crate) fn advance(&mut self, source: SourceIndex, partition: Partition, until: Offset) {
        if let Some(feed) = self.feeds.iter_mut().find(|feed| feed.source == source) {
            feed.applied.insert(partition, until);
        }
    }

    /// Finds out what is to be applied before the first record, once the views are as far as they must be. False: not yet.
    ///
    /// # Errors
    /// The state cannot be read.
    pub(crate) fn begin(
        &mut self,
        views: &Views,
        state: &TaskState,
        bounds: BatchBounds,
    ) -> Result<bool, Fault> {
        if self.has_begun {
            return Ok(true);
        }
        if !self.feeds.iter().all(|feed| feed.is_ready(views)) {
            return Ok(false);
        }
        self.catch_up.clear();
        for feed in &self.feeds {
            let Some(view) = read(views, feed.source) else { return Ok(false) };
            self.catch_up.extend(feed.hidden_deletions(&view, state, bounds)?);
            self.catch_up.extend(feed.all(&view, bounds));
        }
        (self.has_begun, self.had_turn) = (true, false);
        Ok(true)
    }

    /// Whether a change waits that is to be applied before any record.
    pub(crate) fn is_behind(&self) -> bool {
        !self.has_begun || !self.catch_up.is_empty()
    }

    /// The next changes of one topic, if it is their turn.
    pub(crate) fn next(&mut self, views: &Views, bounds: BatchBounds) -> Option<Run> {
        if let Some(run) = self.catch_up.pop_front() {
            return Some(run);
        }
        if std::mem::take(&mut self.had_turn) {
            return None;
        }
        let run = self.feeds.iter_mut().find_map(|feed| feed.next(&*read(views, feed.source)?, bounds))?;
        self.had_turn = true;
        Some(run)
    }
}

impl Feed {
    fn is_ready(&self, views: &Views) -> bool {
        read(views, self.source).is_some_and(|view| {
            let is_reached =
                |(partition, offset): (&Partition, &Offset)| view.position(*partition) >= *offset;
            view.is_complete() && self.committed.iter().all(is_reached)
        })
    }

    fn applied(&self, partition: Partition) -> Offset {
        self.applied.get(&partition).copied().unwrap_or_default()
    }

    /// Everything in the view that is not committed.
    fn all(&self, view: &View, bounds: BatchBounds) -> Vec<Run> {
        let partitions = view.positions().map(|(partition, _)| partition);
        let runs = partitions.flat_map(|partition| {
            let first = self.run(view, (partition, self.applied(partition)), bounds);
            std::iter::successors(first, move |run| self.run(view, (partition, run.until), bounds))
        });
        runs.collect()
    }

    /// Tombstones for the rows of the copy whose deletion compaction has hidden: the view does not know their keys at all,
    /// although it has been read beyond them. By absence and never by value: a view that lags behind another host would
    /// delete what that host has applied.
    fn hidden_deletions(
        &self,
        view: &View,
        state: &TaskState,
        bounds: BatchBounds,
    ) -> Result<Vec<Run>, Fault> {
        let layout = state.layout();
        let Some(table) = layout.table(self.source) else { return Ok(Vec::new()) };
        let rows = state.placed_rows(table)?;
        let gone: Vec<_> = rows
            .into_iter()
            .filter(|row| row.offset < view.position(row.partition) && !view.knows(&row.key))
            .collect();
        let partitions: BTreeSet<_> = gone.iter().map(|row| row.partition).collect();
        let mut runs = Vec::new();
        for partition in partitions {
            let own: Vec<_> = gone.iter().filter(|row| row.partition == partition).collect();
            for rows in own.chunks(bounds.records.max(1)) {
                let mut records = Chunk::new();
                for row in rows {
                    records.push(Some(&row.key), None, [], (Timestamp(-1), row.offset));
                }
                let place = TopicPartition::new(&self.topic, partition);
                event::DeletionsFound { place: &place, rows: rows.len() }.emit();
                runs.push(Run::new((self.source, partition), records, self.applied(partition)));
            }
        }
        Ok(runs)
    }

    fn next(&mut self, view: &View, bounds: BatchBounds) -> Option<Run> {
        view.positions().find_map(|(partition, position)| {
            let run = self.run(view, (partition, self.applied(partition)), bounds);
            if run.is_none() && self.applied(partition) < position {
                // Nothing but control records and records that were replaced since.
                self.applied.insert(partition, position);
            }
            run
        })
    }

    /// What the view holds of a partition from an offset on, within the bounds of a batch.
    fn run(&self, view: &View, (partition, from): (Partition, Offset), bounds: BatchBounds) -> Option<Run> {
        let position = view.position(partition);
        if from >= position {
            return None;
        }
        let records = cut(view.entries_from(partition, from, bounds.records), bounds.bytes);
        let last = records.last()?.offset().next();
        let is_all = view.entries_from(partition, last, 1).is_empty();
        let until = if is_all { position } else { last };
        Some(Run::new((self.source, partition), records, until))
    }
}

/// The first records of a chunk that are within a bound; at least one.
fn cut(chunk: Chunk, bytes: usize) -> Chunk {
    if chunk.size_bytes() <= bytes {
        return chunk;
    }
    let mut sum = 0usize;
    let sizes = chunk.iter().map(|record| {
        let headers = record.headers().map(|header| header.name.len() + header.value.map_or(0, <[u8]>::len));
        record.key().map_or(0, <[u8]>::len) + record.value().map_or(0, <[u8]>::len) + headers.sum::<usize>()
    });
    let fitting = sizes.take_while(|size| {
        sum = sum.saturating_add(*size);
        sum <= bytes
    });
    let count = fitting.count().max(1);
    chunk.slice(&(0..count))
}

fn read(views: &Views, source: SourceIndex) -> Option<RwLockReadGuard<'_, View>> {
    views.get(&source).map(|view| view.read().unwrap_or_else(PoisonError::into_inner))
}
