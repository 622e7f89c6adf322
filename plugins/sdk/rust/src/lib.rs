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
//! What must last goes into a [`Store`], which the manifest declares; memory is a cache. Tables are kept by the
//! host ([`TableRef`]), with indexes by terms that the plugin computes ([`Index`]). Work that can be large is a
//! job, done in steps ([`Jobs`]): [`Context::follow`] walks over the rows of a term, and [`Follow`] sends the rows
//! again that a change of a small table touches. Appointments are timers ([`Timers`]), and HTTP requests are
//! callouts ([`Callouts`]): the host makes them after the commit, and tells what became of each.
//!
//! The host calls with batches that lie in one arena of bytes, and takes outcomes that do; this crate
//! gives a plugin views into the one and writes into the other. Nothing is copied but what is sent.

mod after;
mod arena;
mod batch;
#[doc(hidden)]
pub mod bindings;
mod call;
mod callout;
mod context;
mod declared;
mod follow;
#[doc(hidden)]
pub mod guest;
mod handlers;
mod host;
mod index;
mod job;
pub mod json;
mod kept;
mod level;
mod mirror;
mod name;
mod outcome;
mod output;
mod path;
mod plugin;
mod record;
mod store;
mod table;
#[cfg(not(target_family = "wasm"))]
pub mod test;
mod timer;
mod timestamp;
mod verdict;
mod walk;
mod wire;

pub use batch::Batch;
pub use call::Call;
pub use callout::Answer;
pub use callout::CalloutMode;
pub use callout::Callouts;
pub use callout::Reason;
pub use callout::Response;
pub use context::Context;
#[doc(hidden)]
pub use declared::Declared;
pub use follow::Follow;
pub use follow::Followed;
pub use follow::Lookup;
pub use follow::Mode;
pub use follow::Passing;
pub use gristmill_macros::manifest;
pub use handlers::Exported;
#[doc(hidden)]
pub use handlers::Handlers;
pub use index::Index;
pub use index::Terms;
pub use job::Job;
pub use job::Jobs;
pub use job::Step;
pub use job::job_name;
pub use kept::Kept;
pub use level::Level;
pub use mirror::Mirror;
pub use mirror::Rows;
pub use name::Endpoint;
pub use name::IndexName;
pub use name::JobKind;
pub use name::Sink;
pub use name::Source;
pub use name::Table;
pub use output::Output;
pub use path::Path;
pub use path::PathTemplate;
pub use plugin::NoConfig;
pub use plugin::Plugin;
pub use record::Headers;
pub use record::Record;
pub use record::Row;
pub use store::Element;
pub use store::First;
pub use store::Json;
pub use store::Key;
pub use store::Packed;
pub use store::Store;
pub use store::StoreRef;
pub use store::Value;
pub use table::Page;
pub use table::TableRef;
pub use timer::Clock;
pub use timer::Timer;
pub use timer::Timers;
pub use timestamp::Timestamp;
pub use verdict::Failure;
pub use verdict::Reject;

/// Makes a [`Plugin`] the component's plugin: `gristmill::export!(DeliveryTime);`, once, in a crate that
/// called [`manifest!`] in its root. Its handlers follow: `gristmill::export!(DeliveryTime: Index, Jobs);`.
/// The component exports just these, and one that the manifest needs must not be missing.
///
/// In native builds it only checks that the type is such a plugin.
#[macro_export]
#[expect(clippy::crate_in_macro_def, reason = "the manifest is the plugin crate's")]
macro_rules! export {
    ($plugin:ty $(: $($handler:ident),+)?) => {
        $crate::handlers!($plugin $(: $($handler),+)?);

        const _: () = {
            let _: &str = crate::MANIFEST;
            <$plugin as $crate::Exported>::HANDLERS.check(&crate::DECLARED);
        };

        #[cfg(target_family = "wasm")]
        const _: () = {
            struct Component;

            ::std::thread_local! {
                static INSTANCE: $crate::guest::Instance<$plugin> =
                    const { $crate::guest::Instance::new(&crate::DECLARED) };
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
            $($($crate::export!(@handler $handler);)+)?
        };
    };
    (@handler Index) => {
        impl $crate::bindings::with_index::exports::gristmill::transform::indexer::Guest for Component {
            fn index(
                index: ::std::string::String,
                rows: ::std::vec::Vec<
                    $crate::bindings::with_index::exports::gristmill::transform::indexer::Entry,
                >,
                bytes: ::std::vec::Vec<u8>,
            ) -> $crate::bindings::with_index::exports::gristmill::transform::indexer::Terms {
                INSTANCE.with(|instance| instance.index(&index, &rows, &bytes))
            }
        }

        $crate::bindings::with_index::export_index!(Component with_types_in $crate::bindings::with_index);
    };
    (@handler Timers) => {
        impl $crate::bindings::with_timers::exports::gristmill::transform::timer_handler::Guest for Component {
            fn on_timers(
                due: ::std::vec::Vec<$crate::bindings::gristmill::transform::timers::Timer>,
            ) -> ::std::result::Result<
                $crate::bindings::gristmill::transform::types::Outcome,
                $crate::bindings::gristmill::transform::types::Failure,
            > {
                INSTANCE.with(|instance| instance.timers(&due))
            }
        }

        $crate::bindings::with_timers::export_timers!(Component with_types_in $crate::bindings::with_timers);
    };
    (@handler Callouts) => {
        impl $crate::bindings::with_callouts::exports::gristmill::transform::callout_handler::Guest for Component {
            fn on_responses(
                responses: ::std::vec::Vec<
                    $crate::bindings::with_callouts::exports::gristmill::transform::callout_handler::Response,
                >,
            ) -> ::std::result::Result<
                $crate::bindings::gristmill::transform::types::Outcome,
                $crate::bindings::gristmill::transform::types::Failure,
            > {
                INSTANCE.with(|instance| instance.responses(&responses))
            }
        }

        $crate::bindings::with_callouts::export_callouts!(
            Component with_types_in $crate::bindings::with_callouts
        );
    };
    (@handler Jobs) => {
        impl $crate::bindings::with_jobs::exports::gristmill::transform::job_handler::Guest for Component {
            fn on_job(
                job: $crate::bindings::gristmill::transform::jobs::Job,
                budget: u32,
            ) -> ::std::result::Result<
                $crate::bindings::with_jobs::exports::gristmill::transform::job_handler::Step,
                $crate::bindings::gristmill::transform::types::Failure,
            > {
                INSTANCE.with(|instance| instance.step(&job, budget))
            }
        }

        $crate::bindings::with_jobs::export_jobs!(Component with_types_in $crate::bindings::with_jobs);
    };
}
