//! `jobs`: long work that the plugin starts, through the port that the call was lent.

use crate::plugin::bindings::v0_1::gristmill::transform::jobs;
use crate::plugin::context::{Context, no_answer, refusal};
use crate::plugin::step::CURSOR_BYTES_MAX;

/// Bytes of a job's name: it is a part of a key, and people type it.
const NAME_BYTES_MAX: usize = 256;

impl jobs::Host for Context {
    fn start(&mut self, kind: String, name: String, payload: Vec<u8>) -> wasmtime::Result<u64> {
        let state = self.state_mut()?;
        check_name(&name)?;
        if payload.len() > CURSOR_BYTES_MAX {
            let len = payload.len();
            return Err(refusal(format!(
                "the payload of a job has {len} bytes, at most {CURSOR_BYTES_MAX} are kept"
            )));
        }
        state.start_job(&kind, &name, &payload).map_err(no_answer)
    }

    fn cancel(&mut self, kind: String, name: String) -> wasmtime::Result<bool> {
        let state = self.state_mut()?;
        check_name(&name)?;
        state.cancel_job(&kind, &name).map_err(no_answer)
    }

    fn find(&mut self, kind: String, name: String) -> wasmtime::Result<Option<jobs::JobResult>> {
        let state = self.state()?;
        check_name(&name)?;
        let found = state.find_job(&kind, &name).map_err(no_answer)?;
        Ok(found.map(|job| jobs::JobResult {
            kind: job.kind,
            name: job.name,
            generation: job.generation,
            payload: job.payload,
            cursor: job.cursor,
            superseded_cursor: job.superseded_cursor,
        }))
    }
}

fn check_name(name: &str) -> wasmtime::Result<()> {
    if (1..=NAME_BYTES_MAX).contains(&name.len()) {
        return Ok(());
    }
    let len = name.len();
    Err(refusal(format!("the name of a job has {len} bytes, it must have 1 to {NAME_BYTES_MAX}")))
}
