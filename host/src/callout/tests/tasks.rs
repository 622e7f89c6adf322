//! What tasks and their owners are told: answers, withdrawal, late commits, orphans, the end of the process.

use std::net::TcpListener;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::desk::{Desk, TASK, call, code, endpoint};
use super::server::{Server, Then, silent};
use crate::config::endpoint::BoundEndpoint;
use crate::id::{EndpointIndex, Partition};
use crate::io::{Answer, Callouts, Ended, Reason};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// A server that says when it has read a request, and answers when it may.
fn held() -> (Server, Receiver<()>, Sender<()>) {
    let (asked, is_asked) = channel();
    let (go, may_go) = channel::<()>();
    let may_go = Mutex::new(may_go);
    let server = Server::start(move |_, _, stream| {
        asked.send(()).unwrap();
        may_go.lock().unwrap().recv().unwrap_or_default();
        drop(stream.write_all(OK));
        Then::Keep
    });
    (server, is_asked, go)
}

/// An address at which nobody listens.
fn nobody() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn tells_an_answer_once_and_again_to_who_claims_the_task_until_it_is_settled() {
    let server = Server::answering(OK);
    let desk = Desk::new(endpoint(&server.url()));
    let callouts = &desk.callouts;
    callouts.claim(TASK);
    desk.send(call("a"));
    assert!(callouts.holds(TASK, "a") && !callouts.holds(TASK, "b") && !callouts.holds(Partition(4), "a"));

    let answer = desk.until(|| callouts.poll(TASK));
    assert_eq!((code(&answer).0, answer.id.as_str()), ("answered", "a"));
    assert_eq!((callouts.poll(TASK), callouts.under_way(TASK)), (None, 0));
    assert!(callouts.holds(TASK, "a"));

    callouts.claim(TASK);
    assert_eq!(callouts.poll(TASK), Some(answer));
    callouts.settled(TASK, "a");
    assert!(!callouts.holds(TASK, "a"));
    callouts.claim(TASK);
    assert_eq!(callouts.poll(TASK), None);
}

#[test]
fn makes_no_second_call_with_an_id_that_is_held() {
    let (server, is_asked, go) = held();
    let desk = Desk::new(endpoint(&server.url()));
    desk.send(call("a"));
    is_asked.recv().unwrap();
    desk.send(call("a"));
    go.send(()).unwrap();
    desk.until(|| (desk.callouts.under_way(TASK) == 0).then_some(()));
    desk.send(call("a"));
    // A call of another id is answered after whatever the second one would have done.
    go.send(()).unwrap();
    assert_eq!(code(&desk.answer()).0, "answered");
    assert_eq!(desk.outcome(call("b")).id, "b");

    let ids: Vec<_> =
        server.seen().iter().map(|seen| seen.header("idempotency-key").unwrap().to_owned()).collect();
    assert_eq!(ids, ["a", "b"]);
}

#[test]
fn does_not_send_what_is_withdrawn_before_a_byte_was_handed_over() {
    let (address, _held) = silent();
    let connect_timeout = Duration::from_secs(60);
    let desk = Desk::new(BoundEndpoint { connect_timeout, ..endpoint(&format!("http://{address}")) });
    desk.send(call("a"));
    assert_eq!(desk.callouts.under_way(TASK), 1);

    desk.callouts.withdraw(TASK);

    let answer = desk.answer();
    assert_eq!((answer.ended, answer.attempts), (Ended::NotSent, 0));
}

#[test]
fn waits_for_what_was_handed_over_before_it_was_withdrawn() {
    let (server, is_asked, go) = held();
    let desk = Desk::new(endpoint(&server.url()));
    desk.send(call("a"));
    is_asked.recv().unwrap();

    desk.callouts.withdraw(TASK);
    go.send(()).unwrap();

    let answer = desk.answer();
    assert_eq!((code(&answer).0, answer.attempts), ("answered", 1));
}

#[test]
fn does_not_send_what_comes_too_late_after_its_commit() {
    let server = Server::answering(OK);
    let desk = Desk::new(endpoint(&server.url()));
    desk.clock.advance(Duration::from_secs(5));

    assert_eq!(desk.outcome(call("a")).ended, Ended::NotSent);

    assert_eq!(server.seen().len(), 0);
    let mut fresh = call("a");
    fresh.committed = Duration::from_millis(1);
    assert_eq!(code(&desk.outcome(fresh)).0, "answered");
}

