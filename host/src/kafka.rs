//! Kafka, as the ports see it: the only place that names rdkafka.
//!
//! Consumers and producers are our own thin ones over librdkafka's C functions, because the crate's own cannot do what
//! exactly-once needs of them: it names no topic at the end of a partition, panics on header names that are not UTF-8,
//! waits 100 ms in every commit and takes no interceptors. All `unsafe` code of the host's Kafka side is in `native`,
//! `consumer`, `producer`, `clerk`, `identity` and `complaints`; everything above them is ordinary code.
//!
//! ```text
//! source  broadcast  tail  follower                 what the host reads
//! restorer  ends  sample
//! sink    produce    outlet    topics       what it writes and makes
//! consumer  producer  clerk  identity       thin clients: one owner, a few calls
//! client  native  error                     settings, pointers with owners, codes
//! ```

pub mod broadcast;
mod clerk;
pub mod client;
mod client_log;
mod complaints;
mod consumer;
mod doubts;
pub mod ends;
mod error;
mod fetched;
mod follower;
pub mod groups;
mod identity;
mod members;
mod native;
pub mod outlet;
pub mod produce;
mod producer;
mod rebalance;
pub mod restorer;
pub mod sample;
pub mod sink;
pub mod source;
pub mod tail;
pub mod topics;
