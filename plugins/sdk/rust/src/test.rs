//! Runs a plugin natively, without WebAssembly, a host or a broker.
//!
//! ```ignore
//! let mut task = Task::<DeliveryTime>::new(MANIFEST, json!({}))?;
//! task.feed(sources::CLASSES, [record("bulky", r#"{"minimumTime":2,"maximumTime":5}"#)]);
//! let outcome = task.feed(sources::ITEMS, [record("A-1", r#"{"deliveryClass":"bulky"}"#), tombstone("A-2")]);
//! assert_eq!(outcome.outputs[0].value(), r#"{"deliveryClass":"bulky","minimumDeliveryTime":2,…}"#);
//! ```
//!
//! Each [`Task::feed`] also runs the records in other batches, with an instance that lives on and with a
//! new one for every call, as a host may after a crash. If anything but the batches differs then, the
//! plugin keeps something in its memory that belongs in state, and the test fails.
//!
//! Jobs stand still until [`Task::step`] or [`Task::run_jobs`] moves them. Each step is also run by a new
//! instance. Indexes are computed by the plugin's own function.
//!
//! Timers fire when [`Task::fire`] is called, if the clock that [`Task::set_now`] and the records move is there. Callouts
//! wait for [`Task::answer`]. Both calls are made in other pieces too, as those with records are.

mod call;
mod callouts;
mod input;
mod jobs;
mod manifest;
mod memory;
mod outcome;
mod splits;
mod state;
mod timers;

use std::collections::BTreeSet;
use std::panic::Location;
use std::rc::Rc;

use serde_json::Value;

use crate::Exported;
use crate::Failure;
use crate::IndexName;
use crate::Source;
use crate::Table;
use crate::Timestamp;
use crate::arena;
use crate::bindings::with_index::exports::gristmill::transform::indexer::Entry;
use crate::guest;
pub use crate::test::callouts::Answer;
pub use crate::test::callouts::Callout;
pub use crate::test::input::Input;
pub use crate::test::input::record;
pub use crate::test::input::tombstone;
use crate::test::manifest::Manifest;
use crate::test::memory::Memory;
use crate::test::memory::TermsOf;
pub use crate::test::outcome::Outcome;
pub use crate::test::outcome::Output;
pub use crate::test::outcome::Rejected;
pub use crate::test::outcome::Stepped;
use crate::test::splits::Instances;
pub use crate::test::timers::Timer;

/// A task of a plugin: its instance, what a host would keep for it, and a clock that stands still until it
/// is set.
pub struct Task<P> {
    manifest: Rc<Manifest>,
    config: String,
    plugin: P,
    memory: Memory,
    splits: Splits,
}

/// Whether the records of a call are also run in other batches.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Splits {
    /// In each way for up to six records; for more, whole, in twos at each place, and one by one.
    #[default]
    Each,
    /// As fed only: for a plugin whose answer depends on its batches, on purpose.
    Off,
}

