//! After a failure: back to what is committed, with the same producer or with a new one.

use std::collections::VecDeque;
use std::time::Duration;

use crate::event;
use crate::fault::{Code, Fault};
use crate::io::{CauseId, Sink, Source, TransactionError};
use crate::sabotage::{self, Rule};
use crate::task::Task;
use crate::task::backoff::Backoff;
use crate::worker::Worker;

/// So many fences within a minute mean that two processes share a name.
const FENCES_MAX: usize = 3;
const FENCES_WITHIN: Duration = Duration::from_secs(60);

/// How far a transaction had come when it failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Nothing of it can be committed.
    Before,
    /// It may be committed.
    Commit,
}

/// Whether there is a producer to work with, and what it has been through.
#[derive(Debug)]
pub(crate) struct Recovery {
    producer: Producer,
    backoff: Backoff,
    fences: VecDeque<Duration>,
}

#[derive(Debug)]
enum Producer {
    Ready,
    /// To be replaced, not before this time.
    Due(Duration),
    /// To be made once there are partitions. Not sooner, or a process that was replaced by another one would fence it; and
    /// not later, because making it decides what a predecessor left open, and positions cannot be read before that.
    Unneeded,
}

/// Why a producer is replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Why {
    /// The outcome of a transaction is not known, or the producer is of no use any more.
    Unknown,
    /// Another one has its id.
    Fenced,
    /// The coordinator gave its transaction up.
    TimedOut,
}

impl Why {
    fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "replace",
            Self::Fenced => "fenced",
            Self::TimedOut => "timeout",
        }
    }
}

impl Default for Recovery {
    fn default() -> Self {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
        Self { producer: Producer::Unneeded, backoff, fences: VecDeque::new() }
    }
}

impl Recovery {
    pub(crate) fn succeeded(&mut self) {
        self.backoff.succeeded();
    }
}

