//! Finds and loads the plugins that a pipeline file names.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::app::bundled;
use crate::config::env::Lookup;
use crate::config::manifest::Manifest;
use crate::config::pipeline::Pipeline;
use crate::config::plugin_ref::PluginRef;
use crate::config::raw::Raw;
use crate::config::{assembly, manifest, raw};
use crate::fault::{Code, Fault};
use crate::plugin::{Component, Runtime};

/// The directory of compiled plugins below the state directory.
const COMPILED: &str = "compiled";

/// A pipeline file with everything that it names.
pub struct Prepared {
    /// The file as it is written.
    pub raw: Raw,
    /// The pipeline.
    pub pipeline: Pipeline,
    /// The plugins of the transforms, in their order. A plugin that is used twice is loaded once.
    pub plugins: Vec<Loaded>,
}

/// A plugin that can be deployed.
#[derive(Clone)]
pub struct Loaded {
    /// Its component.
    pub component: Arc<Component>,
    /// What it declares.
    pub manifest: Manifest,
}

/// Whether compiled plugins are kept on the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compiled {
    /// In the state directory, which is made when it is missing.
    Kept,
    /// Nowhere: nothing on the disk changes.
    Forgotten,
}

/// Reads a pipeline file, loads its plugins and checks one against the other. Starts nothing.
///
/// # Errors
/// Whatever can be wrong with a file or a plugin; see [`raw::read`], [`load`] and [`assembly::assemble`].
pub fn prepare(path: &Path, lookup: Lookup<'_>, compiled: Compiled) -> Result<Prepared, Fault> {
    let raw = raw::read(path, lookup)?;
    let cache = (compiled == Compiled::Kept).then(|| raw.app.state_dir.join(COMPILED));
    let runtime = Runtime::new(cache)?;
    let mut known: BTreeMap<PluginRef, Loaded> = BTreeMap::new();
    let mut plugins = Vec::with_capacity(raw.transforms.len());
    let pipeline = assembly::assemble(&raw, &mut |transform| {
        let plugin = match known.get(&transform.plugin) {
            Some(plugin) => plugin.clone(),
            None => load(&runtime, &transform.plugin)?,
        };
        known.insert(transform.plugin.clone(), plugin.clone());
        plugins.push(plugin.clone());
        Ok((plugin.manifest, plugin.component.digest()))
    })?;
    Ok(Prepared { raw, pipeline, plugins })
}

/// Loads a plugin.
///
/// # Errors
/// `plugin_not_bundled`, `file_unreadable`, `plugin_unsupported` for a registry, and what
/// [`Runtime::load`], [`manifest::parse`] and [`Component::check_handlers`] find.
pub fn load(runtime: &Runtime, plugin: &PluginRef) -> Result<Loaded, Fault> {
    let (name, bytes) = match plugin {
        PluginRef::Builtin(name) => (name.clone(), bundled::find(name)?.into()),
        PluginRef::File(path) => (path.display().to_string(), read(path)?),
        PluginRef::Oci(address) => {
            let message =
                format!("`{address}` is in a registry, which this version of the host cannot fetch from");
            let hint = "fetch it with a client of the registry, and name the `.wasm` file";
            return Err(Fault::new(Code::PluginUnsupported, message).hint(hint));
        }
    };
    let component = runtime.load(&name, &bytes)?;
    let mut manifest = manifest::parse(component.manifest_text())?;
    component.check_handlers(&manifest)?;
    manifest.timers = component.takes_timers();
    Ok(Loaded { component, manifest })
}

fn read(path: &PathBuf) -> Result<Vec<u8>, Fault> {
    fs::read(path).map_err(|error| {
        Fault::new(Code::FileUnreadable, format!("the plugin file `{}` cannot be read", path.display()))
            .because(error)
            .hint("name a `.wasm` file, or `builtin:NAME` for a bundled plugin")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_plugins_in_a_registry() {
        let plugin = PluginRef::parse("oci://registry.example/p", Path::new(""));

        let fault = load(&Runtime::new(None).unwrap(), &plugin).err().unwrap();

        assert_eq!(fault.code(), Code::PluginUnsupported);
    }
}
