//! The two files and their owners: the developer's manifest, the operator's pipeline file.
//!
//! `raw` holds a pipeline file exactly as it is written, without a look at anything else. `pipeline` is built once from
//! it, with the manifests of its plugins at hand, and is valid by construction: what it holds can be run.

pub mod manifest;
pub mod pipeline;
