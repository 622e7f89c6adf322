//! What a running host shows of itself: workers publish, the admin API reads, and neither waits for the other.
//!
//! ```text
//! worker --- Slot: about once a second, a snapshot ---> Board ---> whoever asks
//!        <-- Slot: a question, between two turns ------
//! ```
//! A slot's lock is held for as long as it takes to swap a pointer. A worker that hangs leaves an old snapshot behind, and
//! its age tells.

mod board;
mod ingest;
mod question;
mod snapshot;
#[cfg(test)]
pub(crate) mod testing;

pub use board::{Board, Seen, Slot, Standing, TransformBoard};
pub use ingest::{IngestBoard, IngestState, IngestStatus, PublishedCounts, RunRequest, RunStatus};
pub use question::{Answer, Ask, CalloutStatus, PATIENCE, Question, ROWS_MAX, Refusal, Row, Which, answer};
pub use snapshot::{
    CalloutCounts, FaultStatus, JobState, JobStatus, PartitionStatus, RestoreStatus, StoreStatus, TaskState,
    TaskStatus, WorkerStatus,
};
