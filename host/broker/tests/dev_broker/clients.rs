//! librdkafka as an ordinary producer, consumer and member of a group.

use std::collections::BTreeMap;
use std::time::Duration;

use gristmill_broker::Broker;
use rdkafka::Message;
use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::CommitMode;
use rdkafka::consumer::Consumer;
use rdkafka::message::Header;
use rdkafka::message::Headers;
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::BaseRecord;

use super::support::*;

#[test]
fn returns_every_record_as_it_was_produced() {
    let broker = Broker::builder().topic("items", 4).start().unwrap();
    let producer = producer(&broker, &[("enable.idempotence", "true")]);
    for number in 0..2_000 {
        let (key, value) = (format!("k{number}"), format!("v{number}"));
        producer.send(BaseRecord::to("items").key(&key).payload(&value)).unwrap();
    }
    drain(&producer);

    let consumer = consumer(&broker, "readers", &[]);
    consumer.subscribe(&["items"]).unwrap();
    let mut found = BTreeMap::new();
    while found.len() < 2_000 {
        let message = next(&consumer);
        let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
        let old = found.insert(text(message.key()), text(message.payload()));
        assert_eq!(old, None);
    }

    assert!(found.iter().all(|(key, value)| key[1..] == value[1..]));
    let ends: i64 = broker.partitions("items").iter().map(|partition| partition.end_offset).sum();
    assert_eq!(ends, 2_000);
}

#[test]
fn keeps_null_keys_null_values_headers_and_timestamps() {
    let broker = Broker::builder().topic("items", 1).start().unwrap();
    let producer = producer(&broker, &[]);
    let headers =
        OwnedHeaders::new()
            .insert(Header { key: "full", value: Some("value") })
            .insert(Header::<&str> { key: "empty", value: None });
    let record = BaseRecord::<str, str>::to("items").partition(0).timestamp(1_234_567).headers(headers);
    producer.send(record).unwrap();
    drain(&producer);

    let consumer = consumer(&broker, "readers", &[]);
    consumer.subscribe(&["items"]).unwrap();
    let message = next(&consumer);

    assert_eq!((message.key(), message.payload()), (None, None));
    assert_eq!(message.timestamp().to_millis(), Some(1_234_567));
    let headers: Vec<_> =
        message.headers().unwrap().iter().map(|header| (header.key, header.value)).collect();
    assert_eq!(headers, [("full", Some(&b"value"[..])), ("empty", None)]);
}

#[test]
fn serves_every_compression_that_the_client_knows() {
    let broker = Broker::builder().topic("items", 1).start().unwrap();
    let value = "x".repeat(10_000);
    for codec in ["gzip", "snappy", "lz4", "zstd"] {
        let producer = producer(&broker, &[("compression.type", codec)]);
        send(&producer, "items", codec, &value);
        drain(&producer);
    }

    let found = read_all(&broker, "items", "read_committed");

    let keys: Vec<&str> = found.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["gzip", "snappy", "lz4", "zstd"]);
    assert!(found.iter().all(|(_, found)| found.as_deref() == Some(&value)));
    // Stored as received: were they not compressed, four of them would take 40,000 bytes.
    assert!(broker.stored_bytes() < 10_000, "{}", broker.stored_bytes());
}

#[test]
fn finds_offsets_by_time_and_at_both_ends() {
    let broker = Broker::builder().topic("items", 1).start().unwrap();
    let producer = producer(&broker, &[]);
    for number in 0..10 {
        let key = number.to_string();
        let record = BaseRecord::to("items").partition(0).key(&key).payload("v");
        // librdkafka takes 0 for the present.
        producer.send(record.timestamp(1_000 * (number + 1))).unwrap();
    }
    drain(&producer);
    let consumer = consumer(&broker, "readers", &[]);

    let mut asked = TopicPartitionList::new();
    asked.add_partition_offset("items", 0, Offset::Offset(5_500)).unwrap();
    let by_time = consumer.offsets_for_times(asked, PATIENCE).unwrap();

    assert_eq!(consumer.fetch_watermarks("items", 0, PATIENCE).unwrap(), (0, 10));
    assert_eq!(by_time.find_partition("items", 0).unwrap().offset(), Offset::Offset(5));
}

#[test]
fn goes_on_where_the_group_committed() {
    let broker = Broker::builder().topic("items", 1).start().unwrap();
    let producer = producer(&broker, &[]);
    (0..10).for_each(|number| send(&producer, "items", "k", &number.to_string()));
    drain(&producer);
    let first = consumer(&broker, "readers", &[]);
    first.subscribe(&["items"]).unwrap();
    for _ in 0..4 {
        let message = next(&first);
        first.commit_message(&message, CommitMode::Sync).unwrap();
    }
    drop(first);

    let second = consumer(&broker, "readers", &[]);
    second.subscribe(&["items"]).unwrap();
    let message = next(&second);

    assert_eq!(message.offset(), 4);
    assert_eq!(broker.group("readers").unwrap().offsets, [("items".to_owned(), 0, 4)]);
}

