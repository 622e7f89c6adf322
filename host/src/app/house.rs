//! The crews of a process: starts each, watches over all, and remembers what has stopped and why.

use std::sync::Arc;
use std::time::Duration;

use crate::app::crew::{Contract, Crew};
use crate::app::ingest::Ingests;
use crate::app::shutdown::Shutdown;
use crate::config::pipeline::Pipeline;
use crate::event;
use crate::fault::{Code, Fault};
use crate::id::TransformName;
use crate::plugin::{Component, WasmTransform};
use crate::status::{Board, TaskState};

/// How late the process sees a signal or a worker that ended.
const WATCH_INTERVAL: Duration = Duration::from_millis(50);

/// The crews of a process.
pub(super) struct House<'b> {
    board: &'b Board,
    crews: Vec<Crew>,
    /// Why others are not there, in the order in which they stopped.
    stopped: Vec<(TransformName, Fault)>,
}

impl<'b> House<'b> {
    /// Without crews.
    pub(super) fn new(board: &'b Board) -> Self {
        Self { board, crews: Vec::new(), stopped: Vec::new() }
    }

    /// Starts the plugins of a pipeline, each with its configuration. A plugin that refuses keeps its own transform from
    /// starting; nothing stands there in its place.
    ///
    /// # Errors
    /// `plugin_init_failed`, and what else plugins answer, when all of them refuse and there is no ingest.
    pub(super) fn deploy(
        &mut self,
        pipeline: &Pipeline,
        plugins: &[Arc<Component>],
    ) -> Result<Vec<Option<WasmTransform>>, Vec<Fault>> {
        let mut transforms = Vec::with_capacity(plugins.len());
        for (deployment, component) in pipeline.deployments.iter().zip(plugins) {
            let deployed = component.deploy(deployment.into());
            transforms.push(deployed.map_err(|fault| self.refuse(&deployment.name, vec![fault])).ok());
        }
        let is_worth_it = transforms.iter().any(Option::is_some) || !pipeline.ingests.is_empty();
        match is_worth_it {
            true => Ok(transforms),
            false => Err(std::mem::take(&mut self.stopped).into_iter().map(|(_, fault)| fault).collect()),
        }
    }

    /// Starts a crew.
    pub(super) fn start(&mut self, contract: &Contract<'_>, transform: WasmTransform) {
        let deployment = contract.deployment;
        match Crew::start(contract, transform) {
            Ok(crew) => {
                self.crews.push(crew);
                let (transform, workers) = (&deployment.name, deployment.workers);
                event::TransformStarted { transform, workers }.emit();
            }
            Err(fault) => self.refuse(&deployment.name, vec![fault]),
        }
    }

    /// A transform cannot start, or cannot go on.
    pub(super) fn refuse(&mut self, transform: &TransformName, faults: Vec<Fault>) {
        if let Some(first) = faults.first() {
            self.board.stop(transform, first);
        }
        self.stopped.extend(faults.into_iter().map(|fault| (transform.clone(), fault)));
    }

    /// Watches over the crews until they are to stop, or until there is none left and no ingest works.
    ///
    /// # Errors
    /// The faults of all transforms, tasks and ingests that have stopped.
    pub(super) fn watch(mut self, shutdown: &Shutdown, ingests: Ingests) -> Result<(), Vec<Fault>> {
        // When none is left, the faults are the answer; the log would only say them twice.
        if !self.crews.is_empty() {
            self.stopped.iter().for_each(|(transform, fault)| tell(transform, fault));
        }
        while !shutdown.is_requested() && (!self.crews.is_empty() || ingests.are_working()) {
            std::thread::sleep(WATCH_INTERVAL);
            let mut crews = self.crews.iter_mut().enumerate();
            let failed = crews.find_map(|(at, crew)| Some((at, crew.failed()?)));
            let Some((at, fault)) = failed else { continue };
            let has_lost_its_name = fault.code() == Code::InstanceInUse;
            let crew = self.crews.swap_remove(at);
            tell(crew.transform(), &fault);
            self.refuse(&crew.transform().clone(), vec![fault]);
            crew.stop();
            // What its other workers say adds nothing to the first fault.
            drop(crew.join());
            if has_lost_its_name {
                break;
            }
        }
        // First what fills topics, then what empties them.
        let ingest_faults = ingests.end();
        self.end(ingest_faults)
    }

    /// Lets every crew commit and end, all at the same time; the ingests have ended.
    fn end(mut self, ingest_faults: Vec<Fault>) -> Result<(), Vec<Fault>> {
        let stopped_tasks = self.stopped_tasks();
        self.crews.iter().for_each(Crew::stop);
        let last_words = self.crews.drain(..).map(Crew::join);
        let last_words: Vec<_> = last_words.filter_map(Result::err).collect();
        let stopped = self.stopped.into_iter().map(|(_, fault)| fault);
        let faults = stopped_tasks.into_iter().chain(last_words).chain(stopped).chain(ingest_faults);
        let faults: Vec<_> = faults.collect();
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// For each transform that still runs, why a task of it has stopped.
    fn stopped_tasks(&self) -> Vec<Fault> {
        let mut faults: Vec<(TransformName, Fault)> = Vec::new();
        for (_, task) in self.board.tasks() {
            let TaskState::Stopped { code, message, hint } = task.state else { continue };
            if !faults.iter().any(|(transform, _)| *transform == task.id.transform) {
                let fault = Fault::new(code, format!("task `{}` has stopped", task.id));
                faults.push((task.id.transform, fault.because(message).hint(hint)));
            }
        }
        faults.into_iter().map(|(_, fault)| fault).collect()
    }
}

fn tell(transform: &TransformName, fault: &Fault) {
    event::TransformStopped { transform, fault }.emit();
}
