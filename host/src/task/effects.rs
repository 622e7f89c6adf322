//! What a call of a plugin comes to: records to send, and what they stand for.

use crate::id::{Offset, Partition, SourceIndex, Timestamp};
use crate::io::{CauseId, Outcome, Outgoing, OutputSlot};
use crate::record::{Chunk, Header, RecordRef, Span};
use crate::task::causal;
use crate::task::culprits::Form;
use crate::task::dead_letter;
use crate::task::review;
use crate::task::run::{Condemned, Run};
use crate::task::spec::{Place, Spec};

/// The effects of one run, or of one step of a job. They are to be sent in one transaction with the task's positions, or
/// dropped with it.
#[derive(Debug)]
pub struct Effects {
    /// Without records for a step.
    run: Run,
    /// The job whose step this was.
    job: Option<JobName>,
    /// Positions of the records that the plugin got, when it did not get all.
    kept: Option<Vec<u32>>,
    outcome: Outcome,
    /// Positions of records whose outputs are dropped, in the records that the plugin got; sorted.
    dropped: Vec<u32>,
    dead: Vec<(Condemned, Form)>,
    /// Positions of answers that a person has to look at.
    reviews: Vec<(u32, Form)>,
    stream_time: Timestamp,
    bytes: usize,
    /// The value of `gristmill-after` for each sink.
    after: Vec<Option<String>>,
}

/// A kind of job and a name.
pub type JobName = (String, String);

/// What the records of some effects were made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// Records of a partition of a source.
    Source(SourceIndex, Partition),
    /// What is not met at its place in a topic: rows of a table, made by records of a partition of a source, that are handed out
    /// again; timers, answers.
    Apart(SourceIndex, Partition),
    /// A step of this job.
    Job(JobName),
    /// The state of the task: its records are those of the changelog.
    State,
}

/// What a refused record was made for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cause {
    /// It is an output of this record.
    Output(Place),
    /// It is the dead letter of this record, or the review record of this answer.
    DeadLetter(Place),
    /// It is an output of one of these records.
    Among(Place, Place),
    /// It is an output of a step of this job.
    Step(JobName),
    /// It is a record of the changelog.
    State,
}

/// What a refused record was made for, as positions in a run: the run's own numbering of its causes.
///
/// ```text
/// 0 .. n      output of record i
/// n .. 2n     dead letter of record i
/// 2n          output of some record
/// ```
#[derive(Clone, Copy, Debug)]
struct Numbering {
    base: u32,
    records: u32,
}

impl Numbering {
    fn output(self, index: u32) -> CauseId {
        CauseId(self.base.saturating_add(index))
    }

    fn dead_letter(self, index: u32) -> CauseId {
        CauseId(self.base.saturating_add(self.records).saturating_add(index))
    }

    fn some(self) -> CauseId {
        CauseId(self.base.saturating_add(self.records.saturating_mul(2)))
    }
}

/// What `Effects` is made of.
pub(crate) struct Parts {
    pub(crate) run: Run,
    pub(crate) kept: Option<Vec<u32>>,
    pub(crate) outcome: Outcome,
    pub(crate) dropped: Vec<u32>,
    pub(crate) dead: Vec<(Condemned, Form)>,
    pub(crate) reviews: Vec<(u32, Form)>,
    pub(crate) stream_time: Timestamp,
    pub(crate) bytes: usize,
}

