//! What transactions promise, with librdkafka: one fate for all records and offsets, fencing, time-outs, lost answers.

use std::time::Duration;

use gristmill_broker::ApiKey;
use gristmill_broker::Broker;
use gristmill_broker::ManualClock;
use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::producer::Producer;
use rdkafka::types::RDKafkaErrorCode;

use super::support::*;

fn transaction(producer: &TestProducer, values: &[&str], commits: bool) {
    producer.begin_transaction().unwrap();
    values.iter().for_each(|value| send(producer, "items", "k", value));
    drain(producer);
    match commits {
        true => producer.commit_transaction(PATIENCE).unwrap(),
        false => producer.abort_transaction(PATIENCE).unwrap(),
    }
}

#[test]
fn shows_committed_records_and_hides_aborted_ones() {
    let broker = Broker::builder().topic("items", 1).start().unwrap();
    let producer = transactional(&broker, "t");

    transaction(&producer, &["a", "b"], true);
    transaction(&producer, &["c"], false);
    transaction(&producer, &["d"], true);

    assert_eq!(values(&broker, "items", "read_committed"), ["a", "b", "d"]);
    assert_eq!(values(&broker, "items", "read_uncommitted"), ["a", "b", "c", "d"]);
    let partition = broker.partition("items", 0).unwrap();
    // Four records and three markers.
    assert_eq!((partition.end_offset, partition.last_stable_offset), (7, 7));
}

#[test]
fn hides_everything_behind_an_open_transaction() {
    let broker = Broker::builder().topic("items", 1).start().unwrap();
    let producer = transactional(&broker, "t");
    let plain = super::support::producer(&broker, &[]);

    producer.begin_transaction().unwrap();
    send(&producer, "items", "k", "open");
    drain(&producer);
    send(&plain, "items", "k", "behind");
    drain(&plain);

    assert_eq!(values(&broker, "items", "read_committed"), Vec::<String>::new());
    assert_eq!(broker.partition("items", 0).unwrap().last_stable_offset, 0);
    producer.commit_transaction(PATIENCE).unwrap();
    assert_eq!(values(&broker, "items", "read_committed"), ["open", "behind"]);
}

#[test]
fn moves_offsets_with_the_transaction_that_carries_them() {
    let broker = Broker::builder().topic("items", 1).start().unwrap();
    let plain = super::support::producer(&broker, &[]);
    (0..5).for_each(|number| send(&plain, "items", "k", &number.to_string()));
    drain(&plain);
    let consumer = consumer(&broker, "readers", &[]);
    consumer.subscribe(&["items"]).unwrap();
    next(&consumer);
    let producer = transactional(&broker, "t");
    let stored = || broker.group("readers").unwrap().offsets.first().map(|(_, _, offset)| *offset);
    let stage = |offset| {
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset("items", 0, Offset::Offset(offset)).unwrap();
        producer.begin_transaction().unwrap();
        producer
            .send_offsets_to_transaction(&offsets, &consumer.group_metadata().unwrap(), PATIENCE)
            .unwrap();
    };

    stage(2);
    assert!(broker.group("readers").unwrap().has_pending_offsets);
    assert_eq!(stored(), None);
    producer.abort_transaction(PATIENCE).unwrap();
    assert_eq!(stored(), None);
    stage(3);
    producer.commit_transaction(PATIENCE).unwrap();

    assert_eq!(stored(), Some(3));
    assert!(!broker.group("readers").unwrap().has_pending_offsets);
}

