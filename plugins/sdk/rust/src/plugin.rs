//! What a plugin author writes.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::Batch;
use crate::Context;
use crate::Failure;
use crate::Record;
use crate::Reject;
use crate::Source;

/// A plugin: made once for each task, then given its records.
///
/// Its memory is a cache: the host may drop the instance between any two calls and make a new one. What
/// must last goes out through the [`Context`].
pub trait Plugin: Sized {
    /// The settings of the manifest's `[config]`. The host has checked them and filled in the defaults.
    type Config: DeserializeOwned;

    /// Makes an instance. It sees no state: `gristmill check` calls it too.
    ///
    /// # Errors
    /// What is wrong with the configuration beyond what its schema can say; the operator reads it.
    fn new(config: Self::Config) -> Result<Self, String>;

    /// Processes one record. Outputs go to `ctx`.
    ///
    /// # Errors
    /// The record cannot be processed and never will: it goes to the dead-letter topic, and what was
    /// sent for it is dropped.
    fn record(&mut self, source: Source, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Reject>;

    /// Processes the records of one call. Only for plugins that gain from seeing them together.
    ///
    /// # Errors
    /// Nothing of this call must be committed.
    fn batch(&mut self, batch: &Batch<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        batch.each(self, ctx)
    }
}

/// The [`Plugin::Config`] of a plugin without settings.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoConfig {}