impl Effects {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { run, kept, outcome, mut dropped, dead, reviews, stream_time, bytes } = parts;
        dropped.sort_unstable();
        Self { run, job: None, kept, outcome, dropped, dead, reviews, stream_time, bytes, after: Vec::new() }
    }

    /// The effects of a step of a job.
    pub(crate) fn of_step(job: JobName, outcome: Outcome, stream_time: Timestamp, bytes: usize) -> Self {
        Self { job: Some(job), outcome, bytes, ..Self::of_state(stream_time) }
    }

    /// The effects of something that the host itself did to the state: there is nothing to send.
    pub(crate) fn of_state(stream_time: Timestamp) -> Self {
        Self::new(Parts {
            run: Run::new((SourceIndex(0), Partition(0)), Chunk::new(), Offset(0)),
            kept: None,
            outcome: Outcome::default(),
            dropped: Vec::new(),
            dead: Vec::new(),
            reviews: Vec::new(),
            stream_time,
            bytes: 0,
        })
    }

    /// With these values of `gristmill-after`, for each sink.
    #[must_use]
    pub(crate) fn after(self, after: Vec<Option<String>>) -> Self {
        Self { after, ..self }
    }

    /// What the records were made of.
    pub fn origin(&self) -> Origin {
        match &self.job {
            Some(job) => Origin::Job(job.clone()),
            None if self.run.is_apart() => Origin::Apart(self.run.source, self.run.partition),
            None => Origin::Source(self.run.source, self.run.partition),
        }
    }

    /// Whether this was a step of a job.
    pub fn is_step(&self) -> bool {
        self.job.is_some() || self.run.is_of_job()
    }

    /// How many source records they stand for; of a step, how many records it sends.
    pub fn records(&self) -> usize {
        if self.job.is_some() { self.outcome.outputs.len() } else { self.run.records.len() }
    }

    /// The offsets of those records, in the order of their numbers as causes.
    pub fn offsets(&self) -> impl Iterator<Item = Offset> {
        self.run.records.slots().iter().map(|slot| slot.offset)
    }

    /// Keys, values and headers of the outputs, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many cause numbers [`Effects::send`] uses, from its `base` on.
    pub fn causes(&self) -> u32 {
        self.count().saturating_mul(2).saturating_add(1)
    }

    fn count(&self) -> u32 {
        u32::try_from(self.run.records.len()).unwrap_or(u32::MAX)
    }

    /// Hands every record to `send`: outputs in the plugin's order, then dead letters and review records. Nothing is copied.
    ///
    /// # Errors
    /// The first one of `send`.
    pub fn send<E>(
        &self,
        spec: &Spec,
        (base, now): (u32, Timestamp),
        mut send: impl FnMut(&Outgoing<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let numbering = Numbering { base, records: self.count() };
        let mut headers = Vec::new();
        for output in &self.outcome.outputs {
            if output.cause.is_some_and(|cause| self.dropped.binary_search(&cause).is_ok()) {
                continue;
            }
            // The check has seen that the sink exists.
            let Some(sink) = spec.sink(output.sink) else { continue };
            headers.clear();
            headers.extend(self.headers(output));
            let after = self.after.get(output.sink.0 as usize).and_then(Option::as_deref);
            headers.extend(after.map(|after| Header { name: causal::HEADER, value: Some(after.as_bytes()) }));
            let cause = self.original(output);
            send(&Outgoing {
                topic: &sink.topic,
                partition: None,
                key: output.key.map(|span| self.bytes_of(span)),
                value: output.value.map(|span| self.bytes_of(span)),
                headers: &headers,
                timestamp: self.timestamp(output, cause),
                cause: cause.map_or(numbering.some(), |index| numbering.output(index)),
            })?;
        }
        for (condemned, form) in &self.dead {
            let Some(record) = self.record(condemned.index) else { continue };
            let letter = dead_letter::Letter { run: &self.run, record, condemned, form: *form, now };
            letter.send(spec, numbering.dead_letter(condemned.index), &mut send)?;
        }
        for (index, form) in &self.reviews {
            let (Some(record), Some(response)) =
                (self.record(*index), self.run.responses().get(*index as usize))
            else {
                continue;
            };
            let how = (*form, record.timestamp(), now);
            review::send(spec, response, how, numbering.dead_letter(*index), &mut send)?;
        }
        Ok(())
    }

    /// The position, in all records of the run, of the one that caused an output.
    fn original(&self, output: &OutputSlot) -> Option<u32> {
        match (&self.kept, output.cause) {
            (None, Some(cause)) => Some(cause),
            (Some(kept), Some(cause)) => kept.get(cause as usize).copied(),
            (None, None) => (self.count() == 1).then_some(0),
            (Some(kept), None) => kept.first().copied().filter(|_| kept.len() == 1),
        }
    }

    fn record(&self, index: u32) -> Option<RecordRef<'_>> {
        self.run.records.get(index as usize)
    }

    /// Its own timestamp, that of its cause, or stream time. A cause without one leaves it to the client.
    fn timestamp(&self, output: &OutputSlot, cause: Option<u32>) -> Option<Timestamp> {
        let of_cause = || cause.and_then(|index| self.record(index)).map(|record| record.timestamp());
        let timestamp = output.timestamp.or_else(of_cause).unwrap_or(self.stream_time);
        (timestamp.0 >= 0).then_some(timestamp)
    }

    fn headers(&self, output: &OutputSlot) -> impl Iterator<Item = Header<'_>> {
        let slots = self.outcome.headers.iter().skip(output.headers.start as usize);
        slots.take(output.headers.len as usize).map(|slot| Header {
            name: self.bytes_of(slot.name),
            value: slot.value.map(|span| self.bytes_of(span)),
        })
    }

    /// The check has seen that all spans lie in the arena.
    fn bytes_of(&self, span: Span) -> &[u8] {
        let start = span.start as usize;
        self.outcome.bytes.get(start..start.saturating_add(span.len as usize)).unwrap_or_default()
    }
}

/// Turns a cause number back into what it stands for. `number` counts from the base that [`Effects::send`] was given,
/// `offsets` are those of [`Effects::offsets`].
pub fn cause(origin: &Origin, offsets: &[Offset], number: u32) -> Option<Cause> {
    let (source, partition, is_apart) = match origin {
        Origin::Source(source, partition) => (*source, *partition, false),
        Origin::Apart(source, partition) => (*source, *partition, true),
        Origin::Job(job) => return Some(Cause::Step(job.clone())),
        Origin::State => return Some(Cause::State),
    };
    let place = |offset: &Offset| Place { source, partition, offset: *offset, is_apart };
    let (count, number) = (offsets.len(), number as usize);
    if let Some(offset) = offsets.get(number) {
        return Some(Cause::Output(place(offset)));
    }
    if let Some(offset) = offsets.get(number.saturating_sub(count)) {
        return Some(Cause::DeadLetter(place(offset)));
    }
    // Timers and answers are not in the order of their numbers.
    Some(Cause::Among(place(offsets.iter().min()?), place(offsets.iter().max()?)))
}
