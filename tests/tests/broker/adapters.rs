//! The host's Kafka adapters against a real broker: what the ports promise, and what a fake cannot show.

mod broadcast;
mod restarts;
mod restorer;
mod sink;
mod source;
mod support;
mod topics;

/// The cluster that these tests share. The offline suite has the same tests with a `cluster` of its own.
fn cluster() -> anyhow::Result<&'static dyn gristmill_tests::cluster::Cluster> {
    Ok(gristmill_tests::cluster::Apache::shared()?)
}
