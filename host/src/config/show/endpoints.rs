//! The sections of a transform's endpoints, with every default written out.

use super::{line, quoted};
use crate::config::endpoint::{BoundEndpoint, Credentials};
use crate::config::pipeline::Deployment;
use crate::config::secret::SecretSource;
use crate::config::units::{format_duration, format_size};

/// The sections; none for a plugin without endpoints. Secrets are not in them: they are not in the file either.
pub(super) fn sections(deployment: &Deployment) -> Vec<String> {
    if deployment.endpoints.is_empty() {
        return Vec::new();
    }
    let name = &deployment.name;
    let mut lines = vec![
        String::new(),
        format!("[transforms.{name}.callouts]"),
        line("pending", &deployment.callout_bounds.pending.to_string()),
        String::new(),
        format!("[transforms.{name}.review]"),
        line("topic", &quoted(deployment.review.as_str())),
    ];
    for endpoint in &deployment.endpoints {
        lines.extend([String::new(), format!("[transforms.{name}.endpoints.{}]", endpoint.name)]);
        lines.extend(section(endpoint));
    }
    lines
}

fn section(endpoint: &BoundEndpoint) -> [String; 12] {
    let rate = endpoint.per_second;
    let give_up = endpoint.give_up_after;
    let set = |key: &str, value: Option<String>, otherwise: &str| match value {
        Some(value) => line(key, &value),
        None => format!("# {key}: {otherwise}"),
    };
    let path = |path: &std::path::PathBuf| quoted(&path.display().to_string());
    [
        line("base_url", &quoted(&endpoint.base_url.to_string())),
        line("mode", &quoted(endpoint.mode.as_str())),
        line("timeout", &quoted(&format_duration(endpoint.timeout))),
        line("connect_timeout", &quoted(&format_duration(endpoint.connect_timeout))),
        line("concurrency", &endpoint.concurrency.to_string()),
        set("rate", rate.map(|rate| rate.to_string()), "no limit"),
        line("response_bytes", &quoted(&format_size(endpoint.response_bytes))),
        set("give_up_after", give_up.map(|after| quoted(&format_duration(after))), "never"),
        line("remember", &quoted(&format_duration(endpoint.remember))),
        set("credentials", endpoint.credentials.as_ref().map(credentials), "none"),
        set("ca_file", endpoint.ca_file.as_ref().map(path), "the certificates of the system"),
        set("proxy", endpoint.proxy.as_ref().map(|proxy| quoted(&proxy.to_string())), "none"),
    ]
}

/// Where the secret is, and never what it is.
fn credentials(credentials: &Credentials) -> String {
    let (key, value) = match &credentials.from {
        SecretSource::Env(variable) => ("from_env", variable.clone()),
        SecretSource::File(path) => ("from_file", path.display().to_string()),
    };
    format!("{{ header = {}, {key} = {} }}", quoted(&credentials.header), quoted(&value))
}
