//! The request of a call, as it goes onto the wire. The same call gives the same bytes, however often it is made.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::http::uri::PathAndQuery;
use hyper::{Method, Request, Uri};

use crate::callout::reason::reason;
use crate::callout::secret::Secret;
use crate::config::base_url::BaseUrl;
use crate::config::endpoint;
use crate::io::{Call, Reason};

/// The header with the id of a call.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

const OUR_USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("gristmill/", env!("CARGO_PKG_VERSION")));

/// A request that can be made several times.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl Prepared {
    /// # Errors
    /// `invalid-request`: it cannot be made, now or ever.
    pub(super) fn new(
        call: &Call,
        url: &BaseUrl,
        has_plain_proxy: bool,
        secret: Option<&Secret>,
    ) -> Result<Self, Reason> {
        let invalid = |what: &str| reason("invalid-request", format!("the request cannot be made: {what}"));
        let method = Method::from_bytes(call.method.as_bytes()).map_err(|_| invalid("its method is none"))?;
        let uri = uri(&call.path, url, has_plain_proxy)
            .ok_or_else(|| invalid("its path leaves the base URL or is none"))?;
        let mut headers = HeaderMap::new();
        let host = HeaderValue::from_str(&url.authority()).map_err(|_| invalid("its host is none"))?;
        headers.insert(HOST, host);
        headers.insert(USER_AGENT, OUR_USER_AGENT);
        let id =
            HeaderValue::from_bytes(call.id.as_bytes()).map_err(|_| invalid("its id cannot be a header"))?;
        headers.insert(IDEMPOTENCY_KEY, id);
        for (name, value) in &call.headers {
            let name =
                HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid("a header's name is none"))?;
            if endpoint::is_owned_header(name.as_str()) || secret.is_some_and(|secret| *secret.name() == name)
            {
                return Err(invalid(&format!("the header `{name}` is the host's")));
            }
            let value = HeaderValue::from_str(value).map_err(|_| invalid("a header's value is none"))?;
            headers.append(name, value);
        }
        if let Some(secret) = secret {
            headers.insert(secret.name().clone(), secret.value().clone());
        }
        Ok(Self { method, uri, headers, body: call.body.clone().unwrap_or_default().into() })
    }

    /// The request once more.
    pub(super) fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// Base URL and path put together as text: a path that begins with a slash cannot change the host before it. A proxy for
/// plain HTTP wants the whole URL.
fn uri(path: &str, url: &BaseUrl, has_plain_proxy: bool) -> Option<Uri> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'#' && byte != b'\\';
    if !path.starts_with('/') || !path.bytes().all(is_plain) || leaves(path) {
        return None;
    }
    let path: PathAndQuery = format!("{}{path}", url.path()).parse().ok()?;
    if !has_plain_proxy {
        return Some(Uri::from(path));
    }
    let uri = Uri::builder().scheme("http").authority(url.authority()).path_and_query(path).build();
    uri.ok()
}

/// Whether a server may take the path for one above the base, or for another host.
fn leaves(path: &str) -> bool {
    let before_query = path.split('?').next().unwrap_or(path);
    let dots = |part: &str| matches!(part.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
    before_query.starts_with("//") || before_query.split('/').any(dots)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::endpoint::Credentials;
    use crate::config::secret::SecretSource;
    use crate::id::{EndpointIndex, Timestamp};

    fn call(path: &str, headers: &[(&str, &str)]) -> Call {
        Call {
            id: "a-1".to_owned(),
            endpoint: EndpointIndex(0),
            method: "POST".to_owned(),
            path: path.to_owned(),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            body: None,
            attempts: 0,
            intended: Timestamp(0),
            committed: Duration::ZERO,
        }
    }

    fn prepare(call: &Call) -> Result<Prepared, Reason> {
        let from = SecretSource::Env("TOKEN".to_owned());
        let credentials = Credentials { header: "X-Api-Key".to_owned(), from };
        let secret = Secret::read("e", &credentials, &|_| Some("s3cret".to_owned())).unwrap();
        Prepared::new(call, &BaseUrl::parse("http://a.example:81/v1").unwrap(), false, Some(&secret))
    }

    #[test]
    fn puts_the_path_behind_the_base_and_adds_what_is_the_hosts() {
        let prepared = prepare(&call("/p?q=1", &[("Accept", "text/plain")])).unwrap();

        let request = prepared.request();
        assert_eq!(request.uri().to_string(), "/v1/p?q=1");
        let header = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(
            (header("host"), header("idempotency-key")),
            ("a.example:81".to_owned(), "a-1".to_owned())
        );
        assert_eq!((header("accept"), header("x-api-key")), ("text/plain".to_owned(), "s3cret".to_owned()));
        assert!(header("user-agent").starts_with("gristmill/"));
        assert!(!format!("{prepared:?} {request:?}").contains("s3cret"));
    }

    #[test]
    fn keeps_every_path_below_the_base_and_on_the_host() {
        for path in [
            "p",
            "",
            "@evil",
            ".evil/p",
            "//evil/p",
            "/..",
            "/../p",
            "/a/%2e%2E/p",
            "/./p",
            "/p#f",
            "/a\\b",
            "/a b",
            "/a\r\nHost: evil",
            "http://evil/p",
            "/ä",
        ] {
            let reason = prepare(&call(path, &[])).unwrap_err();
            assert_eq!(reason.code, "invalid-request", "{path}");
        }
        let url = BaseUrl::parse("http://a.example").unwrap();
        for (path, whole) in
            [("/@evil:80/p", "http://a.example/@evil:80/p"), ("/p?u=//x/..", "http://a.example/p?u=//x/..")]
        {
            assert_eq!(uri(path, &url, true).unwrap().to_string(), whole);
            assert_eq!(uri(path, &url, false).unwrap().to_string(), path);
        }
    }

    #[test]
    fn refuses_headers_that_are_the_hosts_or_none() {
        for header in [
            ("Host", "evil"),
            ("idempotency-key", "b"),
            ("Transfer-Encoding", "chunked"),
            ("Content-Length", "0"),
            ("x-api-key", "mine"),
            ("a b", "c"),
            ("a", "b\r\nHost: evil"),
        ] {
            assert_eq!(prepare(&call("/p", &[header])).unwrap_err().code, "invalid-request", "{header:?}");
        }
        let mut id = call("/p", &[]);
        id.id = "a\r\nb".to_owned();
        assert!(prepare(&id).unwrap_err().message.contains("id"));
        id.id = "ü-1".to_owned();
        assert!(prepare(&id).is_ok());
    }
}
