//! `[transforms.T.endpoints.NAME]`, `[transforms.T.callouts]` and `[transforms.T.review]` as they are written.

use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use super::{parse_path, parse_topic, secrets, set};
use crate::config::base_url::{BaseUrl, NoBaseUrl};
use crate::config::document::{Entry, Item, Place, Table};
use crate::config::endpoint::{self, CalloutBounds, Credentials};
use crate::config::env::{self, Lookup};
use crate::fault::Fault;
use crate::id::TopicName;
use crate::io::CalloutMode;

/// A binding of an endpoint, defaults filled in.
#[derive(Clone, PartialEq, Debug)]
pub struct RawEndpoint {
    /// Where it stands.
    pub place: Place,
    /// The endpoint's name.
    pub name: String,
    /// Where its callouts go.
    pub base_url: BaseUrl,
    /// What is promised.
    pub mode: CalloutMode,
    /// What a callout may take.
    pub limits: EndpointLimits,
    /// The header with a secret.
    pub credentials: Option<Credentials>,
    /// The certificates that the server's is trusted by.
    pub ca_file: Option<PathBuf>,
    /// The proxy.
    pub proxy: Option<BaseUrl>,
}

/// What the callouts of an endpoint may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EndpointLimits {
    /// The time of a request.
    pub timeout: Duration,
    /// The time to connect.
    pub connect_timeout: Duration,
    /// Requests at the same time.
    pub concurrency: u32,
    /// Requests in a second.
    pub per_second: Option<u32>,
    /// The body of an answer.
    pub response_bytes: u64,
    /// Until a call is given up.
    pub give_up_after: Option<Duration>,
    /// How long ids are known.
    pub remember: Duration,
}

impl EndpointLimits {
    /// The defaults for a mode.
    pub fn of(mode: CalloutMode) -> Self {
        Self {
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(3),
            concurrency: 16,
            per_second: None,
            response_bytes: 1 << 20,
            give_up_after: match mode {
                CalloutMode::AtMostOnce => Some(HOUR),
                CalloutMode::Idempotent => None,
            },
            remember: 30 * DAY,
        }
    }
}

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The longest request. A new owner of a task waits as long before it says that a call is in doubt.
const TIMEOUT_MAX: Duration = Duration::from_secs(600);

/// The largest body of an answer: it is held in memory, handed to a plugin, and perhaps written to the inbox.
const RESPONSE_BYTES_MAX: u64 = 64 << 20;

const ENDPOINT_KEYS: &[&str] = &[
    "base_url",
    "mode",
    "timeout",
    "connect_timeout",
    "concurrency",
    "rate",
    "response_bytes",
    "give_up_after",
    "remember",
    "credentials",
    "ca_file",
    "proxy",
];

/// Reads one endpoint. Relative paths start at `base`.
pub(super) fn parse_endpoint(entry: &Entry, base: &Path, lookup: Lookup<'_>) -> Result<RawEndpoint, Fault> {
    let table = entry.item.table(ENDPOINT_KEYS)?;
    let mode = table.get("mode").map_or(Ok(CalloutMode::AtMostOnce), parse_mode)?;
    let credentials = table.get("credentials").map(|item| parse_credentials(item, base));
    let ca_file = table.get("ca_file").map(|item| parse_path(item, base));
    let proxy = table.get("proxy").map(|item| parse_proxy(item, lookup));
    Ok(RawEndpoint {
        place: entry.item.place().clone(),
        name: entry.key.clone(),
        base_url: parse_base_url(table.require("base_url")?, lookup)?,
        mode,
        limits: parse_limits(&table, mode)?,
        credentials: credentials.transpose()?,
        ca_file: ca_file.transpose()?,
        proxy: proxy.transpose()?,
    })
}

fn parse_mode(item: &Item) -> Result<CalloutMode, Fault> {
    let text = item.text()?;
    let found = CalloutMode::NAMES.iter().find(|(name, _)| *name == text);
    let unknown =
        || item.place().invalid(format_args!("is `{text}`, it must be `at-most-once` or `idempotent`"));
    found.map(|(_, mode)| *mode).ok_or_else(unknown)
}

