//! What the mode at-most-once makes of every way in which a request can go wrong: never a second one.

use std::net::TcpListener;
use std::time::Duration;

use super::desk::{Desk, call, code, endpoint};
use super::server::{Server, Then, silent};
use crate::config::endpoint::BoundEndpoint;
use crate::io::Ended;

/// What becomes of a call to this server, whatever its answer.
fn outcome_of(server: &Server, change: impl Fn(&mut BoundEndpoint)) -> (&'static str, String, Option<u16>) {
    let mut endpoint = endpoint(&server.url());
    change(&mut endpoint);
    let desk = Desk::new(endpoint);
    let answer = desk.outcome(call("a"));
    assert_eq!(server.seen().len(), 1, "one request and no other");
    assert_eq!(answer.attempts, 1);
    code(&answer)
}

fn soon(endpoint: &mut BoundEndpoint) {
    endpoint.timeout = Duration::from_millis(300);
}

fn nothing(_: &mut BoundEndpoint) {}

#[test]
fn sends_what_the_plugin_wants_and_what_the_host_adds() {
    let server =
        Server::answering("HTTP/1.1 201 Created\r\nContent-Length: 8\r\nX-A: 1\r\nX-A: 2\r\n\r\nnot json");
    let desk = Desk::new(endpoint(&format!("{}/v1/", server.url())));

    let answer = desk.outcome(call("a-1"));

    let seen = server.seen().remove(0);
    assert!(seen.head.starts_with("POST /v1/p?q=1 HTTP/1.1\r\n"), "{}", seen.head);
    assert_eq!(seen.header("host").unwrap(), server.address.to_string());
    assert_eq!(
        (seen.header("accept"), seen.header("idempotency-key")),
        (Some("application/json"), Some("a-1"))
    );
    assert_eq!((seen.body.as_slice(), seen.header("content-length")), (&b"body\0\xff"[..], Some("6")));
    let Ended::Answered { status, headers, body } = answer.ended else { panic!("{answer:?}") };
    assert_eq!((status, body.as_slice(), answer.attempts), (201, &b"not json"[..], 1));
    let values: Vec<_> =
        headers.iter().filter(|(name, _)| name == "x-a").map(|(_, value)| value.as_str()).collect();
    assert_eq!(values, ["1", "2"]);
}

#[test]
fn takes_every_status_for_an_answer() {
    for (status, header) in [
        (204, ""),
        (302, "Location: http://127.0.0.1:9/elsewhere\r\n"),
        (404, ""),
        (429, "Retry-After: 30\r\n"),
        (500, ""),
        (503, ""),
    ] {
        let length = if status == 204 { "" } else { "Content-Length: 0\r\n" };
        let server = Server::answering(format!("HTTP/1.1 {status} X\r\n{header}{length}\r\n"));

        let desk = Desk::new(endpoint(&server.url()));
        let answer = desk.outcome(call("a"));

        let Ended::Answered { status: answered, headers, .. } = answer.ended else { panic!("{answer:?}") };
        assert_eq!((answered, server.seen().len()), (status, 1));
        let has = |name: &str| headers.iter().any(|(key, _)| key == name);
        assert_eq!((has("retry-after"), has("location")), (status == 429, status == 302));
    }
}

#[test]
fn gives_a_refused_connection_up_with_nothing_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let desk = Desk::new(BoundEndpoint { give_up_after: Some(Duration::from_secs(1)), ..endpoint(&url) });

    let answer = desk.outcome(call("a"));

    assert_eq!((code(&answer), answer.attempts), (("gave-up", "connection-refused".to_owned(), None), 0));
}

#[test]
fn sends_a_call_once_a_server_is_there() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let desk = Desk::new(endpoint(&format!("http://{address}")));
    desk.send(call("a"));
    let failures = || {
        crate::event::registry()
            .samples()
            .into_iter()
            .any(|sample| sample.name == "gristmill_callout_retries_total")
    };
    desk.until(|| failures().then_some(()));

    let server = Server::bind(address, None, |_, _, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
        Then::Keep
    });

    let answer = desk.answer();
    assert_eq!((code(&answer), answer.attempts), (("answered", String::new(), Some(200)), 1));
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn gives_a_name_up_that_has_no_address() {
    let endpoint = endpoint("http://nowhere.invalid");
    let desk = Desk::new(BoundEndpoint { give_up_after: Some(Duration::from_secs(1)), ..endpoint });

    let answer = desk.outcome(call("a"));

    assert_eq!((code(&answer), answer.attempts), (("gave-up", "dns-failed".to_owned(), None), 0));
}

#[test]
fn gives_a_server_up_that_does_not_take_the_connection() {
    let (address, _held) = silent();
    let desk = Desk::new(BoundEndpoint {
        connect_timeout: Duration::from_millis(100),
        give_up_after: Some(Duration::from_secs(1)),
        ..endpoint(&format!("http://{address}"))
    });

    let answer = desk.outcome(call("a"));

    assert_eq!((code(&answer), answer.attempts), (("gave-up", "connect-timeout".to_owned(), None), 0));
}

