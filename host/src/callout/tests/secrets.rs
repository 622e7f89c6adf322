//! Secrets are in requests and nowhere else.

use std::time::Duration;

use super::desk::{Desk, SECRET, TASK, call, code, endpoint};
use super::server::{Server, Then};
use crate::config::endpoint::BoundEndpoint;
use crate::io::Callouts;

#[test]
fn puts_the_secret_into_the_request() {
    let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let desk = Desk::new(endpoint(&server.url()));

    desk.outcome(call("a"));

    assert_eq!(server.seen()[0].header("authorization"), Some(SECRET));
}

#[test]
fn lets_no_plugin_set_the_header_of_the_secret() {
    let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let desk = Desk::new(endpoint(&server.url()));
    let mut bold = call("a");
    bold.headers.push(("AUTHORIZATION".to_owned(), "mine".to_owned()));

    let answer = desk.outcome(bold);

    assert_eq!((code(&answer).1.as_str(), server.connections()), ("invalid-request", 0));
}

#[test]
fn shows_the_secret_in_no_answer_and_no_description() {
    let mut shown = String::new();
    for (timeout, then) in [(5_000, Then::Reset), (5_000, Then::Close), (100, Then::Keep)] {
        let server = Server::start(move |_, _, _| then);
        let timeout = Duration::from_millis(timeout);
        let desk = Desk::new(BoundEndpoint { timeout, ..endpoint(&server.url()) });
        desk.send(call("a"));
        shown.push_str(&format!("{:?}", desk.callouts));
        desk.until(|| (desk.callouts.under_way(TASK) == 0).then_some(()));
        shown.push_str(&format!("{:?} {:?}", desk.callouts, desk.callouts.lines[0].secret));
        shown.push_str(&format!("{:?}", desk.answer()));
    }

    assert!(shown.contains("connection-lost") && shown.contains("timeout"), "{shown}");
    assert!(!shown.contains("s3cret"), "{shown}");
}
