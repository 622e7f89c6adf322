//! TLS and proxies.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::desk::{Desk, SECRET, call, code, endpoint};
use super::server::{Server, Then};
use crate::config::base_url::BaseUrl;
use crate::config::endpoint::BoundEndpoint;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// A server with a certificate that it has signed itself, for `localhost`, and the file of that certificate.
fn server(dir: &tempfile::TempDir) -> (Server, PathBuf) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let path = dir.path().join("ca.pem");
    fs::write(&path, certified.cert.pem()).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), Some(Arc::new(config)), |_, _, stream| {
        stream.write_all(OK).unwrap();
        Then::Keep
    });
    (server, path)
}

fn secure(server: &Server, ca_file: PathBuf) -> BoundEndpoint {
    let endpoint = endpoint(&format!("https://localhost:{}", server.address.port()));
    BoundEndpoint { ca_file: Some(ca_file), give_up_after: Some(Duration::from_millis(1)), ..endpoint }
}

#[test]
fn speaks_tls_with_a_server_whose_certificate_is_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let (server, ca_file) = server(&dir);
    let desk = Desk::new(secure(&server, ca_file));

    for id in ["a", "b"] {
        let answer = desk.outcome(call(id));
        assert_eq!((code(&answer).0, answer.attempts), ("answered", 1));
    }

    assert_eq!((server.seen().len(), server.connections()), (2, 1));
    assert_eq!(server.seen()[0].header("authorization"), Some(SECRET));
}

#[test]
fn sends_nothing_to_a_server_whose_certificate_is_not_trusted_or_for_another_name() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (server, ca_file) = server(&dir);
    let (_, other_ca) = self::server(&other);
    let untrusted = secure(&server, other_ca);
    let url = format!("https://127.0.0.1:{}", server.address.port());
    let misnamed = BoundEndpoint { base_url: BaseUrl::parse(&url).unwrap(), ..secure(&server, ca_file) };

    for endpoint in [untrusted, misnamed] {
        let answer = Desk::new(endpoint).outcome(call("a"));
        assert_eq!((code(&answer), answer.attempts), (("gave-up", "tls-failed".to_owned(), None), 0));
    }
    assert_eq!(server.seen(), []);
}

#[test]
fn gives_a_server_up_that_does_not_speak_tls() {
    let plain = Server::answering(OK);
    let dir = tempfile::tempdir().unwrap();
    let (_, ca_file) = server(&dir);
    let endpoint = BoundEndpoint { connect_timeout: Duration::from_millis(500), ..secure(&plain, ca_file) };

    let answer = Desk::new(endpoint).outcome(call("a"));

    let (ended, code, _) = code(&answer);
    assert_eq!((ended, answer.attempts), ("gave-up", 0));
    assert!(["tls-failed", "connect-timeout"].contains(&code.as_str()), "{code}");
}

#[test]
fn asks_a_proxy_for_the_whole_url_when_it_can_see_the_request() {
    let proxy = Server::answering(OK);
    let url = Some(BaseUrl::parse(&proxy.url()).unwrap());
    let desk = Desk::new(BoundEndpoint { proxy: url, ..endpoint("http://api.invalid/v1") });

    assert_eq!(code(&desk.outcome(call("a"))).0, "answered");

    let seen = proxy.seen().remove(0);
    assert!(seen.head.starts_with("POST http://api.invalid/v1/p?q=1 HTTP/1.1\r\n"), "{}", seen.head);
    assert_eq!(seen.header("host"), Some("api.invalid"));
}

/// A proxy for one connection, and what it was asked.
fn tunnel(answer: &'static str, to: u16) -> (BaseUrl, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = BaseUrl::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let proxy = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        client.write_all(answer.as_bytes()).unwrap();
        if answer.contains("200") {
            let mut server = TcpStream::connect(("127.0.0.1", to)).unwrap();
            let (mut from, mut back) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut server));
            drop(std::io::copy(&mut back, &mut client));
        }
        String::from_utf8(head).unwrap()
    });
    (url, proxy)
}

#[test]
fn has_a_proxy_connect_it_to_a_server_with_tls() {
    let dir = tempfile::tempdir().unwrap();
    let (server, ca_file) = server(&dir);
    let (url, proxy) = tunnel("HTTP/1.1 200 OK\r\n\r\n", server.address.port());
    let desk = Desk::new(BoundEndpoint { proxy: Some(url), ..secure(&server, ca_file) });

    assert_eq!(code(&desk.outcome(call("a"))).0, "answered");

    let seen = server.seen().remove(0);
    drop((desk, server));
    let asked = proxy.join().unwrap();
    assert!(asked.starts_with("CONNECT localhost:") && !asked.contains(SECRET), "{asked}");
    assert!(seen.head.starts_with("POST /p?q=1 HTTP/1.1\r\n"), "{}", seen.head);
}

#[test]
fn gives_a_proxy_up_that_refuses() {
    let dir = tempfile::tempdir().unwrap();
    let (server, ca_file) = server(&dir);
    let (url, proxy) = tunnel("HTTP/1.1 403 Forbidden\r\n\r\n", 0);

    let answer = Desk::new(BoundEndpoint { proxy: Some(url), ..secure(&server, ca_file) }).outcome(call("a"));

    proxy.join().unwrap();
    assert_eq!((code(&answer), answer.attempts), (("gave-up", "proxy-failed".to_owned(), None), 0));
    assert_eq!(server.connections(), 0);
}