#[test]
fn is_in_doubt_when_the_connection_is_reset_after_the_request_was_read() {
    let server = Server::start(|_, _, _| Then::Reset);

    assert_eq!(outcome_of(&server, nothing), ("in-doubt", "connection-lost".to_owned(), None));
}

#[test]
fn is_in_doubt_when_the_connection_is_closed_without_an_answer() {
    let server = Server::start(|_, _, _| Then::Close);

    assert_eq!(outcome_of(&server, nothing), ("in-doubt", "connection-lost".to_owned(), None));
}

#[test]
fn is_in_doubt_when_the_connection_is_reset_before_the_request_was_read() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        // A byte is there, and it is never read: closing makes it a reset.
        stream.peek(&mut [0]).unwrap();
        drop(stream);
        listener.set_nonblocking(true).unwrap();
        listener
    });
    let desk = Desk::new(endpoint(&url));

    let answer = desk.outcome(call("a"));

    assert_eq!((code(&answer), answer.attempts), (("in-doubt", "connection-lost".to_owned(), None), 1));
    assert!(server.join().unwrap().accept().is_err(), "there was another connection");
}

#[test]
fn is_in_doubt_when_there_is_no_answer_in_time() {
    let server = Server::start(|_, _, _| {
        std::thread::park_timeout(Duration::from_secs(1));
        Then::Close
    });

    assert_eq!(outcome_of(&server, soon), ("in-doubt", "timeout".to_owned(), None));
}

#[test]
fn is_in_doubt_when_the_answer_comes_byte_by_byte() {
    let server = Server::start(|_, _, stream| {
        let mut bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n".to_vec();
        while stream.write_all(&bytes).is_ok() {
            bytes = b"x".to_vec();
            std::thread::park_timeout(Duration::from_millis(10));
        }
        Then::Close
    });

    assert_eq!(outcome_of(&server, soon), ("in-doubt", "timeout".to_owned(), Some(200)));
}

#[test]
fn is_in_doubt_when_the_head_comes_byte_by_byte() {
    let server = Server::start(|_, _, stream| {
        let mut bytes = b"HTTP/1.1 200 OK\r\nX: ".to_vec();
        while stream.write_all(&bytes).is_ok() {
            bytes = b"x".to_vec();
            std::thread::park_timeout(Duration::from_millis(10));
        }
        Then::Close
    });

    assert_eq!(outcome_of(&server, soon), ("in-doubt", "timeout".to_owned(), None));
}

#[test]
fn takes_no_more_of_an_endless_answer_than_its_bound() {
    let server = Server::start(|_, _, stream| {
        let mut bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000)).into_bytes();
        while stream.write_all(&bytes).is_ok() {
            bytes.clone_from(&chunk);
        }
        Then::Close
    });

    let too_large = ("in-doubt", "response-too-large".to_owned(), Some(200));
    assert_eq!(outcome_of(&server, nothing), too_large);
}

#[test]
fn takes_nothing_of_a_body_that_says_that_it_is_too_large() {
    let server = Server::start(|_, _, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n").unwrap();
        let part = vec![b'x'; 1 << 16];
        while stream.write_all(&part).is_ok() {}
        Then::Close
    });

    let too_large = ("in-doubt", "response-too-large".to_owned(), Some(200));
    assert_eq!(outcome_of(&server, nothing), too_large);
}

#[test]
fn takes_a_body_of_just_its_bound() {
    let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12345");

    assert_eq!(outcome_of(&server, |endpoint| endpoint.response_bytes = 5).0, "answered");
    let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n123456");
    assert_eq!(outcome_of(&server, |endpoint| endpoint.response_bytes = 5).1, "response-too-large");
}

#[test]
fn is_in_doubt_when_the_body_ends_too_early() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
    ] {
        let server = Server::start(move |_, _, stream| {
            stream.write_all(answer.as_bytes()).unwrap();
            Then::Close
        });

        assert_eq!(
            outcome_of(&server, nothing),
            ("in-doubt", "body-truncated".to_owned(), Some(200)),
            "{answer}"
        );
    }
}

#[test]
fn is_in_doubt_when_the_answer_is_no_http() {
    for answer in [
        "hello\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab".to_owned(),
        format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(1 << 20)),
    ] {
        let server = Server::start(move |_, _, stream| {
            drop(stream.write_all(answer.as_bytes()));
            Then::Keep
        });

        assert_eq!(outcome_of(&server, nothing), ("in-doubt", "bad-response".to_owned(), None));
    }
}

#[test]
fn gives_a_request_up_that_cannot_be_made() {
    let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let desk = Desk::new(endpoint(&server.url()));
    let mut wrong = call("a");
    wrong.path = "@evil.example/p".to_owned();

    let answer = desk.outcome(wrong);

    assert_eq!((code(&answer).0, code(&answer).1.as_str()), ("gave-up", "invalid-request"));
    assert_eq!(server.connections(), 0);
}