#[test]
fn shares_partitions_among_members_and_gives_them_back() {
    for strategy in ["range", "cooperative-sticky"] {
        let broker = Broker::builder().topic("items", 4).start().unwrap();
        let extra = [("partition.assignment.strategy", strategy)];
        let first = consumer(&broker, "readers", &extra);
        let second = consumer(&broker, "readers", &extra);
        let owned = |consumer: &rdkafka::consumer::BaseConsumer| {
            assert!(consumer.poll(Duration::from_millis(5)).is_none());
            consumer.assignment().unwrap().count()
        };

        first.subscribe(&["items"]).unwrap();
        until("the first has all", || owned(&first) == 4);
        second.subscribe(&["items"]).unwrap();
        until("both have two", || (owned(&first), owned(&second)) == (2, 2));
        drop(second);

        until("the first has all again", || owned(&first) == 4);
        until("the group is stable", || {
            owned(&first);
            broker.group("readers").unwrap().state == "Stable"
        });
    }
}

#[test]
fn lets_a_static_member_restart_without_a_rebalance() {
    let broker = Broker::builder().topic("items", 4).start().unwrap();
    let join = |instance| {
        let consumer = consumer(&broker, "readers", &[("group.instance.id", instance)]);
        consumer.subscribe(&["items"]).unwrap();
        consumer
    };
    let owned = |consumer: &rdkafka::consumer::BaseConsumer| {
        assert!(consumer.poll(Duration::from_millis(5)).is_none());
        consumer.assignment().unwrap().count()
    };
    let (a, b) = (join("a"), join("b"));
    until("both have two", || (owned(&a), owned(&b)) == (2, 2));
    let generation = broker.group("readers").unwrap().generation;

    // A consumer that is dropped without unsubscribing leaves no trace when it is static.
    drop(b);
    let b = join("b");

    until("it has its partitions again", || (owned(&a), owned(&b)) == (2, 2));
    assert_eq!(broker.group("readers").unwrap().generation, generation);
}

#[test]
fn keeps_only_the_newest_record_of_a_key_in_a_compacted_topic() {
    let broker = Broker::builder().topic_with("table", 1, &[("cleanup.policy", "compact")]).start().unwrap();
    let producer = producer(&broker, &[]);
    for round in 0..20 {
        (0..100).for_each(|key| send(&producer, "table", &format!("k{key}"), &format!("{round}")));
        drain(&producer);
    }
    send(&producer, "table", "last", "x");
    drain(&producer);

    assert!(broker.compact("table"));

    let found = read_all(&broker, "table", "read_uncommitted");
    let latest: BTreeMap<_, _> = found.iter().cloned().collect();
    assert_eq!((found.len(), latest.len()), (101, 101));
    assert!(latest.iter().all(|(key, value)| key == "last" || value.as_deref() == Some("19")));
    assert_eq!(broker.partition("table", 0).unwrap().end_offset, 2_001);
}

#[test]
fn compacts_by_itself() {
    // Any dirty byte is worth a pass: else it depends on the moment of the last pass how many records are left.
    let compacted = [("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0")];
    let builder = Broker::builder().topic_with("table", 1, &compacted);
    let broker = builder.cleaning_interval(Duration::from_millis(20)).start().unwrap();
    let producer = producer(&broker, &[]);
    for round in 0..10 {
        send(&producer, "table", "k", &round.to_string());
        drain(&producer);
    }
    // The newest batch stays whole, so the last two remain.
    until("two records are left", || read_all(&broker, "table", "read_committed").len() == 2);
}

#[test]
fn refuses_what_kafka_refuses() {
    let compacted = [("cleanup.policy", "compact"), ("max.message.bytes", "1000")];
    let broker = Broker::builder().topic_with("table", 1, &compacted).start().unwrap();
    let producer = producer(&broker, &[("message.timeout.ms", "5000")]);
    let far_future = i64::MAX / 2;
    let no_key = BaseRecord::<str, str>::to("table").partition(0).payload("v");
    let large = "x".repeat(2_000);

    producer.send(no_key).unwrap();
    send(&producer, "table", "k", &large);
    producer.send(BaseRecord::to("table").partition(0).key("k").payload("v").timestamp(far_future)).unwrap();
    drain(&producer);

    assert_eq!(broker.partition("table", 0).unwrap().end_offset, 0);
    send(&producer, "table", "k", "v");
    drain(&producer);
    assert_eq!(values(&broker, "table", "read_committed"), ["v"]);
}
