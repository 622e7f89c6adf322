//! A reader of whole topics, outside any group: for views of broadcast topics, for people, for checks.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::pipeline::{BatchBounds, Kafka};
use crate::fault::{Code, Fault};
use crate::id::{Offset, TopicName, TopicPartition};
use crate::io::{Bounds, Input, Published};
use crate::kafka::client;
pub use crate::kafka::client::Isolation;
use crate::kafka::consumer::Consumer;
use crate::kafka::doubts::Doubts;
use crate::kafka::error;
use crate::kafka::fetched::{Fetched, Owned};
use crate::kafka::native::Message;

/// How long [`TopicReader::read`] waits before it looks whether it should go on.
const POLL_WAIT: Duration = Duration::from_millis(100);

/// Where a reader begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum From {
    /// At the first record that exists.
    #[default]
    Start,
    /// After the last one.
    End,
}

/// Reads all partitions of a topic.
pub struct TopicReader {
    consumer: Consumer,
    fetched: Fetched,
    /// Partitions that the client does not go on with.
    doubts: Doubts,
    messages: Vec<Message>,
    bounds: Vec<(TopicPartition, Bounds)>,
}

impl TopicReader {
    /// Opens a topic and begins to read. `group` is a name for the broker's log and for access control; nothing is
    /// committed under it.
    ///
    /// # Errors
    /// `topic_missing`, `broker_unreachable`, `not_authorized`, `kafka_failed`.
    pub fn open(
        kafka: &Kafka,
        group: &str,
        topic: &TopicName,
        isolation: Isolation,
        from: From,
    ) -> Result<Self, Fault> {
        let consumer = Consumer::open(&client::reader(kafka, group, isolation))?;
        let bounds = bounds(&consumer, topic)?;
        let start = |bounds: &Bounds| match from {
            From::Start => bounds.start,
            From::End => bounds.stable_end,
        };
        let positions: Vec<_> =
            bounds.iter().map(|(partition, bounds)| (partition.clone(), start(bounds))).collect();
        consumer
            .assign(&positions)
            .map_err(|failure| error::start_fault(format!("cannot read topic `{topic}`"), failure))?;
        let mut fetched = Fetched::new(BatchBounds::default());
        fetched.partitions =
            positions.into_iter().map(|(partition, position)| Owned::reading(partition, position)).collect();
        Ok(Self { consumer, fetched, doubts: Doubts::default(), messages: Vec::new(), bounds })
    }

    /// What the partitions held when the reader was opened; the ends are those of its isolation.
    pub fn bounds(&self) -> &[(TopicPartition, Bounds)] {
        &self.bounds
    }

    /// Lets [`TopicReader::has_caught_up`] go by other ends than those at the opening.
    pub fn read_up_to(&mut self, ends: &BTreeMap<TopicPartition, Offset>) {
        for (partition, bounds) in &mut self.bounds {
            if let Some(end) = ends.get(partition) {
                bounds.stable_end = *end;
            }
        }
    }

    /// Whether everything has been read that was there when the reader was opened.
    pub fn has_caught_up(&self) -> bool {
        self.bounds.iter().all(|(partition, bounds)| {
            let mut owned = self.fetched.partitions.iter().filter(|owned| owned.partition == *partition);
            owned.all(|owned| owned.position.is_some_and(|position| position >= bounds.stable_end))
                && !self.fetched.holds(partition)
        })
    }

    /// Gives every record up to the ends ([`has_caught_up`](Self::has_caught_up)), those of a partition in their order.
    ///
    /// # Errors
    /// What `visit` answers, those of [`poll`](Self::poll), and `kafka_failed` when nothing comes for as long as `patience`.
    pub fn read(
        &mut self,
        patience: Duration,
        visit: &mut dyn FnMut(Published<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut silence = Clock::system();
        while !self.has_caught_up() {
            let Some(input) = self.poll(POLL_WAIT)? else {
                if silence.elapsed() > patience {
                    let topic = self.bounds.first().map_or("", |(partition, _)| partition.topic.as_str());
                    let message = format!("topic `{topic}` gives nothing for {} s", patience.as_secs());
                    return Err(Fault::new(Code::KafkaFailed, message));
                }
                continue;
            };
            silence = Clock::system();
            if let Input::Records(_, chunk) = input {
                for record in chunk.iter() {
                    visit(Published { key: record.key(), value: record.value() })?;
                }
            }
        }
        Ok(())
    }

    /// Waits up to `wait` for records, or for the end of a partition. Never gives anything else.
    ///
    /// # Errors
    /// `position_lost` when the topic was cut or made anew, `not_authorized`, `kafka_failed`.
    pub fn poll(&mut self, wait: Duration) -> Result<Option<Input>, Fault> {
        if let Some(input) = self.fetched.next() {
            return Ok(Some(input));
        }
        self.consumer.poll(wait, &mut self.messages);
        self.doubts.take(&mut self.messages);
        let consumer = &self.consumer;
        self.doubts.settle(&mut self.fetched, consumer, |partition| consumer.bounds(partition).ok())?;
        self.fetched.take(&mut self.messages, &self.consumer)?;
        Ok(self.fetched.next())
    }
}

/// The partitions of a topic and what they hold.
fn bounds(consumer: &Consumer, topic: &TopicName) -> Result<Vec<(TopicPartition, Bounds)>, Fault> {
    let what = |failure| error::start_fault(format!("cannot read topic `{topic}`"), failure);
    let partitions = consumer.partitions(topic).map_err(what)?;
    if partitions.is_empty() {
        return Err(Fault::new(Code::TopicMissing, format!("topic `{topic}` does not exist")));
    }
    let bounds = partitions.into_iter().map(|partition| {
        let bounds = consumer.bounds(&partition).map_err(what)?;
        Ok((partition, bounds))
    });
    bounds.collect()
}