impl<P: Exported + 'static> Task<P> {
    /// A task with this configuration, to which the defaults of the manifest are added. The schema is not
    /// checked; that is the host's part.
    ///
    /// # Errors
    /// The manifest cannot be read, or the plugin refuses the configuration.
    pub fn new(manifest: &str, config: Value) -> Result<Self, String> {
        let manifest = Rc::new(Manifest::parse(manifest)?);
        let config = manifest.configure(config)?.to_string();
        let plugin = guest::make(&config)?;
        let memory = Memory::new(Rc::clone(&manifest), indexer::<P>(&config)?, P::HANDLERS.timer.is_some());
        Ok(Self { manifest, config, plugin, memory, splits: Splits::Each })
    }

    /// Sets whether calls are also run in other batches.
    #[must_use]
    pub fn splits(mut self, splits: Splits) -> Self {
        self.splits = splits;
        self
    }

    /// Sets the wall clock.
    pub fn set_now(&mut self, now: Timestamp) {
        self.memory.now = now;
    }

    /// Puts a row into a table without giving it to the plugin: as a table is before a task's first
    /// record. Restart the plugin to let it see rows that it should have been given.
    pub fn put(&mut self, table: Table, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let source = self.manifest.sources.iter().position(|source| source.name == table.name());
        let Some(next) = source.and_then(|source| self.memory.next(source)) else {
            stop(&format!("the manifest has no {table:?}"))
        };
        let row = Input { offset: *next, ..record(key, value) };
        *next += 1;
        self.memory.apply(table.name(), &row);
        if let Some(source) = source {
            self.memory.advance(source, &row);
        }
    }

    /// Moves a partition of a broadcast source on to an offset without a record: what lies before it are control records,
    /// or records that compaction has removed.
    pub fn advance(&mut self, source: Source, partition: u32, next: i64) {
        let last = tombstone("").at(partition, next - 1);
        self.memory.advance(source.position() as usize, &last);
    }

    /// Gives the current row of a table to the plugin once more, as an operator can ask for.
    ///
    /// # Panics
    /// There is no such row, or as [`Task::feed`].
    #[track_caller]
    pub fn reemit(&mut self, source: Source, key: impl AsRef<[u8]>) -> Outcome {
        let name = self.manifest.sources.get(source.position() as usize).map(|source| source.name.as_str());
        let row = name.and_then(|name| self.memory.record(name, key.as_ref()));
        let Some(row) = row else { stop(&format!("there is no such row in {source:?}")) };
        self.feed(source, [Input { again: true, ..row.clone() }])
    }

    /// The rows of a store, by key.
    #[must_use]
    pub fn store(&self, name: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
        let rows = self.memory.state.stores.get(name).into_iter().flatten();
        rows.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Drops the instance and makes a new one. Tables, stores, jobs and clock stay.
    ///
    /// # Panics
    /// The plugin refuses the configuration that it has accepted before.
    #[track_caller]
    pub fn restart(&mut self) {
        self.plugin = self.instance();
    }

    /// Makes a new instance with another configuration, and all indexes anew. Tables, stores, jobs and clock
    /// stay.
    ///
    /// # Errors
    /// The plugin refuses the configuration.
    pub fn reload(&mut self, config: Value) -> Result<(), String> {
        let config = self.manifest.configure(config)?.to_string();
        self.plugin = guest::make(&config)?;
        self.memory.terms = indexer::<P>(&config)?;
        self.config = config;
        Ok(())
    }

    /// Gives records of a source to the plugin, and to its table if it is one.
    ///
    /// # Panics
    /// The call fails, or other batches give another outcome.
    #[track_caller]
    pub fn feed(&mut self, source: Source, records: impl IntoIterator<Item = Input>) -> Outcome {
        let records = records.into_iter().collect();
        match self.run(source, records, Location::caller()) {
            Ok(outcome) => outcome,
            Err(failure) => stop(&format!("the call failed: {failure}")),
        }
    }

    /// As [`Task::feed`], for calls that may fail. After a failure the plugin is made anew, and the records
    /// are in the tables all the same: they would come again.
    ///
    /// # Errors
    /// What the plugin says.
    ///
    /// # Panics
    /// Other batches give another outcome.
    #[track_caller]
    pub fn try_feed(
        &mut self,
        source: Source,
        records: impl IntoIterator<Item = Input>,
    ) -> Result<Outcome, Failure> {
        let records = records.into_iter().collect();
        self.run(source, records, Location::caller())
    }

    /// The lines that the plugin has logged: level, message.
    #[must_use]
    pub fn logged(&self) -> &[(crate::Level, String)] {
        &self.memory.lines
    }

    #[track_caller]
    fn instance(&self) -> P {
        make(&self.config)
    }

    #[track_caller]
    fn run(
        &mut self,
        source: Source,
        mut records: Vec<Input>,
        place: &'static Location<'static>,
    ) -> Result<Outcome, Failure> {
        let manifest = Rc::clone(&self.manifest);
        let position = source.position() as usize;
        let (Some(declared), Some(next)) = (manifest.sources.get(position), self.memory.next(position))
        else {
            stop(&format!("the manifest has no {source:?}"))
        };
        if records.is_empty() {
            stop("there are no records to feed: a host never calls with none");
        }
        if let Some(first) = records.first()
            && records.iter().any(|record| record.partition != first.partition)
        {
            stop("the records are of several partitions: a host calls with those of one");
        }
        let fresh = records.iter_mut().filter(|record| !record.again && !record.placed);
        for (record, offset) in fresh.zip(*next..) {
            record.offset = offset;
        }
        let declared = (declared, source);
        self.in_pieces(&records, place, "the records fed", |plugin, remake, memory, batch| {
            call::process(plugin, remake, memory, declared, batch)
        })
    }

    /// Makes a call, and then the same one in other pieces, each time from where the task stood before, which must come to
    /// the same.
    #[track_caller]
    fn in_pieces<T>(
        &mut self,
        items: &[T],
        place: &'static Location<'static>,
        what: &str,
        call: impl Fn(&mut P, &dyn Fn() -> P, &mut Memory, &[T]) -> Result<Outcome, Failure>,
    ) -> Result<Outcome, Failure> {
        let before = self.memory.clone();
        let config = self.config.clone();
        let remake = || make(&config);
        let outcome = call(&mut self.plugin, &remake, &mut self.memory, items);
        match &outcome {
            Err(_) => self.plugin = self.instance(),
            Ok(outcome) if self.splits == Splits::Each => {
                for instances in [Instances::One, Instances::OneEach] {
                    for way in splits::ways(items.len()) {
                        let mut memory = before.clone();
                        let other = self.replay(&mut memory, items, &way, instances, &call);
                        let whole = (outcome, self.memory.state.seen());
                        let other = other.map(|outcome| (outcome, memory.state.seen()));
                        if other.as_ref().ok().map(|(outcome, state)| (outcome, state))
                            != Some((whole.0, &whole.1))
                        {
                            let what = format!("{what} at {place}");
                            stop(&splits::disagreement(&what, &way, instances, &whole, &other));
                        }
                    }
                }
            }
            Ok(_) => {}
        }
        outcome
    }

    /// Makes a call in pieces of these lengths.
    fn replay<T>(
        &self,
        memory: &mut Memory,
        items: &[T],
        way: &[usize],
        instances: Instances,
        call: impl Fn(&mut P, &dyn Fn() -> P, &mut Memory, &[T]) -> Result<Outcome, Failure>,
    ) -> Result<Outcome, Failure> {
        let mut plugin = self.instance();
        let mut whole = Outcome::default();
        let mut rest = items;
        for length in way {
            let Some((piece, behind)) = rest.split_at_checked(*length) else { break };
            if instances == Instances::OneEach {
                plugin = self.instance();
            }
            let part = call(&mut plugin, &|| make(&self.config), memory, piece)?;
            whole.append(part, items.len() - rest.len());
            rest = behind;
        }
        Ok(whole)
    }
}

/// A new instance.
#[track_caller]
fn make<P: Exported>(config: &str) -> P {
    match guest::make(config) {
        Ok(plugin) => plugin,
        Err(message) => stop(&format!("the plugin cannot be made again: {message}")),
    }
}

/// The plugin's index function, with an instance of its own.
fn indexer<P: Exported + 'static>(config: &str) -> Result<TermsOf, String> {
    let indexer: P = guest::make(config)?;
    Ok(Rc::new(move |index, key, value| terms(&indexer, index, key, value)))
}

/// The terms of one row.
fn terms<P: Exported>(indexer: &P, index: &str, key: &[u8], value: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut bytes = Vec::new();
    let [key, value] = [key, value].map(|part| arena::push(&mut bytes, part));
    let terms = guest::terms(Some(indexer), IndexName::new(index), &[Entry { key, value }], &bytes);
    terms.spans.iter().map(|span| arena::slice(&terms.bytes, *span).to_vec()).collect()
}

/// Fails the test.
#[track_caller]
#[expect(clippy::panic, reason = "this is how a test driver fails a test")]
fn stop(message: &str) -> ! {
    panic!("{message}");
}
