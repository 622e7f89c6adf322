//! The topics: their ids, settings and partition logs, within the limits.

pub(crate) mod config;

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use uuid::Uuid;

use crate::clock::Millis;
use crate::clock::millis;
use crate::error::Refusal;
use crate::limits::Limits;
use crate::log::PartitionLog;
use crate::log::compact::CompactionRules;
use config::TopicConfig;

/// Kafka's bound on the length of a topic's name.
const MAX_NAME: usize = 249;

/// Whether Kafka allows a topic of this name.
pub(crate) fn is_legal_name(name: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=MAX_NAME).contains(&name.len()) && ![".", ".."].contains(&name) && name.bytes().all(is_legal)
}

/// One topic.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) id: Uuid,
    pub(crate) config: TopicConfig,
    pub(crate) partitions: Vec<PartitionLog>,
}

/// Whether a request means what it says or only asks whether it would work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intent {
    Apply,
    ValidateOnly,
}

impl Intent {
    pub(crate) fn from_wire(validate_only: bool) -> Self {
        if validate_only { Self::ValidateOnly } else { Self::Apply }
    }
}

/// All topics by name.
#[derive(Debug)]
pub(crate) struct Topics {
    by_name: BTreeMap<String, Topic>,
    /// Tells the ids of this broker from those of another one.
    id_high: u64,
    last_id: u64,
    /// Record data of all logs; kept beside them, so that a produce request need not add up all partitions.
    stored_bytes: usize,
}

