//! The dev broker, in this process.

use std::sync::OnceLock;

use anyhow::{Result, anyhow};
use gristmill_broker::Broker;

use super::{Cluster, Kind};

/// A dev broker. Dropping it stops it.
#[derive(Debug)]
pub struct Dev {
    broker: Broker,
}

impl Dev {
    /// The one that all tests of this program share.
    ///
    /// # Errors
    /// When it does not start.
    pub fn shared() -> Result<&'static Self> {
        static SHARED: OnceLock<Result<Dev>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref().map_err(|error| anyhow!("{error:#}"))
    }

    /// Starts one of its own, for a test that has faults.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start() -> Result<Self> {
        Ok(Self { broker: Broker::builder().port(0).start()? })
    }

    /// The broker itself: its faults and its views.
    pub fn broker(&self) -> &Broker {
        &self.broker
    }
}

impl Cluster for Dev {
    fn bootstrap(&self) -> String {
        self.broker.bootstrap()
    }

    fn kind(&self) -> Kind {
        Kind::Dev
    }

    fn log(&self) -> String {
        String::new()
    }
}
