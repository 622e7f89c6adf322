//! Which cluster a command talks to when it needs nothing else of a pipeline.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;

use crate::config::pipeline::Kafka;
use crate::config::{env, raw};
use crate::fault::Fault;

/// The options of commands that talk to a broker.
#[derive(Args, Debug)]
pub(super) struct Cluster {
    /// The brokers: `host:port`, several separated by commas.
    #[arg(long, value_name = "BROKERS", default_value = "localhost:9092", conflicts_with = "file")]
    brokers: String,

    /// A pipeline file, to talk to its cluster with its client options.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Cluster {
    /// The cluster and the client options.
    ///
    /// # Errors
    /// Those of [`raw::read`].
    pub(super) fn kafka(&self) -> Result<Kafka, Fault> {
        match &self.file {
            Some(file) => Ok(raw::read(file, &env::process)?.kafka),
            None => Ok(Kafka { brokers: self.brokers.clone(), client: BTreeMap::new() }),
        }
    }
}