impl Topics {
    pub(crate) fn new(started: Millis) -> Self {
        Self { by_name: BTreeMap::new(), id_high: started.0.unsigned_abs(), last_id: 0, stored_bytes: 0 }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Topic> {
        self.by_name.get(name)
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Topic> {
        self.by_name.get_mut(name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Topic)> {
        self.by_name.iter()
    }

    pub(crate) fn name_of(&self, id: Uuid) -> Option<&String> {
        self.by_name.iter().find(|(_, topic)| topic.id == id).map(|(name, _)| name)
    }

    pub(crate) fn partition(&self, topic: &str, partition: i32) -> Option<&PartitionLog> {
        self.get(topic)?.partitions.get(usize::try_from(partition).ok()?)
    }

    pub(crate) fn partition_mut(&mut self, topic: &str, partition: i32) -> Option<&mut PartitionLog> {
        self.get_mut(topic)?.partitions.get_mut(usize::try_from(partition).ok()?)
    }

    pub(crate) fn stored_bytes(&self) -> usize {
        self.stored_bytes
    }

    /// Brings `stored_bytes` up to date after data was dropped or appended.
    pub(crate) fn recount(&mut self) {
        let logs = self.by_name.values().flat_map(|topic| &topic.partitions);
        self.stored_bytes = logs.map(PartitionLog::stored_bytes).sum();
    }

    /// Counts data that was appended to one log.
    pub(crate) fn count_appended(&mut self, bytes: usize) {
        self.stored_bytes += bytes;
    }

    /// Says whether a topic may be created like this, without creating it.
    ///
    /// # Errors
    /// `INVALID_TOPIC_EXCEPTION`, `TOPIC_ALREADY_EXISTS`, `INVALID_PARTITIONS`; `POLICY_VIOLATION` at a limit.
    pub(crate) fn check_new(&self, name: &str, partitions: i32, limits: &Limits) -> Result<usize, Refusal> {
        if !is_legal_name(name) {
            let rule =
                format!("a topic's name has 1 to {MAX_NAME} of the characters a-z, A-Z, 0-9, `.`, `_`, `-`");
            return Err(Refusal::new(ResponseError::InvalidTopicException, rule));
        }
        if self.by_name.contains_key(name) {
            let message = format!("topic `{name}` exists already");
            return Err(Refusal::new(ResponseError::TopicAlreadyExists, message));
        }
        if self.by_name.len() >= limits.topics {
            let message = format!("the broker's limit of {} topics is reached", limits.topics);
            return Err(Refusal::new(ResponseError::PolicyViolation, message));
        }
        self.check_partitions(0, partitions, limits)
    }

    fn check_partitions(&self, present: usize, wanted: i32, limits: &Limits) -> Result<usize, Refusal> {
        let wanted = usize::try_from(wanted).ok().filter(|wanted| *wanted > present).ok_or_else(|| {
            let message = format!("partition count must be larger than {present}");
            Refusal::new(ResponseError::InvalidPartitions, message)
        })?;
        let others: usize =
            self.by_name.values().map(|topic| topic.partitions.len()).sum::<usize>() - present;
        if others.saturating_add(wanted) > limits.partitions {
            let message = format!("the broker's limit of {} partitions is reached", limits.partitions);
            return Err(Refusal::new(ResponseError::PolicyViolation, message));
        }
        Ok(wanted)
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// Those of [`Topics::check_new`].
    pub(crate) fn create(
        &mut self,
        name: &str,
        partitions: i32,
        config: TopicConfig,
        limits: &Limits,
    ) -> Result<&Topic, Refusal> {
        let partitions = self.check_new(name, partitions, limits)?;
        self.last_id += 1;
        let id = Uuid::from_u64_pair(self.id_high, self.last_id);
        let logs = std::iter::repeat_with(PartitionLog::default).take(partitions).collect();
        let topic = Topic { id, config, partitions: logs };
        Ok(self.by_name.entry(name.to_owned()).or_insert(topic))
    }

    /// Makes a topic grow to a partition count, or says whether it may.
    ///
    /// # Errors
    /// `UNKNOWN_TOPIC_OR_PARTITION`, `INVALID_PARTITIONS`; `POLICY_VIOLATION` at the limit.
    pub(crate) fn grow(
        &mut self,
        name: &str,
        wanted: i32,
        intent: Intent,
        limits: &Limits,
    ) -> Result<(), Refusal> {
        let topic = self.get(name).ok_or(ResponseError::UnknownTopicOrPartition)?;
        let wanted = self.check_partitions(topic.partitions.len(), wanted, limits)?;
        if let (Some(topic), Intent::Apply) = (self.get_mut(name), intent) {
            topic.partitions.resize_with(wanted, PartitionLog::default);
        }
        Ok(())
    }

    /// Deletes a topic with its data; false when there is none.
    pub(crate) fn delete(&mut self, name: &str) -> bool {
        let existed = self.by_name.remove(name).is_some();
        self.recount();
        existed
    }

    /// Applies retention and compaction to every topic that asks for it and where it pays.
    pub(crate) fn clean(&mut self, now: Millis) {
        for topic in self.by_name.values_mut() {
            let config = &topic.config;
            let rules = compaction_rules(config, now);
            for log in &mut topic.partitions {
                if config.deletes() {
                    let oldest = config.retention().map(|retention| now.0.saturating_sub(millis(retention)));
                    log.retain(config.retention_bytes(), oldest);
                }
                if config.compacts() && log.is_dirty(config.min_dirty_ratio(), now) {
                    log.compact(&rules);
                }
            }
        }
        self.recount();
    }

    /// Compacts one topic now, however little of it is dirty; false when there is none or it is not compacted.
    pub(crate) fn compact(&mut self, name: &str, now: Millis) -> bool {
        let Some(topic) = self.by_name.get_mut(name).filter(|topic| topic.config.compacts()) else {
            return false;
        };
        let rules = compaction_rules(&topic.config, now);
        topic.partitions.iter_mut().for_each(|log| log.compact(&rules));
        self.recount();
        true
    }
}

fn compaction_rules(config: &TopicConfig, now: Millis) -> CompactionRules {
    CompactionRules { now, delete_retention: config.delete_retention(), min_lag: config.min_compaction_lag() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics() -> (Topics, Limits) {
        (Topics::new(Millis(1)), Limits { topics: 2, partitions: 5, ..Limits::default() })
    }

    fn create(
        topics: &mut Topics,
        name: &str,
        partitions: i32,
        limits: &Limits,
    ) -> Result<Uuid, ResponseError> {
        let created = topics.create(name, partitions, TopicConfig::default(), limits);
        created.map(|topic| topic.id).map_err(|refusal| refusal.error)
    }

    #[test]
    fn gives_a_topic_that_is_created_again_another_id() {
        let (mut topics, limits) = topics();

        let first = create(&mut topics, "items", 1, &limits).unwrap();
        assert!(topics.delete("items"));
        let second = create(&mut topics, "items", 1, &limits).unwrap();

        assert_ne!(first, second);
        assert_eq!(topics.name_of(second).map(String::as_str), Some("items"));
    }

    #[test]
    fn refuses_illegal_names_and_counts() {
        let (mut topics, limits) = topics();
        create(&mut topics, "items", 1, &limits).unwrap();

        for name in ["", ".", "..", "a b", "ä", &"x".repeat(250)] {
            assert_eq!(create(&mut topics, name, 1, &limits), Err(ResponseError::InvalidTopicException));
        }
        assert_eq!(create(&mut topics, "items", 1, &limits), Err(ResponseError::TopicAlreadyExists));
        assert_eq!(create(&mut topics, "other", 0, &limits), Err(ResponseError::InvalidPartitions));
        assert_eq!(create(&mut topics, "other", -7, &limits), Err(ResponseError::InvalidPartitions));
    }

    #[test]
    fn refuses_more_topics_and_partitions_than_the_limits_allow() {
        let (mut topics, limits) = topics();
        create(&mut topics, "a", 4, &limits).unwrap();

        assert_eq!(create(&mut topics, "b", 2, &limits), Err(ResponseError::PolicyViolation));
        assert_eq!(create(&mut topics, "b", i32::MAX, &limits), Err(ResponseError::PolicyViolation));
        create(&mut topics, "b", 1, &limits).unwrap();
        assert_eq!(create(&mut topics, "c", 1, &limits), Err(ResponseError::PolicyViolation));
        let grown = topics.grow("a", 5, Intent::Apply, &limits).map_err(|refusal| refusal.error);
        assert_eq!(grown, Err(ResponseError::PolicyViolation));
    }
}
