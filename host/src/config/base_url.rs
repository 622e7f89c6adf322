//! The base URL of an endpoint: scheme, host, port and a path perhaps, and nothing else.

use std::fmt;
use std::net::Ipv6Addr;

/// What a base URL looks like, for messages.
pub const BASE_URL_FORM: &str = "`http://` or `https://`, a host, a port perhaps and a path perhaps";

/// Where the paths of callouts begin. What is put behind it can change neither the scheme nor the host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BaseUrl {
    is_tls: bool,
    /// A name or an address; that of IPv6 without brackets.
    host: String,
    port: Option<u16>,
    /// Empty, or with a slash at its beginning and none at its end.
    path: String,
}

/// Why a text is no base URL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoBaseUrl {
    /// Not a URL of HTTP.
    Malformed,
    /// It has a user, and a password perhaps.
    Credentials,
    /// It has a query.
    Query,
    /// It has a fragment.
    Fragment,
}

impl BaseUrl {
    /// Reads a base URL.
    ///
    /// # Errors
    /// What it has that it must not have. The text itself is in no error, because there may be a secret in it.
    pub fn parse(text: &str) -> Result<Self, NoBaseUrl> {
        let (scheme, rest) = text.split_once("://").ok_or(NoBaseUrl::Malformed)?;
        let is_tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(NoBaseUrl::Malformed),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at_checked(end).ok_or(NoBaseUrl::Malformed)?;
        if authority.contains('@') {
            return Err(NoBaseUrl::Credentials);
        }
        if tail.contains('#') {
            return Err(NoBaseUrl::Fragment);
        }
        if tail.contains('?') {
            return Err(NoBaseUrl::Query);
        }
        let (host, port) = split_authority(authority).ok_or(NoBaseUrl::Malformed)?;
        let is_path = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte);
        let is_base = tail.bytes().all(is_path) && !tail.split('/').any(|part| matches!(part, "." | ".."));
        let path = tail.trim_end_matches('/').to_owned();
        is_base.then_some(Self { is_tls, host, port, path }).ok_or(NoBaseUrl::Malformed)
    }

    /// Whether it begins with `https`.
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// The name or the address; that of IPv6 without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port: 80 or 443 when the URL has none.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(if self.is_tls { 443 } else { 80 })
    }

    /// Host and port as the header `Host` has them.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        self.port.map_or(host.clone(), |port| format!("{host}:{port}"))
    }

    /// The path: empty, or with a slash at its beginning and none at its end.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

impl NoBaseUrl {
    /// What is wrong; goes on after the key.
    pub fn problem(self) -> String {
        match self {
            Self::Malformed => format!("is no base URL, it must be {BASE_URL_FORM}"),
            Self::Credentials => "has a user in it".to_owned(),
            Self::Query => "has a query in it, and callouts have their own".to_owned(),
            Self::Fragment => "has a fragment in it, and servers never see one".to_owned(),
        }
    }
}

/// Host and port, if they are ones.
fn split_authority(authority: &str) -> Option<(String, Option<u16>)> {
    let (host, tail) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, tail) = rest.split_once(']')?;
            (address.parse::<Ipv6Addr>().ok()?.to_string(), tail)
        }
        None => {
            let (host, tail) = authority.split_at_checked(authority.find(':').unwrap_or(authority.len()))?;
            let is_host = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            if host.is_empty() || !host.chars().all(is_host) {
                return None;
            }
            (host.to_ascii_lowercase(), tail)
        }
    };
    let port = match tail.strip_prefix(':') {
        Some(port) => Some(port.parse().ok().filter(|port| *port > 0)?),
        None if tail.is_empty() => None,
        None => return None,
    };
    Some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_base_url_may_have() {
        for (text, host, port, path) in [
            ("http://localhost", "localhost", 80, ""),
            ("https://api.example.com/", "api.example.com", 443, ""),
            ("HTTPS://API.example.com:8443/v1/", "api.example.com", 8443, "/v1"),
            ("http://[::1]:9000/a/b", "::1", 9000, "/a/b"),
            ("http://127.0.0.1/a%20b", "127.0.0.1", 80, "/a%20b"),
        ] {
            let url = BaseUrl::parse(text).unwrap();

            assert_eq!((url.host(), url.port(), url.path()), (host, port, path), "{text}");
            assert_eq!(BaseUrl::parse(&url.to_string()).unwrap(), url, "{text}");
        }
        assert_eq!(BaseUrl::parse("http://[::1]:9000").unwrap().authority(), "[::1]:9000");
        assert_eq!(BaseUrl::parse("https://a.b").unwrap().authority(), "a.b");
    }

    #[test]
    fn refuses_what_is_no_base_url() {
        for (text, problem) in [
            ("", NoBaseUrl::Malformed),
            ("localhost:8080", NoBaseUrl::Malformed),
            ("ftp://localhost", NoBaseUrl::Malformed),
            ("http://", NoBaseUrl::Malformed),
            ("http:///path", NoBaseUrl::Malformed),
            ("http://a b", NoBaseUrl::Malformed),
            ("http://a/b c", NoBaseUrl::Malformed),
            ("http://a/../b", NoBaseUrl::Malformed),
            ("http://a:0", NoBaseUrl::Malformed),
            ("http://a:65536", NoBaseUrl::Malformed),
            ("http://a:", NoBaseUrl::Malformed),
            ("http://[::1", NoBaseUrl::Malformed),
            ("http://[::g]", NoBaseUrl::Malformed),
            ("http://a\r\nX: y", NoBaseUrl::Malformed),
            ("http://ä.example", NoBaseUrl::Malformed),
            ("http://user:s3cret@a", NoBaseUrl::Credentials),
            ("http://a?b=c", NoBaseUrl::Query),
            ("http://a/?b=c", NoBaseUrl::Query),
            ("http://a/b#c", NoBaseUrl::Fragment),
        ] {
            assert_eq!(BaseUrl::parse(text), Err(problem), "{text}");
        }
    }
}
