//! A small world in which all is right, for tests that then spoil it.

use super::model::Model;
use super::observation::{End, Observation, Topic};
use crate::record::Record;

pub(super) fn record(key: &str, value: Option<&str>) -> Record {
    let value = value.map(|v| v.as_bytes().to_vec());
    Record { partition: 0, offset: 0, key: Some(key.into()), value, headers: vec![], timestamp: 0 }
}

pub(super) fn item(key: &str, value: &str) -> Record {
    record(key, Some(value))
}

pub(super) fn class(name: &str, minimum: u64, maximum: u64) -> Record {
    item(name, &format!(r#"{{"minimumTime":{minimum},"maximumTime":{maximum}}}"#))
}

fn topic(name: &str, mut committed: Vec<Record>) -> Topic {
    for (n, record) in committed.iter_mut().enumerate() {
        // Partition 0 holds the keys a and c, partition 1 the others. Offsets skip control records.
        record.partition = i32::from(!["a", "c"].contains(&record.key_text().as_str()));
        record.offset = 2 * i64::try_from(n).unwrap();
    }
    committed.sort_by_key(|record| (record.partition, record.offset));
    Topic { name: name.into(), uncommitted: committed.clone(), committed }
}

/// Six items of four keys, two of them equal, one of them rejected, one key deleted in the end; two classes.
pub(super) fn world() -> (Observation, Model) {
    let classes = topic("classes", vec![class("small", 1, 2), class("bulky", 5, 9)]);
    let items = topic(
        "items",
        vec![
            item("a", r#"{"class":"small","n":1}"#),
            item("b", r#"{"class":"absent","n":1}"#),
            item("a", r#"{"class":"bulky","n":2}"#),
            item("d", "not an item"),
            item("a", r#"{"class":"small","n":1}"#),
            record("b", None),
            item("c", r#"{"class":["bulky","small"]}"#),
        ],
    );
    let enriched = topic(
        "enriched",
        vec![
            item("a", r#"{"class":"small","n":1,"minimumDeliveryTime":1,"maximumDeliveryTime":2}"#),
            item("b", r#"{"class":"absent","n":1,"minimumDeliveryTime":null,"maximumDeliveryTime":null}"#),
            item("a", r#"{"class":"bulky","n":2,"minimumDeliveryTime":5,"maximumDeliveryTime":9}"#),
            item("a", r#"{"class":"small","n":1,"minimumDeliveryTime":1,"maximumDeliveryTime":2}"#),
            record("b", None),
            item("c", r#"{"class":["bulky","small"],"minimumDeliveryTime":1,"maximumDeliveryTime":2}"#),
        ],
    );
    let rejected = items.committed.iter().find(|item| item.key_text() == "d").unwrap();
    let mut letter = rejected.clone();
    for (name, value) in [
        ("gristmill-source-topic", "items".to_owned()),
        ("gristmill-source-partition", rejected.partition.to_string()),
        ("gristmill-source-offset", rejected.offset.to_string()),
    ] {
        letter.headers.push((name.into(), Some(value.into_bytes())));
    }
    let model = Model::new("/class", &classes.committed);
    let seen = Observation {
        positions: [(0, 20), (1, 20)].into(),
        ends: (0..2).map(|n| End { place: format!("enriched/{n}"), stable: 20, high: 20 }).collect(),
        items,
        classes,
        enriched,
        dead_letters: topic("dead", vec![letter]),
    };
    (seen, model)
}