impl<S: Source, K: Sink<Membership = S::Membership>> Worker<S, K> {
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.recovery.producer, Producer::Ready)
    }

    /// A step of the transaction failed.
    ///
    /// # Errors
    /// Scope host: the process has to end.
    pub(super) fn failed(&mut self, error: TransactionError, step: Step) -> Result<(), Fault> {
        let is_too_old = self.is_too_old();
        if is_too_old {
            self.bounds.timed_out();
        }
        match error {
            TransactionError::Fatal(fault) => Err(fault),
            TransactionError::Fenced(fault) => self.fenced(&fault, is_too_old),
            TransactionError::Replace(fault) => {
                if sabotage::breaks(Rule::ReplaceWhenUnknown) {
                    return self.abort_and_rewind();
                }
                self.replace_later(Why::Unknown, &fault);
                Ok(())
            }
            TransactionError::Abort(fault) => self.give_up(&fault, step),
            TransactionError::Refused { causes, fault } => {
                self.remember(&causes, &fault);
                self.give_up(&fault, step)
            }
        }
    }

    fn is_too_old(&self) -> bool {
        let age = |begun| self.ports.clock.elapsed().saturating_sub(begun);
        self.transaction.begun.map(age).is_some_and(|age| age > self.settings.transaction_timeout)
    }

    fn give_up(&mut self, fault: &Fault, step: Step) -> Result<(), Fault> {
        if step == Step::Commit {
            // A repeated request to commit could hit the next transaction of this producer, so there is none.
            self.replace_later(Why::Unknown, fault);
            return Ok(());
        }
        event::TransactionFailed { transform: &self.spec.transform, next: "abort", fault }.emit();
        self.abort_and_rewind()
    }

    fn remember(&mut self, causes: &[CauseId], fault: &Fault) {
        for id in causes {
            if let Some((partition, cause)) = self.transaction.causes.find(*id)
                && let Some(task) = self.tasks.get_mut(&partition)
                && !sabotage::breaks(Rule::RememberCulprits)
            {
                task.refused(cause, fault);
            }
        }
    }

    /// Aborts the open transaction; every task goes back to what is committed.
    ///
    /// # Errors
    /// Scope host.
    pub(super) fn abort_and_rewind(&mut self) -> Result<(), Fault> {
        if self.transaction.begun.is_some()
            && let Err(error) = self.ports.sink.abort()
        {
            return self.abort_failed(error);
        }
        self.transaction.clear();
        self.rewind()
    }

    fn abort_failed(&mut self, error: TransactionError) -> Result<(), Fault> {
        match error {
            TransactionError::Fatal(fault) => return Err(fault),
            TransactionError::Fenced(fault) => return self.fenced(&fault, self.is_too_old()),
            TransactionError::Abort(fault)
            | TransactionError::Replace(fault)
            | TransactionError::Refused { fault, .. } => self.replace_later(Why::Unknown, &fault),
        }
        Ok(())
    }

    fn rewind(&mut self) -> Result<(), Fault> {
        if sabotage::breaks(Rule::RewindAfterAbort) {
            return Ok(());
        }
        let rewound = self.tasks.values_mut().flat_map(Task::rewind);
        // A task that has stopped rewinds too, even when its partitions are gone.
        let positions: Vec<_> = rewound.filter(|(place, _)| self.assigned.contains(place)).collect();
        if positions.is_empty() {
            return Ok(());
        }
        let sought = self.ports.source.seek(&positions);
        sought.or_else(|fault| self.troubled(fault))
    }

    /// The consumer failed in something that the tasks rely on: they are opened anew.
    ///
    /// # Errors
    /// Scope host.
    pub(super) fn troubled(&mut self, fault: Fault) -> Result<(), Fault> {
        if fault.code().scope() == crate::fault::Scope::Host {
            return Err(fault);
        }
        event::KafkaTroubled { transform: &self.spec.transform, fault: &fault }.emit();
        self.close_all();
        self.open_at = self.ports.clock.elapsed().saturating_add(self.recovery.backoff.failed());
        self.abort_and_rewind()
    }

    /// Another producer has our transactional id, or the coordinator gave the transaction up.
    fn fenced(&mut self, fault: &Fault, is_too_old: bool) -> Result<(), Fault> {
        if is_too_old {
            self.replace_later(Why::TimedOut, fault);
            return Ok(());
        }
        let now = self.ports.clock.elapsed();
        let fences = &mut self.recovery.fences;
        fences.push_back(now);
        fences.retain(|time| now.saturating_sub(*time) < FENCES_WITHIN);
        if fences.len() >= FENCES_MAX {
            let message =
                format!("another process runs `{}` under the same instance name", self.spec.transform);
            return Err(Fault::new(Code::InstanceInUse, message).because(fault.to_string()));
        }
        self.replace_later(Why::Fenced, fault);
        Ok(())
    }

    /// Only Kafka knows what is committed: the tasks are closed, and opened again when there is a new producer.
    fn replace_later(&mut self, why: Why, fault: &Fault) {
        event::TransactionFailed { transform: &self.spec.transform, next: why.as_str(), fault }.emit();
        let may_be_replaced = why != Why::Unknown || self.is_too_old();
        self.transaction.clear();
        self.close_all();
        let mut pause = self.recovery.backoff.failed();
        if may_be_replaced && !sabotage::breaks(Rule::WaitAfterFence) {
            // A process that stood still or was fenced may have a successor under its name. It learns that from the group
            // within this time, and must not fence it.
            pause = pause.max(self.settings.heartbeat_interval.saturating_mul(2));
        }
        self.recovery.producer = Producer::Due(self.ports.clock.elapsed().saturating_add(pause));
    }

    /// Replaces the producer when it is time. False: there is none to work with.
    ///
    /// # Errors
    /// Scope host.
    pub(super) fn ensure_producer(&mut self) -> Result<bool, Fault> {
        let now = self.ports.clock.elapsed();
        match self.recovery.producer {
            Producer::Ready => return Ok(true),
            Producer::Due(at) if now < at => return Ok(false),
            Producer::Unneeded if self.assigned.is_empty() => return Ok(false),
            Producer::Due(_) | Producer::Unneeded => {}
        }
        match self.ports.sink.replace() {
            Ok(()) => {
                event::ProducerReplaced { transform: &self.spec.transform }.emit();
                self.recovery.producer = Producer::Ready;
            }
            Err(TransactionError::Fatal(fault)) => return Err(fault),
            Err(TransactionError::Fenced(fault)) => self.fenced(&fault, false)?,
            Err(
                TransactionError::Abort(fault)
                | TransactionError::Replace(fault)
                | TransactionError::Refused { fault, .. },
            ) => self.replace_later(Why::Unknown, &fault),
        }
        Ok(self.is_ready())
    }

    /// The partitions are somebody else's: a producer that is to be replaced may have been replaced by theirs.
    pub(super) fn spare_producer(&mut self) {
        if !self.is_ready() && self.assigned.is_empty() {
            self.recovery.producer = Producer::Unneeded;
        }
    }

    /// The group was not reached for a while: the producer is made anew when it is again, because it may still believe in
    /// a coordinator that is dead.
    pub(super) fn retire_producer(&mut self) {
        if self.assigned.is_empty() {
            self.recovery.producer = Producer::Unneeded;
        }
    }

    /// The last thing before the process ends for a fault: readers of the sinks do not have to wait for a time-out.
    pub(super) fn abandon(&mut self) {
        if self.transaction.begun.is_some()
            && let Err(
                TransactionError::Abort(fault)
                | TransactionError::Replace(fault)
                | TransactionError::Fenced(fault)
                | TransactionError::Fatal(fault)
                | TransactionError::Refused { fault, .. },
            ) = self.ports.sink.abort()
        {
            event::KafkaTroubled { transform: &self.spec.transform, fault: &fault }.emit();
        }
        self.transaction.clear();
    }
}
