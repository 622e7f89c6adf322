//! `jobs`: refused, because this version of the host runs none.

use crate::plugin::bindings::v0_1::gristmill::transform::jobs;
use crate::plugin::context::{Context, refusal};
use crate::plugin::imports::NOT_YET;

impl jobs::Host for Context {
    fn start(&mut self, _kind: String, _name: String, _payload: Vec<u8>) -> wasmtime::Result<u64> {
        Err(refusal(format!("`jobs.start` is {NOT_YET}")))
    }

    fn cancel(&mut self, _kind: String, _name: String) -> wasmtime::Result<bool> {
        Err(refusal(format!("`jobs.cancel` is {NOT_YET}")))
    }

    fn find(&mut self, _kind: String, _name: String) -> wasmtime::Result<Option<jobs::Job>> {
        Err(refusal(format!("`jobs.find` is {NOT_YET}")))
    }
}
