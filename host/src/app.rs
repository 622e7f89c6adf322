//! Joins the adapters to the workers and runs a pipeline: the only floor where Kafka, plugins and workers meet.
//!
//! ```text
//! cluster     reached; the host's own topics made, all topics checked
//! state_dir   locked; the stable name of this process
//! api         pages about what follows, until the end
//! crew        per transform: broadcast readers, and a thread for each worker
//! shutdown    a signal; every crew commits and ends
//! ```
//! A transform that cannot go on stops alone; the process ends when none is left, or when another process has its name.

pub mod bundled;
pub mod checks;
pub mod cluster;
mod crew;
pub mod inbox;
mod lag;
pub mod plugins;
pub mod shutdown;
pub mod state_dir;
pub mod topics;

use std::sync::Arc;
use std::time::Duration;

use crate::api::Api;
use crate::app::crew::{Contract, Crew};
use crate::app::lag::LagReader;
use crate::app::shutdown::{Departure, Shutdown};
use crate::app::state_dir::StateDir;
use crate::clock::Clock;
use crate::config::pipeline::Pipeline;
use crate::event;
use crate::fault::{Code, Fault};
use crate::plugin::Component;
use crate::status::Board;

/// How late the process sees a signal or a worker that ended.
const WATCH_INTERVAL: Duration = Duration::from_millis(50);

/// Runs a pipeline until `shutdown` is requested, then commits what is done and returns. `plugins` are those of
/// the deployments, in their order.
///
/// # Errors
/// Before the first record: all that stands in the way. Afterwards: the fault that ended the last transform, or the one
/// that this process cannot live with. What was not committed is processed again at the next start.
pub fn run(
    pipeline: &Pipeline,
    plugins: &[Arc<Component>],
    shutdown: &Shutdown,
    departure: Departure,
) -> Result<(), Vec<Fault>> {
    let state_dir = StateDir::open(&pipeline.app).map_err(alone)?;
    let board = Arc::new(Board::new(pipeline, state_dir.instance(), Clock::system()));
    let api = pipeline.app.api.map(|address| Api::start(&board, address, state_dir.path()));
    let api = api.transpose().map_err(alone)?;
    let (facts, cluster_id) = cluster::prepare(pipeline)?;
    let mut crews = Vec::with_capacity(pipeline.deployments.len());
    for (deployment, component) in pipeline.deployments.iter().zip(plugins) {
        let contract = Contract {
            kafka: &pipeline.kafka,
            deployment,
            component,
            instance: state_dir.instance(),
            facts: &facts,
            cluster_id: &cluster_id,
            state_dir: state_dir.path(),
            departure,
            board: &board,
        };
        crews.push(Crew::start(&contract).map_err(alone)?);
        event::TransformStarted { transform: &deployment.name, workers: deployment.workers }.emit();
    }
    // Only pages show the lag.
    let _lag = api.as_ref().map(|_| LagReader::start(pipeline, &board)).transpose().map_err(alone)?;
    watch(crews, shutdown, &board).map_err(alone)
}

fn alone(fault: Fault) -> Vec<Fault> {
    vec![fault]
}

/// Watches over the crews until they are to stop, or until there is none left.
fn watch(mut crews: Vec<Crew>, shutdown: &Shutdown, board: &Board) -> Result<(), Fault> {
    while !shutdown.is_requested() {
        std::thread::sleep(WATCH_INTERVAL);
        let failed = crews.iter_mut().enumerate().find_map(|(at, crew)| Some((at, crew.failed()?)));
        let Some((at, fault)) = failed else { continue };
        let crew = crews.swap_remove(at);
        board.stop(crew.transform(), &fault);
        event::TransformStopped { transform: crew.transform(), fault: &fault }.emit();
        crew.stop();
        // What its other workers say adds nothing to the first fault.
        drop(crew.join());
        if crews.is_empty() || fault.code() == Code::InstanceInUse {
            stop(crews)?;
            return Err(fault);
        }
    }
    stop(crews)
}

/// Lets every crew commit and end, all at the same time.
fn stop(crews: Vec<Crew>) -> Result<(), Fault> {
    crews.iter().for_each(Crew::stop);
    crews.into_iter().map(Crew::join).fold(Ok(()), Result::and)
}
