//! The engine of a process, and how a file becomes a plugin.

use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Engine, component};

use crate::event::CompileCacheUnusable;
use crate::fault::{Code, Fault};
use crate::id::Digest;
use crate::plugin::bindings::v0_1::Plugin;
use crate::plugin::cache::Cache;
use crate::plugin::component::Component;
use crate::plugin::context::Context;
use crate::plugin::exports::ExportsPre;
use crate::plugin::inspect::Inspection;
use crate::plugin::ticker::Ticker;
use crate::plugin::{engine, interface};

/// The first bytes of every WebAssembly file.
const MAGIC: &[u8] = b"\0asm";

/// The version that follows in a core module; a component has another one there.
const CORE_MODULE: &[u8] = &[1, 0, 0, 0];

/// Compiles plugins and runs them: one for a process. Cheap to clone; the clones are the same runtime.
#[derive(Clone)]
pub struct Runtime {
    shared: Arc<Shared>,
}

/// What a runtime and everything that comes from it have in common.
pub(crate) struct Shared {
    engine: Engine,
    linker: Linker<Context>,
    cache: Option<Cache>,
    _ticker: Ticker,
}

impl Shared {
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }
}

impl Runtime {
    /// Starts the engine. Compiled plugins are kept in `cache_dir`, which is the host's alone; when it cannot be used
    /// the log says so, and they are compiled at every start.
    ///
    /// # Errors
    /// `internal`: the machine cannot run WebAssembly.
    pub fn new(cache_dir: Option<PathBuf>) -> Result<Self, Fault> {
        let engine = engine::new()?;
        let mut linker = Linker::new(&engine);
        Plugin::add_to_linker::<_, HasSelf<_>>(&mut linker, |context: &mut Context| context).map_err(
            |error| {
                Fault::new(Code::Internal, "the interface cannot be offered to plugins")
                    .because(error.into_boxed_dyn_error())
            },
        )?;
        let cache = cache_dir.and_then(|dir| {
            let opened = Cache::open(&dir, &engine);
            opened.inspect_err(|cause| CompileCacheUnusable { dir: &dir, cause }.emit()).ok()
        });
        let _ticker = Ticker::start(&engine)?;
        Ok(Self { shared: Arc::new(Shared { engine, linker, cache, _ticker }) })
    }

    /// Makes a plugin of the bytes of a `.wasm` file: compiles it, or finds it compiled, checks that it fits the
    /// interface, and asks for its manifest. `name` is what messages call it.
    ///
    /// # Errors
    /// `plugin_not_wasm`, `plugin_core_module`, `plugin_invalid`, `interface_unsupported`, `import_not_granted`,
    /// `manifest_invalid`.
    pub fn load(&self, name: &str, bytes: &[u8]) -> Result<Arc<Component>, Fault> {
        check_kind(name, bytes)?;
        let digest = Digest(Sha256::digest(bytes).into());
        let compiled = self.compile(name, bytes, &digest)?;
        let inspection = Inspection::new(&self.shared.engine, &compiled, digest, bytes.len());
        let imports = || inspection.imports.iter().map(String::as_str);
        let exports = || inspection.exports.iter().map(String::as_str);
        interface::check_exports(name, exports())?;
        interface::check_imports(name, imports())?;
        let linked = self.shared.linker.instantiate_pre(&compiled);
        let linked = linked.and_then(|linked| ExportsPre::new(linked, &inspection.exports));
        let linked = linked.map_err(|cause| interface::misfit(name, imports().chain(exports()), cause))?;
        Component::new(name, &self.shared, linked, inspection)
    }

    fn compile(&self, name: &str, bytes: &[u8], digest: &Digest) -> Result<component::Component, Fault> {
        let cache = self.shared.cache.as_ref();
        if let Some(compiled) = cache.and_then(|cache| cache.read(digest)) {
            return Ok(compiled);
        }
        let compiled = component::Component::from_binary(&self.shared.engine, bytes).map_err(|error| {
            let message = format!("plugin `{name}` is a damaged component");
            Fault::new(Code::PluginInvalid, message).because(error.into_boxed_dyn_error())
        })?;
        if let Some(cache) = cache {
            // The plugin runs all the same, and is compiled again at the next start.
            if let Err(cause) = cache.write(digest, &compiled) {
                CompileCacheUnusable { dir: cache.dir(), cause: &cause }.emit();
            }
        }
        Ok(compiled)
    }
}

fn check_kind(name: &str, bytes: &[u8]) -> Result<(), Fault> {
    let not_wasm = |what| Err(Fault::new(Code::PluginNotWasm, format!("plugin `{name}` is {what}")));
    match bytes.split_at_checked(MAGIC.len()) {
        _ if bytes.is_empty() => not_wasm("empty"),
        Some((MAGIC, rest)) if rest.starts_with(CORE_MODULE) => {
            let message = format!("plugin `{name}` is a core module, not a component");
            Err(Fault::new(Code::PluginCoreModule, message))
        }
        Some((MAGIC, _)) => Ok(()),
        _ => not_wasm("not WebAssembly"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(bytes: &[u8]) -> Option<Code> {
        check_kind("p.wasm", bytes).err().map(|fault| fault.code())
    }

    #[test]
    fn tells_a_component_from_what_is_none() {
        assert_eq!(kind(b""), Some(Code::PluginNotWasm));
        assert_eq!(kind(b"#!/bin/sh"), Some(Code::PluginNotWasm));
        assert_eq!(kind(b"\0as"), Some(Code::PluginNotWasm));
        assert_eq!(kind(b"\0asm\x01\0\0\0"), Some(Code::PluginCoreModule));
        assert_eq!(kind(b"\0asm\x0d\0\x01\0"), None);
    }
}
