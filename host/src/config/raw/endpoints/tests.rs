//! What an operator may write about endpoints, and that no secret comes back in a message.

use super::*;
use crate::config::document;
use crate::config::secret::SecretSource;
use crate::fault::Code;

fn read(text: &str) -> Result<RawEndpoint, Fault> {
    let root = document::parse("shop.toml", &format!("[details]\n{text}")).unwrap();
    let lookup = |name: &str| (name == "HOST").then(|| "api.example.com".to_owned());
    parse_endpoint(&root.open_table().unwrap().entries()[0], Path::new("conf"), &lookup)
}

/// A good endpoint with one more line.
fn with(line: &str) -> Result<RawEndpoint, Fault> {
    read(&format!("base_url = 'https://a.example/v1'\n{line}"))
}

#[test]
fn fills_in_the_defaults_of_the_mode() {
    let endpoint = with("").unwrap();
    let idempotent = with("mode = 'idempotent'").unwrap();

    assert_eq!(endpoint.base_url.to_string(), "https://a.example/v1");
    assert_eq!(endpoint.mode, CalloutMode::AtMostOnce);
    let limits = EndpointLimits {
        timeout: Duration::from_secs(10),
        connect_timeout: Duration::from_secs(3),
        concurrency: 16,
        per_second: None,
        response_bytes: 1 << 20,
        give_up_after: Some(Duration::from_secs(3600)),
        remember: Duration::from_secs(30 * 24 * 3600),
    };
    assert_eq!(endpoint.limits, limits);
    assert_eq!((endpoint.credentials, endpoint.ca_file, endpoint.proxy), (None, None, None));
    assert_eq!(idempotent.limits, EndpointLimits { give_up_after: None, ..limits });
}

#[test]
fn reads_every_key_of_an_endpoint() {
    let endpoint = read(
        "base_url = 'https://${HOST}:8443/v1/'\nmode = 'idempotent'\ntimeout = '2s'\nconnect_timeout = '1s'\n\
         concurrency = 4\nrate = 50\nresponse_bytes = '2KiB'\ngive_up_after = '7d'\nremember = '90d'\n\
         credentials = { header = 'X-Api-Key', from_file = 'key.txt' }\nca_file = '/etc/ca.pem'\n\
         proxy = 'http://proxy:3128'\n",
    )
    .unwrap();

    assert_eq!(endpoint.base_url.to_string(), "https://api.example.com:8443/v1");
    assert_eq!(endpoint.mode, CalloutMode::Idempotent);
    let limits = EndpointLimits {
        timeout: Duration::from_secs(2),
        connect_timeout: Duration::from_secs(1),
        concurrency: 4,
        per_second: Some(50),
        response_bytes: 2048,
        give_up_after: Some(7 * DAY),
        remember: 90 * DAY,
    };
    assert_eq!(endpoint.limits, limits);
    let from = SecretSource::File("conf/key.txt".into());
    assert_eq!(endpoint.credentials, Some(Credentials { header: "X-Api-Key".to_owned(), from }));
    assert_eq!(endpoint.ca_file, Some("/etc/ca.pem".into()));
    assert_eq!(endpoint.proxy.unwrap().authority(), "proxy:3128");
}

#[test]
fn refuses_what_is_no_base_url_without_repeating_it() {
    for (url, problem, hint) in [
        ("s3cret", "is no base URL", "write it like"),
        ("ftp://s3cret", "is no base URL", "write it like"),
        ("https://u:s3cret@a.example", "has a user in it", "use `credentials`"),
        ("https://a.example/?token=s3cret", "has a query in it", "leave it out"),
        ("https://a.example/#s3cret", "has a fragment in it", "leave it out"),
    ] {
        let report = read(&format!("base_url = '{url}'")).unwrap_err().report();

        assert!(report.contains(&format!("`details.base_url` {problem}")), "{report}");
        assert!(report.contains("(shop.toml:2)") && report.contains(hint), "{report}");
        assert!(report.ends_with("code: invalid_value") && !report.contains("s3cret"), "{report}");
    }
}

#[test]
fn takes_secrets_from_a_variable_or_a_file_alone() {
    for (value, part) in [
        ("{ header = 'Authorization' }", "missing key `details.credentials.from_env`"),
        ("{ from_env = 'TOKEN' }", "missing key `details.credentials.header`"),
        ("{ header = 'A', from_env = 'T', from_file = 'f' }", "stands beside `from_env`"),
        ("{ header = 'A', from_file = '' }", "is empty"),
        ("{ header = 'A', from_env = 'Bearer s3cret' }", "is no name of an environment variable"),
        ("{ header = 'A', from_env = '${TOKEN}' }", "is no name of an environment variable"),
        ("{ header = 'A', value = 's3cret' }", "unknown key `details.credentials.value`"),
        ("{ header = 'A B', from_env = 'T' }", "which cannot be the name of a header"),
        ("{ header = '', from_env = 'T' }", "which cannot be the name of a header"),
        ("{ header = 'Host', from_env = 'T' }", "which the host sets itself"),
        ("{ header = 'idempotency-key', from_env = 'T' }", "which the host sets itself"),
    ] {
        let report = with(&format!("credentials = {value}")).unwrap_err().report();

        assert!(report.contains(part) && report.contains("shop.toml:3"), "{value}: {report}");
        assert!(!report.contains("s3cret"), "{report}");
    }
    let from = SecretSource::Env("TOKEN".to_owned());
    let read = with("credentials = { header = 'Authorization', from_env = 'TOKEN' }").unwrap();
    assert_eq!(read.credentials.unwrap().from, from);
}

#[test]
fn refuses_bounds_and_names_that_make_no_sense() {
    for (line, part) in [
        ("timeout = '11m'", "it must be from 1ms to 10m"),
        ("connect_timeout = '0ms'", "it must be from 1ms to 1m"),
        ("concurrency = 0", "it must be from 1 to 1024"),
        ("rate = 0", "it must be from 1 to 100000"),
        ("response_bytes = '65MiB'", "it must be from 1B to 64MiB"),
        ("give_up_after = '31d'", "it must be from 1ms to 30d"),
        ("remember = '59m'", "it must be from 1h to 3650d"),
        ("mode = 'exactly-once'", "it must be `at-most-once` or `idempotent`"),
        ("ca_file = ''", "is empty"),
        ("proxy = 'https://proxy'", "is no proxy"),
        ("proxy = 'http://u:s3cret@proxy'", "is no proxy"),
        ("time_out = '1s'", "did you mean `timeout`?"),
    ] {
        let report = with(line).unwrap_err().report();

        assert!(report.contains(part) && report.contains("shop.toml:3"), "{line}: {report}");
        assert!(!report.contains("s3cret"), "{report}");
    }
    assert_eq!(read("mode = 'idempotent'").unwrap_err().code(), Code::MissingKey);
}
