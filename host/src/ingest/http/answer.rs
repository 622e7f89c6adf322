//! The way of a request: who asks, what is asked, and then to the desk; every answer is made here.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, EXPECT, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response};
use serde_json::json;

use super::body::{self, Write};
use super::desk::{Desk, Order, Written};
use super::keys::{Digest, Ticket};
use super::refusal::{Refusal, page};
use super::route::Rules;
use crate::clock::Clock;
use crate::event;
use crate::fault::Code;

/// A larger body is taken apart on a thread that may take its time: the others answer requests meanwhile.
const INLINE_BYTES_MAX: usize = 64 << 10;

/// The longest idempotency key, in characters.
const IDEMPOTENCY_KEY_MAX: usize = 200;

/// The path of the description.
const DESCRIPTION: &str = "/openapi.json";

/// Everything that is served.
pub(super) struct Site {
    pub(super) counters: Vec<Arc<Counter>>,
    /// The OpenAPI document.
    pub(super) description: Bytes,
    /// How long a request may take to arrive.
    pub(super) timeout: Duration,
    pub(super) clock: Clock,
}

/// Where the requests of one ingest are taken.
pub(super) struct Counter {
    pub(super) rules: Rules,
    pub(super) desk: Desk,
}

/// What a request wants to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Action {
    Put(String),
    Delete(String),
    Batch,
}

/// What was done.
struct Done {
    records: usize,
    /// Whether it had been done before.
    is_repeated: bool,
}

/// Answers a request.
pub(super) async fn answer(site: &Site, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, mut body) = request.into_parts();
    let path = head.uri.path();
    let (ingest, outcome) = if path == DESCRIPTION {
        (None, describe(site, &head.method))
    } else if let Some((counter, segment)) = site.find(path) {
        (Some(counter), take(site, counter, segment, &head, &mut body).await)
    } else {
        let message = "no ingest has this path";
        (None, Err(Refusal::new(Code::PathUnknown, message)))
    };
    let response = match outcome {
        Ok(response) => response,
        Err(refusal) => {
            // A client that waits for leave to send its body sends none.
            if !body.is_end_stream() && !head.headers.contains_key(EXPECT) {
                body::drain(&mut body).await;
            }
            refusal.into_response()
        }
    };
    let ingest = ingest.map(|counter| &counter.rules.name);
    event::HttpRequestAnswered { ingest, status: response.status().as_u16() }.emit();
    response
}

fn describe(site: &Site, method: &Method) -> Result<Response<Full<Bytes>>, Refusal> {
    match *method {
        Method::GET | Method::HEAD => Ok(page(200, site.description.clone())),
        _ => Err(Refusal::method("GET, HEAD")),
    }
}

impl Site {
    /// The counter that a path belongs to, and the segment behind the path of its collection.
    fn find<'a>(&self, path: &'a str) -> Option<(&Arc<Counter>, Option<&'a str>)> {
        let exact = self.counters.iter().find(|counter| counter.rules.path == path);
        if let Some(counter) = exact {
            return Some((counter, None));
        }
        let (collection, segment) = path.rsplit_once('/')?;
        let counter = self.counters.iter().find(|counter| counter.rules.path == collection)?;
        Some((counter, Some(segment)))
    }
}

/// Does what a request wants.
async fn take(
    site: &Site,
    counter: &Arc<Counter>,
    segment: Option<&str>,
    head: &Parts,
    body: &mut Incoming,
) -> Result<Response<Full<Bytes>>, Refusal> {
    let (rules, desk) = (&counter.rules, &counter.desk);
    let wanted = Wanted::of(&head.method, segment)?;
    rules.check_token(head.headers.get(AUTHORIZATION).map(HeaderValue::as_bytes))?;
    check_rate(rules, site.clock.elapsed())?;
    let action = wanted.action(segment)?;
    let key = idempotency_key(&head.headers)?;
    let limit = match action {
        Action::Put(_) => rules.bounds.value_bytes,
        Action::Batch => rules.bounds.batch_bytes,
        Action::Delete(_) => 0,
    };
    check_content_type(&action, &head.headers)?;
    let size = body.size_hint().upper().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(limit);
    let room = desk.room(size.min(limit)).await?;
    let body = body::read(body, limit, site.timeout).await?;
    let prepared = prepare(counter, action, key, body).await?;
    let done = match prepared {
        Prepared::Done(records) => Done { records, is_repeated: true },
        Prepared::New { writes, ticket } => {
            let records = writes.len();
            let order = Order { writes, ticket, room };
            event::HttpQueued { ingest: &rules.name, requests: desk.waiting() + 1 }.emit();
            Done { records, is_repeated: desk.write(order).await? == Written::Before }
        }
    };
    Ok(done.into_response())
}

