//! The line to one endpoint: its target, its gate, its secret and its resting connections.

use std::sync::Arc;
use std::time::Duration;

use crate::callout::connect::Target;
use crate::callout::gate::Gate;
use crate::callout::pool::Pool;
use crate::callout::secret::Secret;
use crate::callout::trust;
use crate::clock::Clock;
use crate::config::endpoint::BoundEndpoint;
use crate::config::env::Lookup;
use crate::fault::Fault;
use crate::id::TransformName;

/// Everything that calls to one endpoint share.
pub(super) struct Line {
    pub(super) transform: TransformName,
    pub(super) endpoint: BoundEndpoint,
    pub(super) target: Target,
    pub(super) secret: Option<Secret>,
    pub(super) gate: Arc<Gate>,
    pub(super) pool: Pool,
    pub(super) clock: Clock,
}

impl Line {
    /// # Errors
    /// `secret_missing`, `certificates_unusable`.
    pub(super) fn new(
        transform: &TransformName,
        endpoint: &BoundEndpoint,
        clock: &Clock,
        lookup: Lookup<'_>,
    ) -> Result<Self, Fault> {
        let name = &endpoint.name;
        let secret = endpoint.credentials.as_ref().map(|from| Secret::read(name, from, lookup));
        let is_tls = endpoint.base_url.is_tls();
        let tls = is_tls.then(|| trust::config(name, endpoint.ca_file.as_deref()));
        let target = Target {
            url: endpoint.base_url.clone(),
            proxy: endpoint.proxy.clone(),
            tls: tls.transpose()?,
            timeout: endpoint.connect_timeout,
        };
        Ok(Self {
            transform: transform.clone(),
            target,
            secret: secret.transpose()?,
            gate: Arc::new(Gate::new(transform, endpoint)),
            pool: Pool::new(endpoint.mode),
            clock: clock.clone(),
            endpoint: endpoint.clone(),
        })
    }

    /// Time since the clock was made.
    pub(super) fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    /// Whether requests go through a proxy that sees them.
    pub(super) fn has_plain_proxy(&self) -> bool {
        self.endpoint.proxy.is_some() && !self.endpoint.base_url.is_tls()
    }
}