#[test]
fn lets_the_task_commit_a_call_anew_that_waits_too_long_for_its_server() {
    let address = nobody();
    let desk = Desk::new(endpoint(&format!("http://{address}")));
    desk.send(call("a"));
    desk.clock.advance(Duration::from_secs(5));
    let unsent = desk.answer();
    assert_eq!((unsent.ended, unsent.attempts), (Ended::NotSent, 0));

    let server = Server::bind(address, None, |_, _, stream| {
        stream.write_all(OK).unwrap();
        Then::Keep
    });
    let mut again = call("a");
    again.committed = desk.clock.elapsed();
    let answer = desk.outcome(again);

    assert_eq!((code(&answer).0, answer.attempts, server.seen().len()), ("answered", 1, 1));
}

#[test]
fn hands_answers_out_once_that_nobody_claims() {
    let server = Server::answering(OK);
    let desk = Desk::new(endpoint(&server.url()));
    let callouts = &desk.callouts;
    let long = Duration::from_secs(15);
    desk.send(call("a"));
    desk.until(|| callouts.poll(TASK));
    assert_eq!(callouts.orphans(Duration::ZERO), [], "somebody works on the task");

    callouts.withdraw(TASK);
    desk.clock.advance(Duration::from_secs(14));
    callouts.withdraw(TASK);
    assert_eq!(callouts.orphans(long), []);
    desk.clock.advance(Duration::from_secs(1));
    let orphans = callouts.orphans(long);

    let found: Vec<_> =
        orphans.iter().map(|(task, answer)| (*task, answer.id.as_str(), code(answer).0)).collect();
    assert_eq!(found, [(TASK, "a", "answered")]);
    assert_eq!(callouts.orphans(long), []);
    assert!(!callouts.holds(TASK, "a"));
}

#[test]
fn keeps_a_call_that_is_under_way_when_it_hands_out_orphans() {
    let (server, is_asked, go) = held();
    let desk = Desk::new(endpoint(&server.url()));
    desk.send(call("a"));
    is_asked.recv().unwrap();
    desk.callouts.withdraw(TASK);
    desk.clock.advance(Duration::from_secs(60));
    assert_eq!(desk.callouts.orphans(Duration::from_secs(15)), []);
    assert!(desk.callouts.holds(TASK, "a"));

    desk.callouts.claim(TASK);
    go.send(()).unwrap();
    desk.until(|| (desk.callouts.under_way(TASK) == 0).then_some(()));

    assert_eq!(desk.callouts.orphans(Duration::ZERO), [], "somebody works on the task again");
    assert_eq!(code(&desk.answer()).0, "answered");
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn leaves_what_is_under_way_in_doubt_when_the_process_ends() {
    let (server, is_asked, go) = held();
    let desk = Desk::new(endpoint(&server.url()));
    desk.send(call("a"));
    is_asked.recv().unwrap();

    desk.callouts.shutdown();

    let answer = desk.answer();
    assert_eq!((code(&answer), answer.attempts), (("in-doubt", "host-stopped".to_owned(), None), 1));
    let permit = desk.permit();
    desk.callouts.send(TASK, call("b"), permit);
    assert_eq!(desk.answer().ended, Ended::NotSent);
    go.send(()).unwrap();
}

#[test]
fn sends_nothing_new_while_answers_fill_its_memory() {
    let desk = Desk::new(endpoint("http://127.0.0.1:9"));
    let ledger = &desk.callouts.ledger;
    let large = |id: &str| {
        let body = vec![0; super::super::ledger::ANSWER_BYTES_MAX];
        Answer {
            id: id.to_owned(),
            ended: Ended::Answered { status: 200, headers: vec![], body },
            attempts: 1,
        }
    };

    ledger.end(TASK, large("a"));
    assert!(!desk.has_permit());
    desk.callouts.settled(TASK, "a");
    assert!(desk.has_permit());

    ledger.end(TASK, large("b"));
    desk.callouts.withdraw(TASK);
    assert_eq!(desk.callouts.orphans(Duration::ZERO).len(), 1);
    assert!(desk.has_permit());
}

#[test]
fn answers_a_call_to_an_endpoint_that_is_not_there() {
    let desk = Desk::new(endpoint("http://127.0.0.1:9"));
    let mut wrong = call("a");
    wrong.endpoint = EndpointIndex(7);

    let answer = desk.outcome(wrong);

    assert!(matches!(answer.ended, Ended::GaveUp(Reason { code, .. }) if code == "endpoint-unknown"));
}

#[test]
fn says_how_long_a_call_may_take() {
    let desk = Desk::new(endpoint("http://127.0.0.1:9"));

    assert_eq!(desk.callouts.longest(EndpointIndex(0)), Duration::from_secs(10));
    assert_eq!(desk.callouts.longest(EndpointIndex(1)), Duration::ZERO);
}
