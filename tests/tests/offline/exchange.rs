//! Class changes that go out by update commands, on the dev broker.

use anyhow::Result;
use gristmill_tests::cluster::{Cluster, Dev};
use gristmill_tests::exchange;
use gristmill_tests::turn;

#[test]
fn follows_class_changes_by_commands() -> Result<()> {
    let _turn = turn::take();
    exchange::follows_class_changes(Dev::start()?.client(), 2, 1_000)
}
