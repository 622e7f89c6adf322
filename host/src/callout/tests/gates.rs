//! Concurrency, rate, circuit, and connections that are used again.

use std::net::TcpListener;
use std::time::Duration;

use super::desk::{Desk, call, code, endpoint};
use super::server::{Server, Then};
use crate::callout::attempt::{Tried, attempt};
use crate::callout::handover::Handover;
use crate::callout::pool::Connection;
use crate::config::endpoint::BoundEndpoint;
use crate::id::EndpointIndex;
use crate::io::{CalloutMode, Callouts};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

#[test]
fn gives_as_many_permits_as_requests_may_be_under_way() {
    let desk = Desk::new(BoundEndpoint { concurrency: 2, ..endpoint("http://127.0.0.1:9") });

    let first = desk.permit();
    let second = desk.permit();

    assert!(!desk.has_permit());
    drop(first);
    assert!(desk.has_permit());
    drop(second);
    assert!(desk.callouts.permit(EndpointIndex(1)).is_none(), "there is no such endpoint");
}

#[test]
fn frees_the_place_of_a_call_before_its_answer_is_told() {
    let server = Server::answering(OK);
    let desk = Desk::new(BoundEndpoint { concurrency: 1, ..endpoint(&server.url()) });

    for number in 0..20 {
        let permit = desk.callouts.permit(EndpointIndex(0)).expect("the place of the last call is free");
        desk.callouts.send(super::desk::TASK, call(&number.to_string()), permit);
        assert_eq!(code(&desk.answer()).0, "answered");
    }
    assert_eq!(server.connections(), 1, "one connection does for calls that follow each other");
}

#[test]
fn keeps_to_the_rate() {
    let desk = Desk::new(BoundEndpoint { per_second: Some(3), ..endpoint("http://127.0.0.1:9") });
    let allowed = || (0..10).filter(|_| desk.has_permit()).count();

    assert_eq!(allowed(), 3);
    desk.clock.advance(Duration::from_millis(999));
    assert_eq!(allowed(), 0);
    desk.clock.advance(Duration::from_millis(1));
    assert_eq!(allowed(), 3);
}

#[test]
fn opens_the_circuit_of_a_server_that_cannot_be_reached_and_closes_it_when_it_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let name = "circuit";
    let give_up_after = Some(Duration::from_millis(1));
    let endpoint = endpoint(&format!("http://{address}"));
    let desk = Desk::new(BoundEndpoint { name: name.to_owned(), give_up_after, ..endpoint });
    let shown = || {
        let samples = crate::event::registry().samples();
        let is_ours = |labels: &[(String, String)]| labels.iter().any(|(_, value)| value == name);
        let circuit = "gristmill_callout_circuit_open";
        samples.into_iter().find(|sample| sample.name == circuit && is_ours(&sample.labels)).map(|s| s.metric)
    };
    for number in 0..5 {
        assert_eq!(code(&desk.outcome(call(&number.to_string()))).1, "connection-refused");
    }
    assert!(!desk.has_permit());
    assert_eq!(shown(), Some(crate::event::Metric::Gauge(1.0)));

    desk.clock.advance(Duration::from_secs(1));
    let probe = desk.permit();
    assert!(!desk.has_permit(), "one call finds out whether the server is back");
    let server = Server::bind(address, None, |_, _, stream| {
        stream.write_all(OK).unwrap();
        Then::Keep
    });
    let mut young = call("young");
    young.intended = desk.clock.now();
    desk.callouts.send(super::desk::TASK, young, probe);

    assert_eq!(code(&desk.answer()).0, "answered");
    assert!(desk.has_permit());
    assert_eq!(shown(), Some(crate::event::Metric::Gauge(0.0)));
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn gives_calls_up_that_waited_too_long_for_an_open_circuit_without_trying() {
    let give_up_after = Some(Duration::from_millis(1));
    let desk = Desk::new(BoundEndpoint { give_up_after, ..endpoint("http://127.0.0.1:9") });
    let line = &desk.callouts.lines[0];
    (0..5).for_each(|_| line.gate.fail(desk.clock.elapsed(), "tls-failed"));
    desk.clock.advance(Duration::from_secs(1));

    // Each of them gives the place of the probe back.
    for number in 0..3 {
        let mut call = call(&number.to_string());
        call.committed = desk.clock.elapsed();
        assert_eq!(code(&desk.outcome(call)), ("gave-up", "tls-failed".to_owned(), None));
    }
}

#[test]
fn uses_a_new_connection_when_the_server_has_closed_the_one_that_rested() {
    let server = Server::start(|_, _, stream| {
        stream.write_all(OK).unwrap();
        Then::Close
    });
    let desk = Desk::new(endpoint(&server.url()));
    let line = &desk.callouts.lines[0];

    for number in 0..3 {
        assert_eq!(code(&desk.outcome(call(&number.to_string()))).0, "answered");
        desk.until(|| {
            line.pool.prune(desk.clock.elapsed());
            (line.pool.len() == 0).then_some(())
        });
    }

    assert_eq!((server.seen().len(), server.connections()), (3, 3));
}

#[test]
fn knows_that_nothing_was_handed_to_a_connection_that_was_closed_before() {
    let server = Server::answering(OK);
    let desk = Desk::new(endpoint(&server.url()));
    let line = &desk.callouts.lines[0];
    let message =
        crate::callout::request::Prepared::new(&call("a"), &line.endpoint.base_url, false, None).unwrap();
    let request = std::sync::Arc::new(Handover::new(desk.clock.clone(), None));

    let tried = desk.callouts.handle.block_on(async {
        let connection = Connection::begin(line.target.connect().await.unwrap()).await.unwrap();
        connection.close().await;
        crate::callout::attempt::exchange(line, connection, &request, message.request()).await
    });
    assert!(matches!(&tried, Tried::Unsent(reason) if reason.code == "connection-lost"), "{tried:?}");

    let tried = desk.callouts.handle.block_on(attempt(line, &request, || message.request()));
    assert!(matches!(tried, Tried::Answered(_)), "{tried:?}");
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn is_in_doubt_when_a_connection_that_rested_is_lost_with_the_request_on_it() {
    for mode in [CalloutMode::AtMostOnce, CalloutMode::Idempotent] {
        let server = Server::start(|number, _, stream| {
            if number == 1 {
                return Then::Reset;
            }
            stream.write_all(OK).unwrap();
            Then::Keep
        });
        let desk = Desk::new(BoundEndpoint { mode, ..endpoint(&server.url()) });
        assert_eq!(code(&desk.outcome(call("a"))).0, "answered");

        let answer = desk.outcome(call("b"));

        let seen = server.seen();
        assert_eq!((seen[0].connection, seen[1].connection), (0, 0), "the connection was used again");
        let (ended, requests) = (code(&answer).0, seen.len());
        let expected = match mode {
            CalloutMode::AtMostOnce => ("in-doubt", 2),
            CalloutMode::Idempotent => ("answered", 3),
        };
        assert_eq!((ended, requests), expected);
    }
}

#[test]
fn closes_connections_that_have_rested_too_long() {
    let server = Server::answering(OK);
    let desk = Desk::new(endpoint(&server.url()));

    assert_eq!(code(&desk.outcome(call("a"))).0, "answered");
    assert_eq!(code(&desk.outcome(call("b"))).0, "answered");
    assert_eq!(server.connections(), 1);
    desk.clock.advance(Duration::from_secs(1));
    assert_eq!(code(&desk.outcome(call("c"))).0, "answered");
    assert_eq!(server.connections(), 2);
}
