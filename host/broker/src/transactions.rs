//! The transaction coordinator: who may write under a transactional id, and when a transaction ends.
//!
//! ```text
//!                 add partitions or offsets             end (commit)
//!  Empty ──────────────────────────► Ongoing ──────────────────────► CompleteCommit
//!    ▲                               ▲  │  │                                │
//!    │                               │  │  └ end (abort), init, time-out ► CompleteAbort
//!    │                               │  │                                   │
//!    │                               └──┼────── add partitions or offsets ──┤
//!    └───────────── init ───────────────┴───────────────────────────────────┘
//! ```
//! Kafka's two Prepare states are not seen here: markers are written under the same lock. An end that is
//! sent again finds its own outcome and succeeds. Init and a time-out raise the epoch, which fences the
//! producer that had the old one.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;

use kafka_protocol::error::ResponseError;

use crate::clock::Millis;
use crate::limits::Limits;
use crate::log::batch::Outcome;

/// Kafka's default for `transaction.max.timeout.ms`.
const MAX_TIMEOUT: Duration = Duration::from_secs(900);

/// Where a transactional id is in the diagram above; the names are Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Empty,
    Ongoing,
    CompleteCommit,
    CompleteAbort,
}

impl Phase {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
        }
    }
}

/// A producer as its requests name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Producer {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
}

/// The end of a transaction, to be carried out in the logs and groups that it touched.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) producer: Producer,
    pub(crate) outcome: Outcome,
    pub(crate) partitions: BTreeSet<(String, i32)>,
    pub(crate) groups: BTreeSet<String>,
}

/// One transactional id.
#[derive(Debug)]
pub(crate) struct Transaction {
    producer: Producer,
    /// The epoch before the last init that named it: a repeat of that init is answered, not fenced.
    previous_epoch: Option<i16>,
    timeout: Duration,
    phase: Phase,
    started: Millis,
    partitions: BTreeSet<(String, i32)>,
    groups: BTreeSet<String>,
}

impl Transaction {
    pub(crate) fn producer(&self) -> Producer {
        self.producer
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    pub(crate) fn has_partition(&self, topic: &str, partition: i32) -> bool {
        self.phase == Phase::Ongoing && self.partitions.contains(&(topic.to_owned(), partition))
    }

    pub(crate) fn has_group(&self, group: &str) -> bool {
        self.phase == Phase::Ongoing && self.groups.contains(group)
    }

    fn begin(&mut self, now: Millis) {
        if self.phase != Phase::Ongoing {
            self.phase = Phase::Ongoing;
            self.started = now;
        }
    }

    fn entries(&self) -> usize {
        self.partitions.len() + self.groups.len()
    }

    fn end(&mut self, outcome: Outcome) -> Ended {
        self.phase = match outcome {
            Outcome::Commit => Phase::CompleteCommit,
            Outcome::Abort => Phase::CompleteAbort,
        };
        Ended {
            producer: self.producer,
            outcome,
            partitions: std::mem::take(&mut self.partitions),
            groups: std::mem::take(&mut self.groups),
        }
    }
}

/// All transactional ids.
#[derive(Debug, Default)]
pub(crate) struct Transactions {
    by_id: BTreeMap<String, Transaction>,
    last_producer_id: i64,
}

impl Transactions {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Transaction)> {
        self.by_id.iter()
    }

    /// A producer id that nobody has.
    pub(crate) fn fresh_producer(&mut self) -> Producer {
        self.last_producer_id += 1;
        Producer { id: self.last_producer_id, epoch: 0 }
    }

