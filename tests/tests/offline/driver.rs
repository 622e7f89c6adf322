//! The bundled plugins, as real components, in the test driver: no broker, no thread, no waiting.

mod activation;
mod broadcasts;
mod chain;
mod commands;
mod crashes;
mod delivery_time;
mod errand;
mod hosts;
mod orders;
mod products;
mod shop;
