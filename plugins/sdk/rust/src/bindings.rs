//! What `wit-bindgen` makes of the interface: the types that cross, and the imported functions.
//!
//! Outside of WebAssembly the types are the same and the functions are not there to be called. There is one
//! world for each handler, so that a component exports what its plugin implements and nothing else; what
//! they import is the same, and is made once.

#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, clippy::restriction)]

wit_bindgen::generate!({
    path: "../../../wit/v0.1",
    world: "gristmill:transform/transform",
    default_bindings_module: "gristmill::bindings",
    export_macro_name: "export_component",
    pub_export_macro: true,
});

/// The handler of indexes.
pub mod with_index {
    wit_bindgen::generate!({
        path: "../../../wit/v0.1",
        world: "gristmill:transform/with-index",
        default_bindings_module: "gristmill::bindings::with_index",
        export_macro_name: "export_index",
        pub_export_macro: true,
        with: {
            "gristmill:transform/types@0.1.0": crate::bindings::gristmill::transform::types,
            "gristmill:transform/state@0.1.0": crate::bindings::gristmill::transform::state,
            "gristmill:transform/timers@0.1.0": crate::bindings::gristmill::transform::timers,
            "gristmill:transform/jobs@0.1.0": crate::bindings::gristmill::transform::jobs,
            "gristmill:transform/log@0.1.0": crate::bindings::gristmill::transform::log,
            "gristmill:transform/metrics@0.1.0": crate::bindings::gristmill::transform::metrics,
            "gristmill:transform/config@0.1.0": crate::bindings::gristmill::transform::config,
        },
    });
}

/// The handler of jobs.
pub mod with_jobs {
    wit_bindgen::generate!({
        path: "../../../wit/v0.1",
        world: "gristmill:transform/with-jobs",
        default_bindings_module: "gristmill::bindings::with_jobs",
        export_macro_name: "export_jobs",
        pub_export_macro: true,
        with: {
            "gristmill:transform/types@0.1.0": crate::bindings::gristmill::transform::types,
            "gristmill:transform/state@0.1.0": crate::bindings::gristmill::transform::state,
            "gristmill:transform/timers@0.1.0": crate::bindings::gristmill::transform::timers,
            "gristmill:transform/jobs@0.1.0": crate::bindings::gristmill::transform::jobs,
            "gristmill:transform/log@0.1.0": crate::bindings::gristmill::transform::log,
            "gristmill:transform/metrics@0.1.0": crate::bindings::gristmill::transform::metrics,
            "gristmill:transform/config@0.1.0": crate::bindings::gristmill::transform::config,
        },
    });
}

/// The handler of timers.
pub mod with_timers {
    wit_bindgen::generate!({
        path: "../../../wit/v0.1",
        world: "gristmill:transform/with-timers",
        default_bindings_module: "gristmill::bindings::with_timers",
        export_macro_name: "export_timers",
        pub_export_macro: true,
        with: {
            "gristmill:transform/types@0.1.0": crate::bindings::gristmill::transform::types,
            "gristmill:transform/state@0.1.0": crate::bindings::gristmill::transform::state,
            "gristmill:transform/timers@0.1.0": crate::bindings::gristmill::transform::timers,
            "gristmill:transform/jobs@0.1.0": crate::bindings::gristmill::transform::jobs,
            "gristmill:transform/log@0.1.0": crate::bindings::gristmill::transform::log,
            "gristmill:transform/metrics@0.1.0": crate::bindings::gristmill::transform::metrics,
            "gristmill:transform/config@0.1.0": crate::bindings::gristmill::transform::config,
        },
    });
}

/// The handler of callouts.
pub mod with_callouts {
    wit_bindgen::generate!({
        path: "../../../wit/v0.1",
        world: "gristmill:transform/with-callouts",
        default_bindings_module: "gristmill::bindings::with_callouts",
        export_macro_name: "export_callouts",
        pub_export_macro: true,
        with: {
            "gristmill:transform/types@0.1.0": crate::bindings::gristmill::transform::types,
            "gristmill:transform/state@0.1.0": crate::bindings::gristmill::transform::state,
            "gristmill:transform/timers@0.1.0": crate::bindings::gristmill::transform::timers,
            "gristmill:transform/jobs@0.1.0": crate::bindings::gristmill::transform::jobs,
            "gristmill:transform/log@0.1.0": crate::bindings::gristmill::transform::log,
            "gristmill:transform/metrics@0.1.0": crate::bindings::gristmill::transform::metrics,
            "gristmill:transform/config@0.1.0": crate::bindings::gristmill::transform::config,
        },
    });
}
