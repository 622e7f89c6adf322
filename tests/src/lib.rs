//! The support library of the test suites: clusters, clients, processes, the conformance checks, and the checker.
//!
//! A suite is an integration test of this package: `offline` needs nothing but Rust, `broker` needs Java and Maven.
//! Nothing here waits for a length of time: every wait is for a condition, with a deadline and a message that says what
//! was seen instead.

pub mod activations;
mod admin;
pub mod bench;
pub mod certificates;
pub mod checker;
pub mod client;
pub mod cluster;
pub mod conformance;
pub mod database;
pub mod dynamodb;
pub mod exchange;
pub mod fanout;
pub mod fold;
pub mod foreign;
pub mod host;
pub mod http;
pub mod inlet;
pub mod ledger;
pub mod local;
pub mod logistics;
pub mod orders;
pub mod process;
pub mod read;
pub mod record;
pub mod rest_server;
pub mod rundir;
pub mod shop;
pub mod turn;
pub mod wait;
pub mod workload;
