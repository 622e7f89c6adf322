//! Up to where partitions can be read. The lag of tasks is asked apart from any worker, so that one that has stopped shows too.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset as Where, TopicPartitionList};

use crate::config::pipeline::Kafka;
use crate::fault::{Code, Fault};
use crate::id::{Offset, Partition, TopicName, TopicPartition};
use crate::kafka::client::{self, Isolation};

/// How long the cluster may take to answer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Asks a cluster for the ends of partitions.
pub struct Ends {
    consumer: BaseConsumer,
}

impl Ends {
    /// Makes a client; nothing is sent yet. `group` is a name for the broker's log and for access control. The ends are the
    /// stable ones with [`Isolation::Committed`], and else the very ends.
    ///
    /// # Errors
    /// `kafka_failed`.
    pub fn new(kafka: &Kafka, group: &str, isolation: Isolation) -> Result<Self, Fault> {
        let consumer = client::reader(kafka, group, isolation).create();
        let consumer = consumer.map_err(|error| failed("cannot make a client", error))?;
        Ok(Self { consumer })
    }

    /// The end of each partition, in one request to each broker. Partitions that are not known are left out.
    ///
    /// # Errors
    /// `kafka_failed`.
    pub fn ask<'a>(
        &self,
        places: impl IntoIterator<Item = &'a TopicPartition>,
    ) -> Result<BTreeMap<TopicPartition, Offset>, Fault> {
        let mut list = TopicPartitionList::new();
        for place in places {
            list.add_partition_offset(place.topic.as_str(), place.partition.0, Where::End)
                .map_err(|error| failed("cannot name a partition", error))?;
        }
        let answer = self.consumer.offsets_for_times(list, TIMEOUT);
        let answer = answer.map_err(|error| failed("cannot ask for the ends of partitions", error))?;
        let elements = answer.elements();
        let known = elements.iter().filter_map(|element| {
            let Where::Offset(offset) = element.offset() else { return None };
            element.error().ok()?;
            let place = TopicPartition::new(&TopicName::new(element.topic()), Partition(element.partition()));
            Some((place, Offset(offset)))
        });
        Ok(known.collect())
    }
}

fn failed(what: &str, error: rdkafka::error::KafkaError) -> Fault {
    Fault::new(Code::KafkaFailed, what).because(error)
}
