//! Callouts: HTTP requests that the host makes for a plugin, outside of the stream.
//!
//! ```text
//!   plugin --Intent--> task --committed--> Call --Callouts::send--> server
//!   plugin <-Response- task <--- Answer <------- Callouts::poll <---- server
//! ```
//! A task keeps its intents in its state. What is handed to [`Callouts`] is committed as `dispatching` already, so that no
//! request leaves the host that nobody would know of after a crash.

use std::fmt;
use std::time::Duration;

use crate::id::{EndpointIndex, Partition, Timestamp};

/// What is promised about the number of requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CalloutMode {
    /// Never more than one request for an id.
    AtMostOnce,
    /// The same request, with the same key, until there is an answer.
    Idempotent,
}

impl CalloutMode {
    /// The modes with their names in a pipeline file.
    pub const NAMES: [(&'static str, Self); 2] =
        [("at-most-once", Self::AtMostOnce), ("idempotent", Self::Idempotent)];

    /// The name in a pipeline file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AtMostOnce => "at-most-once",
            Self::Idempotent => "idempotent",
        }
    }
}

/// A request that a plugin wants to be made, as it was lifted: nothing of it is checked yet.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Intent {
    /// Unique for the effect.
    pub id: String,
    /// The endpoint's name in the manifest.
    pub endpoint: String,
    /// The HTTP method.
    pub method: String,
    /// Path and query below the base URL.
    pub path: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Option<Vec<u8>>,
    /// The key of the review record; given back with the answer.
    pub key: Option<Vec<u8>>,
    /// Given back with the answer; the value of the review record.
    pub context: Vec<u8>,
    /// Position in the list that the call was given of what caused it.
    pub cause: Option<u32>,
}

/// A request to be made. Its intent is committed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    /// The id of its intent; the value of `Idempotency-Key`, whatever the mode.
    pub id: String,
    /// Where it goes.
    pub endpoint: EndpointIndex,
    /// The HTTP method.
    pub method: String,
    /// Path and query below the base URL: checked.
    pub path: String,
    /// Names and values: checked.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Option<Vec<u8>>,
    /// How many requests for this id were made before, by whoever: those of which a byte was handed to a connection. In the
    /// mode at-most-once there were none.
    pub attempts: u32,
    /// When the intent was made: giving up counts from here.
    pub intended: Timestamp,
    /// When the commit of its `dispatching` began, on the clock that both sides share ([`crate::clock::Clock::elapsed`]). Long
    /// after it nothing is sent: somebody else may have taken the task over and told an operator that the call is in doubt.
    pub committed: Duration,
}

/// What became of a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ended {
    /// The endpoint answered.
    Answered {
        /// The HTTP status.
        status: u16,
        /// Names and values, as they came; values that are no text are left out.
        headers: Vec<(String, String)>,
        /// The body.
        body: Vec<u8>,
    },
    /// Certainly not executed, and given up.
    GaveUp(Reason),
    /// It is not known whether it was executed, or the answer is lost.
    InDoubt(Reason),
    /// Nothing of it was handed to a connection, and nothing will be: it may be sent again once that is committed. It was
    /// withdrawn, or it came too late after its commit. In the mode idempotent it may have had attempts before; they count.
    NotSent,
}

/// Why a call has no answer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reason {
    /// Stable, kebab-case.
    pub code: String,
    /// For a person; without secrets.
    pub message: String,
    /// The last HTTP status, if there was an answer.
    pub last_status: Option<u16>,
}

/// What is known about a call at its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The id of its intent.
    pub id: String,
    /// What became of it.
    pub ended: Ended,
    /// How many requests were made for the id, those before this call included: a request counts once a byte of it was handed
    /// to a connection.
    pub attempts: u32,
}

/// What became of a callout, as a plugin is told. Never [`Ended::NotSent`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Response {
    /// The id of the intent.
    pub id: String,
    /// The endpoint's name in the manifest.
    pub endpoint: String,
    /// What was promised.
    pub mode: CalloutMode,
    /// What became of it.
    pub ended: Ended,
    /// How many requests were made.
    pub attempts: u32,
    /// As given with the intent.
    pub key: Option<Vec<u8>>,
    /// As given with the intent.
    pub context: Vec<u8>,
}

/// A call of a plugin with what became of its callouts.
#[derive(Clone, Copy, Debug)]
pub struct Responses<'a> {
    /// At least one.
    pub responses: &'a [Response],
    /// Wall clock when the call began.
    pub now: Timestamp,
    /// The highest timestamp that the task has seen.
    pub stream_time: Timestamp,
}

/// A place for one call among those that an endpoint takes at the same time. Dropping it gives it back.
pub struct Permit(#[expect(dead_code, reason = "it is only dropped")] Box<dyn Send>);

impl Permit {
    /// A permit that drops `guard` with itself.
    pub fn new(guard: impl Send + 'static) -> Self {
        Self(Box::new(guard))
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
    }
}

/// Makes the calls of a transform's tasks in this process. All its workers share it: a task that moves from one of them to
/// another finds its answers there.
pub trait Callouts: Send + Sync {
    /// A place for one call; none while the endpoint's concurrency or rate is used up or its circuit is open. Never waits.
    fn permit(&self, endpoint: EndpointIndex) -> Option<Permit>;

    /// Makes a call, in the background. Its intent is committed as `dispatching`, and no call of this task and id is held.
    fn send(&self, task: Partition, call: Call, permit: Permit);

    /// What became of a call of this task, if something new is known. Each is told once after a [`Callouts::claim`], and kept
    /// until it is settled. Never waits.
    fn poll(&self, task: Partition) -> Option<Answer>;

    /// What was told of a call is committed: it is forgotten here.
    fn settled(&self, task: Partition, id: &str);

    /// Whether a call is under way here, or its answer is not settled yet.
    fn holds(&self, task: Partition, id: &str) -> bool;

    /// The task is worked on here from now on. Answers that are not settled are told again: whoever was told before has lost
    /// them.
    fn claim(&self, task: Partition);

    /// Nobody works on the task here any more, perhaps only for a moment: what was not handed to a connection yet is not
    /// sent any more, and ends as [`Ended::NotSent`]. Answers that nobody claims for long are orphans, and are for the inbox.
    fn withdraw(&self, task: Partition);

    /// How many calls of a task are under way here.
    fn under_way(&self, task: Partition) -> usize;

    /// Waits until something new is known of any task, or so long.
    fn wait(&self, at_most: Duration);

    /// How long a call may take, from the moment that it is sent to the moment that its answer is known. A new owner of the
    /// task waits this long before it says that a call is in doubt.
    fn longest(&self, endpoint: EndpointIndex) -> Duration;
}

/// For transforms without endpoints.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCallouts;

impl Callouts for NoCallouts {
    fn permit(&self, _endpoint: EndpointIndex) -> Option<Permit> {
        None
    }

    fn send(&self, _task: Partition, _call: Call, _permit: Permit) {}

    fn poll(&self, _task: Partition) -> Option<Answer> {
        None
    }

    fn settled(&self, _task: Partition, _id: &str) {}

    fn holds(&self, _task: Partition, _id: &str) -> bool {
        false
    }

    fn claim(&self, _task: Partition) {}

    fn withdraw(&self, _task: Partition) {}

    fn under_way(&self, _task: Partition) -> usize {
        0
    }

    fn wait(&self, _at_most: Duration) {}

    fn longest(&self, _endpoint: EndpointIndex) -> Duration {
        Duration::ZERO
    }
}
