//! A plugin under a name, with its limits and its configuration: makes instances.

use std::sync::Arc;

use crate::config::pipeline::{Deployment, Limits};
use crate::fault::{Code, Fault};
use crate::id::{TaskId, TransformName};
use crate::io::{Instance, Transform};
use crate::plugin::component::Component;
use crate::plugin::failure::cause;
use crate::plugin::instance::WasmInstance;

/// How a plugin is deployed.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Under which name.
    pub transform: TransformName,
    /// Its configuration as JSON: checked, defaults filled in.
    pub config_json: String,
    /// What each instance may use.
    pub limits: Limits,
}

impl From<&Deployment> for Spec {
    fn from(deployment: &Deployment) -> Self {
        Self {
            transform: deployment.name.clone(),
            config_json: deployment.config_json.clone(),
            limits: deployment.limits,
        }
    }
}

/// A component under a name. Cheap to clone.
#[derive(Clone)]
pub struct WasmTransform {
    component: Arc<Component>,
    transform: TransformName,
    config_json: Arc<str>,
    limits: Limits,
}

impl WasmTransform {
    pub(crate) fn new(component: Arc<Component>, spec: Spec) -> Self {
        let Spec { transform, config_json, limits } = spec;
        Self { component, transform, config_json: Arc::from(config_json), limits }
    }

    /// Starts an instance for a task, or for nobody.
    pub(crate) fn start(&self, task: Option<&TaskId>) -> Result<WasmInstance, Fault> {
        let started =
            WasmInstance::new(&self.component, task.cloned(), Arc::clone(&self.config_json), self.limits)
                .and_then(|mut instance| instance.init().map(|()| instance));
        started.map_err(|error| {
            let message = format!(
                "plugin `{}` of transform `{}` does not start",
                self.component.name(),
                self.transform
            );
            Fault::new(Code::PluginInitFailed, message).because(cause(error))
        })
    }
}

impl Transform for WasmTransform {
    fn instance(&self, task: &TaskId) -> Result<Box<dyn Instance>, Fault> {
        Ok(Box::new(self.start(Some(task))?))
    }
}
