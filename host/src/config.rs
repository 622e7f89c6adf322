//! The two files and their owners: the developer's manifest, the operator's pipeline file.
//!
//! `document` is TOML in which every value knows its line. `raw` holds a pipeline file as it is written, without a look
//! at any plugin. `assembly` builds the `pipeline` from it once the manifests of its plugins are at hand; a pipeline is
//! valid by construction: what it holds can be run. Defaults live in `pipeline`, and `show` prints them.

pub mod api_address;
pub mod assembly;
pub mod base_url;
pub mod client;
pub mod document;
pub mod endpoint;
pub mod env;
pub mod ingest;
pub mod manifest;
pub mod pipeline;
pub mod plugin_ref;
pub mod raw;
pub mod schema;
pub mod secret;
pub mod show;
pub mod units;
