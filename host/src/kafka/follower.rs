//! A reader that stays with a topic that hosts write in transactions, and can say that it has given all that is committed.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::pipeline::Kafka;
use crate::fault::{Code, Fault};
use crate::id::{Offset, TopicName, TopicPartition};
use crate::io::{Published, UpTo};
use crate::kafka::client::Isolation;
use crate::kafka::ends::Ends;
use crate::kafka::tail::{From, TopicReader};

/// How long the topic may give nothing although it holds more. Requests wait meanwhile.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two looks at whether the transactions have ended that are open.
const PAUSE: Duration = Duration::from_millis(20);

/// A topic that is read from its start, and then on and on.
pub(super) struct Follower {
    topic: TopicName,
    reader: TopicReader,
    stable_ends: Ends,
    ends: Ends,
}

impl Follower {
    /// Opens the topic. `group` is a name for the broker's log and for access control.
    ///
    /// # Errors
    /// `topic_missing`, `broker_unreachable`, `not_authorized`, `kafka_failed`.
    pub(super) fn open(kafka: &Kafka, group: &str, topic: &TopicName) -> Result<Self, Fault> {
        let reader = TopicReader::open(kafka, group, topic, Isolation::Committed, From::Start)?;
        let stable_ends = Ends::new(kafka, group, Isolation::Committed)?;
        let ends = Ends::new(kafka, group, Isolation::Uncommitted)?;
        Ok(Self { topic: topic.clone(), reader, stable_ends, ends })
    }

    /// Whether this is the topic that it follows.
    pub(super) fn is_of(&self, topic: &TopicName) -> bool {
        self.topic == *topic
    }

    /// Gives the committed records that were not given before; those of a key in their order.
    ///
    /// # Errors
    /// What `visit` answers; `position_lost`, `not_authorized`, `kafka_failed`. It is of no use after that.
    pub(super) fn give(
        &mut self,
        up_to: UpTo,
        visit: &mut dyn FnMut(Published<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let since = Clock::system();
        let mut written = None;
        loop {
            // In this order: where the two are the same, no transaction was open when the first was asked for.
            let stable = self.ask(&self.stable_ends)?;
            let ends = self.ask(&self.ends)?;
            self.reader.read_up_to(&last_records(&stable, &ends));
            self.reader.read(PATIENCE, visit)?;
            let written = written.get_or_insert(ends);
            let is_decided = written.iter().all(|(partition, end)| stable.get(partition) >= Some(end));
            if up_to == UpTo::Committed || is_decided {
                return Ok(());
            }
            if since.elapsed() > PATIENCE {
                let message = format!(
                    "topic `{}` cannot be read to its end: a transaction is open in it, of another host perhaps",
                    self.topic
                );
                return Err(Fault::new(Code::KafkaFailed, message));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// The end of each partition.
    fn ask(&self, ends: &Ends) -> Result<BTreeMap<TopicPartition, Offset>, Fault> {
        let bounds = self.reader.bounds();
        let found = ends.ask(bounds.iter().map(|(partition, _)| partition))?;
        if found.len() == bounds.len() {
            return Ok(found);
        }
        let message = format!("the ends of topic `{}` are not all to be had", self.topic);
        Err(Fault::new(Code::KafkaFailed, message))
    }
}

/// Behind the last committed record of each partition, or later. In a topic that is written in transactions alone the last thing
/// is the end of one, which is no record, unless one is open. So nothing needs to be waited for that the client only knows when
/// its next request to the broker has come back empty.
fn last_records(
    stable: &BTreeMap<TopicPartition, Offset>,
    ends: &BTreeMap<TopicPartition, Offset>,
) -> BTreeMap<TopicPartition, Offset> {
    let before = |(partition, stable): (&TopicPartition, &Offset)| {
        let is_decided = ends.get(partition) == Some(stable);
        (partition.clone(), if is_decided { Offset(stable.0 - 1) } else { *stable })
    };
    stable.iter().map(before).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Partition;

    fn offsets(offsets: [i64; 2]) -> BTreeMap<TopicPartition, Offset> {
        let place = |number| TopicPartition::new(&TopicName::new("requests"), Partition(number));
        (0..).zip(offsets).map(|(number, offset)| (place(number), Offset(offset))).collect()
    }

    #[test]
    fn waits_for_the_very_end_only_below_an_open_transaction() {
        assert_eq!(last_records(&offsets([7, 7]), &offsets([7, 9])), offsets([6, 7]));
    }
}
