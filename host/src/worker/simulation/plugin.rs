//! The plugin of the simulation: what it does with a record stands in the record.
//!
//! An item's value is `kind|class|number`; a class's value is a number, or `bad`. An output's is `number|class|joined|count`:
//! the value of the class, and how many records of the key there were, which it counts in a store; or `walk` when it comes of
//! a job, which follows the change of a class over an index; or `again` when an operator has ordered it.
//!
//! Timers and answers to callouts come out in a topic of their own: `number|timer` and `id|answer`. Some of them trap, and some
//! answers are rejected.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use crate::clock::Clock;
use crate::fault::{Code, Fault};
use crate::id::{Offset, SinkIndex, SourceIndex, TaskId, Timestamp};
use crate::io::{
    Answered, Batch, CallError, Ended, Instance, Intent, Limit, Outcome, OutputSlot, Rejection, Responses,
    State, Step, StepOutcome, Stepped, Terms, Timer, TimerClock, TimersDue, Transform,
};
use crate::record::{Chunk, Range, RecordRef, Span};

/// The source of the items.
const ITEMS: SourceIndex = SourceIndex(0);

/// The source of the classes.
pub(super) const CLASSES: SourceIndex = SourceIndex(1);

/// What can stand in an item.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Kind {
    /// One output.
    Plain,
    /// Two outputs.
    Double,
    /// No output, on purpose.
    Skip,
    /// A rejection.
    Reject,
    /// A trap.
    Trap,
    /// A time-out.
    Slow,
    /// An output to a sink that does not exist.
    Invalid,
    /// An output that the host knows to be too large.
    Large,
    /// An output that only the broker knows to be too large.
    Refused,
    /// An output without a cause.
    Causeless,
    /// An output without a cause that the broker refuses.
    CauselessRefused,
    /// A callout, and no output yet.
    Call,
    /// A timer, and no output yet.
    Remind,
}

impl Kind {
    pub(super) const ALL: [Self; 13] = [
        Self::Plain,
        Self::Double,
        Self::Skip,
        Self::Reject,
        Self::Trap,
        Self::Slow,
        Self::Invalid,
        Self::Large,
        Self::Refused,
        Self::Causeless,
        Self::CauselessRefused,
        Self::Call,
        Self::Remind,
    ];

    pub(super) fn letter(self) -> char {
        char::from(b'a' + u8::try_from(self as usize).unwrap())
    }

    pub(super) fn of(letter: &str) -> Self {
        Self::ALL.into_iter().find(|kind| letter == kind.letter().to_string()).unwrap()
    }

    /// Whether its row comes out when an operator has ordered it.
    fn is_sent_again(self) -> bool {
        matches!(self, Self::Plain | Self::Double | Self::Causeless | Self::Call | Self::Remind)
    }

    /// What must come of such a record: so many outputs, or a dead letter with this code.
    pub(super) fn expected(self) -> Result<usize, &'static str> {
        match self {
            Self::Plain | Self::Causeless => Ok(1),
            Self::Double => Ok(2),
            Self::Skip | Self::Call | Self::Remind => Ok(0),
            Self::Reject => Err("bad-record"),
            Self::Trap => Err("trap"),
            Self::Slow => Err("timeout"),
            Self::Invalid => Err("outcome_invalid"),
            Self::Large | Self::Refused | Self::CauselessRefused => Err("record_refused"),
        }
    }
}

/// The endpoint that records of the kind `Call` call.
pub(super) const ENDPOINT: &str = "rest";

/// Bytes that the broker's topic takes, and that the host believes it takes.
pub(super) const BROKER_BYTES: usize = 400;
pub(super) const BELIEVED_BYTES: usize = 1_000;

/// Makes instances, and can be told to fail.
#[derive(Clone, Default)]
pub(super) struct Plugin {
    /// So many calls to come answer `retry`.
    pub(super) retries: Rc<Cell<u32>>,
    /// A call that traps moves this clock.
    pub(super) slow_trap: Rc<RefCell<Option<(Clock, Duration)>>>,
}

