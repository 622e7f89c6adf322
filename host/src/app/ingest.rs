//! Ingests of a running host: a thread for each SQL ingest that runs it when it is due or asked for, and the server of those
//! of HTTP.

pub mod checks;
mod job;
mod keeper;
mod rest;

pub use job::{Preview, SqlJob};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::app::cluster::Survey;
use crate::app::ingest::keeper::Keeper;
use crate::clock::Clock;
use crate::config::ingest::{Ingest, IngestKind};
use crate::config::pipeline::Pipeline;
use crate::event;
use crate::fault::Fault;
use crate::id::InstanceName;
use crate::ingest::http::HttpServer;
use crate::status::{Board, IngestBoard, IngestState};

/// The ingests of a process. They end when this is dropped.
pub(super) struct Ingests {
    board: Arc<Board>,
    stop: Arc<AtomicBool>,
    keepers: Vec<Keeper>,
    rest: Option<HttpServer>,
    /// Why others are not there.
    stopped: Vec<Fault>,
}

impl Ingests {
    /// Starts all that nothing stands in the way of.
    pub(super) fn start(
        pipeline: &Pipeline,
        mut survey: Survey,
        instance: &InstanceName,
        board: &Arc<Board>,
    ) -> Self {
        let mut ingests = Self {
            board: Arc::clone(board),
            stop: Arc::default(),
            keepers: Vec::new(),
            rest: None,
            stopped: Vec::new(),
        };
        let mut free = Vec::new();
        let obstacles = std::mem::take(&mut survey.ingest_obstacles);
        for (number, (ingest, obstacles)) in pipeline.ingests.iter().zip(obstacles).enumerate() {
            if obstacles.is_empty() {
                ingests.begin(pipeline, &survey, (number, ingest));
                free.push(ingest);
            }
            obstacles.into_iter().for_each(|fault| ingests.refuse(ingest, fault));
        }
        ingests.listen(pipeline, &survey, instance, &free);
        ingests
    }

    /// Starts the server of the ingests of HTTP; without one there is none.
    fn listen(&mut self, pipeline: &Pipeline, survey: &Survey, instance: &InstanceName, free: &[&Ingest]) {
        let mut routes = Vec::new();
        let mut listed = Vec::new();
        for ingest in free {
            match rest::route(&pipeline.kafka, ingest, instance, &survey.facts).transpose() {
                Some(Ok(route)) => {
                    routes.push(route);
                    listed.push(*ingest);
                }
                Some(Err(fault)) => self.refuse(ingest, fault),
                None => {}
            }
        }
        if routes.is_empty() {
            return;
        }
        match HttpServer::start(&pipeline.http, routes, &Clock::system()) {
            Ok(server) => {
                let address = server.address();
                for ingest in listed {
                    let serving = |board: &IngestBoard| {
                        board.show(|status| status.state = IngestState::Serving(address));
                    };
                    self.show(ingest, serving);
                }
                self.rest = Some(server);
            }
            // One server for all: none of them can work.
            Err(fault) => listed.iter().for_each(|ingest| self.refuse(ingest, again(&fault))),
        }
    }

    fn begin(&mut self, pipeline: &Pipeline, survey: &Survey, (number, ingest): (usize, &Ingest)) {
        match &ingest.kind {
            IngestKind::Sql(sql) => {
                let job = SqlJob::new(&pipeline.kafka, ingest, sql, &survey.facts);
                let keeper = Keeper::start(job, (Arc::clone(&self.board), number), &self.stop);
                match keeper {
                    Ok(keeper) => self.keepers.push(keeper),
                    Err(fault) => self.refuse(ingest, fault),
                }
            }
            // All of them share a server, which is started last.
            IngestKind::Http(_) => {}
            IngestKind::Dynamodb(_) => self.show(ingest, |board| {
                board.show(|status| status.state = IngestState::ByHand);
            }),
        }
    }

    /// An ingest cannot work; the others and the transforms go on.
    pub(super) fn refuse(&mut self, ingest: &Ingest, fault: Fault) {
        event::IngestStopped { ingest: &ingest.name, fault: &fault }.emit();
        self.show(ingest, |board| board.stop(&fault));
        self.stopped.push(fault);
    }

    fn show(&self, ingest: &Ingest, show: impl FnOnce(&IngestBoard)) {
        if let Some(board) = self.board.ingest(ingest.name.as_str()) {
            show(board);
        }
    }

    /// Whether something works here that is worth a process.
    pub(super) fn are_working(&self) -> bool {
        !self.keepers.is_empty() || self.rest.is_some()
    }

    /// Ends all, and says what kept others from working.
    pub(super) fn end(mut self) -> Vec<Fault> {
        std::mem::take(&mut self.stopped)
    }
}

/// The same fault for another ingest.
fn again(fault: &Fault) -> Fault {
    Fault::new(fault.code(), fault.message().to_owned())
        .because(fault.cause())
        .hint(fault.remedy().to_owned())
}

impl Drop for Ingests {
    fn drop(&mut self) {
        // Requests that are under way are answered first.
        drop(self.rest.take());
        self.stop.store(true, Ordering::SeqCst);
        self.board.ingests().iter().for_each(IngestBoard::wake);
        self.keepers.drain(..).for_each(Keeper::join);
    }
}
