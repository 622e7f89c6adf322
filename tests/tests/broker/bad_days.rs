//! What happens to topics behind the host's back: made anew, cut, given more partitions. Nothing is skipped without a word, and
//! the way out that the hint names works.

use anyhow::{Result, ensure};
use gristmill_tests::checker::{self, Standing};
use gristmill_tests::client::Isolation;
use gristmill_tests::cluster::{Apache, Cluster};
use gristmill_tests::fanout::{end, stocked, stopped};
use gristmill_tests::fold::Fold;
use gristmill_tests::host;
use gristmill_tests::logistics::Catalogue;
use gristmill_tests::shop::Shop;
use gristmill_tests::turn;
use gristmill_tests::wait;

const PARTITIONS: i32 = 4;

fn shop() -> Result<Shop> {
    Shop::new(Apache::shared()?.client(), PARTITIONS)
}

#[test]
fn stops_when_a_source_was_made_anew_beyond_its_positions() -> Result<()> {
    let _turn = turn::take();
    let (shop, sent) = stopped(shop()?)?;
    let positions = shop.client.committed(&shop.group(), &shop.items)?;
    shop.client.delete_topic(&shop.items)?;
    shop.make_items()?;
    Catalogue::new(&shop, 2 * sent)?.send_all()?;
    for (partition, position) in positions {
        let end = shop.client.watermarks(&shop.items, partition, Isolation::Committed)?.1;
        ensure!(end > position, "the new partition {partition} ends at {end}, the position was {position}");
    }
    let before = Fold::new(&shop)?.await_count(sent, &mut [])?;

    let mut host = host::run_with(&shop.pipeline("a")?, &["--leave"])?;

    host.await_output("source_recreated")?;
    ensure!(host.ended()?.is_none(), "the host ended:\n{}", host.tail());
    end(host)?;
    let found = Fold::new(&shop)?.await_count(before, &mut [])?;
    ensure!(found == before, "the stopped tasks went on: {found} outputs instead of {before}");
    begins_anew(&shop)
}

#[test]
fn stops_when_a_source_gets_more_partitions_and_does_not_start_again() -> Result<()> {
    let _turn = turn::take();
    let shop = shop()?.with_options("\"topic.metadata.refresh.interval.ms\" = 1000");
    let (_, mut catalogue) = stocked(&shop, 400)?;
    let mut host = host::run_with(&shop.pipeline("a")?, &["--leave"])?;
    let before = Fold::new(&shop)?.await_converged(&mut [("a", &mut host)])?;
    let positions = shop.client.committed(&shop.group(), &shop.items)?;

    shop.client.add_partitions(&shop.items, PARTITIONS + 1)?;

    for reason in ["a source got more partitions", "cannot start: its changelog has 4 partitions"] {
        let status = host.wait(wait::PATIENCE)?;
        let log = host.output()?;
        ensure!(!status.success() && status.code().is_some(), "it ended with {status}:\n{log}");
        ensure!(
            log.contains(reason) && log.contains("code: changelog_partition_mismatch"),
            "no word:\n{log}"
        );
        // Keys lie in other partitions now, and their items wait.
        catalogue.update(400)?;
        host = shop.start("a")?;
    }
    host.wait(wait::PATIENCE)?;
    let found = Fold::new(&shop)?.await_count(before, &mut [])?;
    ensure!(found == before, "{found} outputs instead of {before}");
    let left = shop.client.committed(&shop.group(), &shop.items)?;
    ensure!(left == positions, "the positions were {positions:?} and are {left:?}");
    Ok(())
}

#[test]
fn stops_a_task_whose_changelog_was_cut() -> Result<()> {
    let _turn = turn::take();
    let (shop, sent) = stopped(shop()?)?;
    let end_of_0 = shop.client.watermarks(&shop.changelog(), 0, Isolation::Committed)?.1;
    ensure!(end_of_0 > 20, "the changelog ends at {end_of_0}");
    // Kafka does not cut a topic that is compacted alone.
    shop.client.alter(&shop.changelog(), "cleanup.policy", "compact,delete")?;
    shop.client.delete_records(&shop.changelog(), 0, 10)?;
    shop.client.alter(&shop.changelog(), "cleanup.policy", "compact")?;
    let before = Fold::new(&shop)?.await_count(sent, &mut [])?;

    let mut host = host::run_with(&shop.pipeline("a")?, &["--leave"])?;

    host.await_output("state_lost")?;
    // The others go on.
    let mut catalogue = Catalogue::new(&shop, sent)?;
    catalogue.send_all()?;
    Fold::new(&shop)?.await_count(before + sent / 2, &mut [&mut host])?;
    let status = host.terminate(wait::PATIENCE)?;
    let log = host.output()?;
    ensure!(status.code() == Some(3), "a stopped task is not told of in the end: {status}\n{log}");
    ensure!(log.matches("stopped a task").count() == 1, "not one task has stopped:\n{log}");
    ensure!(log.contains("is not whole"), "another reason:\n{log}");
    Ok(())
}

/// The way out that hints name: without the changelog and the group's offsets, everything is read again from the start.
fn begins_anew(shop: &Shop) -> Result<()> {
    shop.client.delete_topic(&shop.changelog())?;
    shop.client.delete_group(&shop.group())?;
    shop.prepare()?;
    let mut host = shop.start("a")?;
    Fold::new(shop)?.await_converged(&mut [("a", &mut host)])?;
    end(host)?;
    shop.await_stable()?;
    let seen = shop.observe()?;
    let model = shop.model(&seen);
    checker::all_hold(&[
        checker::convergence(&seen, &model),
        checker::nothing_hangs(&seen),
        shop.local_stores(&seen, &["a"], Standing::Level)?,
    ])
}