impl Transform for Plugin {
    fn instance(&self, _task: &TaskId) -> Result<Box<dyn Instance>, Fault> {
        Ok(Box::new(Running { plugin: self.clone(), has_failed: false }))
    }
}

struct Running {
    plugin: Plugin,
    has_failed: bool,
}

impl Instance for Running {
    fn index(&mut self, _index: &str, rows: &Chunk) -> Result<Terms, CallError> {
        let mut terms = Terms::default();
        for row in rows.iter() {
            let class = text(row.value()).split('|').nth(1).unwrap().to_owned();
            let start = u32::try_from(terms.bytes.len()).unwrap();
            terms.bytes.extend_from_slice(class.as_bytes());
            terms.spans.push(Span { start, len: u32::try_from(class.len()).unwrap() });
            terms.ends.push(u32::try_from(terms.spans.len()).unwrap());
        }
        Ok(terms)
    }

    fn step(&mut self, step: Step<'_>, state: Box<dyn State>) -> Stepped {
        let answer = walk(&step, &*state);
        Stepped { answer, state }
    }

    fn timers(&mut self, call: TimersDue<'_>, state: Box<dyn State>) -> Answered {
        assert!(!self.has_failed, "an instance was called again after its call was dropped");
        let answer = remind(&call);
        self.has_failed = answer.is_err();
        Answered { answer, state }
    }

    fn responses(&mut self, call: Responses<'_>, state: Box<dyn State>) -> Answered {
        assert!(!self.has_failed, "an instance was called again after its call was dropped");
        let answer = answered(&call);
        self.has_failed = answer.as_ref().map_or(true, |outcome| !outcome.rejected.is_empty());
        Answered { answer, state }
    }

    fn process(&mut self, batch: Batch<'_>, mut state: Box<dyn State>) -> Answered {
        assert!(!self.has_failed, "an instance was called again after its call was dropped");
        let answer = if self.plugin.retries.get() > 0 {
            self.plugin.retries.set(self.plugin.retries.get() - 1);
            Err(CallError::Retry("not now".into()))
        } else {
            self.answer(&batch, state.as_mut())
        };
        if let (Err(CallError::Trap { .. }), Some((clock, by))) = (&answer, &*self.plugin.slow_trap.borrow())
        {
            clock.advance(*by);
        }
        self.has_failed = answer.as_ref().map_or(true, |outcome| !outcome.rejected.is_empty());
        Answered { answer, state }
    }
}

/// The sink of what timers and answers come to.
const NOTES: SinkIndex = SinkIndex(1);

/// Timers and answers that trap.
fn is_harmful(number: u64) -> bool {
    number.is_multiple_of(11)
}

fn trap() -> CallError {
    CallError::Trap { message: "boom".into(), location: None }
}

fn remind(call: &TimersDue<'_>) -> Result<Outcome, CallError> {
    let mut outcome = Outcome::default();
    for (index, timer) in (0u32..).zip(call.due) {
        assert!(timer.due <= call.now, "a timer fired before it was due");
        let number: u64 = text(Some(&timer.name)).parse().unwrap();
        if is_harmful(number) {
            return Err(trap());
        }
        note(&mut outcome, index, (&timer.payload, &format!("{number}|timer")));
    }
    Ok(outcome)
}

fn answered(call: &Responses<'_>) -> Result<Outcome, CallError> {
    let mut outcome = Outcome::default();
    for (index, response) in (0u32..).zip(call.responses) {
        let Ended::Answered { status, .. } = response.ended else { continue };
        let number: u64 = response.id.split('~').next().unwrap().parse().unwrap();
        if is_harmful(number) {
            return Err(trap());
        }
        match status {
            200 => {
                let key = response.key.clone().unwrap();
                note(&mut outcome, index, (&key, &format!("{}|answer", response.id)));
            }
            _ => reject(&mut outcome, index, "bad-answer"),
        }
    }
    Ok(outcome)
}

