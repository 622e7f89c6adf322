//! The host's side of the interface, generated from `wit/`: a module for each interface line.

/// Line 0.1.
pub(crate) mod v0_1 {
    wasmtime::component::bindgen!({
        path: "../wit/v0.1",
        world: "gristmill:transform/transform",
        imports: { default: trappable },
        // What goes in is lent: a batch is copied once, straight into the guest's memory.
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}
