//! What `wit-bindgen` makes of the interface: the types that cross, and the imported functions.
//!
//! Outside of WebAssembly the types are the same and the functions are not there to be called.

#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, clippy::restriction)]

wit_bindgen::generate!({
    path: "../../../wit/v0.1",
    world: "gristmill:transform/transform",
    default_bindings_module: "gristmill::bindings",
    export_macro_name: "export_component",
    pub_export_macro: true,
});
