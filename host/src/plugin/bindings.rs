//! The host's side of the interface, generated from `wit/`: a module for each interface line.

/// Line 0.1.
pub(crate) mod v0_1 {
    wasmtime::component::bindgen!({
        path: "../wit/v0.1",
        // Everything that a plugin can export. Which handlers one has is found out when it is loaded.
        inline: "
            package gristmill:host;
            world plugin {
                include gristmill:transform/transform@0.1.0;
                include gristmill:transform/with-index@0.1.0;
                include gristmill:transform/with-timers@0.1.0;
                include gristmill:transform/with-jobs@0.1.0;
                include gristmill:transform/with-callouts@0.1.0;
            }
        ",
        world: "gristmill:host/plugin",
        imports: { default: trappable },
        // What goes in is lent: a batch is copied once, straight into the guest's memory.
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}
