//! Start, stop, down and up again.

use std::time::Duration;

use gristmill_broker::Broker;
use gristmill_broker::ManualClock;
use rdkafka::consumer::Consumer;
use rdkafka::producer::Producer;

use super::support::*;

#[test]
fn keeps_its_port_and_its_data_while_it_is_down() {
    let broker = Broker::builder().topic("items", 1).start().unwrap();
    let producer = transactional(&broker, "t");
    let (port, begun) = (broker.port(), || producer.begin_transaction().unwrap());
    begun();
    send(&producer, "items", "k", "before");
    drain(&producer);
    producer.commit_transaction(PATIENCE).unwrap();

    broker.go_down().unwrap();
    assert!(std::net::TcpStream::connect(broker.bootstrap()).is_err());
    broker.come_back().unwrap();

    assert_eq!(broker.port(), port);
    begun();
    send(&producer, "items", "k", "after");
    drain(&producer);
    producer.commit_transaction(PATIENCE).unwrap();
    assert_eq!(values(&broker, "items", "read_committed"), ["before", "after"]);
}

#[test]
fn goes_down_and_comes_back_as_often_as_it_is_told() {
    let broker = Broker::builder().start().unwrap();

    for _ in 0..3 {
        broker.go_down().unwrap();
        broker.go_down().unwrap();
        broker.come_back().unwrap();
        broker.come_back().unwrap();
        assert!(is_alive(&broker));
    }
}

#[test]
fn kills_present_connections_and_takes_new_ones() {
    let broker = Broker::builder().start().unwrap();
    let mut present = Raw::connect(&broker);
    present.request(PING.0, PING.1, &[]);
    present.answer().unwrap();

    broker.kill_connections();

    assert_eq!(present.answer(), None);
    assert!(is_alive(&broker));
}

#[test]
fn stops_once_and_for_all() {
    let broker = Broker::builder().start().unwrap();
    let mut present = Raw::connect(&broker);

    broker.stop();
    broker.stop();

    assert_eq!(present.answer(), None);
    assert!(std::net::TcpStream::connect(broker.bootstrap()).is_err());
    assert_eq!(broker.go_down().unwrap_err().code(), "broker_stopped");
}

#[test]
fn can_be_dropped_inside_an_async_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();

    runtime.block_on(async { drop(Broker::builder().start()) });
}

#[test]
fn says_which_port_is_taken_and_which_topic_is_not_legal() {
    let first = Broker::builder().start().unwrap();

    let taken = Broker::builder().port(first.port()).start().unwrap_err();
    let illegal = Broker::builder().topic("a b", 1).start().unwrap_err();

    assert_eq!(taken.code(), "broker_listen");
    assert!(taken.to_string().contains(&first.bootstrap()), "{taken}");
    assert_eq!(illegal.code(), "broker_topic");
    assert!(!taken.hint().is_empty() && !illegal.hint().is_empty());
}

#[test]
fn keeps_the_group_of_a_consumer_however_long_it_is_down() {
    let clock = ManualClock::new();
    let builder = Broker::builder().topic("items", 1).clock(clock.clone());
    let broker = builder.initial_rebalance_delay(Duration::ZERO).start().unwrap();
    let consumer = consumer(&broker, "readers", &[]);
    consumer.subscribe(&["items"]).unwrap();
    let producer = producer(&broker, &[]);
    send(&producer, "items", "k", "before");
    next(&consumer);
    let members = broker.group("readers").unwrap().members;

    broker.go_down().unwrap();
    // Ten sessions.
    clock.advance(Duration::from_secs(60));
    broker.come_back().unwrap();
    send(&producer, "items", "k", "after");
    until("it reads on", || matches!(consumer.poll(Duration::from_millis(50)), Some(Ok(_))));

    assert_eq!(broker.group("readers").unwrap().members, members);
}