    /// Makes the caller the one producer of a transactional id. What its predecessor left open is aborted.
    ///
    /// `expected` is what a producer that recovers believes itself to be.
    ///
    /// # Errors
    /// `INVALID_TRANSACTION_TIMEOUT`; `PRODUCER_FENCED` when the caller is not who it believes to be;
    /// `POLICY_VIOLATION` at the limit on transactional ids.
    pub(crate) fn init(
        &mut self,
        id: &str,
        timeout: Duration,
        expected: Option<Producer>,
        limits: &Limits,
    ) -> Result<(Producer, Option<Ended>), ResponseError> {
        if timeout.is_zero() || timeout > MAX_TIMEOUT {
            return Err(ResponseError::InvalidTransactionTimeout);
        }
        let Some(transaction) = self.by_id.get_mut(id) else {
            return self.register(id, timeout, limits).map(|producer| (producer, None));
        };
        transaction.timeout = timeout;
        if let Some(expected) = expected {
            let is_repeat = transaction.previous_epoch == Some(expected.epoch);
            if expected.id != transaction.producer.id
                || (expected.epoch != transaction.producer.epoch && !is_repeat)
            {
                return Err(ResponseError::ProducerFenced);
            }
            if is_repeat && expected.epoch != transaction.producer.epoch {
                return Ok((transaction.producer, None));
            }
        }
        transaction.previous_epoch = expected.map(|expected| expected.epoch);
        // The markers carry the new epoch, so that they fence the old producer in every partition.
        transaction.producer.epoch = transaction.producer.epoch.saturating_add(1);
        let ended = match transaction.phase {
            Phase::Ongoing => Some(transaction.end(Outcome::Abort)),
            Phase::Empty | Phase::CompleteCommit | Phase::CompleteAbort => None,
        };
        transaction.phase = Phase::Empty;
        if transaction.producer.epoch >= i16::MAX - 1 {
            self.last_producer_id += 1;
            transaction.producer = Producer { id: self.last_producer_id, epoch: 0 };
            transaction.previous_epoch = None;
        }
        Ok((transaction.producer, ended))
    }

    fn register(&mut self, id: &str, timeout: Duration, limits: &Limits) -> Result<Producer, ResponseError> {
        if self.by_id.len() >= limits.transactional_ids {
            tracing::warn!(
                limit = limits.transactional_ids,
                "dev broker refuses a producer: its limit on transactional ids is reached"
            );
            return Err(ResponseError::PolicyViolation);
        }
        let producer = self.fresh_producer();
        let transaction = Transaction {
            producer,
            previous_epoch: None,
            timeout,
            phase: Phase::Empty,
            started: Millis(0),
            partitions: BTreeSet::new(),
            groups: BTreeSet::new(),
        };
        self.by_id.insert(id.to_owned(), transaction);
        Ok(producer)
    }

    /// The transaction of a producer that is the current one of its id.
    ///
    /// # Errors
    /// `INVALID_PRODUCER_ID_MAPPING` for a stranger, `PRODUCER_FENCED` for an older epoch.
    pub(crate) fn check(&self, id: &str, producer: Producer) -> Result<&Transaction, ResponseError> {
        let transaction = self.by_id.get(id).ok_or(ResponseError::InvalidProducerIdMapping)?;
        check_producer(transaction, producer)?;
        Ok(transaction)
    }

    fn check_mut(&mut self, id: &str, producer: Producer) -> Result<&mut Transaction, ResponseError> {
        let transaction = self.by_id.get_mut(id).ok_or(ResponseError::InvalidProducerIdMapping)?;
        check_producer(transaction, producer)?;
        Ok(transaction)
    }

    /// Adds partitions to the producer's transaction, which begins with the first.
    ///
    /// # Errors
    /// Those of [`Transactions::check`]; `POLICY_VIOLATION` at the limit on entries.
    pub(crate) fn add_partitions(
        &mut self,
        id: &str,
        producer: Producer,
        partitions: Vec<(String, i32)>,
        now: Millis,
        limits: &Limits,
    ) -> Result<(), ResponseError> {
        self.check_room(partitions.len(), limits)?;
        let transaction = self.check_mut(id, producer)?;
        transaction.begin(now);
        transaction.partitions.extend(partitions);
        Ok(())
    }

    /// Adds a consumer group's offsets to the producer's transaction.
    ///
    /// # Errors
    /// Those of [`Transactions::check`]; `POLICY_VIOLATION` at the limit on entries.
    pub(crate) fn add_group(
        &mut self,
        id: &str,
        producer: Producer,
        group: &str,
        now: Millis,
        limits: &Limits,
    ) -> Result<(), ResponseError> {
        self.check_room(1, limits)?;
        let transaction = self.check_mut(id, producer)?;
        transaction.begin(now);
        transaction.groups.insert(group.to_owned());
        Ok(())
    }

