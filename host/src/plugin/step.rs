//! One step of a job: what goes in, and what comes out, checked where the task could not.

use crate::config::pipeline::Limits;
use crate::io::{CallError, Job, Measurement, StepOutcome};
use crate::plugin::bindings::v0_1::exports::gristmill::transform::job_handler;
use crate::plugin::bindings::v0_1::gristmill::transform::jobs::JobParam;
use crate::plugin::failure::trap;
use crate::plugin::outcome::outcome;

/// Bytes of a cursor and of a payload: they are written again with each step.
pub(crate) const CURSOR_BYTES_MAX: usize = 64 << 10;

/// A job as the guest gets it.
pub(crate) fn job(job: &Job) -> JobParam<'_> {
    JobParam {
        kind: &job.kind,
        name: &job.name,
        generation: job.generation,
        payload: &job.payload,
        cursor: job.cursor.as_deref(),
        superseded_cursor: job.superseded_cursor.as_deref(),
    }
}

/// Takes over what a step came to.
///
/// # Errors
/// As [`outcome`], and a trap for a rejection and for a cursor that is too long.
pub(crate) fn step(
    lifted: job_handler::Step,
    measurements: Vec<Measurement>,
    limits: &Limits,
) -> Result<StepOutcome, CallError> {
    let job_handler::Step { outcome: done, cursor, visited, total } = lifted;
    if !done.rejected.is_empty() {
        return Err(trap("a step of a job rejects, and has no record to reject"));
    }
    if let Some(len) = cursor.as_ref().map(Vec::len).filter(|len| *len > CURSOR_BYTES_MAX) {
        return Err(trap(format!(
            "the cursor of a job has {len} bytes, at most {CURSOR_BYTES_MAX} are kept"
        )));
    }
    Ok(StepOutcome { outcome: outcome(done, measurements, limits)?, cursor, visited, total })
}
