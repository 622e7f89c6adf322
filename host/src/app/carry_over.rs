//! Joins a DynamoDB table to the topic that it is carried over into.

use std::collections::{BTreeMap, BTreeSet};

use crate::app::checks;
use crate::clock::Clock;
use crate::config::ingest::{DynamodbIngest, Ingest};
use crate::config::pipeline::Kafka;
use crate::fault::{Code, Fault};
use crate::id::TopicName;
use crate::ingest::dynamodb::carry::{CarryOver, Report, Watch};
use crate::ingest::dynamodb::client::DynamodbTable;
use crate::kafka::outlet::KafkaOutlet;
use crate::kafka::topics::{TopicDescription, TopicPlan, Topics};

/// Carries a table over, from wherever an earlier run has come to. The topic must exist; that of the progress is made.
///
/// # Errors
/// Before anything is read: `broker_unreachable`, `topic_missing`, `topic_unfit`, `not_authorized`, `dynamodb_failed`. Then
/// those of [`CarryOver::run`].
pub fn run(
    kafka: &Kafka,
    ingest: &Ingest,
    table: &DynamodbIngest,
    watch: Watch<'_>,
) -> Result<Report, Fault> {
    checks::options(kafka)?;
    let cluster = checks::connect(kafka)?;
    let largest = prepare(&cluster, &ingest.topic, &ingest.progress_topic())?;
    let mut outlet = KafkaOutlet::new(kafka, &ingest.transactional_id(), largest);
    let mut pages = DynamodbTable::open(table)?;
    CarryOver::new(ingest, table, &mut pages, &mut outlet, Clock::system(), watch).run()
}

/// Checks the topics, makes that of the progress, and says how large a record may be.
fn prepare(cluster: &Topics, topic: &TopicName, progress: &TopicName) -> Result<usize, Fault> {
    let names = BTreeSet::from([topic.clone(), progress.clone()]);
    let mut known = cluster.describe(&names)?;
    if !known.contains_key(topic) {
        let fault = Fault::new(Code::TopicMissing, format!("topic `{topic}` does not exist"));
        return Err(fault.hint(
            "make it with `gristmill topics FILE --create`, or by hand with `cleanup.policy=compact`",
        ));
    }
    if !known.contains_key(progress) {
        cluster.create(&[progress_plan(progress)])?;
        known = cluster.describe(&names)?;
    }
    let fits = |name: &TopicName, known: &TopicDescription| {
        let policy = known.setting("cleanup.policy").filter(|policy| *policy != "compact");
        policy.map_or(Ok(()), |policy| {
            let message = format!("topic `{name}` does not fit its use (carry-over)");
            let cause =
                format!("its `cleanup.policy` is `{policy}`: rows would vanish without being deleted");
            let hint = format!("set `cleanup.policy=compact` on topic `{name}`");
            Err(Fault::new(Code::TopicUnfit, message).because(cause).hint(hint))
        })
    };
    known.iter().try_for_each(|(name, known)| fits(name, known))?;
    let largest = known.values().map(|known| known.facts().max_bytes).min();
    Ok(largest.unwrap_or_else(|| crate::io::TopicFacts::default().max_bytes))
}

/// One record is all that it holds, so one partition.
fn progress_plan(name: &TopicName) -> TopicPlan {
    let settings = BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]);
    TopicPlan { name: name.clone(), partitions: 1, replication: None, settings }
}
