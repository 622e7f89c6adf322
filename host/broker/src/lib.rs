//! A small in-process Kafka broker for demos, development and tests; never for production.
//!
//! One node, data in memory, Kafka's wire protocol on a loopback port. It does what an exactly-once
//! client needs (transactions, consumer groups, compaction) and what a test of one needs: typed
//! [faults](Faults), connections that can be killed, a broker that goes down and comes back with its
//! data, a clock that can be advanced, and views that a checker can read without a client.
//!
//! ```
//! let broker = gristmill_broker::Broker::builder().topic("items", 4).start()?;
//! println!("bootstrap.servers={}", broker.bootstrap());
//! broker.stop();
//! # Ok::<(), gristmill_broker::BrokerError>(())
//! ```
//!
//! # How it is built
//! A request passes four floors, and each knows only the ones below it:
//!
//! | floor | modules | knows |
//! |---|---|---|
//! | handle | `broker`, `builder` | threads, start and stop |
//! | wire | `server`, `wire`, `dispatch`, `faults` | frames, versions, sizes, faults |
//! | answers | `api` | one Kafka request type a function, and its errors |
//! | state | `cluster` over `topics`, `log`, `groups`, `transactions` | no wire, no threads, no clock: time comes in as an argument |
//!
//! All state is behind one mutex. It is never held across an await, and what waits (a fetch, a join)
//! waits outside it.

mod api;
mod broker;
mod builder;
mod clock;
mod cluster;
mod dispatch;
mod error;
mod faults;
mod groups;
mod limits;
mod log;
mod server;
#[cfg(test)]
mod testing;
mod topics;
mod transactions;
mod view;
mod wire;

pub use broker::Broker;
pub use builder::Builder;
pub use clock::ManualClock;
pub use error::BrokerError;
pub use faults::FaultHandle;
pub use faults::FaultRule;
pub use faults::Faults;
pub use limits::Limits;
pub use view::GroupView;
pub use view::PartitionView;
pub use view::TransactionView;

/// Kafka's own number for each request type; names what a fault applies to.
pub use kafka_protocol::messages::ApiKey;

/// Kafka's own error codes; what a fault can answer with.
pub use kafka_protocol::error::ResponseError;
