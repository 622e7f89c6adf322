//! Events of ingests of HTTP. None has a payload, a key or a token in it.

use std::net::SocketAddr;
use std::time::Duration;

use super::registry;
use crate::fault::Fault;
use crate::id::IngestName;

/// The ingests of HTTP listen.
#[derive(Debug)]
pub struct HttpStarted {
    /// Where.
    pub address: SocketAddr,
    /// Whether with TLS.
    pub tls: bool,
}

impl HttpStarted {
    /// Logs it.
    pub fn emit(self) {
        tracing::info!(address = %self.address, tls = self.tls, "ingests of HTTP listen");
    }
}

/// No connection can be taken for a moment; the listener goes on.
#[derive(Debug)]
pub struct HttpTroubled<'a> {
    /// Why.
    pub cause: &'a std::io::Error,
}

impl HttpTroubled<'_> {
    /// Logs it.
    pub fn emit(self) {
        tracing::warn!(cause = %self.cause, "the listener of ingests cannot take a connection");
    }
}

/// A connection beyond the limit was sent away.
#[derive(Debug)]
pub struct HttpConnectionRefused;

impl HttpConnectionRefused {
    /// Counts it.
    pub fn emit(self) {
        registry().add("gristmill_ingest_http_connections_refused_total", &[], 1);
    }
}

/// A request was answered.
#[derive(Debug)]
pub struct HttpRequestAnswered<'a> {
    /// The ingest; none when the path belongs to none.
    pub ingest: Option<&'a IngestName>,
    /// The status of the answer.
    pub status: u16,
}

impl HttpRequestAnswered<'_> {
    /// Counts it.
    pub fn emit(self) {
        let class = match self.status / 100 {
            2 => "2xx",
            4 => "4xx",
            5 => "5xx",
            _ => "other",
        };
        let labels = [("ingest", self.ingest.map_or("", IngestName::as_str)), ("status", class)];
        registry().add("gristmill_ingest_http_requests_total", &labels, 1);
    }
}

/// So many requests wait for their transaction.
#[derive(Debug)]
pub struct HttpQueued<'a> {
    /// The ingest.
    pub ingest: &'a IngestName,
    /// How many.
    pub requests: usize,
}

impl HttpQueued<'_> {
    /// Shows it.
    pub fn emit(self) {
        let labels = [("ingest", self.ingest.as_str())];
        registry().set("gristmill_ingest_http_queue_requests", &labels, self.requests as f64);
    }
}

/// Requests were committed in one transaction.
#[derive(Debug)]
pub struct HttpRequestsCommitted<'a> {
    /// The ingest.
    pub ingest: &'a IngestName,
    /// How many records they had.
    pub records: usize,
    /// How long the transaction took.
    pub took: Duration,
}

impl HttpRequestsCommitted<'_> {
    /// Counts it.
    pub fn emit(self) {
        let labels = [("ingest", self.ingest.as_str())];
        registry().add("gristmill_ingest_http_records_total", &labels, self.records);
        registry().observe("gristmill_ingest_http_commit_seconds", &labels, self.took.as_secs_f64());
    }
}

/// Idempotency keys were forgotten before their time.
#[derive(Debug)]
pub struct HttpKeysForgotten<'a> {
    /// The ingest.
    pub ingest: &'a IngestName,
    /// How many.
    pub keys: usize,
}

impl HttpKeysForgotten<'_> {
    /// Counts it.
    pub fn emit(self) {
        let labels = [("ingest", self.ingest.as_str())];
        registry().add("gristmill_ingest_http_keys_forgotten_total", &labels, self.keys);
    }
}

/// An ingest takes requests.
#[derive(Debug)]
pub struct IngestOpened<'a> {
    /// The ingest.
    pub ingest: &'a IngestName,
    /// How many idempotency keys it knows.
    pub known: usize,
}

impl IngestOpened<'_> {
    /// Logs it and shows it.
    pub fn emit(self) {
        tracing::info!(ingest = %self.ingest, known = self.known, "an ingest takes requests");
        registry().set("gristmill_ingest_http_open", &[("ingest", self.ingest.as_str())], 1.0);
    }
}

/// An ingest takes no requests until Kafka takes records again.
#[derive(Debug)]
pub struct IngestClosed<'a> {
    /// The ingest.
    pub ingest: &'a IngestName,
    /// Why.
    pub fault: &'a Fault,
}

impl IngestClosed<'_> {
    /// Logs it and shows it.
    pub fn emit(self) {
        tracing::warn!(ingest = %self.ingest, code = %self.fault.code(), cause = self.fault.line(),
            "an ingest takes no requests until Kafka takes records");
        registry().set("gristmill_ingest_http_open", &[("ingest", self.ingest.as_str())], 0.0);
    }
}
