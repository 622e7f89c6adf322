//! The last enriched record of each key, read on and on while a pipeline works.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use crate::checker::{Expected, Model};
use crate::client::Isolation;
use crate::host;
use crate::process::Process;
use crate::read;
use crate::record::Record;
use crate::shop::Shop;
use crate::wait::{self, Seen};
use crate::workload;

/// A reader of committed enriched records.
pub struct Fold<'a> {
    shop: &'a Shop,
    consumer: BaseConsumer,
    last: BTreeMap<String, Record>,
    count: usize,
}

impl fmt::Debug for Fold<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fold({} records)", self.count)
    }
}

impl<'a> Fold<'a> {
    /// Reads from the start.
    ///
    /// # Errors
    /// When the consumer cannot be made.
    pub fn new(shop: &'a Shop) -> Result<Self> {
        let consumer = shop.client.consumer("fold", &[("isolation.level", "read_committed")])?;
        let mut all = TopicPartitionList::new();
        for partition in 0..shop.client.partitions(&shop.enriched)? {
            all.add_partition_offset(&shop.enriched, partition, Offset::Beginning)?;
        }
        consumer.assign(&all)?;
        Ok(Self { shop, consumer, last: BTreeMap::new(), count: 0 })
    }

    /// How many records are committed, after a look at what is new.
    ///
    /// # Errors
    /// When the topic cannot be read.
    pub fn count(&mut self) -> Result<usize> {
        loop {
            match self.consumer.poll(Duration::from_millis(5)) {
                Some(Ok(message)) => {
                    let record = Record::of(&message);
                    self.count += 1;
                    self.last.insert(record.key_text(), record);
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {}
                Some(Err(error)) => read::tolerate(&error)?,
                None => return Ok(self.count),
            }
        }
    }

    /// Waits until so many records are committed.
    ///
    /// # Errors
    /// When a host ends or the deadline passes.
    pub fn await_count(&mut self, count: usize, hosts: &mut [&mut Process]) -> Result<usize> {
        wait::until("enriched records", || {
            alive(hosts)?;
            let found = self.count()?;
            Ok(if found >= count {
                Seen::Yes(found)
            } else {
                Seen::NotYet(format!("{found} of {count}; {}", tails(hosts)))
            })
        })
    }

    /// Waits until all items are consumed, the last enriched record of each is that of the last classes, and no job is left
    /// on these hosts. Gives the number of records.
    ///
    /// # Errors
    /// When a host ends or the deadline passes.
    pub fn await_converged(&mut self, hosts: &mut [(&str, &mut Process)]) -> Result<usize> {
        let (names, mut hosts): (Vec<_>, Vec<_>) =
            hosts.iter_mut().map(|(name, host)| (*name, &mut **host)).unzip();
        self.shop.await_consumed(&mut hosts)?;
        let wanted = self.wanted()?;
        wait::until("every item to have the times of its last classes", || {
            alive(&mut hosts)?;
            self.count()?;
            let wrong: Vec<_> = wanted.iter().filter(|(key, want)| !self.is_right(key, want)).collect();
            Ok(match wrong.first() {
                None => Seen::Yes(()),
                Some((key, want)) => {
                    let last = self.last.get(*key);
                    let count = wrong.len();
                    Seen::NotYet(format!(
                        "{count} wrong ones, such as {last:?}, not {want:?}; {}",
                        tails(&hosts)
                    ))
                }
            })
        })?;
        for name in names {
            let file = self.shop.pipeline(name)?;
            wait::until_equal("an end of the jobs", &"[]".to_owned(), || {
                Ok(host::command(&["jobs", "list", "--json"], &file)?.trim().to_owned())
            })?;
        }
        self.count()
    }

    /// What there should be for each key: one of some texts, or nothing.
    fn wanted(&self) -> Result<BTreeMap<String, Expected>> {
        let client = &self.shop.client;
        let model =
            Model::new(workload::POINTER, &read::whole(client, &self.shop.classes, Isolation::Committed)?);
        let items = read::whole(client, &self.shop.items, Isolation::Committed)?;
        ensure!(!items.is_empty(), "there are no items");
        let wanted = items.iter().map(|item| (item.key_text(), model.now(item)));
        Ok(wanted.filter(|(_, want)| *want != Expected::Rejected).collect())
    }

    fn is_right(&self, key: &str, want: &Expected) -> bool {
        let last = self.last.get(key);
        match want {
            Expected::OneOf(texts) => last.is_some_and(|last| texts.contains(&last.text())),
            Expected::Tombstone | Expected::Rejected => last.is_none_or(|last| last.value.is_none()),
        }
    }
}

fn alive(hosts: &mut [&mut Process]) -> Result<()> {
    for host in hosts {
        if let Some(status) = host.ended()? {
            bail!("a host ended with {status}; its log:\n{}", host.tail());
        }
    }
    Ok(())
}

fn tails(hosts: &[&mut Process]) -> String {
    let logs: Vec<_> = hosts.iter().map(|host| host.tail()).collect();
    format!("the hosts' logs:\n{}", logs.join("\n---\n"))
}
