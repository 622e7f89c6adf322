//! Kafka as ingests see it ([`io::Outlet`](crate::io::Outlet)): a transactional producer under the ingest's name, and topics
//! read whole.

use std::time::Duration;

use crate::config::pipeline::Kafka;
use crate::fault::{Code, Fault};
use crate::id::TopicName;
use crate::io::{CauseId, Change, Outgoing, Outlet, PublishError, Published, Sink, TransactionError, UpTo};
use crate::kafka::client::Isolation;
use crate::kafka::follower::Follower;
use crate::kafka::sink::KafkaSink;
use crate::kafka::tail::{From, TopicReader};

/// How long a transaction may stay open: readers of its topics see nothing new meanwhile, if its owner dies. A million records
/// take a tenth of it.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(120);

/// How long a topic may give nothing while it is read.
const READ_PATIENCE: Duration = Duration::from_secs(60);

/// The topics of one ingest.
pub struct KafkaOutlet {
    kafka: Kafka,
    name: String,
    sink: KafkaSink,
    /// The topic that was followed last.
    follower: Option<Follower>,
}

impl KafkaOutlet {
    /// The outlet of the ingest with this transactional id. `record_bytes_max` is the least that one of its topics takes
    /// ([`TopicFacts::max_bytes`](crate::io::TopicFacts)). Nothing is sent yet.
    pub fn new(kafka: &Kafka, transactional_id: &str, record_bytes_max: usize) -> Self {
        let sink = KafkaSink::new(kafka, transactional_id, record_bytes_max)
            .with_transaction_timeout(TRANSACTION_TIMEOUT);
        Self { kafka: kafka.clone(), name: transactional_id.to_owned(), sink, follower: None }
    }

    /// Aborts what is open, and gives the reason back.
    fn abort(&mut self, fault: Fault) -> PublishError {
        match self.sink.abort() {
            Ok(()) => PublishError::Aborted(fault),
            // What cannot be aborted times out, or the next claim aborts it: it was never committed.
            Err(TransactionError::Fenced(fenced)) => self.superseded(fenced),
            Err(_) => PublishError::Aborted(fault),
        }
    }

    fn superseded(&self, cause: Fault) -> PublishError {
        let message = format!("a later run of `{}` has taken over", self.name);
        PublishError::Superseded(Fault::new(Code::IngestSuperseded, message).because(cause))
    }

    /// What became of a transaction in which a step before the commit failed.
    fn before_commit(&mut self, error: TransactionError) -> PublishError {
        match error {
            TransactionError::Abort(fault) | TransactionError::Refused { fault, .. } => self.abort(fault),
            TransactionError::Fenced(fault) => self.superseded(fault),
            // Its producer is gone, and with it the transaction: nobody commits it any more.
            TransactionError::Replace(fault) | TransactionError::Fatal(fault) => PublishError::Aborted(fault),
        }
    }

    fn send(&mut self, changes: &mut dyn Iterator<Item = Result<Change, Fault>>) -> Result<(), PublishError> {
        for change in changes {
            let change = match change {
                Ok(change) => change,
                Err(fault) => return Err(self.abort(fault)),
            };
            let record = Outgoing {
                topic: &change.topic,
                partition: None,
                key: Some(&change.key),
                value: change.value.as_deref(),
                headers: &[],
                timestamp: None,
                cause: CauseId(0),
            };
            if let Err(error) = self.sink.send(&record) {
                return Err(self.before_commit(error));
            }
        }
        self.sink.flush().map_err(|error| self.before_commit(error))
    }
}

impl Outlet for KafkaOutlet {
    fn claim(&mut self) -> Result<(), Fault> {
        self.sink.replace().map_err(|error| match error {
            TransactionError::Abort(fault)
            | TransactionError::Refused { fault, .. }
            | TransactionError::Replace(fault)
            | TransactionError::Fenced(fault)
            | TransactionError::Fatal(fault) => fault,
        })
    }

    fn read(
        &mut self,
        topic: &TopicName,
        visit: &mut dyn FnMut(Published<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        TopicReader::open(&self.kafka, &self.name, topic, Isolation::Committed, From::Start)?
            .read(READ_PATIENCE, visit)
    }

    fn follow(
        &mut self,
        topic: &TopicName,
        up_to: UpTo,
        visit: &mut dyn FnMut(Published<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let follower = self.follower.take().filter(|follower| follower.is_of(topic));
        let opened = follower.map_or_else(|| Follower::open(&self.kafka, &self.name, topic), Ok);
        let mut follower = opened?;
        follower.give(up_to, visit)?;
        self.follower = Some(follower);
        Ok(())
    }

    fn publish(
        &mut self,
        changes: &mut dyn Iterator<Item = Result<Change, Fault>>,
    ) -> Result<(), PublishError> {
        let mut changes = changes.peekable();
        if changes.peek().is_none() {
            return Ok(());
        }
        if !self.sink.is_fit() {
            // Beginning would claim the name again, behind the back of whoever has it by now.
            let message = format!("the producer `{}` has to be claimed again", self.name);
            return Err(PublishError::Aborted(Fault::new(Code::ProducerReplaced, message)));
        }
        self.sink.begin().map_err(|error| self.before_commit(error))?;
        self.send(&mut changes)?;
        self.sink.commit().map_err(|error| match error {
            TransactionError::Replace(fault) => PublishError::Unknown(fault),
            other => self.before_commit(other),
        })
    }
}
