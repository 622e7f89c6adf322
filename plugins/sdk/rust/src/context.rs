//! What a plugin can do during a call.

use std::time::Duration;

use crate::Call;
use crate::Clock;
use crate::Endpoint;
use crate::Failure;
use crate::Headers;
use crate::IndexName;
use crate::Job;
use crate::JobKind;
use crate::Key;
use crate::Level;
use crate::Reject;
use crate::Row;
use crate::Sink;
use crate::Source;
use crate::Step;
use crate::Store;
use crate::StoreRef;
use crate::Table;
use crate::TableRef;
use crate::Timestamp;
use crate::Value;
use crate::after;
use crate::host::Host;
use crate::outcome::Draft;
use crate::output::Output;
use crate::walk;
use crate::walk::Cursor;

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

    pub(crate) fn host(&mut self) -> &mut dyn Host {
        self.host
    }

    /// How many outputs were sent in this call.
    pub(crate) fn sent(&self) -> usize {
        self.draft.outputs.len()
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

    /// A store of the plugin.
    pub fn store<K: Key + ?Sized, V: Value + ?Sized>(&mut self, store: Store<K, V>) -> StoreRef<'_, K, V> {
        StoreRef::new(self.host, self.draft, store)
    }

    /// How far the task had handled a source of kind stream or table before this call: records from this
    /// offset on come later, and those of this call are among them.
    #[must_use]
    pub fn position(&mut self, source: Source) -> i64 {
        self.host.position(source)
    }

    /// How far the task had applied a source of kind broadcast before this call: the next offset of each partition
    /// of which it has applied something.
    #[must_use]
    pub fn applied(&mut self, source: Source) -> Vec<(u32, i64)> {
        self.host.applied(source)
    }

    /// Whether a record or row was made with an older state of a broadcast source than this task has: whether its
    /// header `gristmill-after` names less than [`Context::applied`] does. For records of a transform that
    /// has the same topic as a broadcast source, and declares `after` with it, and with nothing else, on the sink
    /// that they come from; the partitions and offsets are compared, not the topics' names. One without the header was
    /// made with nothing.
    #[must_use]
    pub fn is_older(&mut self, headers: Headers<'_>, source: Source) -> bool {
        after::is_older(headers, &self.host.applied(source))
    }

    /// Starts a job, or supersedes the one of this kind and name, and gives its generation.
    pub fn start(&mut self, kind: JobKind<'_>, name: &str, payload: &[u8]) -> u64 {
        self.host.start(kind.name(), name, payload)
    }

    /// Ends a job. False if there was none.
    pub fn cancel(&mut self, kind: JobKind<'_>, name: &str) -> bool {
        self.host.cancel(kind.name(), name)
    }

    /// Whether a job of this kind and name is waiting or under way.
    #[must_use]
    pub fn is_under_way(&mut self, kind: JobKind<'_>, name: &str) -> bool {
        self.host.find(kind.name(), name).is_some()
    }

    /// Looks at a job of this kind and name, if it is waiting or under way.
    pub fn find<T>(&mut self, kind: JobKind<'_>, name: &str, look: impl FnOnce(&Job<'_>) -> T) -> Option<T> {
        self.host.find(kind.name(), name).map(|job| look(&Job::new(&job, 0)))
    }

    /// One step of a job over the rows of a table that have a term in an index: gives `each` some of them,
    /// in the order of their keys, until the budget of the job is used up, and finds the way back with the
    /// cursor. A job that superseded another goes on where that one stood, and wraps round to it. The
    /// rows of the whole job are counted on the way.
    ///
    /// # Errors
    /// Those of `each`.
    pub fn follow(
        &mut self,
        job: &Job<'_>,
        table: Table,
        index: IndexName<'_>,
        term: &[u8],
        mut each: impl FnMut(&Row<'_>, &mut Context<'_>) -> Result<(), Failure>,
    ) -> Result<Step, Failure> {
        let over = walk::Over { table, index, term };
        let mut cursor = Cursor::of(job, None);
        cursor.advance(&over, job.budget, self, |row, ctx| each(row, ctx)).map(|done| done.step(&cursor))
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

    /// Sets a timer on the wall clock, so long after now. It replaces the timer of this name, if there is one. When it is
    /// due, [`Timers::timer`](crate::Timers::timer) is called, once.
    pub fn timer_after(&mut self, name: &[u8], wait: Duration, payload: &[u8]) {
        self.timer_at(Clock::WallClock, name, self.now().after(wait), payload);
    }

    /// Sets a timer on either clock. It replaces the timer of this clock and name, if there is one.
    pub fn timer_at(&mut self, clock: Clock, name: &[u8], due: Timestamp, payload: &[u8]) {
        self.host.set_timer(clock, name, due, payload);
    }

    /// Forgets a timer, if there is one.
    pub fn cancel_timer(&mut self, clock: Clock, name: &[u8]) {
        self.host.cancel_timer(clock, name);
    }

    /// Starts a callout: an HTTP request that the host makes once this call is committed. It is made when its method and
    /// path are given. The id is unique for the effect, and one that is known is not called again: derive it from what
    /// causes the request, such as the place of a record. What became of it comes to
    /// [`Callouts::response`](crate::Callouts::response).
    pub fn call(&mut self, endpoint: Endpoint<'_>, id: &str) -> Call<'_> {
        Call::new(self.draft, endpoint, id, self.cause)
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
