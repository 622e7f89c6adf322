//! A refusal: what a client is told in place of an answer, in the form of the admin API.

use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use serde_json::json;

use crate::fault::Code;

/// Why a request was not done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Refusal {
    code: Code,
    message: String,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Refusal {
    /// The message has the form of a fault's, and never a value of the request in it.
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        let header = match code {
            Code::TokenMissing => Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            Code::TokenWrong => {
                Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer error=\"invalid_token\"")))
            }
            Code::IngestUnavailable | Code::IdempotencyUnderWay => {
                Some((RETRY_AFTER, HeaderValue::from_static("1")))
            }
            _ => None,
        };
        Self { code, message: message.into(), header }
    }

    /// Too many requests; the next one may come after so many seconds.
    pub(super) fn rate(message: String, seconds: u64) -> Self {
        let header = Some((RETRY_AFTER, HeaderValue::from(seconds)));
        Self { header, ..Self::new(Code::RateExceeded, message) }
    }

    /// Another method is wanted: one of these.
    pub(super) fn method(allowed: &'static str) -> Self {
        let header = Some((ALLOW, HeaderValue::from_static(allowed)));
        Self { header, ..Self::new(Code::MethodNotAllowed, format!("this path has {allowed} only")) }
    }

    /// The same about a line of a batch.
    #[must_use]
    pub(super) fn of_line(self, number: usize) -> Self {
        Self { message: format!("line {number}: {}", self.message), ..self }
    }

    /// The status of the answer.
    pub(super) fn status(&self) -> u16 {
        match self.code {
            Code::BodyMalformed | Code::RecordKeyInvalid | Code::IdempotencyKeyInvalid => 400,
            Code::TokenMissing | Code::TokenWrong => 401,
            Code::PathUnknown => 404,
            Code::MethodNotAllowed => 405,
            Code::BodyTooSlow => 408,
            Code::IdempotencyUnderWay => 409,
            Code::BodyTooLarge => 413,
            Code::ContentTypeUnfit => 415,
            Code::BodyInvalid | Code::IdempotencyConflict | Code::RecordRefused => 422,
            Code::RateExceeded => 429,
            Code::IngestUnavailable => 503,
            _ => 500,
        }
    }

    /// Its stable code.
    #[cfg(test)]
    pub(super) fn code(&self) -> Code {
        self.code
    }

    /// What a client reads.
    #[cfg(test)]
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// The body of the answer.
    pub(super) fn body(&self) -> String {
        let (code, hint) = (self.code.as_str(), self.code.remedy());
        let error = json!({ "error": { "code": code, "message": self.message, "hint": hint } });
        format!("{error}\n")
    }

    /// The answer.
    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = page(self.status(), self.body());
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// An answer of JSON.
pub(super) fn page(status: u16, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    if let Ok(status) = hyper::StatusCode::from_u16(status) {
        *response.status_mut() = status;
    }
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
