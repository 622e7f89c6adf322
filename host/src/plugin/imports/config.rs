//! `config`: the configuration of the transform, as JSON.

use crate::plugin::bindings::v0_1::gristmill::transform::config;
use crate::plugin::context::Context;

impl config::Host for Context {
    fn json(&mut self) -> wasmtime::Result<String> {
        Ok(self.config_json.to_string())
    }
}
