//! The note beside a committed offset: how far the task has applied its broadcast sources.
//!
//! ```text
//! b1=delivery-classes:0@12,1@5;holidays:0@3
//! ```
//! The version comes first; what cannot be read counts as not there, and then the broadcast is applied from its start.
//! Topic names cannot hold any of the separators.

use std::collections::BTreeMap;

use crate::fault::{Code, Fault};
use crate::id::{Offset, Partition, TopicName, TopicPartition};

/// Positions in broadcast topics: the next offset to apply.
pub type Positions = BTreeMap<TopicPartition, Offset>;

/// Brokers take 4,096 bytes (`offset.metadata.max.bytes`).
const LENGTH_MAX: usize = 4_000;
const VERSION: &str = "b1=";
/// An offset has 19 digits at most, a partition 10, beside their separators.
const PLACE_LENGTH_MAX: usize = 19 + 10 + 2;

/// Writes positions. Empty when there are none.
pub fn write(positions: &Positions) -> String {
    let mut note = String::new();
    let mut topic: Option<&TopicName> = None;
    for (place, offset) in positions {
        let separator = match topic {
            None => VERSION,
            Some(last) if *last == place.topic => ",",
            Some(_) => ";",
        };
        note.push_str(separator);
        if topic != Some(&place.topic) {
            note.push_str(place.topic.as_str());
            note.push(':');
        }
        topic = Some(&place.topic);
        note.push_str(&format!("{}@{offset}", place.partition));
    }
    note
}

/// Reads positions; leaves out what makes no sense.
pub fn read(note: &str) -> Positions {
    let topics = note.strip_prefix(VERSION).unwrap_or_default().split(';');
    let groups = topics.filter_map(|group| group.split_once(':'));
    groups
        .flat_map(|(topic, places)| {
            let topic = TopicName::new(topic);
            places.split(',').filter_map(move |place| read_place(&topic, place))
        })
        .collect()
}

fn read_place(topic: &TopicName, place: &str) -> Option<(TopicPartition, Offset)> {
    let (partition, offset) = place.split_once('@')?;
    let partition = partition.parse().ok().filter(|partition| *partition >= 0)?;
    let offset = offset.parse().ok().filter(|offset| *offset >= 0)?;
    Some((TopicPartition::new(topic, Partition(partition)), Offset(offset)))
}

/// Makes sure that a note about these broadcast topics always fits.
///
/// # Errors
/// `topic_unfit` when they have too many partitions.
pub fn ensure_fits<'a>(topics: impl IntoIterator<Item = (&'a TopicName, usize)>) -> Result<(), Fault> {
    let lengths = topics
        .into_iter()
        .map(|(topic, partitions)| topic.as_str().len() + 2 + partitions * PLACE_LENGTH_MAX);
    let length = VERSION.len() + lengths.sum::<usize>();
    if length <= LENGTH_MAX {
        return Ok(());
    }
    let message =
        "the broadcast topics have too many partitions: a task could not commit its position in them";
    Err(Fault::new(Code::TopicUnfit, message)
        .hint("broadcast topics are small: give them one partition, or a few")
        .because(format!("the positions take up to {length} bytes, {LENGTH_MAX} are possible")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(topic: &str, partition: i32) -> TopicPartition {
        TopicPartition::new(&topic.into(), Partition(partition))
    }

    #[test]
    fn writes_topics_and_partitions_compactly() {
        let positions = Positions::from([
            (place("classes", 0), Offset(12)),
            (place("classes", 1), Offset(5)),
            (place("holidays", 0), Offset(3)),
        ]);

        assert_eq!(write(&positions), "b1=classes:0@12,1@5;holidays:0@3");
    }

    #[test]
    fn leaves_out_what_makes_no_sense() {
        let read_back = read("b1=a:0@1,1@x,-1@2,2;b;c:0@-3,4@9");

        assert_eq!(read_back, Positions::from([(place("a", 0), Offset(1)), (place("c", 4), Offset(9))]));
        assert!(read("b2=a:0@1").is_empty());
        assert!(read("").is_empty());
    }

    #[test]
    fn refuses_topics_whose_positions_would_not_fit() {
        assert!(ensure_fits([(&"classes".into(), 12)]).is_ok());

        let fault = ensure_fits([(&"classes".into(), 400)]).unwrap_err();
        assert_eq!(fault.code(), Code::TopicUnfit);
    }

    proptest! {
        #[test]
        fn reads_what_it_wrote(places in prop::collection::btree_map(("[a-zA-Z0-9._-]{1,8}", 0..50i32), 0..i64::MAX, 0..20)) {
            let positions: Positions = places
                .into_iter()
                .map(|((topic, partition), offset)| (place(&topic, partition), Offset(offset)))
                .collect();

            prop_assert_eq!(read(&write(&positions)), positions);
        }

        #[test]
        fn never_fails_on_any_text(note in "(b1=)?.{0,80}") {
            read(&note);
        }
    }
}
