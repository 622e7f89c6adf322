//! T0: the worker and its tasks on a cluster in memory, under seeded schedules of faults.
//!
//! Every schedule is a function of its seed. A failure prints the seed; `GRISTMILL_SEED=n` runs that one alone, and
//! `GRISTMILL_SEEDS=n` changes how many are run.
//!
//! What is checked, on the topics alone: committed outputs and dead letters are exactly those of the source records below
//! the committed positions (I1, I8, I12), at any time and not only at the end; outputs of a key come in source order (I2)
//! and its classes never go back; the last join is right (I3); timers fire once, callouts end once, and the server saw none of
//! them twice (I7); nothing hangs (I9); the lag falls to zero once the faults
//! stop (I11); and the faults did happen (I16).

mod appointments;
mod check;
mod crashes;
mod deployment;
mod outside;
mod plugin;
mod random;
mod sabotaged;
mod scenarios;
mod schedule;
mod state;
mod world;

use crate::memory::Stats;
use crate::worker::simulation::schedule::run;

/// Seeds of a default run.
const SEEDS: u64 = 5_000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|value| value.parse().ok())
}

#[test]
fn loses_and_doubles_nothing_under_any_schedule() {
    let seeds = match number("GRISTMILL_SEED") {
        Some(seed) => {
            log();
            seed..seed + 1
        }
        None => 0..number("GRISTMILL_SEEDS").unwrap_or(SEEDS),
    };
    let count = seeds.end - seeds.start;
    let mut total = Stats::default();
    for seed in seeds {
        let outcome = run(seed);
        match outcome {
            Ok(stats) => add(&mut total, stats),
            Err(problem) => panic!("{problem}\nrerun with GRISTMILL_SEED={seed}"),
        }
    }
    println!("{count} schedules: {total:?}");
    if count > 100 {
        let Stats { aborts, timeouts, fenced, stale_offsets, rebalances, removals, refusals, .. } = total;
        let hits = [aborts, timeouts, fenced, stale_offsets, rebalances, removals, refusals];
        assert!(hits.iter().all(|hits| *hits > 0), "some fault never happened: {total:?}");
    }
}

/// A single schedule tells what happens in it.
fn log() {
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).without_time().with_target(false);
    // A second test that asks for it finds it there.
    drop(subscriber.with_ansi(false).try_init());
}

fn add(total: &mut Stats, stats: Stats) {
    total.commits += stats.commits;
    total.aborts += stats.aborts;
    total.timeouts += stats.timeouts;
    total.fenced += stats.fenced;
    total.stale_offsets += stats.stale_offsets;
    total.rebalances += stats.rebalances;
    total.removals += stats.removals;
    total.refusals += stats.refusals;
    total.late_ends += stats.late_ends;
}
