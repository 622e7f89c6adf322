//! One run of a pipeline between two changes of its files.

use std::sync::Arc;
use std::thread::JoinHandle;

use super::LOOK_INTERVAL;
use crate::app;
use crate::app::plugins::Prepared;
use crate::app::shutdown::{Departure, Shutdown};
use crate::cli::output;
use crate::config::pipeline::Pipeline;
use crate::fault::{Code, Fault};

/// A pipeline that runs in a thread of its own.
pub(super) struct Sitting {
    shutdown: Shutdown,
    thread: JoinHandle<Result<(), Vec<Fault>>>,
}

impl Sitting {
    /// Starts it.
    pub(super) fn begin(pipeline: &Pipeline, prepared: &Prepared) -> Result<Self, Fault> {
        let shutdown = Shutdown::default();
        let components: Vec<_> =
            prepared.plugins.iter().map(|plugin| Arc::clone(&plugin.component)).collect();
        let (pipeline, seen) = (pipeline.clone(), shutdown.clone());
        let thread = std::thread::Builder::new()
            .name("dev".to_owned())
            .spawn(move || app::run(&pipeline, &components, &seen, Departure::Leave))
            .map_err(|error| Fault::new(Code::Internal, "the pipeline cannot be started").because(error))?;
        Ok(Self { shutdown, thread })
    }

    /// Waits until it is over, then lets the pipeline commit and end. A pipeline that ends before says why, and the wait
    /// goes on: the next change of a file may mend it.
    pub(super) fn watch(self, is_over: impl Fn() -> bool) -> Result<(), Fault> {
        while !self.thread.is_finished() && !is_over() {
            std::thread::sleep(LOOK_INTERVAL);
        }
        self.shutdown.request();
        let ended = self.thread.join().unwrap_or_else(|_| Err(vec![thread_panicked()]));
        if !is_over() {
            if let Err(faults) = ended {
                eprintln!("{}", output::all_but_last(faults).report());
            }
            eprintln!("the pipeline has stopped; it starts again when one of its files changes");
            while !is_over() {
                std::thread::sleep(LOOK_INTERVAL);
            }
            return Ok(());
        }
        ended.map_err(output::all_but_last)
    }
}

fn thread_panicked() -> Fault {
    Fault::new(Code::Internal, "the pipeline's thread panicked")
}
