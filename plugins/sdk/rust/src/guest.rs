//! The plugin as a component: what [`export!`](crate::export) calls.

use std::cell::RefCell;

use crate::Batch;
use crate::Context;
use crate::Failure;
use crate::Level;
use crate::Plugin;
use crate::Table;
use crate::Timestamp;
use crate::bindings::gristmill::transform::config;
use crate::bindings::gristmill::transform::log;
use crate::bindings::gristmill::transform::state;
use crate::bindings::gristmill::transform::timers;
use crate::bindings::gristmill::transform::types;
use crate::host::Host;
use crate::host::Keys;
use crate::outcome::Draft;

/// How many rows are asked for at once.
const PAGE_ROWS: u32 = 1000;

/// One plugin instance, and the handles that it has open.
pub struct Instance<P> {
    slot: RefCell<Option<(P, Imports)>>,
}

impl<P: Plugin> Instance<P> {
    /// Before `init`.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "only `export!` makes one")]
    pub const fn new() -> Self {
        Self { slot: RefCell::new(None) }
    }

    /// The export `init`.
    ///
    /// # Errors
    /// What [`Plugin::new`] says, or that the configuration does not fit [`Plugin::Config`].
    pub fn init(&self) -> Result<(), String> {
        std::panic::set_hook(Box::new(last_words));
        let plugin = make(&config::json())?;
        self.slot.replace(Some((plugin, Imports::default())));
        Ok(())
    }

    /// The export `process`.
    ///
    /// # Errors
    /// What [`Plugin::batch`] says.
    pub fn process(&self, batch: &types::Batch) -> Result<types::Outcome, types::Failure> {
        let mut slot = self.slot.borrow_mut();
        let Some((plugin, imports)) = slot.as_mut() else {
            return Err(types::Failure::Fatal("the host called `process` before `init`".to_owned()));
        };
        process(plugin, imports, batch).map_err(|failure| match failure {
            Failure::Retry(message) => types::Failure::Retry(message),
            Failure::Fatal(message) => types::Failure::Fatal(message),
        })
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
    Ok(draft.finish())
}

/// Tells the host why the trap comes that follows.
fn last_words(panic: &std::panic::PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    log::panicked(panic.payload_as_str().unwrap_or("the plugin panicked"), &location);
}

/// The imports of the component.
#[derive(Default)]
struct Imports {
    /// Few tables: a list is faster than a map.
    open: Vec<(Table, state::Store)>,
}

impl Imports {
    fn store(&mut self, table: Table) -> &state::Store {
        let position = match self.open.iter().position(|(known, _)| *known == table) {
            Some(position) => position,
            None => {
                self.open.push((table, state::Store::open(table.name())));
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

    fn get(&mut self, table: Table, key: &[u8]) -> Option<Vec<u8>> {
        self.store(table).get(key)
    }

    fn page(&mut self, table: Table, keys: Keys<'_>, after: Option<&[u8]>) -> state::Page {
        let store = self.store(table);
        match keys {
            Keys::All => store.scan(None, None, after, PAGE_ROWS),
            Keys::Prefix(prefix) => store.scan_prefix(prefix, after, PAGE_ROWS),
        }
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
