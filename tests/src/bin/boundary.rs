//! Measures what the boundary between host and plugin costs: a plugin that passes records through, called without Kafka.
//!
//! `make bench` runs it; alone: `cargo run --release -p gristmill-tests --bin boundary`. Build it with optimisations, or
//! the figures mean nothing. CPU time of the calling thread, median and smallest of many rounds.

use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use gristmill_host::clock;
use gristmill_host::config::pipeline::Limits;
use gristmill_host::fault::Fault;
use gristmill_host::id::{Offset, Partition, SourceIndex, TaskId, Timestamp};
use gristmill_host::io::{Answered, Batch, Instance, KeyRange, State, TableIndex, Transform};
use gristmill_host::plugin::{Runtime, Spec};
use gristmill_host::record::{Chunk, RecordRef};
use gristmill_tests::host;

/// Bytes of a value.
const VALUE_BYTES: usize = 300;

/// Records of a round: enough that reading the clock does not count.
const ROUND_RECORDS: usize = 50_000;

const ROUNDS: usize = 15;

fn main() -> Result<()> {
    if cfg!(debug_assertions) {
        eprintln!("boundary: built without --release, the figures mean nothing");
    }
    println!("boundary: nanoseconds of CPU a record of {VALUE_BYTES} bytes, there and back");
    println!("{:>24} {:>8} {:>8} {:>8}", "plugin", "batch", "median", "min");
    for (plugin, config) in [("passthrough", "{}"), ("raw", r#"{"break":"nothing"}"#)] {
        for batch in [1, 64, 500] {
            let mut rounds = measure(plugin, config, batch)?;
            rounds.sort();
            let median = rounds.get(rounds.len() / 2).copied().unwrap_or_default();
            let min = rounds.first().copied().unwrap_or_default();
            println!("{plugin:>24} {batch:>8} {:>8} {:>8}", median.as_nanos(), min.as_nanos());
        }
    }
    Ok(())
}

/// CPU time of a record, for each round.
fn measure(plugin: &str, config: &str, size: usize) -> Result<Vec<Duration>> {
    let mut instance = instance(plugin, config)?;
    let records = records(size);
    let mut state: Box<dyn State> = Box::new(Nothing);
    let mut rounds = Vec::new();
    for _ in 0..=ROUNDS {
        let calls = (ROUND_RECORDS / size).max(1);
        let start = clock::thread_cpu_time();
        for _ in 0..calls {
            state = call(&mut *instance, &records, state)?;
        }
        let used = clock::thread_cpu_time().saturating_sub(start);
        rounds.push(used / u32::try_from(calls * size)?);
    }
    // The first round warms up.
    rounds.remove(0);
    Ok(rounds)
}

fn instance(plugin: &str, config: &str) -> Result<Box<dyn Instance>> {
    let readable = |fault: Fault| anyhow!(fault.report());
    let component = std::fs::read(host::plugin(&format!("tests/fixtures/{plugin}"))?)?;
    let component =
        Runtime::new(None).and_then(|runtime| runtime.load(plugin, &component)).map_err(readable)?;
    let spec = Spec { transform: "bench".into(), config_json: config.to_owned(), limits: Limits::default() };
    let task = TaskId { transform: "bench".into(), partition: Partition(0) };
    component.deploy(spec).and_then(|transform| transform.instance(&task)).map_err(readable)
}

fn records(size: usize) -> Chunk {
    let mut records = Chunk::new();
    let value = [b'x'; VALUE_BYTES];
    for offset in (0..).take(size) {
        records.push(
            Some(format!("item-{offset:06}").as_bytes()),
            Some(&value),
            [],
            (Timestamp(0), Offset(offset)),
        );
    }
    records
}

fn call(instance: &mut dyn Instance, records: &Chunk, state: Box<dyn State>) -> Result<Box<dyn State>> {
    let batch = Batch {
        source: SourceIndex(0),
        partition: Partition(0),
        records,
        now: Timestamp(0),
        stream_time: Timestamp(0),
    };
    let Answered { answer, state } = instance.process(batch, state);
    match answer {
        Ok(outcome) if outcome.outputs.len() == records.len() => Ok(state),
        other => bail!("the plugin does not pass its records through: {other:?}"),
    }
}

/// A state without tables.
struct Nothing;

impl State for Nothing {
    fn table(&self, _name: &str) -> Option<TableIndex> {
        None
    }

    fn row(&self, _table: TableIndex, _key: &[u8]) -> Option<RecordRef<'_>> {
        None
    }

    fn scan(&self, _table: TableIndex, _range: KeyRange<'_>, _limit: usize) -> Vec<RecordRef<'_>> {
        Vec::new()
    }
}
