//! The plugin as a component: what [`export!`](crate::export) calls.

use std::cell::RefCell;

use crate::Batch;
use crate::Clock;
use crate::Context;
use crate::Declared;
use crate::Exported;
use crate::Failure;
use crate::Headers;
use crate::IndexName;
use crate::Job;
use crate::Level;
use crate::Plugin;
use crate::Response;
use crate::Row;
use crate::Source;
use crate::Step;
use crate::Table;
use crate::Terms;
use crate::Timer;
use crate::Timestamp;
use crate::arena;
use crate::bindings::gristmill::transform::config;
use crate::bindings::gristmill::transform::jobs;
use crate::bindings::gristmill::transform::log;
use crate::bindings::gristmill::transform::state;
use crate::bindings::gristmill::transform::timers;
use crate::bindings::gristmill::transform::types;
use crate::bindings::with_callouts::exports::gristmill::transform::callout_handler;
use crate::bindings::with_index::exports::gristmill::transform::indexer;
use crate::bindings::with_jobs::exports::gristmill::transform::job_handler;
use crate::host::Host;
use crate::host::Keys;
use crate::outcome::Draft;

/// One plugin instance, and the handles that it has open.
pub struct Instance<P> {
    declared: &'static Declared,
    slot: RefCell<Option<(P, Imports)>>,
}

impl<P: Exported> Instance<P> {
    /// Before `init`.
    #[must_use]
    pub const fn new(declared: &'static Declared) -> Self {
        Self { declared, slot: RefCell::new(None) }
    }

    /// The export `init`.
    ///
    /// # Errors
    /// What [`Plugin::new`] says, or that the configuration does not fit [`Plugin::Config`].
    pub fn init(&self) -> Result<(), String> {
        std::panic::set_hook(Box::new(last_words));
        let plugin = make(&config::json())?;
        self.slot.replace(Some((plugin, Imports { declared: self.declared, open: Vec::new() })));
        Ok(())
    }

    /// The export `process`.
    ///
    /// # Errors
    /// What [`Plugin::batch`] says.
    pub fn process(&self, batch: &types::Batch) -> Result<types::Outcome, types::Failure> {
        let mut slot = self.slot.borrow_mut();
        let Some((plugin, imports)) = slot.as_mut() else { return Err(uninitialized("process")) };
        process(plugin, imports, batch).map_err(types::Failure::from)
    }

    /// The export `index`. Before `init` no row has terms.
    #[must_use]
    pub fn index(&self, index: &str, rows: &[indexer::Entry], bytes: &[u8]) -> indexer::Terms {
        let slot = self.slot.borrow();
        let plugin = slot.as_ref().map(|(plugin, _)| plugin);
        let terms = terms(plugin, IndexName::new(index), rows, bytes);
        indexer::Terms { spans: terms.spans, ends: terms.ends, bytes: terms.bytes }
    }

    /// The export `on-timers`.
    ///
    /// # Errors
    /// Only for what makes the whole call fail.
    pub fn timers(&self, due: &[timers::Timer]) -> Result<types::Outcome, types::Failure> {
        let mut slot = self.slot.borrow_mut();
        let Some((plugin, imports)) = slot.as_mut() else { return Err(uninitialized("on-timers")) };
        timers(plugin, imports, due).map_err(types::Failure::from)
    }

    /// The export `on-responses`.
    ///
    /// # Errors
    /// Only for what makes the whole call fail.
    pub fn responses(&self, all: &[callout_handler::Response]) -> Result<types::Outcome, types::Failure> {
        let mut slot = self.slot.borrow_mut();
        let Some((plugin, imports)) = slot.as_mut() else { return Err(uninitialized("on-responses")) };
        responses(plugin, imports, all).map_err(types::Failure::from)
    }

