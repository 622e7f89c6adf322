//! One attempt at a call: a connection, a request, an answer; and at its end, what is known for certain.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::{HeaderMap, Request, Response};
use tokio::time::timeout;

use crate::callout::handover::{Conclusion, Handover, Ticket};
use crate::callout::line::Line;
use crate::callout::pool::Connection;
use crate::callout::reason::{self, reason};
use crate::io::{Ended, Reason};

/// How long a connection may take to be ready for the next request after it has answered one. A server that answers before it
/// has read everything does not get another request on it.
const READY_MAX: Duration = Duration::from_millis(10);

/// How an attempt ended.
#[derive(Debug)]
pub(super) enum Tried {
    /// With an answer, whatever it says.
    Answered(Ended),
    /// No byte of the request was handed to a connection.
    Unsent(Reason),
    /// Bytes of it were, and there is no whole answer.
    Lost(Reason),
    /// The answer has begun and will never be taken: it is too large.
    Refused(Reason),
    /// No byte was handed over, and none may be any more.
    Over,
}

/// Makes one attempt. `request` is waiting at the beginning.
pub(super) async fn attempt(
    line: &Line,
    request: &Arc<Handover>,
    make: impl Fn() -> Request<Full<Bytes>>,
) -> Tried {
    // Connections that rested may have been closed meanwhile. As long as nothing was handed to one, the next is as good.
    while let Some(connection) = line.pool.take(line.now()) {
        match exchange(line, connection, request, make()).await {
            Tried::Unsent(_) => {}
            tried => return tried,
        }
    }
    let connection = match line.target.connect().await {
        Ok(stream) => Connection::begin(stream).await,
        Err(reason) => Err(reason),
    };
    match connection {
        Ok(connection) => exchange(line, connection, request, make()).await,
        Err(reason) => Tried::Unsent(reason),
    }
}

/// Sends the request on this connection, and takes the answer.
pub(super) async fn exchange(
    line: &Line,
    mut connection: Connection,
    request: &Arc<Handover>,
    message: Request<Full<Bytes>>,
) -> Tried {
    let ticket = request.ticket();
    connection.lane.enter(&ticket);
    let limit = line.endpoint.timeout;
    let mut status = None;
    let answered = timeout(limit, receive(line, &mut connection, message, &mut status)).await;
    connection.lane.leave();
    match answered {
        Ok(Ok(ended)) => {
            if matches!(timeout(READY_MAX, connection.sender.ready()).await, Ok(Ok(()))) {
                line.pool.put(connection, line.now());
            }
            Tried::Answered(ended)
        }
        Ok(Err(Failure::TooLarge(reason))) => Tried::Refused(reason),
        Ok(Err(Failure::Broken(reason))) => settle(&ticket, reason),
        Err(_) => {
            let message = format!("there is no whole answer after {} ms", limit.as_millis());
            settle(&ticket, Reason { last_status: status, ..reason("timeout", message) })
        }
    }
}

/// What a failure means for the request: only the connection knows whether it was handed over.
fn settle(ticket: &Ticket, reason: Reason) -> Tried {
    match ticket.conclude() {
        Conclusion::Unsent => Tried::Unsent(reason),
        Conclusion::Handed => Tried::Lost(reason),
        Conclusion::Over => Tried::Over,
    }
}

enum Failure {
    TooLarge(Reason),
    Broken(Reason),
}

async fn receive(
    line: &Line,
    connection: &mut Connection,
    message: Request<Full<Bytes>>,
    status: &mut Option<u16>,
) -> Result<Ended, Failure> {
    let response = connection.sender.send_request(message).await;
    let response = response.map_err(|error| Failure::Broken(reason::of_head(&error)))?;
    // Whatever becomes of the body: the server is there.
    line.gate.succeed();
    let (head, body) = Response::into_parts(response);
    let code = head.status.as_u16();
    *status = Some(code);
    let body = read(line.endpoint.response_bytes, code, body).await?;
    Ok(Ended::Answered { status: code, headers: texts(&head.headers), body })
}

/// Reads a body up to a bound.
async fn read(bytes_max: u64, status: u16, mut body: Incoming) -> Result<Vec<u8>, Failure> {
    let too_large = || {
        let message = format!("the body of the answer is larger than {bytes_max} bytes");
        Failure::TooLarge(Reason { last_status: Some(status), ..reason("response-too-large", message) })
    };
    if body.size_hint().lower() > bytes_max {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failure::Broken(reason::of_body(status, &error)))?;
        // Trailers say nothing that a plugin could be told.
        let Ok(data) = frame.into_data() else { continue };
        if (bytes.len() as u64).saturating_add(data.len() as u64) > bytes_max {
            return Err(too_large());
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

fn texts(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    headers.iter().filter_map(text).collect()
}
