//! Where the demo plays: on an embedded broker, or on a Kafka of the user's own under a prefix that is taken away afterwards.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock::Clock;
use crate::config::pipeline::Kafka;
use crate::fault::{Code, Fault};
use crate::id::TopicName;
use crate::kafka::groups::Groups;
use crate::kafka::topics::{TopicPlan, Topics};

/// How many partitions the topics have; that of the classes has one.
const PARTITIONS: i32 = 4;

/// The check compares every version of every record: compaction waits until the demo is over.
const COMPACTED_LATER: [(&str, &str); 2] =
    [("cleanup.policy", "compact"), ("min.compaction.lag.ms", "3600000")];

const DELETED: [(&str, &str); 1] = [("cleanup.policy", "delete")];

/// How long a broker may take to answer for the first time.
const REACH: Duration = Duration::from_secs(10);

/// A host that was killed keeps its groups for as long as its session, which the demo's pipeline makes shorter than this.
const GROUPS_PATIENCE: Duration = Duration::from_secs(40);

/// How long the topics may take to be gone.
const TOPICS_PATIENCE: Duration = Duration::from_secs(30);

/// A Kafka, and a directory for everything else.
pub(super) struct Place {
    /// How to reach it.
    pub(super) kafka: Kafka,
    /// What things are called there.
    pub(super) names: Names,
    dir: tempfile::TempDir,
    /// None on a Kafka of the user's own.
    broker: Option<gristmill_broker::Broker>,
}

/// The names of the demo's application and topics.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// The application's id. Everything that the host makes begins with it and a dot.
    pub(super) app: String,
    /// Whether the demo's own topics do, too.
    is_prefixed: bool,
}

impl Names {
    /// A topic that is named in the pipeline file.
    pub(super) fn topic(&self, name: &str) -> TopicName {
        match self.is_prefixed {
            true => TopicName::new(&format!("{}.{name}", self.app)),
            false => TopicName::new(name),
        }
    }

    /// A topic that the host names.
    pub(super) fn internal(&self, name: &str) -> TopicName {
        TopicName::new(&format!("{}.{name}", self.app))
    }

    /// What the names of everything on somebody's own Kafka begin with.
    fn prefix(&self) -> String {
        format!("{}.", self.app)
    }
}

impl Place {
    /// Starts the embedded broker.
    ///
    /// # Errors
    /// `internal`.
    pub(super) fn embedded() -> Result<Self, Fault> {
        let broker = gristmill_broker::Broker::builder()
            .start()
            .map_err(|error| Fault::new(Code::Internal, "the demo cannot start its broker").because(error))?;
        let kafka = Kafka { brokers: broker.bootstrap(), client: BTreeMap::new() };
        let names = Names { app: "shop".to_owned(), is_prefixed: false };
        Ok(Self { kafka, names, dir: directory()?, broker: Some(broker) })
    }

    /// Takes a prefix on a Kafka that is there already.
    ///
    /// # Errors
    /// `broker_unreachable`, `not_authorized`; `command_unfit` when something has names with the prefix already: the demo
    /// would take it away in the end.
    pub(super) fn on(brokers: &str, prefix: Option<&str>) -> Result<Self, Fault> {
        let app = prefix.map_or_else(random_prefix, str::to_owned);
        check_prefix(&app)?;
        let kafka = Kafka { brokers: brokers.to_owned(), client: BTreeMap::new() };
        let names = Names { app, is_prefixed: true };
        let place = Self { kafka, names, dir: directory()?, broker: None };
        let topics = Topics::new(&place.kafka)?;
        topics.reach(REACH)?;
        let prefix = place.names.prefix();
        let topics = topics.list()?.into_iter().map(|name| name.to_string());
        let found = topics.chain(Groups::new(&place.kafka)?.list()?).find(|name| name.starts_with(&prefix));
        match found {
            None => Ok(place),
            Some(name) => {
                let what = format!(
                    "there is `{name}` already, and the demo takes away all that begins with `{prefix}`"
                );
                Err(Fault::new(Code::CommandUnfit, what).hint("choose another `--prefix`"))
            }
        }
    }

