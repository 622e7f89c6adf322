//! A client for what hosts and servers answer over HTTP: one request, one answer, and a connection for that alone.

use std::fmt::Display;

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::Value;
use ureq::http::{HeaderMap, Request};
use ureq::{Agent, AsSendBody};

use crate::wait;

/// What came back, whatever its status.
#[derive(Debug)]
pub struct Answer {
    /// The number, such as 404.
    pub status: u16,
    headers: HeaderMap,
    /// The whole body.
    pub body: String,
}

impl Answer {
    /// A header's value; its name in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body of an answer with status 200, as JSON.
    ///
    /// # Errors
    /// When the status or the body is another.
    pub fn json(&self) -> Result<Value> {
        ensure!(self.status == 200, "the status is {}: {}", self.status, self.body);
        serde_json::from_str(&self.body).with_context(|| format!("no JSON: {}", self.body))
    }
}

/// Sends a request, and waits for the whole of its answer.
///
/// # Errors
/// When nobody listens, or the answer does not come.
pub fn send(request: Request<impl AsSendBody>) -> Result<Answer> {
    let config = Agent::config_builder().http_status_as_error(false).timeout_global(Some(wait::PATIENCE));
    let agent = Agent::new_with_config(config.max_idle_connections(0).build());
    let what = format!("{} {}", request.method(), request.uri());
    let answer = agent.run(request).map_err(|error| anyhow!("{what}: {error}"))?;
    let (head, mut body) = answer.into_parts();
    let body = body.read_to_string().map_err(|error| anyhow!("{what}: {error}"))?;
    Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
}

/// Asks for a page of the server at this address.
///
/// # Errors
/// As [`send`].
pub fn get(address: impl Display, path: &str) -> Result<Answer> {
    send(Request::get(format!("http://{address}{path}")).body(())?)
}
