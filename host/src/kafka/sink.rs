//! A transactional producer as [`io::Sink`](crate::io::Sink).
//!
//! ```text
//!            replace            begin            commit, abort
//!   (none) ----------> Ready ----------> Open ----------------> Ready
//!                        ^                 |  a request was sent twice, or an abort followed a commit
//!                        +---- replace ----+----> Spent: the next begin replaces the producer first
//! ```
//! librdkafka speaks the transaction protocol in which a repeated request can hit the next transaction of the same
//! producer. A successor with a new epoch is out of its reach; so is the rest of what may go wrong.

use std::time::Duration;

use crate::clock::Clock;
use crate::config::pipeline::Kafka;
use crate::fault::{Code, Fault};
use crate::id::{Offset, TopicName, TopicPartition};
use crate::io::{CauseId, Committed, Outgoing, Sink, TransactionError};
use crate::kafka::client;
use crate::kafka::consumer::Membership;
use crate::kafka::error;
use crate::kafka::native::{ErrorCode, Failure};
use crate::kafka::producer::{Producer, Undelivered};

/// How long a producer may take to get its epoch; its predecessor's transaction is decided meanwhile.
const INIT_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a commit or an abort is tried. Beyond the transaction time-out the coordinator decides anyway.
const END_TIMEOUT: Duration = Duration::from_secs(20);

/// How long one call of librdkafka's may take within the bounds above and below.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// How long delivery and the sending of positions may take: less than the transaction time-out.
const SEND_TIMEOUT: Duration = Duration::from_secs(12);

/// The pause before a record is offered again to a full queue.
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(2);

/// The default size of a batch, when no topic asks for a smaller one.
const BATCH_BYTES: usize = 1_000_000;

/// The transactional producer of a worker.
///
/// It begins without a producer: [`Sink::replace`] makes the first one, and so does [`Sink::begin`].
pub struct KafkaSink {
    kafka: Kafka,
    transactional_id: String,
    batch_bytes: usize,
    transaction_timeout: Duration,
    changelog: Option<TopicName>,
    producer: Option<Producer>,
    /// Whether a commit was tried in the open transaction.
    was_committing: bool,
    /// Whether the producer must not see another transaction.
    is_spent: bool,
}

impl KafkaSink {
    /// The sink of a worker. `record_bytes_max` is the least that one of the topics takes that it writes to
    /// ([`TopicFacts::max_bytes`](crate::io::TopicFacts)); the worker checks each record against its own topic.
    pub fn new(kafka: &Kafka, transactional_id: &str, record_bytes_max: usize) -> Self {
        Self {
            kafka: kafka.clone(),
            transactional_id: transactional_id.to_owned(),
            // The broker checks batches: a larger one could be refused with all that is in it, for no record's fault.
            batch_bytes: record_bytes_max.min(BATCH_BYTES),
            transaction_timeout: client::TRANSACTION_TIMEOUT,
            changelog: None,
            producer: None,
            was_committing: false,
            is_spent: false,
        }
    }

    /// With the changelog of the transform: [`Sink::acknowledged`] tells about its partitions and no others.
    #[must_use]
    pub fn with_changelog(self, changelog: &TopicName) -> Self {
        Self { changelog: Some(changelog.clone()), ..self }
    }

    /// With transactions that may stay open so long.
    #[must_use]
    pub(super) fn with_transaction_timeout(self, transaction_timeout: Duration) -> Self {
        Self { transaction_timeout, ..self }
    }

    /// Whether the next transaction goes on with the producer that is there.
    pub(super) fn is_fit(&self) -> bool {
        self.producer.is_some() && !self.is_spent
    }

    fn producer(&mut self) -> Result<&mut Producer, TransactionError> {
        self.producer.as_mut().ok_or_else(|| {
            TransactionError::Replace(Fault::new(Code::ProducerReplaced, "there is no producer yet"))
        })
    }

    /// What follows from records that were not delivered.
    fn check_delivery(&mut self) -> Result<(), TransactionError> {
        let undelivered = self.producer()?.reports().take_undelivered();
        if undelivered.is_empty() { Ok(()) } else { Err(undelivered_error(&undelivered)) }
    }

    /// What follows from a failed call inside a transaction. The records that were not delivered explain it better, when
    /// there are any.
    fn failed(&mut self, what: &str, failure: Failure) -> TransactionError {
        if failure.requires_abort
            && !failure.is_fatal
            && let Err(error @ TransactionError::Refused { .. }) = self.check_delivery()
        {
            return error;
        }
        classify(&format!("{what} (`{}`)", self.transactional_id), failure)
    }

    /// Notes what makes a producer unfit for another transaction, now that one has ended.
    fn ended(&mut self) {
        let has_repeated = self.producer.as_ref().is_some_and(|producer| producer.reports().has_repeated());
        self.is_spent |= has_repeated;
        self.was_committing = false;
    }
}

impl Sink for KafkaSink {
    type Membership = Membership;

