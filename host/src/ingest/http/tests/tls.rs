//! TLS of the listener.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::client::Client;
use super::house::{PUT, Setup};
use crate::config::ingest::HttpTls;

#[test]
fn speaks_tls_and_nothing_else_where_it_has_a_certificate() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let mut setup = Setup::new();
    let certificate = setup.file("cert.pem", &certified.cert.pem());
    let key = setup.file("key.pem", &certified.signing_key.serialize_pem());
    setup.listener.tls = Some(HttpTls { certificate, key });
    setup.listener.timeout = Duration::from_secs(2);
    let house = setup.start();
    let mut roots = RootCertStore::empty();
    roots.add(certified.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());

    let stream = TcpStream::connect(house.server.address()).unwrap();
    let session = ClientConnection::new(config, ServerName::try_from("localhost").unwrap()).unwrap();
    let mut client = Client::new(StreamOwned::new(session, stream));
    let replies =
        ["1", "2"].map(|value| client.request(&format!("PUT /ingest/classes/a\n{PUT}"), value.as_bytes()));
    assert_eq!(replies.map(|reply| reply.status), [200, 200]);

    let mut plain = house.client();
    plain.send(b"PUT /ingest/classes/a HTTP/1.1\r\n\r\n");
    plain.wait_for_refusal_of_tls();
    assert_eq!(house.written().len(), 2);
}
