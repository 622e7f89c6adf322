//! What a component is made of, for people who look at it before they run it.

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::id::Digest;

/// A component from the outside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inspection {
    /// The SHA-256 of its file.
    pub digest: Digest,
    /// Bytes of its file.
    pub size_bytes: usize,
    /// Bytes of the compiled code and its tables.
    pub compiled_bytes: usize,
    /// The names of what it imports, as it writes them.
    pub imports: Vec<String>,
    /// The names of what it exports, as it writes them.
    pub exports: Vec<String>,
}

impl Inspection {
    /// Looks at a compiled component.
    pub(crate) fn new(engine: &Engine, component: &Component, digest: Digest, size_bytes: usize) -> Self {
        let kind = component.component_type();
        let image = component.image_range();
        Self {
            digest,
            size_bytes,
            compiled_bytes: (image.end as usize).saturating_sub(image.start as usize),
            imports: kind.imports(engine).map(|(name, _)| name.to_owned()).collect(),
            exports: kind.exports(engine).map(|(name, _)| name.to_owned()).collect(),
        }
    }
}