    fn begin(&mut self) -> Result<(), TransactionError> {
        if self.is_spent || self.producer.is_none() {
            self.replace()?;
        }
        let producer = self.producer()?;
        producer.reports().clear();
        let begun = producer.begin_transaction();
        begun.map_err(|failure| self.failed("cannot begin a transaction", failure))
    }

    fn send(&mut self, record: &Outgoing<'_>) -> Result<(), TransactionError> {
        let clock = Clock::system();
        loop {
            let Err(failure) = self.producer()?.send(record) else {
                return Ok(());
            };
            let is_full = failure.code == ErrorCode::RD_KAFKA_RESP_ERR__QUEUE_FULL;
            if !is_full || clock.elapsed() > SEND_TIMEOUT {
                return Err(self.not_sent(record, failure));
            }
            std::thread::sleep(QUEUE_FULL_PAUSE);
        }
    }

    fn flush(&mut self) -> Result<(), TransactionError> {
        let flushed = self.producer()?.flush(SEND_TIMEOUT);
        self.check_delivery()?;
        flushed.map_err(|failure| {
            TransactionError::Abort(error::fault("records were not acknowledged in time", failure))
        })
    }

    fn acknowledged(&self, changelog: &TopicPartition) -> Option<Offset> {
        let producer =
            self.producer.as_ref().filter(|_| self.changelog.as_ref() == Some(&changelog.topic))?;
        producer.reports().highest(changelog.partition)
    }

    fn send_offsets(
        &mut self,
        positions: &[(TopicPartition, Committed)],
        membership: &Membership,
    ) -> Result<(), TransactionError> {
        if positions.is_empty() {
            // librdkafka skips an empty list silently, and with it the fencing of zombies.
            let fault =
                Fault::new(Code::Internal, "a transaction without positions would not fence a zombie");
            return Err(TransactionError::Abort(fault));
        }
        let sent = self.producer()?.send_offsets(positions, membership, SEND_TIMEOUT);
        sent.map_err(|failure| self.failed("cannot put positions into the transaction", failure))
    }

    fn commit(&mut self) -> Result<(), TransactionError> {
        self.was_committing = true;
        let producer = self.producer()?;
        let committed = repeat(END_TIMEOUT, |wait| producer.commit_transaction(wait));
        let was_asked = producer.reports().end_requests() > 0;
        match committed {
            Ok(()) => {
                self.ended();
                Ok(())
            }
            // Once the coordinator was asked, only a successor can learn what it decided.
            Err(failure) if was_asked && !error::is_fence(failure.code) => {
                Err(TransactionError::Replace(error::fault("the outcome of a commit is unknown", failure)))
            }
            Err(failure) => Err(self.failed("cannot commit", failure)),
        }
    }

    fn abort(&mut self) -> Result<(), TransactionError> {
        let producer = self.producer()?;
        let aborted = repeat(END_TIMEOUT, |wait| producer.abort_transaction(wait));
        self.is_spent |= self.was_committing;
        self.ended();
        match aborted {
            Ok(()) => Ok(()),
            Err(failure) if error::is_fence(failure.code) => Err(self.failed("cannot abort", failure)),
            Err(failure) => Err(TransactionError::Replace(error::fault("cannot abort", failure))),
        }
    }

    fn replace(&mut self) -> Result<(), TransactionError> {
        self.producer = None;
        self.is_spent = false;
        self.was_committing = false;
        let config = client::transactional(
            &self.kafka,
            &self.transactional_id,
            self.batch_bytes,
            self.transaction_timeout,
        );
        let mut producer = Producer::open(&config).map_err(TransactionError::Fatal)?;
        if let Some(changelog) = &self.changelog {
            let what = |failure| error::fault(format!("cannot write to `{changelog}`"), failure);
            producer.watch(changelog).map_err(|failure| TransactionError::Fatal(what(failure)))?;
        }
        let initialized = repeat(INIT_TIMEOUT, |wait| producer.init_transactions(wait));
        initialized.map_err(|failure| {
            let what = format!("cannot start the transactional producer `{}`", self.transactional_id);
            // A producer that is being made and is fenced has lost a race against another one; it may try again.
            classify(&what, failure)
        })?;
        self.producer = Some(producer);
        Ok(())
    }
}

impl KafkaSink {
    /// What follows from a record that librdkafka did not take.
    fn not_sent(&mut self, record: &Outgoing<'_>, failure: Failure) -> TransactionError {
        let what = format!("cannot write a record to `{}`", record.topic);
        if error::is_refusal(failure.code) {
            let fault = error::delivery_fault(record.topic.as_str(), failure);
            return TransactionError::Refused { causes: vec![record.cause], fault };
        }
        match self.producer.as_ref().and_then(|producer| producer.fatal()) {
            Some(fatal) => classify(&what, fatal),
            None => TransactionError::Abort(error::fault(what, failure)),
        }
    }
}

/// Makes the same call again while it may succeed, as long as the bound allows.
fn repeat(bound: Duration, call: impl Fn(Duration) -> Result<(), Failure>) -> Result<(), Failure> {
    let clock = Clock::system();
    loop {
        let left = bound.saturating_sub(clock.elapsed());
        let result = call(left.min(CALL_TIMEOUT));
        match &result {
            Err(failure) if failure.is_retriable && clock.elapsed() < bound => {}
            _ => return result,
        }
    }
}

