//! Checks the callouts that a plugin wants: they leave the host with its credentials.

use crate::config::endpoint::is_owned_header;
use crate::io::Intent;
use crate::task::spec::CalloutSpec;

/// Ids are keys of the state and values of headers.
const ID_LENGTH_MAX: usize = 256;

const PATH_LENGTH_MAX: usize = 8 << 10;

const HEADERS_MAX: usize = 64;

/// The size of an intent, in bytes, or what is wrong with it.
pub(super) fn check(intent: &Intent, spec: &CalloutSpec) -> Result<usize, String> {
    let Some(endpoint) = spec.endpoint(&intent.endpoint) else {
        return Err(format!("goes to the endpoint `{}`, which the manifest lacks", shown(&intent.endpoint)));
    };
    let is_visible = |text: &str| text.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
    if !(1..=ID_LENGTH_MAX).contains(&intent.id.len()) || !is_visible(&intent.id) {
        return Err(format!("has an id that is not 1 to {ID_LENGTH_MAX} visible ASCII characters"));
    }
    if !endpoint.methods.contains(&intent.method) {
        let (method, name) = (shown(&intent.method), &endpoint.name);
        return Err(format!("has the method `{method}`, which the manifest lacks for `{name}`"));
    }
    check_path(&intent.path).map_err(|problem| format!("has a path that {problem}"))?;
    let credentials = endpoint.credentials.as_ref().map(|credentials| credentials.header.as_str());
    check_headers(&intent.headers, credentials)?;
    let headers = intent.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    let body = intent.body.as_ref().map_or(0, Vec::len);
    let key = intent.key.as_ref().map_or(0, Vec::len);
    Ok(intent.id.len() + intent.path.len() + headers + body + key + intent.context.len())
}

/// Nothing in a path may lead out of the base URL: neither to another server nor above the base's own path.
fn check_path(path: &str) -> Result<(), &'static str> {
    if path.len() > PATH_LENGTH_MAX {
        return Err("is too long");
    }
    if !path.starts_with('/') {
        return Err("does not begin with `/`");
    }
    if !path.bytes().all(|byte| (0x21..=0x7e).contains(&byte)) {
        return Err("has other characters than visible ASCII: encode them as `%XX`");
    }
    if path.contains(['#', '\\']) {
        return Err("has a `#` or a `\\` in it");
    }
    let way = path.split('?').next().unwrap_or(path);
    if way.contains("//") {
        return Err("has a `//` in it");
    }
    let is_step = |segment: &str| {
        let plain = segment.to_ascii_lowercase().replace("%2e", ".");
        plain == "." || plain == ".."
    };
    // An encoded slash or backslash may be decoded by a server before it looks for `..`.
    let lower = way.to_ascii_lowercase().replace("%2f", "/").replace("%5c", "/");
    if lower.split('/').any(is_step) {
        return Err("has a `.` or `..` in it");
    }
    Ok(())
}

fn check_headers(headers: &[(String, String)], credentials: Option<&str>) -> Result<(), String> {
    if headers.len() > HEADERS_MAX {
        return Err(format!("has {} headers, and {HEADERS_MAX} are the most", headers.len()));
    }
    for (name, value) in headers {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(format!("has the header `{}`, which is no name of a header", shown(name)));
        }
        let is_secret = |own: &str| own.eq_ignore_ascii_case(name);
        if is_owned_header(name) || is_secret("authorization") || credentials.is_some_and(is_secret) {
            return Err(format!("has the header `{}`, which is the host's", shown(name)));
        }
        if value.bytes().any(|byte| byte < 0x20 && byte != b'\t' || byte == 0x7f) {
            return Err(format!("has control characters in the header `{}`", shown(name)));
        }
    }
    Ok(())
}

/// The beginning of a text that a guest wrote, fit to be shown.
fn shown(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_default).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_paths_that_lead_out_of_the_base() {
        for path in [
            "",
            "a",
            "@evil.example/",
            "http://evil.example/",
            "//evil.example/",
            "/a//b",
            "/..",
            "/../a",
            "/a/..",
            "/a/%2e%2E/b",
            "/a/.%2e/b",
            "/a%2f..%2fb",
            "/a\\..\\b",
            "/a/./b",
            "/a b",
            "/ä",
            "/a\r\nhost: evil",
            "/a#b",
        ] {
            assert!(check_path(path).is_err(), "{path}");
        }
        for path in ["/", "/a", "/a/b.c", "/a/..b", "/a@b", "/a?next=//b/../c", "/%20", "/a/"] {
            assert_eq!(check_path(path), Ok(()), "{path}");
        }
    }

    #[test]
    fn refuses_headers_of_the_host_and_those_that_would_split_a_request() {
        let check = |name: &str, value: &str| check_headers(&[(name.into(), value.into())], Some("X-Token"));

        for name in ["Host", "AUTHORIZATION", "idempotency-key", "x-token", "Content-Length"] {
            assert!(check(name, "x").unwrap_err().contains("the host's"), "{name}");
        }
        assert!(check("a b", "x").is_err() && check("", "x").is_err());
        assert!(check("accept", "x\r\nhost: evil").is_err());
        assert_eq!(check("accept", "application/json; q=ä"), Ok(()));
    }
}
