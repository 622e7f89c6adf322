//! As much of HTTP/1.1 as pages and orders without a body need: one request a connection, answered at once, then closed.
//!
//! A connection has a thread of its own, so that one that waits holds up no other. Their number is bounded, and so are the
//! size of a request's head and the time that it may take to arrive.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use percent_encoding::percent_decode_str;

use crate::clock::Clock;
use crate::event;

/// Connections at the same time; one more is closed at once.
const CONNECTIONS_MAX: usize = 32;

/// A longer head is refused.
const HEAD_BYTES_MAX: usize = 8 << 10;
const HEADERS_MAX: usize = 64;

/// How long a request may take to arrive, and an answer to leave.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long to wait when no connection can be taken: the process has too many open files, perhaps.
const PAUSE: Duration = Duration::from_millis(200);

/// A request, as far as pages look at it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Request {
    /// `GET` and so on.
    pub(super) method: String,
    /// The parts of the path, decoded.
    pub(super) path: Vec<String>,
    /// What stands behind the question mark, decoded.
    pub(super) query: BTreeMap<String, Vec<u8>>,
    /// The name that the client has for this machine.
    pub(super) host: Option<String>,
    /// What follows `Authorization: Bearer`.
    pub(super) token: Option<String>,
}

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Response {
    /// 200 and so on.
    pub(super) status: u16,
    /// What the body is.
    pub(super) content_type: &'static str,
    /// The body.
    pub(super) body: String,
}

/// Makes answers.
pub(super) type Answer = dyn Fn(Result<&Request, &'static str>) -> Response + Send + Sync;

/// Takes connections until `stop` is set; the next connection wakes it up to see that.
pub(super) fn serve(listener: &TcpListener, stop: &AtomicBool, answer: &Arc<Answer>) {
    // Each connection's thread holds a clone, so the count tells how many there are.
    let connections = Arc::new(());
    loop {
        let accepted = listener.accept();
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let served = accepted.and_then(|(stream, _)| {
            if Arc::strong_count(&connections) > CONNECTIONS_MAX {
                return Ok(());
            }
            let (answer, connection) = (Arc::clone(answer), Arc::clone(&connections));
            let talk = move || {
                // A client that goes away in the middle is its own matter.
                drop(talk(stream, answer.as_ref()));
                drop(connection);
            };
            std::thread::Builder::new().name("api-answer".to_owned()).spawn(talk).map(drop)
        });
        if let Err(error) = served {
            event::ApiFailed { cause: &error }.emit();
            std::thread::sleep(PAUSE);
        }
    }
}

fn talk(mut stream: TcpStream, answer: &Answer) -> io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let head = read_head(&mut stream)?;
    let request = head.as_deref().ok_or("the head of the request is too long").and_then(parse);
    let response = answer(request.as_ref().map_err(|problem| *problem));
    let with_body = request.is_ok_and(|request| request.method != "HEAD");
    stream.write_all(text(&response, with_body).as_bytes())?;
    if head.is_none() {
        // Closing while something is unread would take the answer from the client.
        stream.shutdown(Shutdown::Write)?;
        io::copy(&mut stream.take(HEAD_BYTES_MAX as u64), &mut io::sink())?;
    }
    Ok(())
}

/// Reads up to the empty line behind the headers; none when that does not come soon enough in bytes.
fn read_head(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let clock = Clock::system();
    let (mut head, mut part) = (Vec::new(), [0; 1024]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let left = PATIENCE.saturating_sub(clock.elapsed());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        let count = stream.read(&mut part)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head.extend_from_slice(part.get(..count).unwrap_or_default());
        if head.len() > HEAD_BYTES_MAX {
            return Ok(None);
        }
    }
    Ok(Some(head))
}

fn parse(head: &[u8]) -> Result<Request, &'static str> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    parsed.parse(head).map_err(|_| "this is no request of HTTP/1.1")?;
    let (method, target) = (parsed.method.unwrap_or_default(), parsed.path.unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let header = |name: &str| {
        let header = parsed.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        Some(String::from_utf8_lossy(header.value).into_owned())
    };
    let authorization = header("authorization");
    Ok(Request {
        method: method.to_owned(),
        path: path
            .split('/')
            .skip(1)
            .map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned())
            .collect(),
        query: query.split('&').filter(|pair| !pair.is_empty()).map(parameter).collect(),
        host: header("host"),
        token: authorization.and_then(|text| text.strip_prefix("Bearer ").map(str::to_owned)),
    })
}

fn parameter(pair: &str) -> (String, Vec<u8>) {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    // Forms and some clients write a space as a plus sign.
    let value = value.replace('+', " ");
    (percent_decode_str(name).decode_utf8_lossy().into_owned(), percent_decode_str(&value).collect())
}

fn text(response: &Response, with_body: bool) -> String {
    let Response { status, content_type, body } = response;
    let body_text = if with_body { body.as_str() } else { "" };
    format!(
        "HTTP/1.1 {status} {}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
         X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n{body_text}",
        reason(*status),
        body.len(),
    )
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Internal Server Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_a_request_apart() {
        let head =
            b"GET /api/v1/state/a%2Fb/3?key=x%20y%ff+z&limit HTTP/1.1\r\nHOST: localhost:1\r\nA: b\r\n\r\n";

        let request = parse(head).unwrap();

        assert_eq!((request.method.as_str(), request.host.as_deref()), ("GET", Some("localhost:1")));
        assert_eq!(request.path, ["api", "v1", "state", "a/b", "3"]);
        assert_eq!(request.query["key"], b"x y\xff z");
        assert_eq!(request.query["limit"], b"");
    }

    #[test]
    fn refuses_what_is_no_request() {
        assert!(parse(b"\x16\x03\x01 TLS\r\n\r\n").is_err());
        assert!(parse(b"GET / HTTP/3\r\n\r\n").is_err());
    }

    #[test]
    fn leaves_the_body_out_but_not_its_length_when_only_the_head_is_asked_for() {
        let response = Response { status: 200, content_type: "text/plain", body: "alive\n".to_owned() };

        let (whole, head) = (text(&response, true), text(&response, false));

        assert!(whole.starts_with("HTTP/1.1 200 OK\r\n") && whole.ends_with("\r\n\r\nalive\n"), "{whole}");
        assert!(head.contains("Content-Length: 6\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    }
}
