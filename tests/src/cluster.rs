//! The clusters that a suite runs against: the dev broker, and a real Apache Kafka.

mod apache;
mod dev;
mod ports;

pub use apache::{Apache, Nodes, PASSWORD, Secured};
pub use dev::Dev;
pub use ports::free as free_ports;

use crate::client::Client;

/// Which broker answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Gristmill's own small broker.
    Dev,
    /// Apache Kafka.
    Apache,
}

/// A Kafka cluster that a test talks to.
pub trait Cluster: Sync {
    /// Addresses of the brokers, as the client property `bootstrap.servers` takes them.
    fn bootstrap(&self) -> String;

    /// Which broker answers.
    fn kind(&self) -> Kind;

    /// The last lines of the brokers' logs, for a failure's message.
    fn log(&self) -> String;

    /// A maker of clients of this cluster.
    fn client(&self) -> Client {
        Client::new(&self.bootstrap())
    }
}