/// An output that comes of a timer or an answer.
fn note(outcome: &mut Outcome, index: u32, (key, value): (&[u8], &str)) {
    let mut rows = Chunk::new();
    rows.push(Some(key), None, [], (Timestamp(0), Offset(0)));
    output(outcome, (NOTES, Some(index)), &rows.first().unwrap(), value);
}

impl Running {
    fn answer(&self, batch: &Batch<'_>, state: &mut dyn State) -> Result<Outcome, CallError> {
        let mut outcome = Outcome::default();
        for (index, record) in (0u32..).zip(batch.records.iter()) {
            if batch.source == CLASSES {
                class(&mut outcome, index, &record, state);
            } else if batch.source == ITEMS && record.offset() < state.position("items").unwrap() {
                again(&mut outcome, index, &record, state);
            } else {
                item(&mut outcome, (index, batch.now), &record, state)?;
            }
        }
        Ok(outcome)
    }
}

fn class(outcome: &mut Outcome, index: u32, record: &RecordRef<'_>, state: &mut dyn State) {
    if record.value().is_some_and(|value| value.starts_with(b"bad")) {
        reject(outcome, index, "bad-class");
    } else {
        state.start_job("follow", text(record.key()), b"").unwrap();
    }
}

/// One step over the items of a class, from where the last one ended, round to where a superseded walk stood.
fn walk(step: &Step<'_>, state: &dyn State) -> Result<StepOutcome, CallError> {
    let (job, items) = (step.job, state.store("items").unwrap());
    let start = job.superseded_cursor.as_deref();
    // The first byte of a cursor says whether the walk has wrapped round.
    let (has_wrapped, after) = match job.cursor.as_deref() {
        None => (false, start.map(|cursor| &cursor[1..])),
        Some([1, after @ ..]) => (true, Some(after).filter(|after| !after.is_empty())),
        Some(cursor) => (false, Some(&cursor[1..])),
    };
    let limit = Limit { rows: step.budget as usize, bytes: 10_000 };
    let page = state.scan_index(items, "by-class", job.name.as_bytes(), after, limit).unwrap();
    let mut stepped = StepOutcome::default();
    for row in page.rows.iter() {
        let parts: Vec<_> = text(row.value()).split('|').collect();
        if matches!(Kind::of(parts[0]), Kind::Plain | Kind::Double | Kind::Causeless) {
            let value = format!("{}|{}|{}|walk", parts[2], parts[1], joined(state, parts[1]));
            output(&mut stepped.outcome, (SinkIndex(0), None), &row, &value);
        }
        stepped.visited += 1;
    }
    let is_round = |key: &[u8]| start.is_none_or(|start| key >= &start[1..]);
    stepped.cursor = match page.next {
        Some(next) if has_wrapped && is_round(&next) => None,
        Some(next) => Some([&[u8::from(has_wrapped)][..], &next].concat()),
        None if has_wrapped || start.is_none() => None,
        None => Some(vec![1]),
    };
    Ok(stepped)
}

fn text(bytes: Option<&[u8]>) -> &str {
    std::str::from_utf8(bytes.unwrap()).unwrap()
}

/// The value of a class.
fn joined(state: &dyn State, class: &str) -> String {
    let row = state.get(state.store("classes").unwrap(), class.as_bytes()).unwrap();
    row.map_or("-".into(), |row| text(row.first().unwrap().value()).to_owned())
}

/// Counts a record of a key.
fn count(state: &mut dyn State, key: &[u8]) -> u64 {
    let counts = state.store("counts").unwrap();
    let row = state.get(counts, key).unwrap();
    let before: u64 = row.map_or(0, |row| text(row.first().unwrap().value()).parse().unwrap());
    state.put(counts, key, (before + 1).to_string().as_bytes()).unwrap();
    before + 1
}

