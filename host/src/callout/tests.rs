//! The client against real servers on loopback: good days and bad ones.

mod bad_days;
mod chaos;
mod desk;
mod gates;
mod idempotence;
mod secrets;
mod server;
mod speed;
mod tasks;
mod tls;
