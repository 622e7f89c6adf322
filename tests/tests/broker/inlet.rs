//! Several hosts that serve one ingest of HTTP.

use anyhow::Result;
use gristmill_tests::cluster::{Apache, Cluster};
use gristmill_tests::inlet;

#[test]
fn knows_the_keys_of_other_hosts() -> Result<()> {
    inlet::knows_the_keys_of_other_hosts(Apache::shared()?.client())
}

#[test]
fn waits_for_open_transactions() -> Result<()> {
    inlet::waits_for_open_transactions(Apache::shared()?.client())
}
