//! Plugins: WebAssembly components that run sandboxed and in this process. The only place that names wasmtime.
//!
//! Three nouns, three lifetimes: a [`Runtime`] for a process, a [`Component`] for a file, an instance for a task.
//!
//! ```text
//! bytes of a .wasm file
//!   | Runtime::load      kind, cache or compiler, imports and exports, manifest
//! Component
//!   | deploy             configuration, limits, one trial start
//! WasmTransform          io::Transform
//!   | instance           memory of its own, `init`
//! io::Instance           `process`, `step`, `index`: a batch, a job or rows in, what the plugin wants or why it failed out
//! ```
//!
//! **What a guest cannot do.** Reach anything but the functions in `imports`; compute beyond its limit, in CPU time, for
//! which its code looks at the engine's epoch in every loop; have more memory than granted; make the host copy or log
//! without bound; or be called again after a call that failed.

mod bindings;
mod cache;
mod component;
mod context;
mod engine;
mod exports;
mod failure;
mod imports;
mod input;
mod inspect;
mod instance;
mod interface;
mod limits;
mod mac;
mod notice;
mod outcome;
mod runtime;
mod step;
mod terms;
mod text;
mod ticker;
mod transform;

pub use component::Component;
pub use inspect::Inspection;
pub use runtime::Runtime;
pub use transform::Spec;
pub use transform::WasmTransform;