impl Done {
    fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = page(200, format!("{}\n", json!({ "records": self.records })));
        if self.is_repeated {
            response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
        }
        response
    }
}

/// The methods that a path has.
#[derive(Clone, Copy)]
enum Wanted {
    Put,
    Delete,
    Batch,
}

impl Wanted {
    fn of(method: &Method, segment: Option<&str>) -> Result<Self, Refusal> {
        match (segment, method) {
            (Some(_), &Method::PUT) => Ok(Self::Put),
            (Some(_), &Method::DELETE) => Ok(Self::Delete),
            (None, &Method::POST) => Ok(Self::Batch),
            (Some(_), _) => Err(Refusal::method("PUT, DELETE")),
            (None, _) => Err(Refusal::method("POST")),
        }
    }

    fn action(self, segment: Option<&str>) -> Result<Action, Refusal> {
        let key = || body::key(segment.unwrap_or_default());
        match self {
            Self::Put => key().map(Action::Put),
            Self::Delete => key().map(Action::Delete),
            Self::Batch => Ok(Action::Batch),
        }
    }
}

fn check_rate(rules: &Rules, now: Duration) -> Result<(), Refusal> {
    let taken = rules.rate.lock().unwrap_or_else(PoisonError::into_inner).take(now);
    taken.map_err(|wait| {
        let seconds = wait.as_millis().div_ceil(1000).max(1);
        Refusal::rate(
            "there are more requests in a second than this ingest takes".to_owned(),
            u64::try_from(seconds).unwrap_or(1),
        )
    })
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let is_key =
        (1..=IDEMPOTENCY_KEY_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_key || values.next().is_some() {
        let message =
            format!("`Idempotency-Key` is not one text of 1 to {IDEMPOTENCY_KEY_MAX} visible characters");
        return Err(Refusal::new(Code::IdempotencyKeyInvalid, message));
    }
    Ok(Some(text.to_owned()))
}

fn check_content_type(action: &Action, headers: &HeaderMap) -> Result<(), Refusal> {
    let wanted: &[&str] = match action {
        Action::Put(_) => &["application/json"],
        Action::Batch => &["application/x-ndjson", "application/jsonl"],
        Action::Delete(_) => return Ok(()),
    };
    let refusal = |problem: String| Err(Refusal::new(Code::ContentTypeUnfit, problem));
    if headers
        .get(CONTENT_ENCODING)
        .is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return refusal("the body is encoded".to_owned());
    }
    let header = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = header.split(';').next().unwrap_or_default().trim();
    if wanted.iter().any(|wanted| essence.eq_ignore_ascii_case(wanted)) {
        return Ok(());
    }
    refusal(format!("the body is to be `{}`", wanted.first().unwrap_or(&"")))
}

/// What became of a body.
enum Prepared {
    /// The request was done before, with so many records.
    Done(usize),
    New {
        writes: Vec<Write>,
        ticket: Option<Ticket>,
    },
}

async fn prepare(
    counter: &Arc<Counter>,
    action: Action,
    key: Option<String>,
    body: Bytes,
) -> Result<Prepared, Refusal> {
    if body.len() <= INLINE_BYTES_MAX {
        return counter.prepare(&action, key.as_deref(), &body);
    }
    let counter = Arc::clone(counter);
    let prepared = tokio::task::spawn_blocking(move || counter.prepare(&action, key.as_deref(), &body)).await;
    prepared.unwrap_or_else(|_| Err(Refusal::new(Code::Internal, "the body could not be looked at")))
}

impl Counter {
    fn prepare(&self, action: &Action, key: Option<&str>, body: &Bytes) -> Result<Prepared, Refusal> {
        let begun = key.map(|key| self.desk.keys().begin(key, digest(action, body))).transpose()?;
        let ticket = match begun {
            Some(Err(records)) => return Ok(Prepared::Done(records)),
            Some(Ok(ticket)) => Some(ticket),
            None => None,
        };
        let schema = self.rules.schema.as_ref();
        let writes = match action {
            Action::Put(key) => vec![body::value(key, body, schema)?],
            Action::Delete(key) => vec![Write { key: key.as_bytes().to_vec(), value: None }],
            Action::Batch => body::batch(body, &self.rules.bounds, schema)?,
        };
        Ok(Prepared::New { writes, ticket })
    }
}

/// What makes two requests the same.
fn digest(action: &Action, body: &Bytes) -> Digest {
    match action {
        Action::Put(key) => Digest::of(&[b"PUT", key.as_bytes(), body]),
        Action::Delete(key) => Digest::of(&[b"DELETE", key.as_bytes()]),
        Action::Batch => Digest::of(&[b"POST", body]),
    }
}
