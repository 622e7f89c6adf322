//! What a component exports: the processor, which every plugin has, and the handlers that it may have.

use wasmtime::Store;
use wasmtime::component::InstancePre;

use crate::config::manifest::Manifest;
use crate::fault::{Code, Fault};
use crate::plugin::bindings::v0_1::exports::gristmill::transform::{
    callout_handler, indexer, job_handler, processor, timer_handler,
};
use crate::plugin::context::Context;
use crate::plugin::interface;

/// The exports of a component, looked up once.
pub(crate) struct ExportsPre {
    instance: InstancePre<Context>,
    processor: processor::GuestIndices,
    indexer: Option<indexer::GuestIndices>,
    timer_handler: Option<timer_handler::GuestIndices>,
    job_handler: Option<job_handler::GuestIndices>,
    callout_handler: Option<callout_handler::GuestIndices>,
}

/// The exports of an instance.
pub(crate) struct Exports {
    /// Takes records.
    pub(crate) processor: processor::Guest,
    /// Computes the terms of rows.
    pub(crate) indexer: Option<indexer::Guest>,
    /// Takes timers that are due.
    pub(crate) timer_handler: Option<timer_handler::Guest>,
    /// Does the steps of jobs.
    pub(crate) job_handler: Option<job_handler::Guest>,
    /// Takes what became of callouts.
    pub(crate) callout_handler: Option<callout_handler::Guest>,
}

impl ExportsPre {
    /// Looks the exports up. `names` are those that the component says it has.
    ///
    /// # Errors
    /// An interface that lacks a function.
    pub(crate) fn new(instance: InstancePre<Context>, names: &[String]) -> wasmtime::Result<Self> {
        let has = |handler| interface::exports(names, handler);
        let pre = &instance;
        Ok(Self {
            processor: processor::GuestIndices::new(pre)?,
            indexer: has(INDEXER).then(|| indexer::GuestIndices::new(pre)).transpose()?,
            timer_handler: has(TIMER_HANDLER).then(|| timer_handler::GuestIndices::new(pre)).transpose()?,
            job_handler: has(JOB_HANDLER).then(|| job_handler::GuestIndices::new(pre)).transpose()?,
            callout_handler: has(CALLOUT_HANDLER)
                .then(|| callout_handler::GuestIndices::new(pre))
                .transpose()?,
            instance,
        })
    }

    /// Makes an instance.
    ///
    /// # Errors
    /// Its start function trapped, it wants more memory than it is granted, or its functions have other types.
    pub(crate) fn instantiate(&self, store: &mut Store<Context>) -> wasmtime::Result<Exports> {
        let instance = self.instance.instantiate(&mut *store)?;
        let indexer = self.indexer.as_ref().map(|found| found.load(&mut *store, &instance));
        let timer_handler = self.timer_handler.as_ref().map(|found| found.load(&mut *store, &instance));
        let job_handler = self.job_handler.as_ref().map(|found| found.load(&mut *store, &instance));
        let callout_handler = self.callout_handler.as_ref().map(|found| found.load(&mut *store, &instance));
        Ok(Exports {
            processor: self.processor.load(&mut *store, &instance)?,
            indexer: indexer.transpose()?,
            timer_handler: timer_handler.transpose()?,
            job_handler: job_handler.transpose()?,
            callout_handler: callout_handler.transpose()?,
        })
    }

    /// Whether there is a handler of timers: they are not declared in a manifest.
    pub(crate) fn takes_timers(&self) -> bool {
        self.timer_handler.is_some()
    }

    /// Checks that what a manifest declares has its handler.
    ///
    /// # Errors
    /// `handler_missing`.
    pub(crate) fn check(&self, plugin: &str, manifest: &Manifest) -> Result<(), Fault> {
        let index = manifest.indexes.first().map(|index| ("index", &index.name));
        let job = manifest.jobs.first().map(|job| ("job", &job.name));
        let endpoint = manifest.endpoints.first().map(|endpoint| ("endpoint", &endpoint.name));
        let needs = [
            (index, self.indexer.is_some(), INDEXER),
            (job, self.job_handler.is_some(), JOB_HANDLER),
            (endpoint, self.callout_handler.is_some(), CALLOUT_HANDLER),
        ];
        let missing = needs.into_iter().find_map(|(declared, is_there, handler)| {
            declared.filter(|_| !is_there).map(|(what, name)| {
                format!("plugin `{plugin}` declares the {what} `{name}` and does not export `{handler}`")
            })
        });
        missing.map_or(Ok(()), |message| Err(Fault::new(Code::HandlerMissing, message)))
    }
}

/// The export that indexes need.
const INDEXER: &str = "indexer";

/// The export that timers need.
const TIMER_HANDLER: &str = "timer-handler";

/// The export that jobs need.
const JOB_HANDLER: &str = "job-handler";

/// The export that endpoints need.
const CALLOUT_HANDLER: &str = "callout-handler";
