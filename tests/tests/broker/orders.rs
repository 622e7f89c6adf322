//! Orders of an operator, on a real Kafka.

use anyhow::Result;
use gristmill_tests::cluster::{Apache, Cluster};
use gristmill_tests::orders;
use gristmill_tests::turn;

#[test]
fn sends_rows_again_when_it_is_ordered() -> Result<()> {
    let _turn = turn::take();
    orders::sends_rows_again(Apache::shared()?.client(), 3, 2_000)
}
