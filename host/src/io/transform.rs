//! Plugins: what is asked of them, and what they answer.

use std::time::Duration;

use crate::fault::Fault;
use crate::id::{Partition, SinkIndex, SourceIndex, TaskId, Timestamp};
use crate::io::callouts::{Intent, Responses};
use crate::io::state::{Job, State};
use crate::io::timers::TimersDue;
use crate::record::{Chunk, HeaderSlot, Range, Span};

/// A plugin deployed under a name: makes instances.
pub trait Transform {
    /// A new instance for a task. It knows nothing of what earlier instances did.
    ///
    /// # Errors
    /// `plugin_init_failed`.
    fn instance(&self, task: &TaskId) -> Result<Box<dyn Instance>, Fault>;
}

/// One running copy of a plugin. Its memory is a cache: it may be dropped between any two calls, and it is dropped
/// after any call that failed.
pub trait Instance {
    /// One call with records of one source. The state goes in and comes back.
    fn process(&mut self, batch: Batch<'_>, state: Box<dyn State>) -> Answered;

    /// The terms of rows, for one index. Pure: it sees no state, and the same row gives the same terms.
    ///
    /// # Errors
    /// Why there are none. A row that fails alone has no terms.
    fn index(&mut self, index: &str, rows: &Chunk) -> Result<Terms, CallError> {
        let message = format!("the plugin computes no terms for {} rows of index `{index}`", rows.len());
        Err(CallError::Trap { message, location: None })
    }

    /// One step of a job. The state goes in and comes back.
    fn step(&mut self, step: Step<'_>, state: Box<dyn State>) -> Stepped {
        let message = format!("the plugin does no jobs, and none of kind `{}`", step.job.kind);
        Stepped { answer: Err(CallError::Trap { message, location: None }), state }
    }

    /// One call with timers that are due. A cause or a rejection in the outcome is a position among them. The state goes in and
    /// comes back.
    fn timers(&mut self, call: TimersDue<'_>, state: Box<dyn State>) -> Answered {
        let message = format!("the plugin takes no timers, and {} are due", call.due.len());
        Answered { answer: Err(CallError::Trap { message, location: None }), state }
    }

    /// One call with what became of callouts. A cause or a rejection in the outcome is a position among them. The state goes in
    /// and comes back.
    fn responses(&mut self, call: Responses<'_>, state: Box<dyn State>) -> Answered {
        let message = format!("the plugin takes no answers, and there are {}", call.responses.len());
        Answered { answer: Err(CallError::Trap { message, location: None }), state }
    }

    /// Whether it has grown so much that a fresh one is better.
    fn is_spent(&self) -> bool {
        false
    }
}

/// The answer to a call, and the state that was lent to it.
pub struct Answered {
    /// What the plugin wants done, unchecked, or why the call failed.
    pub answer: Result<Outcome, CallError>,
    /// The state, with what the call wrote to it.
    pub state: Box<dyn State>,
}

/// Records for one call.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Where they come from.
    pub source: SourceIndex,
    /// The partition that they lie in.
    pub partition: Partition,
    /// The records.
    pub records: &'a Chunk,
    /// For each record the row that its key had before it: as many as there are records, without a value where there was no
    /// row. None unless the source asks for it.
    pub previous: Option<&'a Chunk>,
    /// Wall clock when the call began.
    pub now: Timestamp,
    /// The highest timestamp that the task has seen.
    pub stream_time: Timestamp,
}

/// The terms of some rows, for one index.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Terms {
    /// The terms of row i are `spans[ends[i - 1] .. ends[i]]`, those of the first begin at 0.
    pub spans: Vec<Span>,
    /// One for each row, ascending.
    pub ends: Vec<u32>,
    /// The arena of the spans.
    pub bytes: Vec<u8>,
}

/// A call for one step of a job.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// The job as it stands.
    pub job: &'a Job,
    /// How many outputs the host would like at most.
    pub budget: u32,
    /// Wall clock when the call began.
    pub now: Timestamp,
    /// The highest timestamp that the task has seen.
    pub stream_time: Timestamp,
}

/// The answer to a step, and the state that was lent to it.
pub struct Stepped {
    /// What the plugin wants done, unchecked, or why the call failed.
    pub answer: Result<StepOutcome, CallError>,
    /// The state, with what the call wrote to it.
    pub state: Box<dyn State>,
}

/// What a step came to.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct StepOutcome {
    /// Without rejections: there is no record to reject.
    pub outcome: Outcome,
    /// The cursor for the next step; none when the job is done.
    pub cursor: Option<Vec<u8>>,
    /// Rows looked at in this step.
    pub visited: u64,
    /// Rows of the whole job, if known.
    pub total: Option<u64>,
}

/// Why a call gave no outcome. Nothing of it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CallError {
    /// The guest panicked or trapped.
    Trap {
        /// The guest's last words, or the engine's name for the trap.
        message: String,
        /// File and line, when the guest told them.
        location: Option<String>,
    },
    /// The guest computed longer than its limit, in CPU time.
    Timeout {
        /// The limit.
        limit: Duration,
    },
    /// A limit other than time was hit.
    Limit {
        /// Which one: `memory_limit` or `output_limit`.
        code: crate::fault::Code,
        /// What was asked for and what is granted.
        message: String,
    },
    /// The state could not be read or written: the host's matter, not the plugin's.
    State {
        /// Why.
        code: crate::fault::Code,
        /// What happened.
        message: String,
    },
    /// The plugin asks for the same batch again, later.
    Retry(String),
    /// The plugin cannot go on.
    Fatal(String),
}

/// What a plugin wants done, as it was lifted: spans and numbers are not checked yet.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Outcome {
    /// The records to produce.
    pub outputs: Vec<OutputSlot>,
    /// Their headers.
    pub headers: Vec<HeaderSlot>,
    /// The arena of outputs and headers.
    pub bytes: Vec<u8>,
    /// The records that it will never be able to process.
    pub rejected: Vec<Rejection>,
    /// The records left without effect on purpose: code, how many.
    pub skipped: Vec<(String, u32)>,
    /// What the plugin measured during the call; counts only if the call is kept.
    pub measurements: Vec<Measurement>,
    /// The HTTP requests that it wants to be made.
    pub callouts: Vec<Intent>,
}

/// A value of a plugin's own metric.
#[derive(Clone, PartialEq, Debug)]
pub struct Measurement {
    /// The metric, as the plugin names it.
    pub name: String,
    /// What happened to it.
    pub value: Measured,
    /// Names and values; the order does not matter.
    pub labels: Vec<(String, String)>,
}

/// What happened to a metric.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Measured {
    /// A counter grew by this.
    Count(u64),
    /// A gauge was set to this.
    Gauge(f64),
    /// A histogram got this value.
    Observe(f64),
}

/// Where the parts of an output lie in an outcome.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutputSlot {
    /// Which sink.
    pub sink: SinkIndex,
    /// The key.
    pub key: Option<Span>,
    /// The value; none is a tombstone.
    pub value: Option<Span>,
    /// The headers.
    pub headers: Range,
    /// None takes the timestamp of the cause, or stream time.
    pub timestamp: Option<Timestamp>,
    /// Position in the batch of the record that caused it.
    pub cause: Option<u32>,
}

/// A record that a plugin rejects.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rejection {
    /// Position in the batch.
    pub index: u32,
    /// Stable, kebab-case.
    pub code: String,
    /// For a person.
    pub message: String,
}
