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

mod input;
mod manifest;
mod memory;
mod outcome;
mod splits;

use std::panic::Location;

use serde_json::Value;

use crate::Failure;
use crate::Plugin;
use crate::Source;
use crate::Table;
use crate::Timestamp;
use crate::guest;
pub use crate::test::input::Input;
pub use crate::test::input::record;
pub use crate::test::input::tombstone;
use crate::test::manifest::Manifest;
use crate::test::memory::Memory;
pub use crate::test::outcome::Outcome;
pub use crate::test::outcome::Output;
pub use crate::test::outcome::Rejected;
use crate::test::splits::Instances;

/// A task of a plugin: its instance, the tables that a host would keep for it, and a clock that stands
/// still until it is set.
pub struct Task<P> {
    manifest: Manifest,
    config: String,
    plugin: P,
    memory: Memory,
    /// The next offset of every source.
    offsets: Vec<i64>,
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

impl<P: Plugin> Task<P> {
    /// A task with this configuration, to which the defaults of the manifest are added. The schema is not
    /// checked; that is the host's part.
    ///
    /// # Errors
    /// The manifest cannot be read, or the plugin refuses the configuration.
    pub fn new(manifest: &str, config: Value) -> Result<Self, String> {
        let manifest = Manifest::parse(manifest)?;
        let config = manifest.configure(config)?.to_string();
        let plugin = guest::make(&config)?;
        let offsets = vec![0; manifest.sources.len()];
        Ok(Self { manifest, config, plugin, memory: Memory::default(), offsets, splits: Splits::Each })
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
        self.memory.put(table.name(), key.as_ref(), value.as_ref());
    }

    /// Drops the instance and makes a new one. Tables and clock stay.
    ///
    /// # Panics
    /// The plugin refuses the configuration that it has accepted before.
    #[track_caller]
    pub fn restart(&mut self) {
        self.plugin = self.instance();
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
        match guest::make(&self.config) {
            Ok(plugin) => plugin,
            Err(message) => stop(&format!("the plugin cannot be made again: {message}")),
        }
    }

    #[track_caller]
    fn run(
        &mut self,
        source: Source,
        mut records: Vec<Input>,
        place: &'static Location<'static>,
    ) -> Result<Outcome, Failure> {
        let position = source.position() as usize;
        let (Some(declared), Some(next)) =
            (self.manifest.sources.get(position), self.offsets.get_mut(position))
        else {
            stop(&format!("the manifest has no {source:?}"))
        };
        if records.is_empty() {
            stop("there are no records to feed: a host never calls with none");
        }
        for record in &mut records {
            record.offset = *next;
            *next += 1;
        }
        let before = self.memory.clone();
        let outcome = memory::call(&mut self.plugin, &mut self.memory, declared, source, &records);
        match &outcome {
            Err(_) => self.plugin = self.instance(),
            Ok(outcome) if self.splits == Splits::Each => {
                for instances in [Instances::One, Instances::OneEach] {
                    for way in splits::ways(records.len()) {
                        let other = self.replay(&before, source, &records, &way, instances);
                        if other.as_ref() != Ok(outcome) {
                            stop(&splits::disagreement(place, &way, instances, outcome, &other));
                        }
                    }
                }
            }
            Ok(_) => {}
        }
        outcome
    }

    /// Runs the records in batches of these lengths, from the tables as they were before.
    fn replay(
        &self,
        before: &Memory,
        source: Source,
        records: &[Input],
        way: &[usize],
        instances: Instances,
    ) -> Result<Outcome, Failure> {
        let Some(declared) = self.manifest.sources.get(source.position() as usize) else {
            return Ok(Outcome::default());
        };
        let mut memory = before.clone();
        let mut plugin = self.instance();
        let mut whole = Outcome::default();
        let mut rest = records;
        for length in way {
            let Some((batch, behind)) = rest.split_at_checked(*length) else { break };
            if instances == Instances::OneEach {
                plugin = self.instance();
            }
            let part = memory::call(&mut plugin, &mut memory, declared, source, batch)?;
            whole.append(part, records.len() - rest.len());
            rest = behind;
        }
        Ok(whole)
    }
}

/// Fails the test.
#[track_caller]
#[expect(clippy::panic, reason = "this is how a test driver fails a test")]
fn stop(message: &str) -> ! {
    panic!("{message}");
}
