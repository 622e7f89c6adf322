//! Processes that die: the host at ten random instants, and the broker.

use anyhow::Result;
use gristmill_tests::checker::{self, Fault};
use gristmill_tests::cluster::{Apache, Cluster, Nodes};
use gristmill_tests::shop::Shop;
use gristmill_tests::turn;
use gristmill_tests::wait::{self, Seen};
use gristmill_tests::workload::{self, Items};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const KILLS: usize = 10;
const ITEMS: usize = 50_000;
const KEYS: usize = 20_000;

/// P1, P2, P6 and P9, on 50,000 items.
#[test]
fn keeps_every_promise_when_it_is_killed_at_random_instants() -> Result<()> {
    let _turn = turn::take();
    let seed = workload::seed();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let shop = Shop::new(Apache::shared()?.client(), 4)?;
    shop.prepare()?;
    let (producer, mut items) = (shop.producer()?, Items::new(seed, KEYS));
    let chunk = ITEMS / KILLS;
    let mut kills = 0;

    for n in 0..KILLS {
        let host = shop.start("a")?;
        // Somewhere in the chunk that is sent now, or in what earlier kills have left. Not every item has an output.
        let instant = shop.written()? + i64::try_from(random.random_range(1..chunk * 9 / 10))?;
        std::thread::scope(|scope| -> Result<()> {
            let feed = scope.spawn(|| items.send(&producer, &shop.items, chunk));
            wait::until("the instant of the kill", || {
                let written = shop.written()?;
                Ok(if written >= instant {
                    Seen::Yes(())
                } else {
                    Seen::NotYet(format!("{written} of {instant}"))
                })
            })?;
            host.kill()?;
            kills += 1;
            feed.join().map_err(|_| anyhow::anyhow!("the feed panicked"))?
        })?;
        if n % 3 == 0 {
            // With the dead host's transaction out of the way, what is visible and what is committed must agree, in the
            // middle of the work as well.
            shop.fence("a", 0)?;
            shop.await_stable()?;
            let seen = shop.observe()?;
            checker::all_hold(&[checker::atomicity(&seen, &shop.model(&seen))])?;
        }
    }
    producer.drain()?;
    let mut host = shop.start("a")?;
    shop.await_consumed(&mut [&mut host])?;

    shop.await_stable()?;
    let seen = shop.observe()?;
    let mut reports = checker::at_rest(&seen, &shop.model(&seen));
    reports.push(checker::faults_hit(&[
        Fault { name: "kills", seen: kills, wanted: KILLS },
        Fault { name: "aborted records", seen: seen.enriched.aborted(), wanted: 1 },
        Fault { name: "items", seen: seen.items.committed.len(), wanted: ITEMS },
    ]));
    checker::all_hold(&reports)
}

#[test]
fn goes_on_when_the_broker_is_killed_and_comes_back() -> Result<()> {
    let _turn = turn::take();
    let seed = workload::seed();
    let kafka = Apache::start(Nodes::One)?;
    let shop = Shop::new(kafka.client(), 2)?;
    shop.prepare()?;
    let (producer, mut items) = (shop.producer()?, Items::new(seed, 2_000));
    let mut host = shop.start("a")?;
    let mut kills = 0;

    for _ in 0..2 {
        items.send(&producer, &shop.items, 5_000)?;
        let written = shop.written()?;
        wait::until("work under way", || {
            Ok(if shop.written()? > written { Seen::Yes(()) } else { Seen::NotYet("no output".into()) })
        })?;
        kafka.kill(1)?;
        kills += 1;
        kafka.restart(1)?;
    }
    items.send(&producer, &shop.items, 5_000)?;
    producer.drain()?;
    shop.await_consumed(&mut [&mut host])?;

    shop.await_stable()?;
    let seen = shop.observe()?;
    let mut reports = checker::at_rest(&seen, &shop.model(&seen));
    reports.push(checker::faults_hit(&[
        Fault { name: "kills of the broker", seen: kills, wanted: 2 },
        Fault { name: "items", seen: seen.items.committed.len(), wanted: 15_000 },
    ]));
    checker::all_hold(&reports)
}

#[test]
fn commits_everything_when_it_is_asked_to_end() -> Result<()> {
    let _turn = turn::take();
    let shop = Shop::new(Apache::shared()?.client(), 2)?;
    shop.prepare()?;
    let (producer, mut items) = (shop.producer()?, Items::new(workload::seed(), 500));
    let mut host = shop.start("a")?;
    items.send(&producer, &shop.items, 5_000)?;
    producer.drain()?;
    wait::until("work under way", || {
        Ok(if shop.written()? > 0 { Seen::Yes(()) } else { Seen::NotYet("no output".into()) })
    })?;

    let status = host.terminate(wait::PATIENCE)?;

    anyhow::ensure!(status.code() == Some(0), "it ended with {status}; its log:\n{}", host.tail());
    anyhow::ensure!(!shop.transaction_is_open()?, "it has left a transaction open");
    let seen = shop.observe()?;
    let model = shop.model(&seen);
    checker::all_hold(&[checker::atomicity(&seen, &model), checker::nothing_hangs(&seen)])?;
    anyhow::ensure!(seen.enriched.aborted() == 0, "{} records were aborted", seen.enriched.aborted());
    Ok(())
}