    fn check_room(&self, more: usize, limits: &Limits) -> Result<(), ResponseError> {
        let entries: usize = self.by_id.values().map(Transaction::entries).sum();
        if entries.saturating_add(more) <= limits.transaction_entries {
            return Ok(());
        }
        tracing::warn!(
            entries,
            "dev broker refuses to grow a transaction: its limit on open transactions is reached"
        );
        Err(ResponseError::PolicyViolation)
    }

    /// Ends the producer's transaction; `None` when it ended with this outcome already.
    ///
    /// # Errors
    /// Those of [`Transactions::check`]; `INVALID_TXN_STATE` when there is no transaction or it ended the other way.
    pub(crate) fn end(
        &mut self,
        id: &str,
        producer: Producer,
        outcome: Outcome,
    ) -> Result<Option<Ended>, ResponseError> {
        let transaction = self.check_mut(id, producer)?;
        match (transaction.phase, outcome) {
            (Phase::Ongoing, _) => Ok(Some(transaction.end(outcome))),
            (Phase::CompleteCommit, Outcome::Commit) | (Phase::CompleteAbort, Outcome::Abort) => Ok(None),
            (Phase::Empty | Phase::CompleteCommit | Phase::CompleteAbort, _) => {
                Err(ResponseError::InvalidTxnState)
            }
        }
    }

    /// Aborts the transactions that are open for longer than their producer said, and fences those producers.
    pub(crate) fn expire(&mut self, now: Millis) -> Vec<Ended> {
        let is_late = |transaction: &&mut Transaction| {
            transaction.phase == Phase::Ongoing && now >= transaction.started.plus(transaction.timeout)
        };
        let late = self.by_id.values_mut().filter(is_late);
        late.map(|transaction| {
            transaction.producer.epoch = transaction.producer.epoch.saturating_add(1);
            transaction.previous_epoch = None;
            transaction.end(Outcome::Abort)
        })
        .collect()
    }
}

