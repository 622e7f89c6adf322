//! A broker that dies and comes back.

use anyhow::Result;
use gristmill_host::io::Sink as _;
use gristmill_host::kafka::broadcast::{BroadcastReader, VIEW_BYTES_MAX};
use gristmill_tests::client::Isolation;
use gristmill_tests::cluster::{Apache, Nodes};
use gristmill_tests::{read, wait};

use super::broadcast::{await_position, rows};
use super::support::{Bench, record, start, take, told};

#[test]
fn readers_and_sinks_go_on_after_a_restart_of_the_broker() -> Result<()> {
    let cluster = Apache::start(Nodes::One)?;
    let bench = Bench::on(&cluster, "restart");
    let topic = bench.topic(1, &[("cleanup.policy", "compact")])?;
    let reader = BroadcastReader::start(&bench.kafka, &bench.name, &topic, VIEW_BYTES_MAX)?;
    let mut source = bench.member("w", &[&topic])?;
    start(&mut source, 0)?;
    let mut sink = bench.sink("t")?;
    bench.put(&topic, &["1"])?;
    await_position(&reader, 1)?;
    assert_eq!(take(&mut source, 1)?, [("1".to_owned(), 0)]);

    cluster.kill(1)?;
    cluster.restart(1)?;
    sink.begin().map_err(told)?;
    sink.send(&record(&topic, "2")).map_err(told)?;
    sink.flush().map_err(told)?;
    sink.commit().map_err(told)?;
    await_position(&reader, 3)?;

    assert_eq!(rows(&reader), [("key".to_owned(), Some("2".to_owned()))]);
    assert!(reader.take_fault().is_none());
    assert_eq!(take(&mut source, 1)?, [("2".to_owned(), 1)]);
    wait::until_equal("both records", &vec!["1".to_owned(), "2".to_owned()], || {
        read::values(&bench.client, topic.as_str(), Isolation::Committed)
    })
}
