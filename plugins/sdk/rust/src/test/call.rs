//! One call as a host makes it.

use crate::Exported;
use crate::Failure;
use crate::Source;
use crate::arena;
use crate::bindings::gristmill::transform::jobs::Job;
use crate::bindings::gristmill::transform::types;
use crate::guest;
use crate::job;
use crate::job::Step;
use crate::test::Answer;
use crate::test::Input;
use crate::test::Outcome;
use crate::test::Timer;
use crate::test::manifest::Declared;
use crate::test::memory;
use crate::test::memory::Memory;
use crate::test::stop;

/// A record of a batch, and the value that its key had before.
type Fed<'a> = (&'a Input, Option<Vec<u8>>);

/// Calls with records: the table first, then the plugin. When some are rejected and the call wrote state,
/// it is made again without them, by a new instance.
pub(super) fn process<P: Exported>(
    plugin: &mut P,
    remake: impl Fn() -> P,
    memory: &mut Memory,
    declared: (&Declared, Source),
    records: &[Input],
) -> Result<Outcome, Failure> {
    let mut fed: Vec<Fed<'_>> = Vec::new();
    for record in records {
        let previous = record.key.as_ref().and_then(|key| memory.value(&declared.0.name, key));
        fed.push((record, previous.map(<[u8]>::to_vec)));
        // One that the host gives again is handled, and no row changes.
        if declared.0.kept && !record.again {
            memory.apply(&declared.0.name, record);
        }
        memory.stream_time = memory.stream_time.max(record.timestamp);
    }
    let outcome = attempt(plugin, remake, memory, fed, |plugin, memory, fed| {
        guest::process(plugin, memory, &batch(declared.0, declared.1, fed))
    })?;
    let source = declared.1.position() as usize;
    let last = records.iter().rfind(|record| !record.again && !record.placed);
    if let (Some(record), Some(next)) = (last, memory.next(source)) {
        *next = record.offset + 1;
    }
    records.iter().filter(|record| !record.again).for_each(|record| memory.advance(source, record));
    Ok(outcome)
}

/// Calls with those of these timers that are still there, and takes them away first.
pub(super) fn timers<P: Exported>(
    plugin: &mut P,
    remake: impl Fn() -> P,
    memory: &mut Memory,
    due: &[Timer],
) -> Result<Outcome, Failure> {
    let before = memory.state.clone();
    let due: Vec<_> = due.iter().filter(|timer| memory.state.fire(timer)).map(Timer::raw).collect();
    let fired =
        attempt(plugin, remake, memory, due, |plugin, memory, due| guest::timers(plugin, memory, due));
    fired.inspect_err(|_| memory.state = before)
}

/// Calls with what became of callouts, and takes them away first.
pub(super) fn responses<P: Exported>(
    plugin: &mut P,
    remake: impl Fn() -> P,
    memory: &mut Memory,
    answers: &[(String, Answer)],
) -> Result<Outcome, Failure> {
    let before = memory.state.clone();
    let raw = answers.iter().map(|(id, answer)| match memory.state.end(id) {
        Some(callout) => answer.raw(callout),
        None => stop(&format!("no callout `{id}` is under way")),
    });
    let raw = raw.collect();
    let answered =
        attempt(plugin, remake, memory, raw, |plugin, memory, raw| guest::responses(plugin, memory, raw));
    answered.inspect_err(|_| memory.state = before)
}

/// Makes a call, and makes it again without what was rejected if it wrote state.
fn attempt<P: Exported, T: Clone>(
    plugin: &mut P,
    remake: impl Fn() -> P,
    memory: &mut Memory,
    fed: Vec<T>,
    call: impl Fn(&mut P, &mut Memory, &[T]) -> Result<types::Outcome, Failure>,
) -> Result<Outcome, Failure> {
    let before = memory.state.clone();
    let mut rejected = Vec::new();
    let mut positions: Vec<usize> = (0..fed.len()).collect();
    loop {
        let left: Vec<T> = positions.iter().filter_map(|position| fed.get(*position)).cloned().collect();
        if left.is_empty() {
            return Ok(Outcome { rejected, ..Outcome::default() });
        }
        let mut outcome = match call(plugin, memory, &left) {
            Ok(raw) => Outcome::read(&raw),
            Err(failure) => {
                memory.state = before;
                return Err(failure);
            }
        };
        outcome.renumber(|position| positions.get(position).copied().unwrap_or(position));
        if outcome.rejected.is_empty() || memory.state.seen() == before.seen() {
            outcome.rejected.append(&mut rejected);
            outcome.rejected.sort_by_key(|rejected| rejected.index);
            memory.call(&outcome.callouts);
            return Ok(outcome);
        }
        positions.retain(|position| outcome.rejected.iter().all(|rejected| rejected.index != *position));
        rejected.append(&mut outcome.rejected);
        rejected.sort_by_key(|rejected| rejected.index);
        memory.state = before.clone();
        *plugin = remake();
    }
}

fn batch(declared: &Declared, source: Source, fed: &[Fed<'_>]) -> types::Batch {
    let mut batch = types::Batch {
        source: source.position(),
        partition: fed.first().map_or(0, |(record, _)| record.partition),
        records: Vec::new(),
        headers: Vec::new(),
        previous: Vec::new(),
        bytes: Vec::new(),
    };
    for (record, previous) in fed {
        if declared.previous {
            let value = previous.as_ref().map(|value| arena::push(&mut batch.bytes, value));
            batch.previous.push(value);
        }
        batch.records.push(types::InputRecord {
            key: record.key.as_ref().map(|key| arena::push(&mut batch.bytes, key)),
            value: record.value.as_ref().map(|value| arena::push(&mut batch.bytes, value)),
            headers: memory::headers(record, &mut batch.headers, &mut batch.bytes),
            timestamp: record.timestamp.millis(),
            offset: record.offset,
        });
    }
    batch
}

/// Calls for one step of a job.
pub(super) fn step<P: Exported>(
    plugin: &mut P,
    memory: &mut Memory,
    job: &Job,
    budget: u32,
) -> Result<(Outcome, Step), Failure> {
    let before = memory.state.clone();
    let (outcome, step) = guest::step(plugin, memory, &job::Job::new(job, budget)).inspect_err(|_| {
        memory.state = before;
    })?;
    memory.state.step_done(job, step.cursor.clone());
    let outcome = Outcome::read(&outcome);
    memory.call(&outcome.callouts);
    Ok((outcome, step))
}
