//! The host's Kafka adapters against the dev broker: the tests that a real broker passes, and faults on request.

#[path = "../broker/adapters/broadcast.rs"]
mod broadcast;
mod outcomes;
#[path = "../broker/adapters/restorer.rs"]
mod restorer;
#[path = "../broker/adapters/sink.rs"]
mod sink;
#[path = "../broker/adapters/source.rs"]
mod source;
#[path = "../broker/adapters/support.rs"]
mod support;
#[path = "../broker/adapters/topics.rs"]
mod topics;

/// The cluster that these tests share.
fn cluster() -> anyhow::Result<&'static dyn gristmill_tests::cluster::Cluster> {
    Ok(gristmill_tests::cluster::Dev::shared()?)
}
