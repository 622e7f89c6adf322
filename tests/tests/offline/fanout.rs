//! Class changes that reach every item of the class, on the dev broker.

use anyhow::Result;
use gristmill_tests::cluster::{Cluster, Dev};
use gristmill_tests::fanout;
use gristmill_tests::turn;

#[test]
fn follows_class_changes() -> Result<()> {
    let _turn = turn::take();
    fanout::follows_class_changes(Dev::start()?.client(), 2, 2_000)
}
