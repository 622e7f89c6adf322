//! Compiles a Rust plugin crate to a WebAssembly component.
