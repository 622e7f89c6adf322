//! Components from the fixtures, deployed and called without a task.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Result, anyhow};
use gristmill_host::config::pipeline::Limits;
use gristmill_host::fault::Fault;
use gristmill_host::id::{Offset, Partition, SourceIndex, TaskId, Timestamp};
use gristmill_host::io::{
    Answered, Batch, CallError, Instance, KeyRange, Limit, Outcome, Page, State, StateError, StoreIndex,
    Transform,
};
use gristmill_host::plugin::{Component, Runtime, Spec, WasmTransform};
use gristmill_host::record::Chunk;
use gristmill_tests::host;

/// The plugin that does what its records say.
pub(crate) const HOSTILE: &str = "tests/fixtures/hostile";

/// The plugin that breaks the interface.
pub(crate) const RAW: &str = "tests/fixtures/raw";

/// The plugin that uses state, indexes and jobs.
pub(crate) const STATEFUL: &str = "tests/fixtures/stateful";

/// The plugin that uses timers and callouts.
pub(crate) const ERRAND: &str = "tests/fixtures/errand";

/// A runtime that all tests share, without a cache.
pub(crate) fn runtime() -> Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new(None).expect("the machine runs WebAssembly")).clone()
}

/// The bytes of a fixture's component.
pub(crate) fn bytes(folder: &str) -> Result<Vec<u8>> {
    Ok(std::fs::read(host::plugin(folder)?)?)
}

/// A fixture, loaded once for all tests.
pub(crate) fn component(folder: &str) -> Result<Arc<Component>> {
    static LOADED: Mutex<BTreeMap<String, Arc<Component>>> = Mutex::new(BTreeMap::new());
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(component) = loaded.get(folder) {
        return Ok(Arc::clone(component));
    }
    let component = runtime().load(folder, &bytes(folder)?).map_err(|fault| anyhow!(fault.report()))?;
    loaded.insert(folder.to_owned(), Arc::clone(&component));
    Ok(component)
}

/// A fixture under a name, with this configuration.
pub(crate) fn deploy(folder: &str, config: &str, limits: Limits) -> Result<Result<WasmTransform, Fault>> {
    let spec = Spec { transform: "t".into(), config_json: config.to_owned(), limits };
    Ok(component(folder)?.deploy(spec))
}

/// Limits that make the tests quick: calls of 100 ms.
pub(crate) fn limits() -> Limits {
    Limits { call: Duration::from_millis(100), ..Limits::default() }
}

/// An instance of the hostile plugin.
pub(crate) fn hostile(limits: Limits) -> Result<Box<dyn Instance>> {
    start(&deploy(HOSTILE, r#"{"at_start":"nothing"}"#, limits)?)
}

/// An instance of the plugin that breaks the interface in this way.
pub(crate) fn raw(way: &str) -> Result<Box<dyn Instance>> {
    start(&deploy(RAW, &format!(r#"{{"break":"{way}"}}"#), Limits::default())?)
}

/// An instance of the plugin that uses state, indexes and jobs; its index is broken in this way.
pub(crate) fn stateful(index: &str) -> Result<Box<dyn Instance>> {
    start(&deploy(STATEFUL, &format!(r#"{{"index":"{index}"}}"#), Limits::default())?)
}

/// An instance of the plugin that uses timers and callouts.
pub(crate) fn errand() -> Result<Box<dyn Instance>> {
    start(&deploy(ERRAND, "{}", limits())?)
}

/// An instance for task 0.
pub(crate) fn start(transform: &Result<WasmTransform, Fault>) -> Result<Box<dyn Instance>> {
    let transform = transform.as_ref().map_err(|fault| anyhow!(fault.report()))?;
    let task = TaskId { transform: "t".into(), partition: Partition(0) };
    transform.instance(&task).map_err(|fault| anyhow!(fault.report()))
}

/// Calls an instance with records of these values, and an empty state.
pub(crate) fn call(instance: &mut dyn Instance, values: &[&str]) -> Result<Outcome, CallError> {
    let Answered { answer, .. } = call_with(instance, values, Box::new(Rows::default()));
    answer
}

/// Calls an instance with records of these values.
pub(crate) fn call_with(instance: &mut dyn Instance, values: &[&str], state: Box<dyn State>) -> Answered {
    let mut records = Chunk::new();
    for (offset, value) in (0..).zip(values) {
        assert!(records.push(Some(b"k"), Some(value.as_bytes()), [], (Timestamp(5), Offset(offset))));
    }
    let batch = Batch {
        source: SourceIndex(0),
        partition: Partition(0),
        records: &records,
        previous: None,
        now: Timestamp(1_000),
        stream_time: Timestamp(5),
    };
    instance.process(batch, state)
}

/// The values that an outcome sends.
pub(crate) fn values(outcome: &Outcome) -> Vec<String> {
    let text =
        |start: usize, len: usize| String::from_utf8_lossy(&outcome.bytes[start..start + len]).into_owned();
    outcome
        .outputs
        .iter()
        .map(|output| {
            output.value.map_or("none".to_owned(), |span| text(span.start as usize, span.len as usize))
        })
        .collect()
}

/// A state with one table, `lookup`.
#[derive(Default)]
pub(crate) struct Rows {
    /// Its rows.
    pub(crate) rows: BTreeMap<Vec<u8>, Chunk>,
    /// How long a look at a row takes.
    pub(crate) delay: Duration,
}

impl Rows {
    /// Sets a row.
    pub(crate) fn put(&mut self, key: &str, value: &[u8]) {
        let mut row = Chunk::new();
        assert!(row.push(Some(key.as_bytes()), Some(value), [], (Timestamp(0), Offset(0))));
        self.rows.insert(key.as_bytes().to_vec(), row);
    }
}

impl State for Rows {
    fn store(&self, name: &str) -> Option<StoreIndex> {
        (name == "lookup").then_some(StoreIndex(0))
    }

    fn get(&self, _table: StoreIndex, key: &[u8]) -> Result<Option<Chunk>, StateError> {
        std::thread::sleep(self.delay);
        Ok(self.rows.get(key).cloned())
    }

    fn scan(&self, _table: StoreIndex, range: KeyRange<'_>, limit: Limit) -> Result<Page, StateError> {
        let after = range.after.map(Bound::Excluded);
        let start = after.or(range.start.map(Bound::Included)).unwrap_or(Bound::Unbounded);
        let end = range.end.map_or(Bound::Unbounded, Bound::Excluded);
        let mut page = Page::default();
        for (_, row) in self.rows.range::<[u8], _>((start, end)) {
            if page.rows.len() == limit.rows || page.rows.size_bytes() >= limit.bytes {
                page.next = page.rows.last().and_then(|last| last.key()).map(<[u8]>::to_vec);
                break;
            }
            page.rows.append_chunk(row);
        }
        Ok(page)
    }
}