    /// The export `on-job`.
    ///
    /// # Errors
    /// What [`Jobs::step`](crate::Jobs::step) says.
    pub fn step(&self, job: &jobs::Job, budget: u32) -> Result<job_handler::Step, types::Failure> {
        let mut slot = self.slot.borrow_mut();
        let Some((plugin, imports)) = slot.as_mut() else { return Err(uninitialized("on-job")) };
        let (outcome, step) = step(plugin, imports, &Job::new(job, budget))?;
        Ok(job_handler::Step { outcome, cursor: step.cursor, visited: step.visited, total: step.total })
    }
}

fn uninitialized(export: &str) -> types::Failure {
    types::Failure::Fatal(format!("the host called `{export}` before `init`"))
}

impl From<Failure> for types::Failure {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Retry(message) => Self::Retry(message),
            Failure::Fatal(message) => Self::Fatal(message),
        }
    }
}

/// Makes a plugin from the text of its configuration.
pub(crate) fn make<P: Plugin>(config: &str) -> Result<P, String> {
    let config = serde_json::from_str(config)
        .map_err(|error| format!("the configuration does not fit the plugin: {error}"))?;
    P::new(config)
}

/// Runs one call of a plugin.
pub(crate) fn process<P: Plugin>(
    plugin: &mut P,
    host: &mut dyn Host,
    batch: &types::Batch,
) -> Result<types::Outcome, Failure> {
    let batch = Batch::new(batch)?;
    let mut draft = Draft::with_room_for(batch.len(), batch.size());
    plugin.batch(&batch, &mut Context::new(host, &mut draft))?;
    draft.finish()
}

/// Computes the terms of rows.
pub(crate) fn terms<P: Exported>(
    plugin: Option<&P>,
    index: IndexName<'_>,
    rows: &[indexer::Entry],
    bytes: &[u8],
) -> Terms {
    let mut terms = Terms::default();
    for row in rows {
        let row = Row {
            key: arena::slice(bytes, row.key),
            value: arena::slice(bytes, row.value),
            headers: Headers::new(&[], bytes),
            timestamp: Timestamp::from_millis(0),
            offset: -1,
        };
        if let (Some(plugin), Some(handler)) = (plugin, P::HANDLERS.terms) {
            handler(plugin, index, &row, &mut terms);
        }
        terms.end_row();
    }
    terms
}

/// Runs one call with timers that are due.
pub(crate) fn timers<P: Exported>(
    plugin: &mut P,
    host: &mut dyn Host,
    due: &[timers::Timer],
) -> Result<types::Outcome, Failure> {
    let Some(handler) = P::HANDLERS.timer else {
        return Err(Failure::Fatal(format!("the plugin takes no timers, and {} are due", due.len())));
    };
    let mut draft = Draft::default();
    let mut ctx = Context::new(host, &mut draft);
    for (position, raw) in due.iter().enumerate() {
        ctx.at(position, |ctx| handler(plugin, &Timer::new(raw), ctx));
    }
    draft.finish()
}

/// Runs one call with what became of callouts.
pub(crate) fn responses<P: Exported>(
    plugin: &mut P,
    host: &mut dyn Host,
    all: &[callout_handler::Response],
) -> Result<types::Outcome, Failure> {
    let Some(handler) = P::HANDLERS.response else {
        return Err(Failure::Fatal(format!("the plugin takes no answers, and there are {}", all.len())));
    };
    let mut draft = Draft::default();
    let mut ctx = Context::new(host, &mut draft);
    for (position, raw) in all.iter().enumerate() {
        ctx.at(position, |ctx| handler(plugin, &Response::new(raw), ctx));
    }
    draft.finish()
}

/// Runs one step of a job.
pub(crate) fn step<P: Exported>(
    plugin: &mut P,
    host: &mut dyn Host,
    job: &Job<'_>,
) -> Result<(types::Outcome, Step), Failure> {
    let Some(handler) = P::HANDLERS.step else {
        return Err(Failure::Fatal(format!(
            "the plugin does no jobs, and none of kind `{}`",
            job.kind.name()
        )));
    };
    let mut draft = Draft::default();
    let step = handler(plugin, job, &mut Context::new(host, &mut draft))?;
    Ok((draft.finish()?, step))
}

