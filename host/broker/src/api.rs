//! The answers: one file for each family of requests, each request type with `handle` and `refuse`.

mod cluster;
mod configs;
mod fetch;
mod group_admin;
mod list_offsets;
mod membership;
mod offsets;
mod partitions;
mod produce;
mod topics;
mod transactions;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::Decodable;
use kafka_protocol::protocol::Encodable;
use kafka_protocol::protocol::HeaderVersion;

use crate::cluster::Shared;

/// One request type.
pub(crate) trait Api: Decodable + Send {
    type Response: Encodable + HeaderVersion + Send + Sync;

    /// Carries the request out. Dropped in the middle, it has been carried out wholly or not at all.
    fn handle(self, call: &Call) -> impl Future<Output = Self::Response> + Send;

    /// Answers with an error for everything that was asked, and does nothing else.
    fn refuse(self, error: ResponseError, version: i16) -> Self::Response;

    /// Whether the client waits for an answer; all but produce requests with `acks=0` do.
    fn expects_answer(&self) -> bool {
        true
    }
}

/// What a handler knows beside the request.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) shared: Arc<Shared>,
    pub(crate) api: ApiKey,
    pub(crate) version: i16,
    pub(crate) client_id: String,
    pub(crate) peer: SocketAddr,
}

/// The wire's form of an outcome: 0 is success.
fn code<T>(outcome: &Result<T, ResponseError>) -> i16 {
    outcome.as_ref().err().map_or(0, ResponseError::code)
}

#[cfg(test)]
mod tests;
