//! Why a call has no answer, in stable codes.
//!
//! | certainly not sent | perhaps executed |
//! |---|---|
//! | `dns-failed`, `connection-refused`, `connect-failed`, `connect-timeout`, `proxy-failed`, `tls-failed` | `timeout`, `connection-lost`, `bad-response` |
//! | `connection-lost`, `timeout` before the first byte | `body-truncated`, `response-too-large`: with the status |
//! | `invalid-request`, `endpoint-unknown` | `host-stopped` |

use std::error::Error;

use crate::io::Reason;

/// A reason without a status.
pub(super) fn reason(code: &str, message: impl Into<String>) -> Reason {
    Reason { code: code.to_owned(), message: message.into(), last_status: None }
}

/// Why there is no head of an answer.
pub(super) fn of_head(error: &hyper::Error) -> Reason {
    let code = if error.is_parse() { "bad-response" } else { "connection-lost" };
    reason(code, chain("there is no answer", error))
}

/// Why there is a head, and not the whole body.
pub(super) fn of_body(status: u16, error: &hyper::Error) -> Reason {
    let message = chain("the answer ends too early", error);
    Reason { last_status: Some(status), ..reason("body-truncated", message) }
}

fn chain(what: &str, error: &hyper::Error) -> String {
    let causes = std::iter::successors(Some(error as &dyn Error), |error| (*error).source());
    causes.fold(what.to_owned(), |text, cause| format!("{text}: {cause}"))
}