fn parse_limits(table: &Table<'_>, mode: CalloutMode) -> Result<EndpointLimits, Fault> {
    let millisecond = Duration::from_millis(1);
    let mut limits = EndpointLimits::of(mode);
    set(&mut limits.timeout, table.get("timeout"), |item| item.duration(millisecond..=TIMEOUT_MAX))?;
    let minute = Duration::from_secs(60);
    set(&mut limits.connect_timeout, table.get("connect_timeout"), |item| {
        item.duration(millisecond..=minute)
    })?;
    set(&mut limits.concurrency, table.get("concurrency"), |item| item.integer(1..=1024))?;
    set(&mut limits.per_second, table.get("rate"), |item| item.integer(1..=100_000).map(Some))?;
    let size = |item: &Item| item.size(1..=RESPONSE_BYTES_MAX);
    set(&mut limits.response_bytes, table.get("response_bytes"), size)?;
    let give_up = |item: &Item| item.duration(millisecond..=30 * DAY).map(Some);
    set(&mut limits.give_up_after, table.get("give_up_after"), give_up)?;
    set(&mut limits.remember, table.get("remember"), |item| item.duration(HOUR..=3650 * DAY))?;
    Ok(limits)
}

/// The value itself is in no message: there may be a password in it.
fn parse_base_url(item: &Item, lookup: Lookup<'_>) -> Result<BaseUrl, Fault> {
    BaseUrl::parse(&env::expand(item, lookup)?).map_err(|no| {
        let fault = item.place().invalid(no.problem());
        match no {
            NoBaseUrl::Credentials => fault.hint(
                "use `credentials`: what is in a URL ends up in logs, and what is in this file is not secret",
            ),
            NoBaseUrl::Malformed => fault.hint("write it like \"https://api.example.com/v1\""),
            NoBaseUrl::Query | NoBaseUrl::Fragment => fault.hint("leave it out"),
        }
    })
}

fn parse_proxy(item: &Item, lookup: Lookup<'_>) -> Result<BaseUrl, Fault> {
    let url = BaseUrl::parse(&env::expand(item, lookup)?).ok();
    let fits = |url: &BaseUrl| !url.is_tls() && url.path().is_empty();
    url.filter(fits).ok_or_else(|| {
        let fault = item.place().invalid("is no proxy, it must be `http://`, a host and a port perhaps");
        fault.hint("proxies that want TLS or a password cannot be used")
    })
}

/// Without variables: a secret is never a part of the text of a file.
fn parse_credentials(item: &Item, base: &Path) -> Result<Credentials, Fault> {
    let table = item.table(&["header", "from_env", "from_file"])?;
    let header = table.require("header")?;
    let name = header.text()?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(header
            .place()
            .invalid(format_args!("is `{name}`, which cannot be the name of a header")));
    }
    if endpoint::is_owned_header(name) {
        let fault = header.place().invalid(format_args!("is `{name}`, which the host sets itself"));
        return Err(fault.hint("secrets are in `Authorization`, or in a header of the server's own"));
    }
    let from = secrets::parse_place(&table, base)?;
    Ok(Credentials { header: name.to_owned(), from })
}

pub(super) fn parse_callouts(table: &Table<'_>) -> Result<CalloutBounds, Fault> {
    let mut bounds = CalloutBounds::default();
    let Some(item) = table.get("callouts") else { return Ok(bounds) };
    let pending = |item: &Item| Ok(item.integer(1..=100_000)? as usize);
    set(&mut bounds.pending, item.table(&["pending"])?.get("pending"), pending)?;
    Ok(bounds)
}

pub(super) fn parse_review(table: &Table<'_>) -> Result<Option<TopicName>, Fault> {
    let Some(item) = table.get("review") else { return Ok(None) };
    item.table(&["topic"])?.get("topic").map(parse_topic).transpose()
}

#[cfg(test)]
mod tests;
