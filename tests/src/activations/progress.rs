//! How far a pipeline is: the committed records of its topics, read on and on.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Message, Offset, TopicPartitionList};

use super::Desk;
use crate::process::Process;
use crate::read;
use crate::wait::{self, Seen};

/// The topics in which a notification ends.
const ENDS: [&str; 3] = ["product-details", "rest-lookup.callouts-review", "rest-lookup.dead-letters"];

/// The topics in which an activation ends.
const ANSWERS: [&str; 2] = ["activation-notifications", "activations-expired"];

/// Longer than the slowest part of a run takes: a call that is in doubt, after a host that has to be given up first.
const PATIENCE: Duration = Duration::from_secs(300);

/// A reader that counts.
pub struct Progress<'d> {
    desk: &'d Desk,
    consumer: BaseConsumer,
    counts: BTreeMap<String, usize>,
}

impl<'d> Progress<'d> {
    /// Reads from the start.
    ///
    /// # Errors
    /// When the consumer cannot be made.
    pub fn new(desk: &'d Desk) -> Result<Self> {
        let consumer = desk.client.consumer("progress", &[("isolation.level", "read_committed")])?;
        let mut all = TopicPartitionList::new();
        for topic in ENDS.iter().chain(&ANSWERS).map(|name| desk.topic(name)) {
            for partition in 0..desk.client.partitions(&topic)? {
                all.add_partition_offset(&topic, partition, Offset::Beginning)?;
            }
        }
        consumer.assign(&all)?;
        Ok(Self { desk, consumer, counts: BTreeMap::new() })
    }

    fn look(&mut self) -> Result<()> {
        loop {
            match self.consumer.poll(Duration::from_millis(5)) {
                Some(Ok(message)) => *self.counts.entry(message.topic().to_owned()).or_default() += 1,
                Some(Err(KafkaError::PartitionEOF(_))) => {}
                Some(Err(error)) => read::tolerate(&error)?,
                None => return Ok(()),
            }
        }
    }

    fn count(&self, names: &[&str]) -> usize {
        names.iter().filter_map(|name| self.counts.get(&self.desk.topic(name))).sum()
    }

    /// How many notifications and expiries there are, and how many outcomes.
    ///
    /// # Errors
    /// When the topics cannot be read.
    pub fn counts(&mut self) -> Result<(usize, usize)> {
        self.look()?;
        Ok((self.count(&ANSWERS), self.count(&ENDS)))
    }

    /// Waits until so many notifications have ended. The hosts that do it must live.
    ///
    /// # Errors
    /// When a host ends or the deadline passes.
    pub fn await_outcomes(&mut self, wanted: usize, hosts: &mut [&mut Process]) -> Result<()> {
        wait::until_within(PATIENCE, &format!("{wanted} outcomes"), || {
            for host in hosts.iter_mut() {
                ensure!(host.ended()?.is_none(), "a host has ended; its log:\n{}", host.tail());
            }
            let (answers, ends) = self.counts()?;
            let tail = || hosts.iter().map(|host| host.tail()).collect::<Vec<_>>().join("\n---\n");
            Ok(if ends >= wanted {
                Seen::Yes(())
            } else {
                Seen::NotYet(format!(
                    "{answers} notifications, {ends} outcomes; the hosts' logs:\n{}",
                    tail()
                ))
            })
        })
    }
}
