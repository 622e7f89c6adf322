//! Runs of ingests.

use std::time::Duration;

use super::registry;
use crate::fault::Fault;
use crate::id::IngestName;

/// A run of an ingest has ended well.
#[derive(Debug)]
pub struct IngestRan<'a> {
    /// The ingest.
    pub ingest: &'a IngestName,
    /// Keys that are new.
    pub inserts: u64,
    /// Keys whose value changed.
    pub updates: u64,
    /// Keys that are deleted.
    pub deletes: u64,
    /// Keys that are as they were.
    pub unchanged: u64,
    /// How long it took.
    pub took: Duration,
}

impl IngestRan<'_> {
    /// Logs it, when it has changed something, and counts it.
    pub fn emit(self) {
        let Self { inserts, updates, deletes, unchanged, .. } = self;
        let (ingest, took_ms) = (self.ingest.as_str(), self.took.as_millis() as u64);
        if inserts + updates + deletes > 0 {
            tracing::info!(
                ingest,
                inserts,
                updates,
                deletes,
                unchanged,
                took_ms,
                "an ingest has published changes"
            );
        } else {
            tracing::debug!(ingest, unchanged, took_ms, "an ingest has found no change");
        }
        registry().add("gristmill_ingest_runs_total", &[("ingest", ingest), ("outcome", "done")], 1);
        for (change, count) in [("insert", inserts), ("update", updates), ("delete", deletes)] {
            let labels = [("ingest", ingest), ("change", change)];
            registry().add("gristmill_ingest_changes_total", &labels, count as usize);
        }
        registry().observe("gristmill_ingest_run_seconds", &[("ingest", ingest)], self.took.as_secs_f64());
    }
}

/// A run of an ingest has failed; it published nothing.
#[derive(Debug)]
pub struct IngestRunFailed<'a> {
    /// The ingest.
    pub ingest: &'a IngestName,
    /// Why.
    pub fault: &'a Fault,
}

impl IngestRunFailed<'_> {
    /// Logs it and counts it.
    pub fn emit(self) {
        let (ingest, code) = (self.ingest.as_str(), self.fault.code().as_str());
        tracing::warn!(ingest, code, "a run of an ingest has failed: {}", self.fault.line());
        registry().add("gristmill_ingest_runs_total", &[("ingest", ingest), ("outcome", code)], 1);
    }
}

/// An ingest cannot work.
#[derive(Debug)]
pub struct IngestStopped<'a> {
    /// The ingest.
    pub ingest: &'a IngestName,
    /// Why.
    pub fault: &'a Fault,
}

impl IngestStopped<'_> {
    /// Logs it.
    pub fn emit(self) {
        let (ingest, code) = (self.ingest.as_str(), self.fault.code().as_str());
        tracing::error!(ingest, code, "an ingest has stopped: {}", self.fault.line());
    }
}
