//! Which page is where, and who may ask for it.

use std::net::IpAddr;

use serde::Serialize;

use crate::api::http::{Request, Response};
use crate::api::shapes::{self, Refused};
use crate::api::token::Token;
use crate::api::{callouts, ingests, metrics, pages, prometheus, state};
use crate::fault::Code;
use crate::status::Board;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// The answer to a request, or to what was none.
pub(super) fn answer(board: &Board, token: &Token, request: Result<&Request, &'static str>) -> Response {
    let request = match request {
        Ok(request) => request,
        Err(problem) => return refuse(400, Code::QuestionInvalid, problem),
    };
    // A page of a stranger in a browser can send requests to this port under a name of its own that leads here.
    if request.host.as_deref().is_some_and(|host| !is_of_this_machine(host)) {
        return refuse(403, Code::QuestionInvalid, "the request names another machine");
    }
    let path: Vec<_> = request.path.iter().map(String::as_str).collect();
    if let ("POST", ["api", "v1", "ingests", name, "run"]) = (request.method.as_str(), path.as_slice()) {
        return ingests::order(board, token, name, request);
    }
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        return refuse(405, Code::QuestionInvalid, "pages can only be read");
    }
    match path.as_slice() {
        ["healthz"] => Response { status: 200, content_type: TEXT, body: "alive\n".to_owned() },
        ["readyz"] => ready(board),
        ["metrics"] => {
            Response { status: 200, content_type: prometheus::CONTENT_TYPE, body: metrics::page(board) }
        }
        ["api", "v1", "transforms"] => json(200, &pages::transforms(board)),
        ["api", "v1", "tasks"] => json(200, &pages::tasks(board)),
        ["api", "v1", "jobs"] => json(200, &pages::jobs(board)),
        ["api", "v1", "stores"] => json(200, &pages::stores(board)),
        ["api", "v1", "ingests"] => json(200, &ingests::page(board)),
        ["api", "v1", "callouts"] => callouts::answer(board, &request.query),
        ["api", "v1", "state", transform, partition, store] => {
            state::answer(board, (transform, partition, store), &request.query)
        }
        _ => refuse(404, Code::QuestionInvalid, "there is no such page"),
    }
}

fn ready(board: &Board) -> Response {
    let readiness = pages::readiness(board);
    json(if readiness.ready { 200 } else { 503 }, &readiness)
}

/// A page of JSON.
pub(super) fn json(status: u16, page: &impl Serialize) -> Response {
    match serde_json::to_string(page) {
        Ok(text) => Response { status, content_type: JSON, body: text + "\n" },
        Err(_) => refuse(500, Code::Internal, "the page cannot be written"),
    }
}

/// An answer that says why there is no other.
pub(super) fn refuse(status: u16, code: Code, message: &str) -> Response {
    let hint = Some(code.remedy().to_owned());
    let error = shapes::Fault { code: code.to_string(), message: message.to_owned(), hint };
    json(status, &Refused { error })
}

/// Whether a `Host` header names this machine: `localhost`, or an address of it, with a port or without.
fn is_of_this_machine(host: &str) -> bool {
    let has_port = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let name = has_port.map_or(host, |(name, _)| name);
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    bare.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_names_of_this_machine() {
        for host in ["localhost", "LOCALHOST:9180", "127.0.0.1:9180", "127.0.0.1", "[::1]:9180", "[::1]"] {
            assert!(is_of_this_machine(host), "{host}");
        }
        for host in
            ["", "evil.example", "evil.example:9180", "10.0.0.7:9180", "localhost.evil.example", "[::2]:1"]
        {
            assert!(!is_of_this_machine(host), "{host}");
        }
    }
}
