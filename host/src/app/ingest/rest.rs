//! The routes of ingests of HTTP on a real cluster.

use crate::app::topics::Facts;
use crate::config::env;
use crate::config::ingest::{Ingest, IngestKind};
use crate::config::pipeline::Kafka;
use crate::fault::Fault;
use crate::id::InstanceName;
use crate::ingest::http::Route;
use crate::kafka::outlet::KafkaOutlet;

/// The route of an ingest; none for one of another kind.
///
/// # Errors
/// `secret_missing`, `file_unreadable`, `schema_invalid`.
pub(super) fn route(
    kafka: &Kafka,
    ingest: &Ingest,
    instance: &InstanceName,
    facts: &Facts,
) -> Result<Option<Route>, Fault> {
    let IngestKind::Http(http) = &ingest.kind else { return Ok(None) };
    let topics = [ingest.topic.clone(), ingest.requests_topic()];
    let largest =
        topics.iter().filter_map(|topic| facts.get(topic)).map(|facts| facts.facts().max_bytes).min();
    // Several hosts serve the same ingest at the same time: each has a name of its own, and keeps it.
    let name = format!("{}.{instance}", ingest.transactional_id());
    let outlet = KafkaOutlet::new(kafka, &name, largest.unwrap_or(usize::MAX));
    Route::new(ingest, http, Box::new(outlet), &env::process).map(Some)
}
