//! A task's own copy of its broadcast tables, and how far it has applied the topics.
//!
//! The copy starts from the shared view, with the rows before the committed position, which the plugin does not see
//! again. What the view holds from there on is applied in offset order, between batches, and goes to the plugin as
//! batches of its own: all that was there when the copy was filled before the first record, later changes in turn with
//! records.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLockReadGuard};

use crate::config::pipeline::BatchBounds;
use crate::id::{Offset, Partition, SourceIndex, TopicName, TopicPartition};
use crate::io::{KeyRange, Limit, Page, State, StateError, StoreIndex};
use crate::record::{Chunk, RecordRef};
use crate::task::note::Positions;
use crate::task::run::Run;
use crate::task::spec::{Place, Spec};
use crate::view::{SharedView, View};

/// The views of the broadcast topics, by source.
pub type Views = BTreeMap<SourceIndex, SharedView>;

/// The broadcast side of a task.
#[derive(Debug)]
pub(crate) struct Broadcast {
    feeds: Vec<Feed>,
    tables: Arc<Tables>,
    is_filled: bool,
    /// What the view held beyond the committed positions when the copy was filled; it comes before any record. Taken out
    /// at once, because the view forgets what is replaced, and then the copy would have gaps.
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
    /// An empty copy of a transform's broadcast sources.
    pub(crate) fn new(spec: &Spec) -> Self {
        let feeds = spec.broadcasts().map(|source| Feed {
            source: source.index,
            topic: source.topic.clone(),
            applied: BTreeMap::new(),
            committed: BTreeMap::new(),
        });
        let names = spec.broadcasts().map(|source| source.name.clone()).collect();
        let tables = Arc::new(Tables::new(names));
        Self { feeds: feeds.collect(), tables, is_filled: false, catch_up: VecDeque::new(), had_turn: false }
    }

    /// Starts over from committed positions; the copy is filled when the views have reached them.
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
        self.is_filled = false;
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

    /// The positions that are applied, as places.
    pub(crate) fn places(&self) -> impl Iterator<Item = Place> {
        self.feeds.iter().flat_map(|feed| {
            let place = |(partition, offset): (&Partition, &Offset)| Place {
                source: feed.source,
                partition: *partition,
                offset: *offset,
            };
            feed.applied.iter().map(place)
        })
    }

    /// The copy, to be lent to a call.
    pub(crate) fn state(&self) -> Box<dyn State> {
        Box::new(Lent(Arc::clone(&self.tables)))
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

    /// Fills the copy, once the views are as far as they must be. False: not yet, and no record may be processed.
    pub(crate) fn fill(&mut self, views: &Views, bounds: BatchBounds) -> bool {
        if self.is_filled {
            return true;
        }
        if !self.feeds.iter().all(|feed| feed.is_ready(views)) {
            return false;
        }
        let mut tables = Tables::new(self.tables.names.clone());
        self.catch_up.clear();
        for (table, feed) in self.feeds.iter().enumerate() {
            let Some(view) = read(views, feed.source) else { return false };
            view.rows_before(&feed.committed).for_each(|row| tables.set(table, &row));
            self.catch_up.extend(feed.all(&view, bounds));
        }
        self.tables = Arc::new(tables);
        (self.is_filled, self.had_turn) = (true, false);
        true
    }

    /// The next changes of one topic, applied to the copy, if it is their turn.
    pub(crate) fn next(&mut self, views: &Views, bounds: BatchBounds) -> Option<Run> {
        if let Some(run) = self.catch_up.pop_front() {
            self.apply(&run);
            return Some(run);
        }
        if std::mem::take(&mut self.had_turn) {
            return None;
        }
        let run = self.feeds.iter_mut().find_map(|feed| feed.next(&*read(views, feed.source)?, bounds))?;
        self.apply(&run);
        self.had_turn = true;
        Some(run)
    }

    fn apply(&mut self, run: &Run) {
        let Some(table) = self.feeds.iter().position(|feed| feed.source == run.source) else { return };
        // The state that a call borrowed has come back, so this copies nothing.
        let tables = Arc::make_mut(&mut self.tables);
        run.records.iter().for_each(|record| tables.set(table, &record));
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

/// The rows, by table and key. Each chunk holds one record.
#[derive(Clone, Debug)]
struct Tables {
    names: Vec<String>,
    rows: Vec<BTreeMap<Box<[u8]>, Chunk>>,
}

impl Tables {
    fn new(names: Vec<String>) -> Self {
        let rows = names.iter().map(|_| BTreeMap::new()).collect();
        Self { names, rows }
    }

    fn set(&mut self, table: usize, record: &RecordRef<'_>) {
        let (Some(rows), Some(key)) = (self.rows.get_mut(table), record.key()) else { return };
        if record.value().is_none() {
            rows.remove(key);
            return;
        }
        let mut row = Chunk::new();
        row.push_record(record);
        rows.insert(key.into(), row);
    }
}

/// The tables while a call borrows them.
struct Lent(Arc<Tables>);

impl State for Lent {
    fn store(&self, name: &str) -> Option<StoreIndex> {
        let position = self.0.names.iter().position(|own| own == name)?;
        u32::try_from(position).ok().map(StoreIndex)
    }

    fn get(&self, table: StoreIndex, key: &[u8]) -> Result<Option<Chunk>, StateError> {
        Ok(self.0.rows.get(table.0 as usize).and_then(|rows| rows.get(key)).cloned())
    }

    fn scan(&self, table: StoreIndex, range: KeyRange<'_>, limit: Limit) -> Result<Page, StateError> {
        let Some(rows) = self.0.rows.get(table.0 as usize) else { return Ok(Page::default()) };
        let from_start = range.start.map_or(Bound::Unbounded, Bound::Included);
        let start = match (range.after, range.start) {
            (Some(after), Some(start)) if start > after => Bound::Included(start),
            (Some(after), _) => Bound::Excluded(after),
            (None, _) => from_start,
        };
        let is_before_end = |key: &[u8]| range.end.is_none_or(|end| key < end);
        let found =
            rows.range::<[u8], _>((start, Bound::Unbounded)).take_while(|(key, _)| is_before_end(key));
        let mut page = Page::default();
        for (_, row) in found {
            if page.rows.len() >= limit.rows || page.rows.size_bytes() >= limit.bytes {
                page.next = page.rows.last().and_then(|last| last.key()).map(<[u8]>::to_vec);
                return Ok(page);
            }
            page.rows.append_chunk(row);
        }
        Ok(page)
    }
}
