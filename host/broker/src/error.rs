//! What can go wrong with the broker itself, and how it refuses a client.

use std::io;
use std::net::SocketAddr;

use kafka_protocol::error::ResponseError;

/// Why the broker could not start, come back or do what its owner asked.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The port is taken or may not be bound.
    #[error("dev broker cannot listen on `{address}`")]
    Listen {
        /// What it tried to bind.
        address: SocketAddr,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The runtime's threads could not be made.
    #[error("dev broker cannot start its runtime")]
    Runtime(#[source] io::Error),
    /// A topic asked for at the start, or through the handle, breaks a rule or a limit.
    #[error("dev broker cannot create topic `{topic}`: {reason}")]
    Topic {
        /// The topic's name.
        topic: String,
        /// The rule or limit.
        reason: String,
    },
    /// The broker's thread has ended.
    #[error("dev broker has stopped")]
    Stopped,
}

impl BrokerError {
    /// The stable name of the error, for scripts and tests.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Listen { .. } => "broker_listen",
            Self::Runtime(_) => "broker_runtime",
            Self::Topic { .. } => "broker_topic",
            Self::Stopped => "broker_stopped",
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Listen { .. } => "choose another port, or port 0 for a free one",
            Self::Runtime(_) => "look at the limits on threads and file descriptors (`ulimit -a`)",
            Self::Topic { .. } => "choose a legal name, at least one partition, and known settings",
            Self::Stopped => "start a new one",
        }
    }
}

/// How a request, or one entry of it, is refused: Kafka's error code and a sentence where the API carries one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) error: ResponseError,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(error: ResponseError, message: impl Into<String>) -> Self {
        Self { error, message: message.into() }
    }
}

impl From<ResponseError> for Refusal {
    fn from(error: ResponseError) -> Self {
        Self { error, message: error.to_string() }
    }
}
