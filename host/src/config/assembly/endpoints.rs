//! Binds the endpoints that a manifest declares to what the operator wrote.

use crate::config::endpoint::BoundEndpoint;
use crate::config::manifest::{EndpointDecl, Manifest};
use crate::config::raw::{RawEndpoint, RawTransform};
use crate::fault::{Code, Fault};
use crate::id::{AppId, EndpointIndex, TopicName};

/// The endpoints by their position in the manifest.
///
/// # Errors
/// `endpoint_unbound`, and `unknown_key` for one that the manifest does not have.
pub(super) fn bind(transform: &RawTransform, manifest: &Manifest) -> Result<Vec<BoundEndpoint>, Fault> {
    let known: Vec<_> = manifest.endpoints.iter().map(|endpoint| endpoint.name.as_str()).collect();
    if let Some(bound) = transform.endpoints.iter().find(|bound| !known.contains(&bound.name.as_str())) {
        return Err(bound.place.unknown(&bound.name, &known));
    }
    let bind = |(index, declared): (EndpointIndex, &EndpointDecl)| {
        let bound = transform.endpoints.iter().find(|bound| bound.name == declared.name);
        bound.map(|bound| endpoint(index, declared, bound)).ok_or_else(|| unbound(transform, &declared.name))
    };
    (0..).map(EndpointIndex).zip(&manifest.endpoints).map(bind).collect()
}

fn endpoint(index: EndpointIndex, declared: &EndpointDecl, bound: &RawEndpoint) -> BoundEndpoint {
    let limits = &bound.limits;
    BoundEndpoint {
        index,
        name: declared.name.clone(),
        methods: declared.methods.clone(),
        base_url: bound.base_url.clone(),
        mode: bound.mode,
        timeout: limits.timeout,
        connect_timeout: limits.connect_timeout,
        concurrency: limits.concurrency,
        per_second: limits.per_second,
        response_bytes: limits.response_bytes,
        give_up_after: limits.give_up_after,
        remember: limits.remember,
        credentials: bound.credentials.clone(),
        ca_file: bound.ca_file.clone(),
        proxy: bound.proxy.clone(),
    }
}

fn unbound(transform: &RawTransform, name: &str) -> Fault {
    let position = transform.place.position();
    let message = format!("transform `{}` does not bind its endpoint `{name}` ({position})", transform.name);
    let hint = format!("add `endpoints.{name}.base_url = \"URL\"` to `[transforms.{}]`", transform.name);
    Fault::new(Code::EndpointUnbound, message).hint(hint)
}

/// Where callouts go that an operator has to look at.
pub(super) fn review(app: &AppId, transform: &RawTransform) -> TopicName {
    let default = || TopicName::new(&format!("{app}.{}.callouts-review", transform.name));
    transform.review.clone().unwrap_or_else(default)
}
