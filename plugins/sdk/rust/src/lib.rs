//! Write Gristmill plugins in Rust: records in, records out, one record at a time.
//!
//! ```ignore
//! gristmill::manifest!("plugin.toml");
//! gristmill::export!(Upper);
//!
//! struct Upper;
//!
//! impl gristmill::Plugin for Upper {
//!     type Config = gristmill::NoConfig;
//!
//!     fn new(_config: Self::Config) -> Result<Self, String> {
//!         Ok(Self)
//!     }
//!
//!     fn record(&mut self, _: Source, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Reject> {
//!         let key = record.key.ok_or_else(|| Reject::new("no-key", "the record has no key"))?;
//!         match record.value {
//!             Some(value) => ctx.send(sinks::OUT).key(key).value(&value.to_ascii_uppercase()),
//!             None => ctx.send(sinks::OUT).key(key).tombstone(),
//!         }
//!         Ok(())
//!     }
//! }
//! ```
//!
//! The crate is a `cdylib` for WebAssembly, and an `rlib` too, so that its tests run natively,
//! with the driver in [`test`](mod@test). `gristmill-build` makes the component.
//!
//! The host calls with batches that lie in one arena of bytes, and takes outcomes that do; this crate
//! gives a plugin views into the one and writes into the other. Nothing is copied but what is sent.

mod arena;
mod batch;
#[doc(hidden)]
pub mod bindings;
mod context;
#[doc(hidden)]
pub mod guest;
mod host;
pub mod json;
mod level;
mod mirror;
mod name;
mod outcome;
mod output;
mod plugin;
mod record;
mod table;
#[cfg(not(target_family = "wasm"))]
pub mod test;
mod timestamp;
mod verdict;

pub use batch::Batch;
pub use context::Context;
pub use gristmill_macros::manifest;
pub use level::Level;
pub use mirror::Mirror;
pub use mirror::Rows;
pub use name::Sink;
pub use name::Source;
pub use name::Table;
pub use output::Output;
pub use plugin::NoConfig;
pub use plugin::Plugin;
pub use record::Headers;
pub use record::Record;
pub use record::Row;
pub use table::TableRef;
pub use timestamp::Timestamp;
pub use verdict::Failure;
pub use verdict::Reject;

/// Makes a [`Plugin`] the component's plugin: `gristmill::export!(DeliveryTime);`, once, in a crate that
/// called [`manifest!`] in its root.
///
/// In native builds it only checks that the type is a plugin.
#[macro_export]
#[expect(clippy::crate_in_macro_def, reason = "the manifest is the plugin crate's")]
macro_rules! export {
    ($plugin:ty) => {
        const _: () = {
            const fn is_a_plugin<P: $crate::Plugin>() {}
            is_a_plugin::<$plugin>();
            let _: &str = crate::MANIFEST;
        };

        #[cfg(target_family = "wasm")]
        const _: () = {
            struct Component;

            ::std::thread_local! {
                static INSTANCE: $crate::guest::Instance<$plugin> = const { $crate::guest::Instance::new() };
            }

            impl $crate::bindings::exports::gristmill::transform::processor::Guest for Component {
                fn manifest() -> ::std::string::String {
                    crate::MANIFEST.into()
                }

                fn init() -> ::std::result::Result<(), ::std::string::String> {
                    INSTANCE.with(|instance| instance.init())
                }

                fn process(
                    batch: $crate::bindings::gristmill::transform::types::Batch,
                ) -> ::std::result::Result<
                    $crate::bindings::gristmill::transform::types::Outcome,
                    $crate::bindings::gristmill::transform::types::Failure,
                > {
                    INSTANCE.with(|instance| instance.process(&batch))
                }
            }

    $crate::bindings::export_component!(Component with_types_in $crate::bindings);
        };
    };
}
