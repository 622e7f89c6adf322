//! What a task has been given and has not processed yet, by source, and which of it comes next.

use std::collections::VecDeque;

use crate::config::pipeline::BatchBounds;
use crate::id::{Offset, Partition, SourceIndex, Timestamp, TopicPartition};
use crate::record::{Chunk, RecordRef};
use crate::task::run::Run;
use crate::task::spec::Spec;

/// A source's partition is paused when this many full batches wait in it, and resumed at half. The worker stops polling
/// long before, while its tasks keep pace; pausing is for tasks that are held up, because it costs a fetch.
const BATCHES_MAX: usize = 8;

/// A source whose records are newer than the others' is passed over this often at most.
const PASSED_OVER_MAX: u32 = 3;

/// The partitioned sources of a task.
#[derive(Debug)]
pub(crate) struct Buffer {
    inputs: Vec<Input>,
    bounds: BatchBounds,
}

/// One source of a task.
#[derive(Debug)]
pub(crate) struct Input {
    source: SourceIndex,
    place: TopicPartition,
    chunks: VecDeque<Chunk>,
    records: usize,
    bytes: usize,
    /// The next offset to process.
    position: Offset,
    /// The same, as committed; none when nothing is.
    committed: Option<Offset>,
    /// Behind the last record that was taken; it is beyond the position while a run is under way.
    taken: Offset,
    /// How far the source was read, beyond the last record perhaps.
    end: Option<Offset>,
    passed_over: u32,
    is_paused: bool,
}

impl Buffer {
    /// Empty buffers for the sources of a task.
    pub(crate) fn new(spec: &Spec, partition: Partition) -> Self {
        let inputs = spec.partitioned().map(|source| Input {
            source: source.index,
            place: TopicPartition::new(&source.topic, partition),
            chunks: VecDeque::new(),
            records: 0,
            bytes: 0,
            position: Offset(0),
            committed: None,
            taken: Offset(0),
            end: None,
            passed_over: 0,
            is_paused: false,
        });
        Self { inputs: inputs.collect(), bounds: spec.batch }
    }

    /// The sources, the one that carries the note first.
    pub(crate) fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// Takes in records of a source.
    pub(crate) fn push(&mut self, place: &TopicPartition, chunk: Chunk) {
        if let Some(input) = self.input_at(place) {
            input.records = input.records.saturating_add(chunk.len());
            input.bytes = input.bytes.saturating_add(chunk.size_bytes());
            input.chunks.push_back(chunk);
        }
    }

    /// A source was read up to here; there may be nothing to see before it.
    pub(crate) fn end(&mut self, place: &TopicPartition, position: Offset) {
        if let Some(input) = self.input_at(place) {
            input.end = input.end.max(Some(position));
            input.pass_end();
        }
    }

    /// Sets where the sources begin, and what of it is committed.
    pub(crate) fn open(&mut self, start: impl Fn(&TopicPartition) -> Option<(Offset, Option<Offset>)>) {
        for input in &mut self.inputs {
            if let Some((position, committed)) = start(&input.place) {
                (input.position, input.committed) = (position, committed);
            }
            input.clear();
            input.is_paused = false;
        }
    }

    /// Drops what is not committed. Sources of which nothing is committed stay where they began.
    pub(crate) fn rewind(&mut self) {
        for input in &mut self.inputs {
            input.position = input.committed.unwrap_or(input.position);
            input.clear();
        }
    }

    /// What is processed is committed now.
    pub(crate) fn commit(&mut self) {
        self.inputs.iter_mut().for_each(|input| input.committed = Some(input.position));
    }

    /// A run was done.
    pub(crate) fn advance(&mut self, source: SourceIndex, until: Offset) {
        if let Some(input) = self.inputs.iter_mut().find(|input| input.source == source) {
            input.position = until;
            input.pass_end();
        }
    }

