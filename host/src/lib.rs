//! Gristmill runs WebAssembly transforms on Kafka streams: sandboxed, stateful, exactly-once.
//!
//! # Floors
//! A module imports lower floors only, and a test proves it:
//!
//! ```text
//! cli  main                                       what a person types
//! app  api                                        joins adapters to workers
//! worker  driver                                  the poll loop and the one commit path
//! task | kafka  store  plugin  callout  ingest  memory    the heart, and the adapters that never import each other
//! io  config  event  status  view                 ports, configuration, logs and metrics
//! record  fault  sabotage                         what flows, what goes wrong, and what tests break
//! id  clock                                       names, numbers, time
//! ```
//!
//! # The life of a record
//! A worker polls its [`io::Source`] and hands [`record::Chunk`]s to the task of their partition. The task gives its next
//! chunk to its plugin instance in one call and turns the outcome into effects: outputs, dead letters, positions. The
//! worker sends them through its [`io::Sink`] in a transaction and commits it together with the positions. What was not
//! committed never happened.

pub mod api;
pub mod app;
pub mod callout;
pub mod cli;
pub mod clock;
pub mod config;
pub mod driver;
pub mod event;
pub mod fault;
pub mod id;
pub mod ingest;
pub mod io;
pub mod kafka;
pub mod memory;
pub mod plugin;
pub mod record;
mod sabotage;
pub mod status;
pub mod store;
pub mod task;
pub mod view;
pub mod worker;
