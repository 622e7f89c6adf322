//! Ingests of HTTP over real connections, on topics in memory.

mod bounds;
mod client;
mod house;
mod idempotence;
mod kafka_down;
mod secrecy;
mod start;
mod statuses;
mod tls;
