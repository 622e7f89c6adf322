//! The cluster before the first record: reached, the host's own topics made, all topics described and checked.

use crate::app::checks;
use crate::app::topics::{self, Facts};
use crate::config::pipeline::{Deployment, Pipeline};
use crate::fault::Fault;

/// Makes the topics that belong to the host alone, and asks about all. Gives the id of the cluster too.
///
/// # Errors
/// All that stands in the way of the pipeline: what [`topics::misfits`] finds, or the one fault that kept it from
/// looking, such as `broker_unreachable`.
pub fn prepare(pipeline: &Pipeline) -> Result<(Facts, String), Vec<Fault>> {
    let (facts, cluster_id) = describe(pipeline).map_err(|fault| vec![fault])?;
    let misfits = topics::misfits(pipeline, &facts);
    if misfits.is_empty() { Ok((facts, cluster_id)) } else { Err(misfits) }
}

fn describe(pipeline: &Pipeline) -> Result<(Facts, String), Fault> {
    let admin = checks::connect(&pipeline.kafka)?;
    let cluster_id = admin.cluster_id()?;
    let present = checks::facts(&admin, pipeline)?;
    let plans = topics::internal_plans(pipeline, &present);
    if plans.is_empty() {
        return Ok((present, cluster_id));
    }
    admin.create(&plans)?;
    Ok((checks::facts(&admin, pipeline)?, cluster_id))
}

/// How many tasks a deployment has: the partition count of its sources.
pub fn tasks(deployment: &Deployment, facts: &Facts) -> u32 {
    let first = deployment.partitioned_sources().next();
    let count = first.and_then(|source| facts.get(&source.topic)).map_or(0, |facts| facts.partitions);
    u32::try_from(count).unwrap_or(0)
}
