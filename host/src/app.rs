//! Joins the adapters to the workers and runs a pipeline: the only floor where Kafka, plugins and workers meet.
//!
//! ```text
//! state_dir   locked; the stable name of this process
//! api         pages about what follows, until the end
//! cluster     reached; the host's own topics made, all topics checked
//! house       the crews, and what has become of those that are not there
//! crew        per transform: broadcast readers, and a thread for each worker
//! ingest      a thread for each SQL ingest, a server for those of HTTP
//! shutdown    a signal; every crew commits and ends
//! ```
//! A transform or an ingest that cannot start or cannot go on stops alone. The process ends when none is left, or when another process has
//! its name: that one has it for all transforms.

pub mod bundled;
pub mod carry_over;
pub mod chain;
pub mod checks;
pub mod cluster;
mod crew;
mod house;
pub mod inbox;
pub mod ingest;
mod lag;
mod open_files;
pub mod orphans;
pub mod placement;
pub mod plugins;
pub mod shutdown;
pub mod state_dir;
pub mod topics;

use std::sync::Arc;

use crate::api::Api;
use crate::app::crew::Contract;
use crate::app::house::House;
use crate::app::ingest::Ingests;
use crate::app::lag::LagReader;
use crate::app::shutdown::{Departure, Shutdown};
use crate::app::state_dir::StateDir;
use crate::clock::Clock;
use crate::config::pipeline::Pipeline;
use crate::fault::Fault;
use crate::plugin::Component;
use crate::status::Board;

/// Runs a pipeline until `shutdown` is requested, then commits what is done and returns. `plugins` are those of
/// the deployments, in their order.
///
/// # Errors
/// Before the first record: all that stands in the way, when no transform can start. At the end: the faults that kept a
/// transform from starting or stopped one, or a task of one. What was not committed is processed again at the next start.
pub fn run(
    pipeline: &Pipeline,
    plugins: &[Arc<Component>],
    shutdown: &Shutdown,
    departure: Departure,
) -> Result<(), Vec<Fault>> {
    open_files::raise();
    let state_dir = StateDir::open(&pipeline.app).map_err(alone)?;
    let board = Arc::new(Board::new(pipeline, state_dir.instance(), Clock::system()));
    let api = pipeline.app.api.map(|address| Api::start(&board, address, state_dir.path()));
    let api = api.transpose().map_err(alone)?;
    let mut house = House::new(&board);
    let transforms = house.deploy(pipeline, plugins)?;
    let mut survey = cluster::survey(pipeline).map_err(alone)?;
    for ((deployment, transform), obstacles) in
        pipeline.deployments.iter().zip(transforms).zip(std::mem::take(&mut survey.obstacles))
    {
        let contract = Contract {
            kafka: &pipeline.kafka,
            deployment,
            instance: state_dir.instance(),
            facts: &survey.facts,
            cluster_id: &survey.cluster_id,
            state_dir: state_dir.path(),
            departure,
            board: &board,
        };
        match transform {
            Some(transform) if obstacles.is_empty() => house.start(&contract, transform),
            _ => house.refuse(&deployment.name, obstacles),
        }
    }
    let ingests = Ingests::start(pipeline, survey, state_dir.instance(), &board);
    // Only pages show the lag.
    let _lag = api.as_ref().map(|_| LagReader::start(pipeline, &board)).transpose().map_err(alone)?;
    house.watch(shutdown, ingests)
}

fn alone(fault: Fault) -> Vec<Fault> {
    vec![fault]
}
