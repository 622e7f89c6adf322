//! The cluster before the first record: reached, the host's own topics made, all topics described and checked.

use crate::app::checks;
use crate::app::placement;
use crate::app::topics::{self, Facts};
use crate::config::ingest::Ingest;
use crate::config::pipeline::{Deployment, Pipeline};
use crate::fault::Fault;
use crate::kafka::topics::Topics;

/// What the cluster says before the first record.
pub(super) struct Survey {
    /// Its id.
    pub(super) cluster_id: String,
    /// What it says about the topics.
    pub(super) facts: Facts,
    /// What stands in the way of each transform, in the order of the file; nothing where it can start.
    pub(super) obstacles: Vec<Vec<Fault>>,
    /// What stands in the way of each ingest, in the order of the file.
    pub(super) ingest_obstacles: Vec<Vec<Fault>>,
}

/// Makes the topics that belong to the host alone, and looks at all. What is wrong with the topics of one transform
/// stands in nobody else's way.
///
/// # Errors
/// The fault that kept it from looking, such as `broker_unreachable`.
pub(super) fn survey(pipeline: &Pipeline) -> Result<Survey, Fault> {
    let admin = checks::connect(&pipeline.kafka)?;
    let cluster_id = admin.cluster_id()?;
    let transforms = pipeline.deployments.iter().map(|one| with_one_transform(pipeline, one));
    let ingests = pipeline.ingests.iter().map(|one| with_one_ingest(pipeline, one));
    let singles: Vec<_> = transforms.chain(ingests).collect();
    let mut facts = checks::facts(&admin, pipeline)?;
    let made: Vec<_> = singles.iter().map(|single| make(&admin, pipeline, single, &facts)).collect();
    if made.iter().any(|made| !matches!(made, Ok(false))) {
        facts = checks::facts(&admin, pipeline)?;
    }
    let obstacles = singles.iter().zip(made).map(|(single, made)| match made {
        Ok(_) => topics::misfits(single, &facts),
        Err(fault) => vec![fault],
    });
    let mut obstacles: Vec<_> = obstacles.collect();
    let ingest_obstacles = obstacles.split_off(pipeline.deployments.len());
    let obstacles = look_at_keys(pipeline, &facts, obstacles)?;
    Ok(Survey { cluster_id, facts, obstacles, ingest_obstacles })
}

/// A pipeline with one ingest of another one, and nothing else.
fn with_one_ingest(pipeline: &Pipeline, ingest: &Ingest) -> Pipeline {
    Pipeline { deployments: Vec::new(), ingests: vec![ingest.clone()], ..pipeline.clone() }
}

/// A pipeline with one transform of another one, and nothing else.
fn with_one_transform(pipeline: &Pipeline, deployment: &Deployment) -> Pipeline {
    Pipeline { deployments: vec![deployment.clone()], ingests: Vec::new(), ..pipeline.clone() }
}

/// Makes the host's own topics of one transform or ingest that are missing, and tells whether there were any.
fn make(admin: &Topics, pipeline: &Pipeline, single: &Pipeline, facts: &Facts) -> Result<bool, Fault> {
    let names = topics::names(single);
    let plans = topics::internal_plans(pipeline, facts).into_iter();
    let plans: Vec<_> = plans.filter(|plan| names.contains(&plan.name)).collect();
    if plans.is_empty() {
        return Ok(false);
    }
    admin.create(&plans)?;
    Ok(true)
}

/// Looks at the keys of the transforms that nothing else stands in the way of.
fn look_at_keys(
    pipeline: &Pipeline,
    facts: &Facts,
    mut obstacles: Vec<Vec<Fault>>,
) -> Result<Vec<Vec<Fault>>, Fault> {
    let deployments = pipeline.deployments.iter().zip(&obstacles);
    let fitting = deployments.filter(|(_, obstacles)| obstacles.is_empty()).map(|(fitting, _)| fitting);
    let tallies = placement::look(pipeline, fitting, facts)?;
    for (deployment, obstacles) in pipeline.deployments.iter().zip(&mut obstacles) {
        if obstacles.is_empty() {
            obstacles.extend(placement::misplaced(deployment, facts, &tallies));
        }
    }
    Ok(obstacles)
}

/// How many tasks a deployment has: the partition count of its sources.
pub fn tasks(deployment: &Deployment, facts: &Facts) -> u32 {
    let first = deployment.partitioned_sources().next();
    let count = first.and_then(|source| facts.get(&source.topic)).map_or(0, |facts| facts.partitions);
    u32::try_from(count).unwrap_or(0)
}
