//! What a plugin can do during a call.

use crate::Level;
use crate::Reject;
use crate::Sink;
use crate::Table;
use crate::TableRef;
use crate::Timestamp;
use crate::host::Host;
use crate::outcome::Draft;
use crate::output::Output;

/// The host, as seen from within a call. What is done here counts when the call is committed, and not at
/// all when it is not.
pub struct Context<'a> {
    host: &'a mut dyn Host,
    draft: &'a mut Draft,
    /// The position of the record at hand.
    cause: Option<u32>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(host: &'a mut dyn Host, draft: &'a mut Draft) -> Self {
        Self { host, draft, cause: None }
    }

    /// Starts an output. It is sent when its value is given.
    pub fn send(&mut self, sink: Sink) -> Output<'_> {
        Output::new(self.draft, sink, self.cause)
    }

    /// Leaves the record at hand without effect, on purpose; the code is a metric label. Good for a last
    /// line: `return ctx.skip("not-online")`.
    ///
    /// # Errors
    /// None.
    pub fn skip(&mut self, code: &'static str) -> Result<(), Reject> {
        self.draft.skip(code);
        Ok(())
    }

    /// A table that the host keeps.
    pub fn table(&mut self, table: Table) -> TableRef<'_> {
        TableRef::new(self.host, table)
    }

    /// The wall clock when this call began; the same when the call is repeated.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.host.now()
    }

    /// The highest timestamp that the task has applied; negative before the first record.
    #[must_use]
    pub fn stream_time(&self) -> Timestamp {
        self.host.stream_time()
    }

    /// Whether [`Context::log`] at this level goes anywhere: ask before costly formatting.
    #[must_use]
    pub fn enabled(&self, level: Level) -> bool {
        self.host.enabled(level)
    }

    /// Writes a line to the host's log, at once. Never payloads, never secrets.
    pub fn log(&mut self, level: Level, message: &str, fields: &[(&str, &str)]) {
        self.host.log(level, message, fields);
    }

    /// Runs `work` for the record at this position of the batch: its outputs get the record as their
    /// cause, and if it rejects, what it sent is dropped and the rejection noted. For plugins with a
    /// [`Plugin::batch`](crate::Plugin::batch) of their own.
    pub fn at(&mut self, position: usize, work: impl FnOnce(&mut Context<'_>) -> Result<(), Reject>) {
        let cause = crate::arena::number(position);
        let mark = self.draft.mark();
        let mut inner = Context { host: self.host, draft: self.draft, cause: Some(cause) };
        if let Err(reject) = work(&mut inner) {
            self.draft.undo(mark);
            self.draft.reject(cause, reject);
        }
    }
}
