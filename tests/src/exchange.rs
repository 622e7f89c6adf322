//! Class changes that go out by update commands: two transforms in one pipeline file that talk to each other over a topic.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use crate::checker::{self, Report};
use crate::client::{Client, Isolation};
use crate::fold::Fold;
use crate::host;
use crate::logistics::{BULKY, Catalogue, FAST, Logistics};
use crate::process::Process;
use crate::read;
use crate::record::Record;
use crate::shop::Shop;
use crate::wait::{self, Seen};

/// A shop whose classes are followed by `class-fanout`, and whose `delivery-time` obeys commands only.
#[derive(Debug)]
pub struct Exchange {
    /// The shop.
    pub shop: Shop,
    /// The topic of the commands.
    pub updates: String,
    partitions: i32,
}

impl Exchange {
    /// Makes the topics. `settings` are lines that belong to the transform `class-fanout`, such as `jobs.rate = 250`.
    ///
    /// # Errors
    /// When a topic cannot be made, or the plugin does not build.
    pub fn new(client: Client, partitions: i32, settings: &str) -> Result<Self> {
        let shop = Shop::new(client, partitions)?;
        let (enriched, classes) = (&shop.enriched, &shop.classes);
        let updates = format!("{}.item-updates", shop.app);
        // Kept whole for the checker, as the other topics are.
        let kept = [("cleanup.policy", "compact"), ("min.compaction.lag.ms", "86400000")];
        shop.client.create_topic(&updates, partitions, &kept)?;
        let plugin = host::plugin("plugins/class-fanout")?;
        let fanout = format!(
            "[transforms.class-fanout]\nplugin = \"{}\"\nsources.enriched = \"{enriched}\"\n\
             sources.classes = \"{classes}\"\nsinks.updates = \"{updates}\"\n{settings}\n",
            plugin.display()
        );
        let obeys = format!("sources.updates = \"{updates}\"\nconfig.follow_classes = false");
        Ok(Self { shop: shop.with_settings(&obeys).with_transforms(&fanout), updates, partitions })
    }

    /// The committed commands.
    ///
    /// # Errors
    /// When the topic cannot be read.
    pub fn commands(&self) -> Result<Vec<Record>> {
        read::whole(&self.shop.client, &self.updates, Isolation::Committed)
    }

    /// How many commands were written, those of aborted transactions and control records counted.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub fn written(&self) -> Result<i64> {
        Ok(self.ends(&self.updates)?.values().sum())
    }

    /// Waits until every item is as it should be, no walk is left, and each transform has consumed what the other one has sent.
    /// Gives the number of enriched records.
    ///
    /// # Errors
    /// When a host ends or the deadline passes.
    pub fn await_rest(&self, fold: &mut Fold<'_>, name: &str, host: &mut Process) -> Result<usize> {
        fold.await_converged(&mut [(name, &mut *host)])?;
        wait::until("both transforms to have nothing left to do", || {
            ensure!(host.ended()?.is_none(), "the host ended; its log:\n{}", host.tail());
            let before = self.left()?;
            Ok(if before.is_empty() && self.left()?.is_empty() {
                Seen::Yes(())
            } else {
                Seen::NotYet(format!("{before:?}; the host's log:\n{}", host.tail()))
            })
        })?;
        fold.count()
    }

    /// Places that are not consumed: how far, and where they end.
    fn left(&self) -> Result<Vec<(String, i64, i64)>> {
        let app = &self.shop.app;
        let mut left = Vec::new();
        for (group, topic) in [("delivery-time", &self.updates), ("class-fanout", &self.shop.enriched)] {
            let committed = self.shop.client.committed(&format!("{app}.{group}"), topic)?;
            for (partition, end) in self.ends(topic)? {
                let position = committed.get(&partition).copied().unwrap_or(0);
                if position != end {
                    left.push((format!("{topic}/{partition}"), position, end));
                }
            }
        }
        Ok(left)
    }

    fn ends(&self, topic: &str) -> Result<BTreeMap<i32, i64>> {
        let end = |partition| {
            let (_, end) = self.shop.client.watermarks(topic, partition, Isolation::Uncommitted)?;
            Ok((partition, end))
        };
        (0..self.partitions).map(end).collect()
    }

    /// What the independent checker says of a pipeline at rest, to whose items so many records were sent.
    ///
    /// # Errors
    /// When a topic cannot be read.
    pub fn judge(&self, sent: usize) -> Result<Vec<Report>> {
        self.shop.await_stable()?;
        let seen = self.shop.observe()?;
        let rejected = format!("{}.class-fanout.dead-letters", self.shop.app);
        let letters = read::whole(&self.shop.client, &rejected, Isolation::Committed)?;
        ensure!(letters.is_empty(), "class-fanout has rejected {letters:?}");
        Ok(checker::after_commands(&seen, &self.shop.model(&seen).moving(), sent, &self.commands()?))
    }
}

/// Insert, update, deletion of a class, the same again, and three quick changes while items flow. While nothing else happens, each
/// step has a number of commands and of outputs that is known beforehand.
///
/// # Errors
/// When a promise is not kept.
pub fn follows_class_changes(client: Client, partitions: i32, size: usize) -> Result<()> {
    let exchange = Exchange::new(client, partitions, "")?;
    let shop = &exchange.shop;
    shop.prepare()?;
    let (mut logistics, mut catalogue) = (Logistics::new(shop)?, Catalogue::new(shop, size)?);
    let (deleted, both) = (size / 200, catalogue.both());
    let bulky = catalogue.bulky() - deleted;
    let mut host = shop.start("a")?;
    let mut fold = Fold::new(shop)?;
    logistics.set(FAST, 2)?;
    catalogue.send_all()?;
    catalogue.delete(deleted)?;
    let mut before = exchange.await_rest(&mut fold, "a", &mut host)?;
    ensure!(before >= size + deleted, "{before} outputs");
    let mut told = exchange.commands()?.len();

    let mut expect = |what: &str, outputs: usize, fold: &mut Fold<'_>| -> Result<()> {
        let now = exchange.await_rest(fold, "a", &mut host)?;
        ensure!(now - before == outputs, "{what}: {} outputs instead of {outputs}", now - before);
        let commands = exchange.commands()?.len();
        ensure!(commands - told == outputs, "{what}: {} commands instead of {outputs}", commands - told);
        (before, told) = (now, commands);
        Ok(())
    };
    crate::fanout::change_in_steps(&mut logistics, (bulky, both), &mut |what, outputs| {
        expect(what, outputs, &mut fold)
    })?;

    for (n, minimum) in [4, 7, 3].into_iter().enumerate() {
        logistics.set(BULKY, minimum)?;
        catalogue.update(size / 100 * (n + 1))?;
    }
    exchange.await_rest(&mut fold, "a", &mut host)?;
    let status = host.terminate(wait::PATIENCE)?;
    ensure!(status.success(), "it ended with {status}; its log:\n{}", host.tail());
    checker::all_hold(&exchange.judge(catalogue.sent())?)
}
