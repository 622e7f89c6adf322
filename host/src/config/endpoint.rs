//! An endpoint bound to a base URL: where a plugin's callouts go, and how.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::base_url::BaseUrl;
use crate::config::secret::SecretSource;
use crate::id::EndpointIndex;
use crate::io::CalloutMode;

/// The headers of a request that only the host sets, or nobody: they decide where a request goes, where it ends, and whether it
/// is the same as another one. In lower case.
pub const OWNED_HEADERS: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "idempotency-key",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// Whether only the host sets this header.
pub fn is_owned_header(name: &str) -> bool {
    OWNED_HEADERS.iter().any(|owned| owned.eq_ignore_ascii_case(name))
}

/// An endpoint of a plugin as the operator bound it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BoundEndpoint {
    /// Its position in the manifest.
    pub index: EndpointIndex,
    /// Its name in the manifest.
    pub name: String,
    /// The HTTP methods that the manifest lists.
    pub methods: Vec<String>,
    /// What a callout's path is put behind.
    pub base_url: BaseUrl,
    /// What is promised about the number of requests. Default at-most-once.
    pub mode: CalloutMode,
    /// How long a request may take, from the moment that it is handed to a connection. Default 10 s.
    pub timeout: Duration,
    /// How long connecting may take. Default 3 s.
    pub connect_timeout: Duration,
    /// Requests under way at the same time, of this process. Default 16.
    pub concurrency: u32,
    /// Requests in a second, of this process; none is no limit, the default.
    pub per_second: Option<u32>,
    /// The largest body of an answer, in bytes. Default 1 MiB.
    pub response_bytes: u64,
    /// So long after its intent a call that certainly was not executed is given up. Default 1 h in the mode at-most-once; none
    /// in the mode idempotent, which goes on until there is an answer.
    pub give_up_after: Option<Duration>,
    /// How long the ids of ended callouts are known, so that a second callout with the same id is ignored. Default 30 days.
    pub remember: Duration,
    /// A header with a secret, which the host adds to each request.
    pub credentials: Option<Credentials>,
    /// A file of certificates, in PEM, that the server's is trusted by, in place of the usual ones.
    pub ca_file: Option<PathBuf>,
    /// A proxy of HTTP for all requests; none is no proxy, whatever the environment says.
    pub proxy: Option<BaseUrl>,
}

/// A header with a secret. The secret itself is read when the client is made, and is in no description.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Credentials {
    /// The header's name, such as `Authorization`.
    pub header: String,
    /// Where its value is.
    pub from: SecretSource,
}

/// How many callouts a task may have that have not ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CalloutBounds {
    /// With so many, the task takes no more records until some have ended. Default 1,000.
    pub pending: usize,
}

impl Default for CalloutBounds {
    fn default() -> Self {
        Self { pending: 1_000 }
    }
}
