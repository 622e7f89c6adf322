//! The HTTP client behind [`crate::io::Callouts`].

mod secret;
mod trust;

use crate::config::endpoint::BoundEndpoint;
use crate::config::env::Lookup;
use crate::fault::Fault;

/// Checks what only the machine can tell about endpoints: that their secrets and certificates are there.
///
/// # Errors
/// `secret_missing`, `certificates_unusable`.
pub fn check(endpoints: &[BoundEndpoint], lookup: Lookup<'_>) -> Result<(), Fault> {
    for endpoint in endpoints {
        if let Some(credentials) = &endpoint.credentials {
            secret::Secret::read(&endpoint.name, credentials, lookup)?;
        }
        if endpoint.base_url.is_tls() {
            trust::config(&endpoint.name, endpoint.ca_file.as_deref())?;
        }
    }
    Ok(())
}
