//! The host's Kafka adapters against a real broker: what the ports promise, and what a fake cannot show.

mod broadcast;
mod sink;
mod source;
mod support;
mod topics;
