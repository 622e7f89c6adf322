//! Consumer groups: which the cluster has, and deleting what a demo has left behind.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use crate::clock::Clock;
use crate::config::pipeline::Kafka;
use crate::fault::{Code, Fault};
use crate::kafka::client;
use crate::kafka::topics::{block_on, failed};

/// How long an answer of the cluster may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// The pause before groups are looked at again that still had members.
const PAUSE: Duration = Duration::from_millis(250);

/// Asks for the consumer groups of a cluster and deletes them.
pub struct Groups {
    admin: AdminClient<DefaultClientContext>,
}

impl Groups {
    /// Makes a client; nothing is sent yet.
    ///
    /// # Errors
    /// `client_key_unknown`.
    pub fn new(kafka: &Kafka) -> Result<Self, Fault> {
        let admin = client::admin(kafka).create().map_err(|error| {
            Fault::new(Code::ClientKeyUnknown, "the client options do not fit").because(error)
        })?;
        Ok(Self { admin })
    }

    /// The names of all groups.
    ///
    /// # Errors
    /// `kafka_failed`, `not_authorized`.
    pub fn list(&self) -> Result<BTreeSet<String>, Fault> {
        let groups = self.admin.inner().fetch_group_list(None, REQUEST_TIMEOUT);
        let groups = groups.map_err(|error| failed("cannot list the consumer groups", error))?;
        Ok(groups.groups().iter().map(|group| group.name().to_owned()).collect())
    }

    /// Deletes all groups whose names start with `prefix`, and returns their names. A member that was killed keeps its group
    /// until its session ends: such groups are tried again for as long as `patience`.
    ///
    /// # Errors
    /// `kafka_failed`, `not_authorized`; `command_unfit` for an empty prefix.
    pub fn delete_prefixed(&self, prefix: &str, patience: Duration) -> Result<BTreeSet<String>, Fault> {
        if prefix.is_empty() {
            return Err(Fault::new(Code::CommandUnfit, "an empty prefix would delete every consumer group"));
        }
        let clock = Clock::system();
        let mut deleted = BTreeSet::new();
        loop {
            let left: BTreeSet<_> =
                self.list()?.into_iter().filter(|name| name.starts_with(prefix)).collect();
            let used = self.delete(&left)?;
            deleted.extend(left.into_iter().filter(|name| !used.contains(name)));
            let Some(name) = used.first() else { return Ok(deleted) };
            if clock.elapsed() >= patience {
                let what = format!("consumer group `{name}` still has members");
                let hint = "stop what reads in it, and delete the group when its session has ended";
                return Err(Fault::new(Code::KafkaFailed, what).hint(hint));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Deletes groups, and gives the names of those that are in use.
    fn delete(&self, names: &BTreeSet<String>) -> Result<BTreeSet<String>, Fault> {
        if names.is_empty() {
            return Ok(BTreeSet::new());
        }
        let texts: Vec<_> = names.iter().map(String::as_str).collect();
        let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
        let results = block_on(self.admin.delete_groups(&texts, &options))
            .map_err(|error| failed("cannot delete consumer groups", error))?;
        let mut used = BTreeSet::new();
        for (name, code) in results.into_iter().filter_map(Result::err) {
            match code {
                RDKafkaErrorCode::NonEmptyGroup => drop(used.insert(name)),
                RDKafkaErrorCode::GroupIdNotFound => {}
                _ => {
                    let what = format!("cannot delete consumer group `{name}`");
                    return Err(failed(&what, KafkaError::AdminOp(code)));
                }
            }
        }
        Ok(used)
    }
}
