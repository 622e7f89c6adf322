//! The ports: what the heart of the host needs from the outside world, as traits.
//!
//! `kafka`, `store` and `plugin` implement them for real, `memory` implements them for the test driver and the simulation.
//! The commit path that ties them together is in `worker` and exists once.

mod callouts;
mod ingest;
mod placement;
mod restore;
mod sink;
mod source;
mod state;
mod store;
mod timers;
mod transform;

pub use callouts::{
    Answer, Call, CalloutMode, Callouts, Ended, Intent, NoCallouts, Permit, Reason, Response, Responses,
};
pub use ingest::{Change, Outlet, PublishError, Published, UpTo};
pub use placement::partition_of;
pub use restore::{Restored, Restorer, Until};
pub use sink::{CauseId, Outgoing, Sink, TopicFacts, TransactionError};
pub use source::{Bounds, Committed, Input, Source};
pub use state::{Job, KeyRange, Limit, NoState, Page, State, StateError, StoreIndex};
pub use store::{
    KEY_BYTES_MAX, StoreEngine, StoreRange, Stores, Visit, Write, behind_prefix, is_empty_range,
};
pub use timers::{Timer, TimerClock, TimersDue};
pub use transform::{
    Answered, Batch, CallError, Instance, Measured, Measurement, Outcome, OutputSlot, Rejection, Step,
    StepOutcome, Stepped, Terms, Transform,
};
