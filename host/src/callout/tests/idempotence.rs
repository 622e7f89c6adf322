//! The mode idempotent: the same request until there is an answer.

use std::time::Duration;

use super::desk::{Desk, call, code, idempotent};
use super::server::{Seen, Server, Then};
use crate::config::endpoint::BoundEndpoint;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

#[test]
fn repeats_the_same_key_and_the_same_bytes_until_there_is_an_answer() {
    let server = Server::start(|number, _, stream| match number {
        0 => Then::Reset,
        1 => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort").unwrap();
            Then::Close
        }
        2 => {
            stream.write_all(b"nonsense\r\n\r\n").unwrap();
            Then::Close
        }
        _ => {
            stream.write_all(OK).unwrap();
            Then::Keep
        }
    });
    let desk = Desk::new(idempotent(&server.url()));

    let answer = desk.outcome(call("a"));

    assert_eq!((code(&answer), answer.attempts), (("answered", String::new(), Some(200)), 4));
    let requests: Vec<_> = server.seen().into_iter().map(|seen| (seen.head, seen.body)).collect();
    assert_eq!(requests.len(), 4);
    assert!(requests.iter().all(|request| *request == requests[0]), "{requests:?}");
    assert!(requests[0].0.contains("idempotency-key: a\r\n"));
}

#[test]
fn takes_a_refusal_for_an_answer() {
    for status in [429, 503] {
        let server = Server::answering(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"));

        let answer = Desk::new(idempotent(&server.url())).outcome(call("a"));

        assert_eq!((code(&answer).2, server.seen().len()), (Some(status), 1));
    }
}

#[test]
fn repeats_what_has_no_answer_in_time() {
    let server = Server::start(|number, _, stream| {
        if number == 0 {
            std::thread::park_timeout(Duration::from_millis(600));
            return Then::Close;
        }
        stream.write_all(OK).unwrap();
        Then::Keep
    });
    let desk = Desk::new(BoundEndpoint { timeout: Duration::from_millis(200), ..idempotent(&server.url()) });

    let answer = desk.outcome(call("a"));

    assert_eq!((code(&answer).0, answer.attempts), ("answered", 2));
}

#[test]
fn does_not_repeat_a_request_whose_answer_is_too_large() {
    let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n");
    let desk = Desk::new(idempotent(&server.url()));

    let answer = desk.outcome(call("a"));

    assert_eq!(code(&answer), ("in-doubt", "response-too-large".to_owned(), Some(200)));
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn gives_up_in_doubt_only_if_a_byte_was_handed_over() {
    let give_up_after = Some(Duration::from_millis(1_000));
    let server = Server::start(|_, _, _| Then::Reset);
    let desk = Desk::new(BoundEndpoint { give_up_after, ..idempotent(&server.url()) });
    let answer = desk.outcome(call("a"));
    assert_eq!((code(&answer).0, answer.attempts), ("in-doubt", 1));

    let (url, _) = (server.url(), drop(server));
    let desk = Desk::new(BoundEndpoint { give_up_after, ..idempotent(&url) });
    let answer = desk.outcome(call("a"));
    assert_eq!((code(&answer), answer.attempts), (("gave-up", "connection-refused".to_owned(), None), 0));

    let mut handed_before = call("b");
    handed_before.attempts = 2;
    let answer = desk.outcome(handed_before);
    assert_eq!((code(&answer).0, answer.attempts), ("in-doubt", 2));
}

#[test]
fn is_made_however_long_after_its_commit() {
    let server = Server::answering(OK);
    let desk = Desk::new(idempotent(&server.url()));
    desk.clock.advance(Duration::from_secs(60));

    assert_eq!(code(&desk.outcome(call("a"))).0, "answered");
}

#[test]
fn is_not_repeated_once_it_is_withdrawn() {
    let (asked, is_asked) = std::sync::mpsc::channel();
    let (go, may_go) = std::sync::mpsc::channel::<()>();
    let may_go = std::sync::Mutex::new(may_go);
    let server = Server::start(move |_, _: &Seen, _| {
        asked.send(()).unwrap();
        may_go.lock().unwrap().recv().unwrap_or_default();
        Then::Reset
    });
    let desk = Desk::new(idempotent(&server.url()));
    desk.send(call("a"));
    is_asked.recv().unwrap();

    crate::io::Callouts::withdraw(&desk.callouts, super::desk::TASK);
    go.send(()).unwrap();

    let answer = desk.answer();
    assert_eq!((code(&answer).0, answer.attempts, server.seen().len()), ("not-sent", 1, 1));
}
