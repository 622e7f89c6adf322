//! What operators and accidents do to topics and groups.

use anyhow::{Context, Result, anyhow, ensure};
use rdkafka::admin::NewPartitions;

use crate::client::{Client, block_on, options, position};
use crate::wait::{self, Seen};

impl Client {
    /// Deletes a topic, and waits until it is gone.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn delete_topic(&self, name: &str) -> Result<()> {
        let deleted = block_on(self.admin()?.delete_topics(&[name], &options()))?;
        ensure!(deleted.iter().all(Result::is_ok), "`{name}` is not deleted: {deleted:?}");
        wait::until_equal("the end of a topic", &false, || Ok(self.topics(name)?.iter().any(|n| n == name)))
    }

    /// Deletes a group with its offsets, once it has no members.
    ///
    /// # Errors
    /// When it keeps its members, or the broker refuses.
    pub fn delete_group(&self, group: &str) -> Result<()> {
        wait::until("the end of a group", || {
            let deleted = block_on(self.admin()?.delete_groups(&[group], &options()))?;
            Ok(match deleted.into_iter().next().context("no answer about a group")? {
                Ok(_) => Seen::Yes(()),
                Err((_, code)) => Seen::NotYet(code.to_string()),
            })
        })
    }

    /// Gives a topic more partitions: so many in all.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn add_partitions(&self, topic: &str, count: i32) -> Result<()> {
        let wanted = NewPartitions::new(topic, usize::try_from(count)?);
        let added = block_on(self.admin()?.create_partitions([&wanted], &options()))?;
        ensure!(added.iter().all(Result::is_ok), "no partitions are added to `{topic}`: {added:?}");
        wait::until_equal("the new partitions", &count, || self.partitions(topic))
    }

    /// Deletes the records of a partition that lie before an offset.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn delete_records(&self, topic: &str, partition: i32, before: i64) -> Result<()> {
        let list = position(topic, partition, before)?;
        let cut = block_on(self.admin()?.delete_records(&list, &options()))?;
        let refused = cut.elements().iter().find_map(|element| element.error().err());
        refused.map_or(Ok(()), |error| Err(anyhow!("`{topic}/{partition}` is not cut: {error}")))
    }
}
