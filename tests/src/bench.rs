//! Measures the host against native loops on a real Kafka, in one run on one machine.
//!
//! All figures are comparisons: the subjects take turns in the same broker, A B A B, and what is quoted is the median of
//! the ratios of neighbours with the smallest and the largest of them. Processor time is read from `/proc`, for the
//! subject and for the broker, because wall time on a shared machine says little. Each subject drains the same backlog,
//! and the clock runs from the commit that passes a quarter of it to the last one: how long a subject takes to start, and
//! what it has fetched before it begins, is not in it.

mod boundary;
mod callouts;
mod connection;
mod fanout;
mod ingest;
mod load;
mod meter;
mod native;
mod raw;
mod report;
mod stage;
mod subject;
mod transaction;
mod watch;

pub use boundary::boundary;
pub use callouts::{callouts, waiting};
pub use fanout::{Plan, fanout, restore};
pub use ingest::{http, table};
pub use load::produce_raw;
pub use native::{Mode, loop_forever};
pub use report::{Report, ratio};
pub use stage::Way;
pub use subject::{Backlog, Figures, Subject};
pub use transaction::transactions;