/// What follows from records that were not delivered: those that were refused for good are named.
fn undelivered_error(undelivered: &[Undelivered]) -> TransactionError {
    let refused: Vec<_> = undelivered.iter().filter(|report| error::is_refusal(report.code)).collect();
    let what = "a record was not accepted by the broker";
    match (refused.first(), undelivered.first()) {
        (Some(first), _) => TransactionError::Refused {
            causes: refused.iter().map(|report| CauseId(report.cause)).collect(),
            fault: Fault::new(Code::RecordRefused, what).because(Failure::of(first.code)),
        },
        (None, Some(first)) if error::code(first.code) == Code::NotAuthorized => {
            TransactionError::Fatal(error::fault(what, Failure::of(first.code)))
        }
        (None, Some(first)) if error::is_fence(first.code) => {
            TransactionError::Fenced(error::fault(what, Failure::of(first.code)))
        }
        (None, Some(first)) => TransactionError::Abort(error::fault(what, Failure::of(first.code))),
        (None, None) => TransactionError::Abort(Fault::new(Code::TransactionAborted, what)),
    }
}

/// What must happen after a failed call.
///
/// | failure                                  | then     |
/// |------------------------------------------|----------|
/// | fenced, or the coordinator gave it up     | Fenced   |
/// | not authorized, or settings do not fit    | Fatal    |
/// | fatal to the client                       | Replace  |
/// | requires an abort                         | Abort    |
/// | anything else: the state is not known     | Replace  |
fn classify(what: &str, failure: Failure) -> TransactionError {
    if error::is_fence(failure.code) {
        let fault = Fault::new(Code::ProducerReplaced, format!("{what}: another producer has its place"));
        return TransactionError::Fenced(fault.because(failure));
    }
    let is_hopeless = matches!(
        failure.code,
        ErrorCode::RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT
            | ErrorCode::RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION
    );
    if is_hopeless || error::code(failure.code) == Code::NotAuthorized {
        return TransactionError::Fatal(error::fault(what, failure));
    }
    let is_abort = failure.requires_abort && !failure.is_fatal;
    let fault = error::fault(what, failure);
    if is_abort { TransactionError::Abort(fault) } else { TransactionError::Replace(fault) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: ErrorCode, is_fatal: bool, requires_abort: bool) -> Failure {
        Failure { is_fatal, requires_abort, ..Failure::of(code) }
    }

    #[test]
    fn aborts_when_a_flush_failed_without_naming_a_record() {
        let TransactionError::Abort(fault) = undelivered_error(&[]) else { panic!("not an abort") };

        assert_eq!(fault.code(), Code::TransactionAborted);
    }

    #[test]
    fn ends_the_process_when_the_cluster_refuses_its_user() {
        let refused =
            failure(ErrorCode::RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, false, true);

        let TransactionError::Fatal(fault) = classify("x", refused) else { panic!("not fatal") };

        assert_eq!(fault.code(), Code::NotAuthorized);
    }

    #[test]
    fn names_the_code_of_a_producer_that_another_one_has_replaced() {
        let fenced = failure(ErrorCode::RD_KAFKA_RESP_ERR__FENCED, true, false);

        let TransactionError::Fenced(fault) = classify("x", fenced) else { panic!("not fenced") };

        assert_eq!(fault.code(), Code::ProducerReplaced);
    }

    #[test]
    fn aborts_when_the_group_has_moved_on() {
        let moved_on = failure(ErrorCode::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, false, true);

        let TransactionError::Abort(fault) = classify("x", moved_on) else { panic!("not an abort") };
        assert_eq!(fault.code(), Code::MembershipLost);
    }

    #[test]
    fn replaces_the_producer_when_nothing_is_known() {
        let unknown = failure(ErrorCode::RD_KAFKA_RESP_ERR__TIMED_OUT, false, false);
        let fatal = failure(ErrorCode::RD_KAFKA_RESP_ERR_INVALID_TXN_STATE, true, false);

        assert!(matches!(classify("x", unknown), TransactionError::Replace(_)));
        assert!(matches!(classify("x", fatal), TransactionError::Replace(_)));
    }

    #[test]
    fn tells_a_fence_from_other_fatal_errors() {
        let fenced = failure(ErrorCode::RD_KAFKA_RESP_ERR__FENCED, true, false);

        assert!(matches!(classify("x", fenced), TransactionError::Fenced(_)));
    }

    #[test]
    fn names_the_causes_of_refused_records_only() {
        let undelivered = [
            Undelivered { cause: 1, code: ErrorCode::RD_KAFKA_RESP_ERR__MSG_TIMED_OUT },
            Undelivered { cause: 2, code: ErrorCode::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE },
        ];

        let TransactionError::Refused { causes, .. } = undelivered_error(&undelivered) else {
            panic!("not refused")
        };
        assert_eq!(causes, [CauseId(2)]);
    }
}
