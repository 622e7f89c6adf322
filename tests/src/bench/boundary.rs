//! What crossing into a plugin and back costs, without Kafka.

use std::hint::black_box;

use anyhow::{Context, Result, anyhow};
use gristmill_host::config::pipeline::Limits;
use gristmill_host::id::{Offset, Partition, SourceIndex, TaskId, Timestamp, TransformName};
use gristmill_host::io::{Batch, NoState, State, Transform};
use gristmill_host::plugin::{Runtime, Spec};
use gristmill_host::record::Chunk;

use super::meter;
use super::report::median;
use crate::host;

/// Records of a measurement, and measurements of which the median is taken.
const RECORDS: usize = 100_000;
const TURNS: usize = 5;

/// The cost of one record of 300 bytes through the smallest plugin, in nanoseconds of processor time, for each batch
/// size.
///
/// # Errors
/// When the plugin does not build or a call fails.
pub fn boundary(sizes: &[usize]) -> Result<Vec<(usize, f64)>> {
    let component = std::fs::read(host::plugin("tests/fixtures/passthrough")?)?;
    let runtime = Runtime::new(None).map_err(|fault| anyhow!(fault.report()))?;
    let component = runtime.load("passthrough", &component).map_err(|fault| anyhow!(fault.report()))?;
    let transform = TransformName::new("bench");
    let spec = Spec { transform: transform.clone(), config_json: "{}".into(), limits: Limits::default() };
    let deployed = component.deploy(spec).map_err(|fault| anyhow!(fault.report()))?;
    let task = TaskId { transform, partition: Partition(0) };
    sizes.iter().map(|size| Ok((*size, of_size(&deployed, &task, *size)?))).collect()
}

fn of_size(deployed: &impl Transform, task: &TaskId, size: usize) -> Result<f64> {
    let mut instance = deployed.instance(task).map_err(|fault| anyhow!(fault.report()))?;
    let chunk = chunk(size)?;
    let mut state: Box<dyn State> = Box::new(NoState);
    let mut times = Vec::new();
    for _ in 0..TURNS {
        let calls = RECORDS / size;
        let start = meter::own_cpu()?;
        for _ in 0..calls {
            let batch = Batch {
                source: SourceIndex(0),
                partition: Partition(0),
                records: &chunk,
                previous: None,
                now: Timestamp(0),
                stream_time: Timestamp(0),
            };
            let answered = instance.process(batch, state);
            state = answered.state;
            black_box(answered.answer.map_err(|error| anyhow!("{error:?}"))?);
        }
        let used = meter::own_cpu()?.saturating_sub(start);
        times.push(used.as_secs_f64() * 1e9 / (calls * size) as f64);
    }
    Ok(median(&mut times))
}

fn chunk(size: usize) -> Result<Chunk> {
    let mut chunk = Chunk::new();
    let value = vec![b'x'; 300];
    for n in 0..size {
        let key = format!("sku-{n}");
        let added = chunk.push(Some(key.as_bytes()), Some(&value), [], (Timestamp(0), Offset(n.try_into()?)));
        added.then_some(()).context("the chunk is full")?;
    }
    Ok(chunk)
}