    /// Makes the topics.
    ///
    /// # Errors
    /// `not_authorized`, `kafka_failed`.
    pub(super) fn make_topics(&self, is_side_by_side: bool) -> Result<usize, Fault> {
        let plan = |name: TopicName, partitions, settings: &[(&str, &str)]| {
            let text = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
            TopicPlan { name, partitions, replication: None, settings: settings.iter().map(text).collect() }
        };
        let own = |name: &str| self.names.topic(name);
        let internal = |name: &str| self.names.internal(name);
        let mut plans = vec![plan(own("delivery-classes"), 1, &COMPACTED_LATER)];
        let compacted = ["items", "items-enriched", "product-information"].map(own);
        plans.extend(compacted.map(|name| plan(name, PARTITIONS, &COMPACTED_LATER)));
        let streams = [
            "product-inbox",
            "product-activation",
            "activation-notifications",
            "activations-expired",
            "product-details",
        ];
        plans.extend(streams.map(own).map(|name| plan(name, PARTITIONS, &DELETED)));
        let ends = ["delivery-time.dead-letters", "rest-lookup.callouts-review", "rest-lookup.dead-letters"];
        plans.extend(ends.map(internal).map(|name| plan(name, PARTITIONS, &DELETED)));
        if is_side_by_side {
            plans.push(plan(own("items-enriched-2"), PARTITIONS, &COMPACTED_LATER));
            plans.push(plan(own("item-updates"), PARTITIONS, &DELETED));
            plans.push(plan(internal("delivery-time-2.dead-letters"), PARTITIONS, &DELETED));
        }
        Topics::new(&self.kafka)?.create(&plans).map(|made| made.len())
    }

    /// Whether the Kafka is the demo's own.
    pub(super) fn is_embedded(&self) -> bool {
        self.broker.is_some()
    }

    /// The directory of the demo's files.
    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A file in it.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Takes everything away that the demo and its host have made, when nothing of them runs any more. Tells how many topics
    /// and groups there were; none on the embedded broker, which takes all with it.
    ///
    /// # Errors
    /// `not_authorized`, `kafka_failed`, of the topics first.
    pub(super) fn clear(&self) -> Result<Option<(usize, usize)>, Fault> {
        if self.is_embedded() {
            return Ok(None);
        }
        let prefix = self.names.prefix();
        let topics = self.clear_topics(&prefix);
        let groups = Groups::new(&self.kafka)?.delete_prefixed(&prefix, GROUPS_PATIENCE);
        Ok(Some((topics?, groups?.len())))
    }

    /// Deletes the topics and waits until they are gone.
    fn clear_topics(&self, prefix: &str) -> Result<usize, Fault> {
        let (topics, clock) = (Topics::new(&self.kafka)?, Clock::system());
        let deleted = topics.delete_prefixed(prefix)?.len();
        while topics.list()?.iter().any(|name| name.as_str().starts_with(prefix)) {
            if clock.elapsed() > TOPICS_PATIENCE {
                let what = format!("topics with the prefix `{prefix}` are still there");
                return Err(Fault::new(Code::KafkaFailed, what));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(deleted)
    }
}

fn directory() -> Result<tempfile::TempDir, Fault> {
    let directory = tempfile::Builder::new().prefix("gristmill-demo-").tempdir();
    directory.map_err(|error| Fault::new(Code::Internal, "the demo has no directory").because(error))
}

/// Another one each time, so that two demos on one Kafka do not meet.
fn random_prefix() -> String {
    let now = u64::try_from(Clock::system().now().0).unwrap_or_default();
    let mixed = (now ^ (u64::from(std::process::id()) << 40)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    format!("gristmill-demo-{:08x}", mixed >> 32)
}

/// An application's id, not so long that names made of it are too long for Kafka.
fn check_prefix(prefix: &str) -> Result<(), Fault> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    if (1..=64).contains(&prefix.len()) && prefix.chars().all(is_plain) {
        return Ok(());
    }
    let what = format!("`{prefix}` is no prefix: it must be 1 to 64 letters, digits, `_` and `-`");
    Err(Fault::new(Code::CommandUnfit, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_everything_on_somebodys_own_kafka_with_the_prefix() {
        let names = Names { app: "try".to_owned(), is_prefixed: true };

        assert_eq!(names.topic("items").as_str(), "try.items");
        assert_eq!(names.internal("delivery-time.dead-letters").as_str(), "try.delivery-time.dead-letters");
    }

    #[test]
    fn refuses_prefixes_that_are_no_names() {
        assert!(check_prefix(&random_prefix()).is_ok());
        for prefix in ["", "a.b", "ä", "a b"] {
            assert_eq!(check_prefix(prefix).unwrap_err().code(), Code::CommandUnfit, "{prefix}");
        }
    }
}