fn check_producer(transaction: &Transaction, producer: Producer) -> Result<(), ResponseError> {
    if transaction.producer.id != producer.id {
        return Err(ResponseError::InvalidProducerIdMapping);
    }
    if transaction.producer.epoch == producer.epoch { Ok(()) } else { Err(ResponseError::ProducerFenced) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    struct Fixture {
        transactions: Transactions,
        limits: Limits,
    }

    impl Fixture {
        fn new() -> Self {
            Self { transactions: Transactions::default(), limits: Limits::default() }
        }

        fn init(&mut self) -> (Producer, Option<Ended>) {
            self.transactions.init("t", MINUTE, None, &self.limits).unwrap()
        }

        fn add(&mut self, producer: Producer, now: i64) -> Result<(), ResponseError> {
            let partitions = vec![("items".to_owned(), 0)];
            self.transactions.add_partitions("t", producer, partitions, Millis(now), &self.limits)
        }

        fn phase(&self) -> Phase {
            self.transactions.by_id["t"].phase
        }
    }

    #[test]
    fn walks_from_empty_through_ongoing_to_its_outcome() {
        let mut fixture = Fixture::new();
        let (producer, _) = fixture.init();
        assert_eq!(fixture.phase(), Phase::Empty);

        fixture.add(producer, 0).unwrap();
        assert_eq!(fixture.phase(), Phase::Ongoing);
        let ended = fixture.transactions.end("t", producer, Outcome::Commit).unwrap().unwrap();

        assert_eq!(fixture.phase(), Phase::CompleteCommit);
        assert_eq!((ended.producer, ended.outcome, ended.partitions.len()), (producer, Outcome::Commit, 1));
        fixture.add(producer, 0).unwrap();
        fixture.transactions.end("t", producer, Outcome::Abort).unwrap().unwrap();
        assert_eq!(fixture.phase(), Phase::CompleteAbort);
    }

    #[test]
    fn answers_an_end_that_is_sent_again_and_refuses_the_opposite() {
        let mut fixture = Fixture::new();
        let (producer, _) = fixture.init();
        let nothing_open = fixture.transactions.end("t", producer, Outcome::Commit);
        fixture.add(producer, 0).unwrap();
        fixture.transactions.end("t", producer, Outcome::Commit).unwrap();

        assert_eq!(nothing_open, Err(ResponseError::InvalidTxnState));
        assert_eq!(fixture.transactions.end("t", producer, Outcome::Commit), Ok(None));
        let opposite = fixture.transactions.end("t", producer, Outcome::Abort);
        assert_eq!(opposite, Err(ResponseError::InvalidTxnState));
    }

    #[test]
    fn fences_and_aborts_a_predecessor_at_init() {
        let mut fixture = Fixture::new();
        let (old, _) = fixture.init();
        fixture.add(old, 0).unwrap();

        let (new, ended) = fixture.init();

        let ended = ended.unwrap();
        assert_eq!((new.id, new.epoch), (old.id, old.epoch + 1));
        assert_eq!((ended.producer, ended.outcome), (new, Outcome::Abort));
        assert_eq!(fixture.add(old, 0), Err(ResponseError::ProducerFenced));
        assert_eq!(fixture.transactions.end("t", old, Outcome::Commit), Err(ResponseError::ProducerFenced));
        fixture.add(new, 0).unwrap();
    }

    #[test]
    fn lets_a_producer_that_knows_who_it_is_raise_its_own_epoch() {
        let mut fixture = Fixture::new();
        let (producer, _) = fixture.init();
        let limits = fixture.limits.clone();
        let mut recover = |expected| fixture.transactions.init("t", MINUTE, Some(expected), &limits);

        let (raised, _) = recover(producer).unwrap();
        let (repeated, _) = recover(producer).unwrap();
        let (raised_again, _) = recover(raised).unwrap();

        assert_eq!((raised.epoch, repeated), (1, raised));
        assert_eq!(raised_again.epoch, 2);
        assert_eq!(recover(producer), Err(ResponseError::ProducerFenced));
    }

    #[test]
    fn aborts_and_fences_what_is_open_for_too_long() {
        let mut fixture = Fixture::new();
        let (producer, _) = fixture.init();
        fixture.add(producer, 1_000).unwrap();

        let before = fixture.transactions.expire(Millis(60_999));
        let ended = fixture.transactions.expire(Millis(61_000));

        assert_eq!(before, []);
        assert_eq!(ended.len(), 1);
        assert_eq!((ended[0].outcome, ended[0].producer.epoch), (Outcome::Abort, producer.epoch + 1));
        assert_eq!(fixture.add(producer, 61_000), Err(ResponseError::ProducerFenced));
        assert_eq!(fixture.transactions.expire(Millis(i64::MAX)), []);
    }

    #[test]
    fn changes_to_a_new_producer_id_before_epochs_run_out() {
        let mut fixture = Fixture::new();
        let (first, _) = fixture.init();

        let last = (0..i32::from(i16::MAX)).map(|_| fixture.init().0).last().unwrap();

        assert_ne!(last.id, first.id);
        assert_eq!(fixture.add(first, 0), Err(ResponseError::InvalidProducerIdMapping));
        fixture.add(last, 0).unwrap();
    }

    #[test]
    fn refuses_strangers_and_impossible_time_outs() {
        let mut fixture = Fixture::new();
        let (producer, _) = fixture.init();
        let limits = fixture.limits.clone();

        let stranger = fixture.transactions.check("other", producer).map(|_| ());
        let mut init = |timeout| fixture.transactions.init("t", timeout, None, &limits).map(|_| ());

        assert_eq!(stranger, Err(ResponseError::InvalidProducerIdMapping));
        assert_eq!(init(Duration::ZERO), Err(ResponseError::InvalidTransactionTimeout));
        assert_eq!(init(MAX_TIMEOUT + MINUTE), Err(ResponseError::InvalidTransactionTimeout));
    }

    #[test]
    fn refuses_more_ids_and_more_entries_than_the_limits_allow() {
        let mut fixture = Fixture::new();
        fixture.limits = Limits { transactional_ids: 1, transaction_entries: 2, ..Limits::default() };
        let (producer, _) = fixture.init();
        let limits = fixture.limits.clone();

        let second = fixture.transactions.init("u", MINUTE, None, &limits).map(|_| ());
        let three = (0..3).map(|partition| ("items".to_owned(), partition)).collect();
        let grown = fixture.transactions.add_partitions("t", producer, three, Millis(0), &limits);

        assert_eq!(second, Err(ResponseError::PolicyViolation));
        assert_eq!(grown, Err(ResponseError::PolicyViolation));
    }
}