#[test]
fn refuses_the_offsets_of_an_older_generation() {
    let broker = Broker::builder().topic("items", 2).start().unwrap();
    let zombie = consumer(&broker, "readers", &[]);
    zombie.subscribe(&["items"]).unwrap();
    until("the zombie has joined", || {
        assert!(zombie.poll(Duration::from_millis(5)).is_none());
        zombie.assignment().unwrap().count() == 2
    });
    let metadata = zombie.group_metadata().unwrap();
    drop(zombie);
    let successor = consumer(&broker, "readers", &[]);
    successor.subscribe(&["items"]).unwrap();
    until("the successor has joined", || {
        assert!(successor.poll(Duration::from_millis(5)).is_none());
        successor.assignment().unwrap().count() == 2
    });
    let producer = transactional(&broker, "t");
    producer.begin_transaction().unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset("items", 0, Offset::Offset(1)).unwrap();

    let refused = producer.send_offsets_to_transaction(&offsets, &metadata, PATIENCE);

    assert!(refused.is_err());
    producer.abort_transaction(PATIENCE).unwrap();
    assert_eq!(broker.group("readers").unwrap().offsets, []);
}

#[test]
fn fences_the_older_of_two_producers_with_one_id() {
    let broker = Broker::builder().topic("items", 1).start().unwrap();
    let old = transactional(&broker, "t");
    old.begin_transaction().unwrap();
    send(&old, "items", "k", "from the old one");
    drain(&old);

    let new = transactional(&broker, "t");
    let refused = old.commit_transaction(PATIENCE).unwrap_err();
    transaction(&new, &["from the new one"], true);

    let KafkaError::Transaction(refused) = refused else { panic!("{refused}") };
    assert!(refused.is_fatal());
    let codes =
        [RDKafkaErrorCode::ProducerFenced, RDKafkaErrorCode::Fenced, RDKafkaErrorCode::InvalidProducerEpoch];
    assert!(codes.contains(&refused.code()), "{:?}", refused.code());
    assert_eq!(values(&broker, "items", "read_committed"), ["from the new one"]);
}

#[test]
fn aborts_a_transaction_that_its_producer_abandoned() {
    let clock = ManualClock::new();
    let broker = Broker::builder().topic("items", 1).clock(clock.clone()).start().unwrap();
    let producer = transactional(&broker, "t");
    producer.begin_transaction().unwrap();
    send(&producer, "items", "k", "abandoned");
    drain(&producer);
    assert_eq!(broker.transactions()[0].state, "Ongoing");

    clock.advance(Duration::from_secs(10));

    until("the coordinator aborts it", || broker.transactions()[0].state == "CompleteAbort");
    assert_eq!(values(&broker, "items", "read_committed"), Vec::<String>::new());
    assert!(producer.commit_transaction(PATIENCE).is_err());
}

/// Every request of the commit path is carried out and its answer lost, one after the other: librdkafka
/// sends it again, and nothing may be lost or doubled.
#[test]
fn survives_the_loss_of_every_answer_on_the_commit_path() {
    let path = [
        ApiKey::InitProducerId,
        ApiKey::AddPartitionsToTxn,
        ApiKey::Produce,
        ApiKey::AddOffsetsToTxn,
        ApiKey::TxnOffsetCommit,
        ApiKey::EndTxn,
    ];
    for api in path {
        let broker = Broker::builder().topic("items", 1).start().unwrap();
        let lost = broker.faults().on(api).nth(1).apply_then_disconnect();
        let consumer = consumer(&broker, "readers", &[]);
        let producer = transactional(&broker, "t");

        for number in 0..3_i64 {
            producer.begin_transaction().unwrap();
            send(&producer, "items", "k", &number.to_string());
            drain(&producer);
            let mut offsets = TopicPartitionList::new();
            offsets.add_partition_offset("items", 0, Offset::Offset(number)).unwrap();
            let metadata = consumer.group_metadata().unwrap();
            producer.send_offsets_to_transaction(&offsets, &metadata, PATIENCE).unwrap();
            producer.commit_transaction(PATIENCE).unwrap();
        }

        assert_eq!(lost.hits(), 1, "{api:?}");
        assert_eq!(values(&broker, "items", "read_committed"), ["0", "1", "2"], "{api:?}");
        assert_eq!(broker.group("readers").unwrap().offsets, [("items".to_owned(), 0, 2)], "{api:?}");
    }
}
