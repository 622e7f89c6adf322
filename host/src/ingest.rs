//! Where records come from when nobody writes them to Kafka: SQL tables, requests of HTTP, a DynamoDB table.
//!
//! ```text
//! sql  dynamodb  http         the outside world: rows, items, requests
//! cell  mapping               a row becomes a key and a JSON value
//! difference  spool  run      what changed since the last run, in one transaction
//! schedule                    when
//! ledger                      a database that somebody works with, for the demo
//! ```
//! Nothing here keeps state of its own: what is already published is learned from the topic.

pub mod cell;
pub mod difference;
pub mod dynamodb;
pub mod http;
pub mod mapping;
pub mod run;
pub mod schedule;
pub mod spool;
pub mod sql;
pub mod sqlite_file;
