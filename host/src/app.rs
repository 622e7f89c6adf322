//! Joins adapters to each other and to the workers: the only floor where Kafka, plugins and configuration meet.

pub mod bundled;
pub mod checks;
pub mod plugins;
pub mod topics;
