//! Each fault, at the level of frames.

use std::time::Duration;
use std::time::Instant;

use gristmill_broker::ApiKey;
use gristmill_broker::Broker;
use gristmill_broker::ResponseError;

use super::support::*;

/// CreateTopics, version 2: topic `new`, one partition, one replica.
const CREATE: &[u8] =
    &[0, 0, 0, 1, 0, 3, b'n', b'e', b'w', 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x75, 0x30, 0];

fn create(broker: &Broker) -> Option<Vec<u8>> {
    let mut raw = Raw::connect(broker);
    raw.request(ApiKey::CreateTopics as i16, 2, CREATE);
    raw.answer()
}

#[test]
fn carries_a_request_out_later() {
    let broker = Broker::builder().start().unwrap();
    let delay = broker.faults().on(ApiKey::CreateTopics).delay(Duration::from_millis(120));

    let start = Instant::now();
    create(&broker).unwrap();

    assert!(start.elapsed() >= Duration::from_millis(120));
    assert_eq!((delay.hits(), broker.topics().len()), (1, 1));
}

#[test]
fn closes_the_connection_before_a_request_is_carried_out() {
    let broker = Broker::builder().start().unwrap();
    let fault = broker.faults().on(ApiKey::CreateTopics).next(1).disconnect();

    assert_eq!(create(&broker), None);

    assert_eq!((fault.hits(), broker.topics().len()), (1, 0));
    assert!(create(&broker).is_some());
}

#[test]
fn closes_the_connection_after_a_request_is_carried_out() {
    let broker = Broker::builder().start().unwrap();
    let fault = broker.faults().on(ApiKey::CreateTopics).next(1).apply_then_disconnect();

    assert_eq!(create(&broker), None);

    assert_eq!((fault.hits(), broker.topics()), (1, vec!["new".to_owned()]));
}

#[test]
fn answers_with_an_error_instead_of_carrying_a_request_out() {
    let broker = Broker::builder().start().unwrap();
    let fault = broker.faults().on(ApiKey::CreateTopics).next(1).answer(ResponseError::NotController);

    let answer = create(&broker).unwrap();

    let code = ResponseError::NotController.code().to_be_bytes();
    assert!(answer.windows(2).any(|window| window == code));
    assert_eq!((fault.hits(), broker.topics().len()), (1, 0));
}

#[test]
fn hits_every_api_until_it_is_cleared() {
    let broker = Broker::builder().start().unwrap();
    let fault = broker.faults().on_all().disconnect();
    assert!(!is_alive(&broker));
    assert_eq!(create(&broker), None);

    fault.clear();

    assert!(is_alive(&broker));
    assert_eq!((fault.hits(), broker.faults().requests(ApiKey::ApiVersions)), (2, 2));
}

#[test]
fn retries_what_a_fault_makes_librdkafka_retry() {
    let broker = Broker::builder().topic("items", 1).start().unwrap();
    let refused = broker.faults().on(ApiKey::Produce).next(3).answer(ResponseError::NotLeaderOrFollower);
    let producer = producer(&broker, &[("enable.idempotence", "true")]);

    (0..10).for_each(|number| send(&producer, "items", "k", &number.to_string()));
    drain(&producer);

    assert_eq!(refused.hits(), 3);
    let expected: Vec<String> = (0..10).map(|number: i32| number.to_string()).collect();
    assert_eq!(values(&broker, "items", "read_committed"), expected);
}