fn item(
    outcome: &mut Outcome,
    (index, now): (u32, Timestamp),
    record: &RecordRef<'_>,
    state: &mut dyn State,
) -> Result<(), CallError> {
    let parts: Vec<_> = text(record.value()).split('|').collect();
    let [kind, class, number] = parts[..] else { panic!("unexpected item {parts:?}") };
    let joined = joined(state, class);
    let count = count(state, record.key().unwrap());
    let value = |padding: usize| format!("{number}|{class}|{joined}|{count}|{}", "x".repeat(padding));
    let (out, cause) = (SinkIndex(0), Some(index));
    match Kind::of(kind) {
        Kind::Plain => output(outcome, (out, cause), record, &value(0)),
        Kind::Double => (0..2).for_each(|_| output(outcome, (out, cause), record, &value(0))),
        Kind::Skip => outcome.skipped.push(("not-wanted".into(), 1)),
        Kind::Reject => {
            output(outcome, (out, cause), record, &value(0));
            reject(outcome, index, "bad-record");
        }
        Kind::Trap => {
            return Err(CallError::Trap { message: "boom".into(), location: Some("lib.rs:7".into()) });
        }
        Kind::Slow => return Err(CallError::Timeout { limit: Duration::from_millis(500) }),
        Kind::Invalid => output(outcome, (SinkIndex(9), cause), record, &value(0)),
        Kind::Large => output(outcome, (out, cause), record, &value(BELIEVED_BYTES)),
        Kind::Refused => output(outcome, (out, cause), record, &value(BROKER_BYTES)),
        Kind::Causeless => output(outcome, (out, None), record, &value(0)),
        Kind::CauselessRefused => output(outcome, (out, None), record, &value(BROKER_BYTES)),
        Kind::Call => outcome.callouts.push(Intent {
            id: number.to_owned(),
            endpoint: ENDPOINT.to_owned(),
            method: "GET".to_owned(),
            path: format!("/{number}"),
            key: record.key().map(<[u8]>::to_vec),
            context: record.value().unwrap().to_vec(),
            cause,
            ..Intent::default()
        }),
        Kind::Remind => {
            let wait = i64::try_from(number.parse::<u64>().unwrap() % 8).unwrap() * 1_000;
            let (clock, name, due) =
                (TimerClock::WallClock, number.as_bytes().to_vec(), Timestamp(now.0 + wait));
            let payload = record.key().unwrap().to_vec();
            state.set_timer(&Timer { clock, name, due, payload }).unwrap();
        }
    }
    Ok(())
}

fn output(
    outcome: &mut Outcome,
    (sink, cause): (SinkIndex, Option<u32>),
    record: &RecordRef<'_>,
    value: &str,
) {
    let mut append = |bytes: &[u8]| {
        let start = u32::try_from(outcome.bytes.len()).unwrap();
        outcome.bytes.extend_from_slice(bytes);
        Span { start, len: u32::try_from(bytes.len()).unwrap() }
    };
    let key = record.key().map(&mut append);
    let value = Some(append(value.as_bytes()));
    outcome.outputs.push(OutputSlot { sink, key, value, headers: Range::default(), timestamp: None, cause });
}

/// An item that an operator wants to have sent again.
fn again(outcome: &mut Outcome, index: u32, record: &RecordRef<'_>, state: &dyn State) {
    let parts: Vec<_> = text(record.value()).split('|').collect();
    if Kind::of(parts[0]).is_sent_again() {
        let value = format!("{}|{}|{}|again", parts[2], parts[1], joined(state, parts[1]));
        output(outcome, (SinkIndex(0), Some(index)), record, &value);
    }
}

fn reject(outcome: &mut Outcome, index: u32, code: &str) {
    outcome.rejected.push(Rejection { index, code: code.into(), message: "it says so".into() });
}

/// The code of a fault that ends a process in the simulation, if it is one that may happen there.
pub(super) fn is_expected(fault: &Fault) -> bool {
    matches!(fault.code(), Code::Internal | Code::InstanceInUse | Code::PositionLost)
}
