//! Many calls at once to a server that misbehaves in three of seven answers, while tasks are withdrawn and claimed again.

use std::collections::BTreeMap;
use std::time::Duration;

use super::desk::{Desk, TASK, call, code, endpoint};
use super::server::{Seen, Server, Then};
use crate::config::endpoint::BoundEndpoint;
use crate::id::EndpointIndex;
use crate::io::{Answer, Callouts, Ended, Permit};

const CALLS: usize = 400;

fn server() -> Server {
    Server::start(|number, _, stream| {
        let answer: &[u8] = match number % 7 {
            0 => return Then::Reset,
            1 => return Then::Close,
            2 => b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
            _ => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        };
        // Whether anybody is left to read it is not the server's matter.
        drop(stream.write_all(answer));
        // Some connections are closed while they rest, without a word.
        if matches!(number % 7, 2 | 5) { Then::Close } else { Then::Keep }
    })
}

/// Moves the clock until there is a place: the circuit opens now and then.
fn permit(desk: &Desk) -> Permit {
    desk.until(|| {
        let permit = desk.callouts.permit(EndpointIndex(0));
        desk.clock.advance(Duration::from_millis(if permit.is_some() { 1 } else { 40 }));
        permit
    })
}

/// Makes all calls and answers with what became of each.
fn outcomes(desk: &Desk, each: impl Fn(usize)) -> BTreeMap<String, Answer> {
    let mut answers = BTreeMap::new();
    let mut keep = |answer: Answer| {
        desk.callouts.settled(TASK, &answer.id);
        assert!(answers.insert(answer.id.clone(), answer).is_none(), "an id ends once");
    };
    for number in 0..CALLS {
        let permit = permit(desk);
        let mut call = call(&number.to_string());
        call.intended = desk.clock.now();
        call.committed = desk.clock.elapsed();
        desk.callouts.send(TASK, call, permit);
        each(number);
        std::iter::from_fn(|| desk.callouts.poll(TASK)).for_each(&mut keep);
    }
    desk.until(|| {
        std::iter::from_fn(|| desk.callouts.poll(TASK)).for_each(&mut keep);
        (desk.callouts.under_way(TASK) == 0).then_some(())
    });
    std::iter::from_fn(|| desk.callouts.poll(TASK)).for_each(&mut keep);
    assert_eq!(answers.len(), CALLS);
    answers
}

fn by_id(server: &Server) -> BTreeMap<String, Vec<Seen>> {
    let mut requests: BTreeMap<String, Vec<Seen>> = BTreeMap::new();
    for seen in server.seen() {
        requests.entry(seen.header("idempotency-key").unwrap().to_owned()).or_default().push(seen);
    }
    requests
}

#[test]
fn sends_no_id_twice_and_knows_what_it_has_sent() {
    let server = server();
    let desk = Desk::new(BoundEndpoint { concurrency: 32, ..endpoint(&server.url()) });

    let answers = outcomes(&desk, |number| {
        if number % 13 == 0 {
            desk.callouts.withdraw(TASK);
            desk.callouts.claim(TASK);
        }
    });

    let requests = by_id(&server);
    let mut counts = BTreeMap::new();
    for (id, answer) in &answers {
        *counts.entry(code(answer).0).or_insert(0) += 1;
        let seen = requests.get(id).map_or(0, Vec::len);
        match &answer.ended {
            Ended::Answered { .. } => assert_eq!((seen, answer.attempts), (1, 1), "{answer:?}"),
            // It may have been lost on the way.
            Ended::InDoubt(_) => assert!(seen <= 1 && answer.attempts == 1, "{seen} {answer:?}"),
            Ended::GaveUp(_) | Ended::NotSent => assert_eq!((seen, answer.attempts), (0, 0), "{answer:?}"),
        }
    }
    let happened = ["answered", "in-doubt", "not-sent"].map(|what| counts.get(what).copied().unwrap_or(0));
    assert!(happened.iter().all(|count| *count > 5), "too little happened: {counts:?}");
}
