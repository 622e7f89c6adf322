//! Orders of an operator, on the dev broker.

use anyhow::Result;
use gristmill_tests::cluster::{Cluster, Dev};
use gristmill_tests::orders;
use gristmill_tests::turn;

#[test]
fn sends_rows_again_when_it_is_ordered() -> Result<()> {
    let _turn = turn::take();
    orders::sends_rows_again(Dev::start()?.client(), 2, 1_000)
}
