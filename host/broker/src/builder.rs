//! How a broker is made: the choices of its owner, with defaults that fit a test.

use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::time::Duration;

use crate::broker::Broker;
use crate::clock::Clock;
use crate::clock::ManualClock;
use crate::cluster::Settings;
use crate::error::BrokerError;
use crate::limits::Limits;

/// A topic to be made at the start.
#[derive(Debug, Clone)]
pub(crate) struct TopicSpec {
    pub(crate) name: String,
    pub(crate) partitions: i32,
    pub(crate) config: Vec<(String, String)>,
}

/// Choices for a broker; [`Broker::builder`] begins with the defaults.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing before `start`"]
pub struct Builder {
    pub(crate) port: u16,
    pub(crate) topics: Vec<TopicSpec>,
    pub(crate) settings: Settings,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
}

impl Builder {
    pub(crate) fn new() -> Self {
        let settings = Settings {
            default_partitions: 4,
            auto_create_topics: false,
            initial_rebalance_delay: Duration::from_millis(50),
            cleaning_interval: Duration::from_secs(1),
            cluster_id: "gristmill-dev-broker".to_owned(),
        };
        Self { port: 0, topics: Vec::new(), settings, limits: Limits::default(), clock: Clock::System }
    }

    /// Listens on this loopback port; 0, the default, takes a free one.
    pub fn port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// Creates a topic at the start.
    pub fn topic(self, name: impl Into<String>, partitions: i32) -> Self {
        self.topic_with(name, partitions, &[])
    }

    /// Creates a topic with settings, such as `("cleanup.policy", "compact")`, at the start.
    pub fn topic_with(mut self, name: impl Into<String>, partitions: i32, config: &[(&str, &str)]) -> Self {
        let config = config.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.topics.push(TopicSpec { name: name.into(), partitions, config });
        self
    }

    /// Creates topics of the same partition count at the start.
    pub fn topics<N: Into<String>>(self, names: impl IntoIterator<Item = N>, partitions: i32) -> Self {
        names.into_iter().fold(self, |builder, name| builder.topic(name, partitions))
    }

    /// Partitions of a topic that is created without a count. Default: 4.
    pub fn default_partitions(mut self, partitions: i32) -> Self {
        self.settings.default_partitions = partitions;
        self
    }

    /// Creates topics when a client that allows it asks for their metadata. Default: it does not.
    pub fn auto_create_topics(mut self) -> Self {
        self.settings.auto_create_topics = true;
        self
    }

    /// How long the first rebalance of an empty group waits for more members. Default: 50 ms.
    pub fn initial_rebalance_delay(mut self, delay: Duration) -> Self {
        self.settings.initial_rebalance_delay = delay;
        self
    }

    /// How often retention and compaction look for work. Default: every second.
    pub fn cleaning_interval(mut self, interval: Duration) -> Self {
        self.settings.cleaning_interval = interval;
        self
    }

    /// Replaces the limits.
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Takes the time from a clock that a test advances.
    pub fn clock(self, clock: ManualClock) -> Self {
        Self { clock: Clock::Manual(clock), ..self }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// Starts the broker on threads of its own and returns when it listens.
    ///
    /// # Errors
    /// [`BrokerError`] when the port is taken, a topic is not legal or no thread can be started.
    pub fn start(self) -> Result<Broker, BrokerError> {
        Broker::start(self)
    }
}