    /// The next records: of the source whose first record is the oldest, unless another one has waited too long. A record that
    /// is not ready holds up its source alone.
    pub(crate) fn next(&mut self, is_ready: &mut dyn FnMut(&RecordRef<'_>) -> bool) -> Option<Run> {
        let mut is_waiting = |input: &Input| input.first().is_some_and(|first| is_ready(&first));
        let waiting: Vec<bool> = self.inputs.iter().map(&mut is_waiting).collect();
        let waiting = || {
            self.inputs.iter().enumerate().zip(&waiting).filter(|(_, waits)| **waits).map(|(input, _)| input)
        };
        let overdue = waiting().find(|(_, input)| input.passed_over >= PASSED_OVER_MAX);
        let (chosen, _) = overdue.or_else(|| waiting().min_by_key(|(_, input)| input.head()))?;
        for (index, input) in self.inputs.iter_mut().enumerate() {
            let is_waiting = index != chosen && !input.chunks.is_empty();
            input.passed_over = if is_waiting { input.passed_over.saturating_add(1) } else { 0 };
        }
        let bounds = self.bounds;
        self.inputs.get_mut(chosen).and_then(|input| input.take(bounds, is_ready))
    }

    /// Whether records of a source wait.
    pub(crate) fn has(&self, source: SourceIndex) -> bool {
        self.inputs.iter().any(|input| input.source == source && !input.chunks.is_empty())
    }

    /// The next records of one source.
    pub(crate) fn next_of(
        &mut self,
        source: SourceIndex,
        is_ready: &mut dyn FnMut(&RecordRef<'_>) -> bool,
    ) -> Option<Run> {
        let bounds = self.bounds;
        let input = self.inputs.iter_mut().find(|input| input.source == source)?;
        let first = input.first()?;
        if is_ready(&first) { input.take(bounds, is_ready) } else { None }
    }

    /// How many records wait.
    pub(crate) fn len(&self) -> usize {
        self.inputs.iter().map(|input| input.records).sum()
    }

    /// Partitions whose flow has to change: those to pause, then those to resume.
    pub(crate) fn flow(&mut self) -> (Vec<TopicPartition>, Vec<TopicPartition>) {
        let (mut pause, mut resume) = (Vec::new(), Vec::new());
        let BatchBounds { records, bytes } = self.bounds;
        let (most_records, most_bytes) =
            (records.saturating_mul(BATCHES_MAX), bytes.saturating_mul(BATCHES_MAX));
        for input in &mut self.inputs {
            let is_full = input.records >= most_records || input.bytes >= most_bytes;
            let is_low = input.records <= most_records / 2 && input.bytes <= most_bytes / 2;
            if is_full && !input.is_paused {
                pause.push(input.place.clone());
                input.is_paused = true;
            } else if is_low && input.is_paused {
                resume.push(input.place.clone());
                input.is_paused = false;
            }
        }
        (pause, resume)
    }

    fn input_at(&mut self, place: &TopicPartition) -> Option<&mut Input> {
        self.inputs.iter_mut().find(|input| input.place == *place)
    }
}

impl Input {
    /// The topic and partition.
    pub(crate) fn place(&self) -> &TopicPartition {
        &self.place
    }

    /// Its source.
    pub(crate) fn source(&self) -> SourceIndex {
        self.source
    }

    /// The next offset to process.
    pub(crate) fn position(&self) -> Offset {
        self.position
    }

    /// The committed position, if there is one.
    pub(crate) fn committed(&self) -> Option<Offset> {
        self.committed
    }

    fn first(&self) -> Option<RecordRef<'_>> {
        self.chunks.front().and_then(Chunk::first)
    }

    fn head(&self) -> Option<Timestamp> {
        self.first().map(|record| record.timestamp())
    }

    /// The first chunk, with the chunks that follow as far as they fit, or the part of it that fits.
    fn take(&mut self, bounds: BatchBounds, is_ready: &mut dyn FnMut(&RecordRef<'_>) -> bool) -> Option<Run> {
        let mut records = self.chunks.pop_front()?;
        if records.len() > bounds.records && bounds.records > 0 {
            self.chunks.push_front(records.slice(&(bounds.records..records.len())));
            records = records.slice(&(0..bounds.records));
        }
        while let Some(next) = self.chunks.front() {
            let fits = records.len().saturating_add(next.len()) <= bounds.records
                && records.size_bytes().saturating_add(next.size_bytes()) <= bounds.bytes;
            if !fits || !records.append_chunk(next) {
                break;
            }
            self.chunks.pop_front();
        }
        // The first one is ready. Most records have no headers at all.
        let ready = if records.header_slots().is_empty() {
            records.len()
        } else {
            1 + records.iter().skip(1).take_while(|record| is_ready(record)).count()
        };
        if ready < records.len() {
            self.chunks.push_front(records.slice(&(ready..records.len())));
            records = records.slice(&(0..ready));
        }
        self.records = self.records.saturating_sub(records.len());
        self.bytes = self.bytes.saturating_sub(records.size_bytes());
        let until = records.last().map_or(self.position, |record| record.offset().next());
        self.taken = until;
        Some(Run::new((self.source, self.place.partition), records, until))
    }

    /// Moves past offsets that hold nothing, once all records before them are processed.
    fn pass_end(&mut self) {
        // A run that was taken and is not done yet has left the buffer, but the position still lies before its end.
        if self.chunks.is_empty() && self.position >= self.taken {
            self.position = self.position.max(self.end.take().unwrap_or_default());
        }
    }

    fn clear(&mut self) {
        self.chunks.clear();
        (self.records, self.bytes) = (0, 0);
        (self.end, self.passed_over) = (None, 0);
        self.taken = self.position;
    }
}
