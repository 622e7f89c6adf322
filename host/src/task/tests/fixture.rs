//! A task with two streams, a broadcast table and a plugin that is a closure.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use crate::config::manifest::SourceKind;
use crate::config::pipeline::{BatchBounds, BoundSource, Limits, Start};
use crate::fault::Fault;
use crate::id::{Offset, Partition, SinkIndex, SourceIndex, TaskId, Timestamp, TopicPartition};
use crate::io::{
    Answered, Batch, CallError, Callouts, Instance, NoCallouts, Outcome, OutputSlot, Responses, State, Step,
    StepOutcome, Stepped, Stores, Terms, Timer, TimersDue, TopicFacts, Transform,
};
use crate::memory::MemoryStores;
use crate::record::{Chunk, Header, Range, Span};
use crate::task::broadcast::Views;
use crate::task::effects::Effects;
use crate::task::spec::{CalloutSpec, SinkSpec, Spec, StateSpec};
use crate::task::state::PositionRecord;
use crate::task::{Opening, Surroundings, Task, Turn};
use crate::view::View;

type Answer = dyn Fn(&Batch<'_>, &dyn State) -> Result<Outcome, CallError>;
type TimersAnswer = fn(&TimersDue<'_>) -> Result<Outcome, CallError>;
type ResponsesAnswer = fn(&Responses<'_>) -> Result<Outcome, CallError>;
type StepAnswer = dyn Fn(&Step<'_>, &mut dyn State) -> Result<StepOutcome, CallError>;

/// A plugin made of a closure, which counts its instances and calls.
#[derive(Clone)]
pub(super) struct Plugin {
    answer: Rc<Answer>,
    pub(super) step: Rc<StepAnswer>,
    /// Jobs that the next call with records starts, by name.
    pub(super) starts: Rc<RefCell<Vec<String>>>,
    /// Timers that the next call with records sets.
    pub(super) sets: Rc<RefCell<Vec<Timer>>>,
    pub(super) timers: Rc<Cell<TimersAnswer>>,
    pub(super) answers: Rc<Cell<ResponsesAnswer>>,
    pub(super) instances: Rc<Cell<usize>>,
    pub(super) calls: Rc<RefCell<Vec<usize>>>,
}

impl Transform for Plugin {
    fn instance(&self, _task: &TaskId) -> Result<Box<dyn Instance>, Fault> {
        self.instances.set(self.instances.get() + 1);
        Ok(Box::new(self.clone()))
    }
}

impl Instance for Plugin {
    /// The only term of a row is its value; for `impure` it has the number of calls so far behind it. Fails on `trap`, and
    /// forgets a row where one is `short`.
    fn index(&mut self, _index: &str, rows: &Chunk) -> Result<Terms, CallError> {
        let mut terms = Terms::default();
        let has = |value: &[u8]| rows.iter().any(|row| row.value() == Some(value));
        if has(b"trap") {
            return Err(CallError::Trap { message: "a row that it fails on".to_owned(), location: None });
        }
        let impure = format!("impure-{}", self.calls.borrow().len());
        for row in rows.iter() {
            let value = row.value().unwrap_or_default();
            let value = if value == b"impure" { impure.as_bytes() } else { value };
            let start = u32::try_from(terms.bytes.len()).unwrap();
            terms.bytes.extend_from_slice(value);
            terms.spans.push(Span { start, len: u32::try_from(value.len()).unwrap() });
            terms.ends.push(u32::try_from(terms.spans.len()).unwrap());
        }
        if has(b"short") {
            terms.ends.pop();
        }
        Ok(terms)
    }

    fn step(&mut self, step: Step<'_>, mut state: Box<dyn State>) -> Stepped {
        Stepped { answer: (self.step)(&step, &mut *state), state }
    }

    fn timers(&mut self, call: TimersDue<'_>, state: Box<dyn State>) -> Answered {
        Answered { answer: self.timers.get()(&call), state }
    }

    fn responses(&mut self, call: Responses<'_>, state: Box<dyn State>) -> Answered {
        Answered { answer: self.answers.get()(&call), state }
    }

    fn process(&mut self, batch: Batch<'_>, mut state: Box<dyn State>) -> Answered {
        self.calls.borrow_mut().push(batch.records.len());
        for name in self.starts.borrow_mut().drain(..) {
            state.start_job("walk", &name, b"").unwrap();
        }
        for timer in self.sets.borrow_mut().drain(..) {
            state.set_timer(&timer).unwrap();
        }
        Answered { answer: (self.answer)(&batch, state.as_ref()), state }
    }
}

/// A record that came out.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Out {
    pub(super) topic: String,
    pub(super) key: Option<String>,
    pub(super) value: Option<String>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) timestamp: Option<i64>,
}

impl Out {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.iter().rfind(|(own, _)| own == name).map_or("", |(_, value)| value)
    }
}

/// A task and what it needs.
pub(super) struct Bench {
    pub(super) task: Task,
    pub(super) plugin: Plugin,
    pub(super) views: Views,
    pub(super) spec: Arc<Spec>,
    /// The disk of the task.
    pub(super) stores: MemoryStores,
    pub(super) elapsed: Duration,
    pub(super) now: Timestamp,
    pub(super) callouts: Box<dyn Callouts>,
}

pub(super) fn spec(batch: BatchBounds, dead_letter_bytes: usize) -> Spec {
    let source = |index: u32, name: &str, kind| {
        let (index, start) = (SourceIndex(index), Start::Earliest);
        Some(BoundSource { index, name: name.into(), kind, topic: name.into(), start, previous: false })
    };
    let sink = |topic: &str, max_bytes, compacted| SinkSpec {
        topic: topic.into(),
        facts: TopicFacts { max_bytes, compacted, ..TopicFacts::default() },
        after: vec![],
    };
    Spec {
        transform: "join".into(),
        plugin: "join 1.0.0 sha256:00".into(),
        sources: vec![
            source(0, "items", SourceKind::Table),
            source(1, "classes", SourceKind::Broadcast),
            source(2, "updates", SourceKind::Stream),
        ],
        sinks: vec![sink("out", 1_000, false), sink("table", 1_000, true)],
        dead_letters: sink("dead", dead_letter_bytes, false),
        limits: Limits { output_bytes: 10_000, output_records: 100, ..Limits::default() },
        batch,
        tasks: 4,
        state: StateSpec {
            changelog: Some("join.changelog".into()),
            own_changelogs: vec![SourceIndex(0)],
            jobs: vec!["walk".into()],
            ..StateSpec::default()
        },
        inbox: None,
        callouts: CalloutSpec {
            endpoints: vec![],
            pending: 10,
            review: sink("review", 1_000, false),
            settle: Duration::from_secs(15),
        },
    }
}

pub(super) fn place(topic: &str) -> TopicPartition {
    TopicPartition::new(&topic.into(), Partition(0))
}

impl Bench {
    /// An open task 0 with a complete, empty view.
    pub(super) fn new(
        spec: Spec,
        answer: impl Fn(&Batch<'_>, &dyn State) -> Result<Outcome, CallError> + 'static,
    ) -> Self {
        let spec = Arc::new(spec);
        let plugin = Plugin {
            answer: Rc::new(answer),
            step: Rc::new(|_, _| Ok(StepOutcome::default())),
            starts: Rc::default(),
            sets: Rc::default(),
            timers: Rc::new(Cell::new(|_| Ok(Outcome::default()))),
            answers: Rc::new(Cell::new(|_| Ok(Outcome::default()))),
            instances: Rc::default(),
            calls: Rc::default(),
        };
        let view = View::new([(Partition(0), Offset(0))], &BTreeMap::new());
        let views = BTreeMap::from([(SourceIndex(1), Arc::new(RwLock::new(view)))]);
        let id = TaskId { transform: "join".into(), partition: Partition(0) };
        let task = Task::new(&spec, id);
        let stores = MemoryStores::new();
        let (now, callouts) = (Timestamp(1_000_000), Box::new(NoCallouts));
        let elapsed = Duration::ZERO;
        let mut bench = Self { task, plugin, views, spec, stores, elapsed, now, callouts };
        bench.open(0);
        bench
    }

    /// Opens the task anew, with the broadcast topic applied up to a position and whatever is in its local store.
    pub(super) fn open(&mut self, broadcast: i64) {
        let positions = BTreeMap::from([(place("items"), Offset(0)), (place("updates"), Offset(0))]);
        self.open_at(positions, broadcast, BTreeMap::new());
    }

    pub(super) fn open_at(
        &mut self,
        positions: BTreeMap<TopicPartition, Offset>,
        broadcast: i64,
        catch_up: BTreeMap<TopicPartition, Offset>,
    ) {
        let broadcasts = BTreeMap::from([(place("classes"), Offset(broadcast))]);
        let record = PositionRecord { broadcasts, ..PositionRecord::default() };
        self.task.close();
        let store = self.stores.open(Partition(0)).unwrap();
        let committed = positions.clone();
        let opening = Opening { committed, positions, record, changelog: Offset(0), catch_up, rebuild: None };
        self.task.open(opening, Some(store));
    }

    /// Opens the task with a local copy whose indexes are built up to a key.
    pub(super) fn open_rebuilding(&mut self, items: Offset, rebuild: Option<Vec<u8>>) {
        let positions = BTreeMap::from([(place("items"), items), (place("updates"), Offset(0))]);
        self.task.close();
        let store = self.stores.open(Partition(0)).unwrap();
        let opening = Opening { committed: positions.clone(), positions, rebuild, ..Opening::default() };
        self.task.open(opening, Some(store));
    }

    /// Another version of the transform takes the task over, on the same disk.
    pub(super) fn redeploy(&mut self, spec: Spec) {
        self.task.close();
        self.spec = Arc::new(spec);
        self.task = Task::new(&self.spec, self.task.id().clone());
    }

    /// Commits, as if Kafka had.
    pub(super) fn commit(&mut self) {
        self.task.seal();
        self.task.commit(None, Timestamp(1_000_000)).unwrap();
    }

    pub(super) fn class(&self, chunk: &Chunk) {
        self.views[&SourceIndex(1)].write().unwrap().apply(Partition(0), chunk);
    }

    pub(super) fn turn(&mut self) -> Turn {
        let around = Surroundings {
            transform: &self.plugin,
            views: &self.views,
            callouts: &*self.callouts,
            now: self.now,
            elapsed: self.elapsed,
        };
        self.task.turn(&around)
    }

    /// Turns until there is nothing to do; what came out.
    pub(super) fn drain(&mut self) -> Vec<Out> {
        let mut out = Vec::new();
        loop {
            match self.turn() {
                Turn::Idle | Turn::Stopped => return out,
                Turn::Damaged(fault) => panic!("{fault}"),
                Turn::Searching => {}
                Turn::Made(effects) => out.extend(self.sent(&effects)),
            }
        }
    }

    pub(super) fn sent(&self, effects: &Effects) -> Vec<Out> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut out = Vec::new();
        let sent: Result<(), ()> = effects.send(&self.spec, (0, Timestamp(1_000_000)), |record| {
            let header = |header: &Header<'_>| (text(header.name), text(header.value.unwrap_or(b"-")));
            out.push(Out {
                topic: record.topic.to_string(),
                key: record.key.map(text),
                value: record.value.map(text),
                headers: record.headers.iter().map(header).collect(),
                timestamp: record.timestamp.map(|timestamp| timestamp.0),
            });
            Ok(())
        });
        sent.unwrap();
        out
    }
}

/// Records `(value, timestamp)` at consecutive offsets.
pub(super) fn chunk(from: i64, records: &[(&str, i64)]) -> Chunk {
    let mut chunk = Chunk::new();
    for (offset, (value, timestamp)) in (from..).zip(records) {
        let headers = [Header::new("h", b"1"), Header { name: b"h", value: None }];
        let at = (Timestamp(*timestamp), Offset(offset));
        chunk.push(Some(b"key"), Some(value.as_bytes()), headers, at);
    }
    chunk
}

/// Adds an output of these bytes.
pub(super) fn output(
    outcome: &mut Outcome,
    (sink, cause): (u32, Option<u32>),
    key: Option<&str>,
    value: &str,
) {
    let mut append = |bytes: &[u8]| {
        let start = u32::try_from(outcome.bytes.len()).unwrap();
        outcome.bytes.extend_from_slice(bytes);
        Span { start, len: u32::try_from(bytes.len()).unwrap() }
    };
    let key = key.map(|key| append(key.as_bytes()));
    let value = Some(append(value.as_bytes()));
    let (sink, headers) = (SinkIndex(sink), Range::default());
    outcome.outputs.push(OutputSlot { sink, key, value, headers, timestamp: None, cause });
}
