//! A plugin that is compiled and checked: ready to be deployed.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::Engine;

use crate::config::manifest::Manifest;
use crate::config::pipeline::Limits;
use crate::fault::{Code, Fault};
use crate::id::Digest;
use crate::io::CallError;
use crate::plugin::exports::ExportsPre;
use crate::plugin::failure::cause;
use crate::plugin::inspect::Inspection;
use crate::plugin::instance::WasmInstance;
use crate::plugin::runtime::Shared;
use crate::plugin::transform::{Spec, WasmTransform};

/// What a plugin may use to say who it is. It has no configuration and no state then.
const LOOK_AT: Limits = Limits {
    memory_bytes: 64 << 20,
    call: Duration::from_secs(1),
    output_bytes: 1 << 20,
    output_records: 0,
    log_bytes: 0,
    traps_per_minute: 0,
};

/// A compiled component that is a plugin: it fits the interface and has told its manifest.
pub struct Component {
    name: String,
    exports: ExportsPre,
    inspection: Inspection,
    manifest_text: String,
    /// Keeps the guests' clock going.
    shared: Arc<Shared>,
}

impl Component {
    /// Takes over what was compiled and linked, and asks the plugin for its manifest.
    ///
    /// # Errors
    /// `manifest_invalid`: the plugin fails when it is asked.
    pub(crate) fn new(
        name: &str,
        shared: &Arc<Shared>,
        exports: ExportsPre,
        inspection: Inspection,
    ) -> Result<Arc<Self>, Fault> {
        let unasked = Self {
            name: name.to_owned(),
            exports,
            inspection,
            manifest_text: String::new(),
            shared: Arc::clone(shared),
        };
        let unasked = Arc::new(unasked);
        let manifest = WasmInstance::new(&unasked, None, Arc::from("{}"), LOOK_AT)
            .and_then(|mut instance| instance.manifest())
            .map_err(|error| no_manifest(name, error))?;
        // The instance that was asked is gone, and with it the other owner.
        let mut component = Arc::into_inner(unasked)
            .ok_or_else(|| Fault::new(Code::Internal, format!("plugin `{name}` is still being looked at")))?;
        component.manifest_text = manifest;
        Ok(Arc::new(component))
    }

    /// Its manifest, as it is written: TOML, not checked.
    pub fn manifest_text(&self) -> &str {
        &self.manifest_text
    }

    /// Checks that it exports the handlers of what its manifest declares.
    ///
    /// # Errors
    /// `handler_missing`.
    pub fn check_handlers(&self, manifest: &Manifest) -> Result<(), Fault> {
        self.exports.check(&self.name, manifest)
    }

    /// Whether it takes timers: it exports their handler. A manifest does not say it.
    pub fn takes_timers(&self) -> bool {
        self.exports.takes_timers()
    }

    /// The digest of its file.
    pub fn digest(&self) -> Digest {
        self.inspection.digest
    }

    /// What it imports and exports, and how large it is.
    pub fn inspection(&self) -> &Inspection {
        &self.inspection
    }

    /// Deploys it under a name. Starts one instance and drops it, so that a plugin that refuses its configuration does so
    /// before anything runs.
    ///
    /// # Errors
    /// `plugin_init_failed`.
    pub fn deploy(self: &Arc<Self>, spec: Spec) -> Result<WasmTransform, Fault> {
        let transform = WasmTransform::new(Arc::clone(self), spec);
        transform.start(None)?;
        Ok(transform)
    }

    /// What messages call it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.shared.engine()
    }

    pub(crate) fn exports(&self) -> &ExportsPre {
        &self.exports
    }
}

fn no_manifest(name: &str, error: CallError) -> Fault {
    Fault::new(Code::ManifestInvalid, format!("plugin `{name}` does not tell its manifest"))
        .because(cause(error))
}
