//! A sample of the latest committed records of some topics, bounded in records and in time.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::pipeline::{BatchBounds, Kafka};
use crate::fault::Fault;
use crate::id::{Offset, Partition, TopicName, TopicPartition};
use crate::io::Input;
use crate::kafka::client::{self, Isolation};
use crate::kafka::consumer::Consumer;
use crate::kafka::error;
use crate::kafka::fetched::{Fetched, Owned};
use crate::kafka::native::ErrorCode;
use crate::record::RecordRef;

/// Offsets of one topic that are looked at, over all its partitions. Not all of them need hold a record.
const OFFSETS_PER_TOPIC: i64 = 200;

/// Partitions of one topic that are looked at: asking for the bounds of each takes a request.
const PARTITIONS_PER_TOPIC: i32 = 50;

/// How long records are waited for, of all topics together. What has come by then is the sample.
const PATIENCE: Duration = Duration::from_secs(5);

const POLL_WAIT: Duration = Duration::from_millis(50);

/// Gives the latest committed records of topics, each named with its partition count, to `visit`. A partition that cannot
/// be read gives none. `group` is a name for the broker's log and for access control; nothing is committed under it.
///
/// # Errors
/// `kafka_failed`, `not_authorized`, `broker_unreachable`, `topic_missing`.
pub fn sample(
    kafka: &Kafka,
    group: &str,
    topics: &[(TopicName, i32)],
    mut visit: impl FnMut(&TopicPartition, &RecordRef<'_>),
) -> Result<(), Fault> {
    let mut consumer = Consumer::open(&client::reader(kafka, group, Isolation::Committed))?;
    let mut open: BTreeMap<_, _> = BTreeMap::new();
    let mut starts = Vec::new();
    for (topic, partitions) in topics {
        for (place, start, end) in latest(&consumer, topic, *partitions)? {
            starts.push((place.clone(), start));
            open.insert(place, end);
        }
    }
    let what = |failure| error::start_fault("cannot read a sample of the sources", failure);
    consumer.assign(&starts).map_err(what)?;
    let mut fetched = Fetched::new(BatchBounds::default());
    fetched.partitions = starts.into_iter().map(|(place, start)| Owned::reading(place, start)).collect();
    let clock = Clock::system();
    let mut messages = Vec::new();
    while !open.is_empty() && clock.elapsed() < PATIENCE {
        consumer.poll(POLL_WAIT, &mut messages);
        messages.retain(|message| {
            matches!(
                message.code(),
                ErrorCode::RD_KAFKA_RESP_ERR_NO_ERROR | ErrorCode::RD_KAFKA_RESP_ERR__PARTITION_EOF
            )
        });
        fetched.take(&mut messages, &consumer)?;
        while let Some(input) = fetched.next() {
            let Some((place, position)) = look(&input, &mut visit) else { continue };
            if open.get(place).is_some_and(|end| position >= *end) {
                open.remove(place);
            }
        }
    }
    Ok(())
}

/// Shows the records, and tells how far their partition has been read.
fn look<'i>(
    input: &'i Input,
    visit: &mut impl FnMut(&TopicPartition, &RecordRef<'_>),
) -> Option<(&'i TopicPartition, Offset)> {
    match input {
        Input::Records(place, chunk) => {
            chunk.iter().for_each(|record| visit(place, &record));
            Some((place, chunk.last()?.offset().next()))
        }
        Input::End(place, position) => Some((place, *position)),
        Input::Assigned(_) | Input::Revoked(_) | Input::Lost(_) => None,
    }
}

/// The partitions that are looked at, with the offsets from which and up to which. Empty partitions are left out.
fn latest(
    consumer: &Consumer,
    topic: &TopicName,
    partitions: i32,
) -> Result<Vec<(TopicPartition, Offset, Offset)>, Fault> {
    let chosen = spread(partitions);
    let count = i64::try_from(chosen.len()).unwrap_or(1).max(1);
    let mut found = Vec::with_capacity(chosen.len());
    for partition in chosen {
        let place = TopicPartition::new(topic, Partition(partition));
        let what = |failure| error::start_fault(format!("cannot read {place}"), failure);
        let bounds = consumer.bounds(&place).map_err(what)?;
        let end = bounds.stable_end;
        let start = Offset(end.0 - OFFSETS_PER_TOPIC / count).max(bounds.start);
        if start < end {
            found.push((place, start, end));
        }
    }
    Ok(found)
}

/// Up to [`PARTITIONS_PER_TOPIC`] partitions of so many, evenly spread.
fn spread(partitions: i32) -> Vec<i32> {
    let chosen = partitions.clamp(0, PARTITIONS_PER_TOPIC);
    (0..chosen).map(|index| (i64::from(index) * i64::from(partitions) / i64::from(chosen)) as i32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_at_all_partitions_of_a_small_topic_and_at_some_of_a_large_one() {
        assert_eq!(spread(0), [0; 0]);
        assert_eq!(spread(3), [0, 1, 2]);
        let some = spread(1_000);
        assert_eq!((some.len(), some.first(), some.last()), (50, Some(&0), Some(&980)));
    }
}
