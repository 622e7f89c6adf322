//! What is said before the first request.

use super::super::{HttpServer, Route};
use super::house::{Kafka, Setup};
use crate::clock::Clock;
use crate::fault::{Code, Fault};
use crate::memory::MemoryTopics;

fn start(setup: &Setup, routes: Vec<Route>) -> Fault {
    HttpServer::start(&setup.listener, routes, &Clock::system()).map(|_| ()).unwrap_err()
}

#[test]
fn needs_a_schema_that_is_one() {
    let setup = Setup::new().with_schema("{\"type\": \"text\"}");

    let fault = setup.route(&Kafka::default()).map(|_| ()).unwrap_err();

    assert_eq!(fault.code(), Code::SchemaInvalid);
    assert!(fault.message().contains("`classes`") && fault.message().contains("schema.json"), "{fault:?}");
}

#[test]
fn needs_a_token_that_can_be_one() {
    let setup = Setup::new();
    for token in [None, Some(""), Some("two words"), Some("s\u{e4}cret")] {
        let outlet = MemoryTopics::default().outlet("a");
        let lookup = |_: &str| token.map(str::to_owned);

        let fault =
            Route::new(&setup.ingest(), &setup.http, Box::new(outlet), &lookup).map(|_| ()).unwrap_err();

        assert_eq!(fault.code(), Code::SecretMissing);
        assert!(!fault.report().contains("two words") && fault.message().contains("ingest `classes`"));
    }
}

#[test]
fn needs_an_address_that_is_free() {
    let mut setup = Setup::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    setup.listener.listen = taken.local_addr().unwrap();

    assert_eq!(start(&setup, Vec::new()).code(), Code::AddressUnusable);
}

#[test]
fn needs_a_path_for_each_ingest() {
    let setup = Setup::new();
    let routes = [(); 2].map(|()| setup.route(&Kafka::default()).unwrap());

    let fault = start(&setup, routes.into());

    assert_eq!(fault.code(), Code::InvalidValue);
    assert!(fault.message().contains("/ingest/classes"), "{}", fault.message());
}