/// Tells the host why the trap comes that follows.
fn last_words(panic: &std::panic::PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    log::panicked(panic.payload_as_str().unwrap_or("the plugin panicked"), &location);
}

/// The imports of the component.
struct Imports {
    declared: &'static Declared,
    /// Few stores and tables: a list is faster than a map.
    open: Vec<(&'static str, state::Store)>,
}

impl Imports {
    fn name_of(&self, source: Source) -> &'static str {
        self.declared.sources.get(source.position() as usize).copied().unwrap_or_default()
    }

    fn store(&mut self, name: &'static str) -> &state::Store {
        // Constants of one name mostly have one address, and comparing addresses is quicker.
        let known = |(known, _): &(&'static str, _)| std::ptr::eq(*known, name) || *known == name;
        let position = match self.open.iter().position(known) {
            Some(position) => position,
            None => {
                self.open.push((name, state::Store::open(name)));
                self.open.len() - 1
            }
        };
        #[expect(clippy::indexing_slicing, reason = "found or pushed above")]
        &self.open[position].1
    }
}

impl Host for Imports {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(timers::now(timers::Clock::WallClock))
    }

    fn stream_time(&self) -> Timestamp {
        Timestamp::from_millis(timers::now(timers::Clock::StreamTime))
    }

    fn get(&mut self, store: &'static str, key: &[u8]) -> Option<Vec<u8>> {
        self.store(store).get(key)
    }

    fn row(&mut self, store: &'static str, key: &[u8]) -> state::Page {
        let span = types::Span { start: 0, len: arena::number(key.len()) };
        self.store(store).get_many(&[span], key)
    }

    fn page(&mut self, store: &'static str, keys: Keys<'_>, after: Option<&[u8]>, limit: u32) -> state::Page {
        let store = self.store(store);
        match keys {
            Keys::Prefix(prefix) => store.scan_prefix(prefix, after, limit),
            Keys::Range { start, end } => store.scan(start, end, after, limit),
            Keys::Term { index, term } => store.scan_index(index, term, after, limit),
        }
    }

    fn count(
        &mut self,
        store: &'static str,
        index: (&str, &[u8]),
        after: Option<&[u8]>,
        limit: u32,
    ) -> (u64, Option<Vec<u8>>) {
        self.store(store).count_index(index.0, index.1, after, limit)
    }

    fn put(&mut self, store: &'static str, key: &[u8], value: &[u8]) {
        self.store(store).put(key, value);
    }

    fn delete(&mut self, store: &'static str, key: &[u8]) {
        self.store(store).delete(key);
    }

    fn position(&mut self, source: Source) -> i64 {
        state::position(self.name_of(source))
    }

    fn position_of(&mut self, table: Table) -> i64 {
        state::position(table.name())
    }

    fn applied(&mut self, source: Source) -> Vec<(u32, i64)> {
        state::applied(self.name_of(source))
    }

    fn start(&mut self, kind: &str, name: &str, payload: &[u8]) -> u64 {
        jobs::start(kind, name, payload)
    }

    fn cancel(&mut self, kind: &str, name: &str) -> bool {
        jobs::cancel(kind, name)
    }

    fn find(&mut self, kind: &str, name: &str) -> Option<jobs::Job> {
        jobs::find(kind, name)
    }

    fn set_timer(&mut self, clock: Clock, name: &[u8], due: Timestamp, payload: &[u8]) {
        let (name, payload) = (name.to_vec(), payload.to_vec());
        timers::set(&timers::Timer { clock: clock.into(), name, due: due.millis(), payload });
    }

    fn cancel_timer(&mut self, clock: Clock, name: &[u8]) {
        timers::cancel(clock.into(), name);
    }

    fn enabled(&self, level: Level) -> bool {
        log::enabled(level.into())
    }

    fn log(&mut self, level: Level, message: &str, fields: &[(&str, &str)]) {
        let fields: Vec<(String, String)> =
            fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        log::write(level.into(), message, &fields);
    }
}
