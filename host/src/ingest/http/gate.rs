//! Whether an ingest of HTTP takes requests now: while Kafka does not take records, a client is told so at once.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::refusal::Refusal;
use crate::clock::Clock;
use crate::fault::Code;

/// A transaction, or a claim, that takes longer is a sign that nothing moves; what comes now would wait behind it for nothing.
const STILL: Duration = Duration::from_secs(5);

/// The gate of one ingest. It begins open: what comes before the name is claimed waits for that.
#[derive(Debug)]
pub(super) struct Gate {
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Why it is closed.
    closed: Option<Code>,
    /// Since when a transaction or a claim is under way.
    busy: Option<Duration>,
}

impl Gate {
    pub(super) fn new(clock: &Clock) -> Self {
        Self { clock: clock.clone(), state: Mutex::default() }
    }

    /// Whether a request may come in.
    ///
    /// # Errors
    /// `ingest_unavailable`.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let state = self.state();
        if let Some(code) = state.closed {
            return Err(not_written(code));
        }
        let still = state.busy.is_some_and(|since| self.clock.elapsed().saturating_sub(since) > STILL);
        if still { Err(not_written(Code::KafkaFailed)) } else { Ok(()) }
    }

    /// Closes it; whether it was open.
    pub(super) fn close(&self, code: Code) -> bool {
        self.state().closed.replace(code).is_none()
    }

    /// Opens it.
    pub(super) fn open(&self) {
        self.state().closed = None;
    }

    /// A transaction or a claim begins.
    pub(super) fn begin(&self) {
        self.state().busy = Some(self.clock.elapsed());
    }

    /// It has ended; how long it took.
    pub(super) fn end(&self) -> Duration {
        let began = self.state().busy.take().unwrap_or_default();
        self.clock.elapsed().saturating_sub(began)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nothing of the request is in Kafka, for this reason.
pub(super) fn not_written(code: Code) -> Refusal {
    Refusal::new(
        Code::IngestUnavailable,
        format!("nothing was written: Kafka does not take records now (`{code}`)"),
    )
}

/// It may be in Kafka.
pub(super) fn in_doubt(problem: &str) -> Refusal {
    let message = format!(
        "{problem}, so it is not known whether this was written; to write it again is harmless while nobody else writes its keys"
    );
    Refusal::new(Code::IngestUnavailable, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Timestamp;

    #[test]
    fn refuses_while_it_is_closed_and_says_why() {
        let gate = Gate::new(&Clock::manual(Timestamp(0)));
        assert_eq!(gate.check(), Ok(()));

        assert!(gate.close(Code::BrokerUnreachable) && !gate.close(Code::KafkaFailed));
        let refusal = gate.check().unwrap_err();
        assert_eq!((refusal.code(), refusal.status()), (Code::IngestUnavailable, 503));
        assert!(refusal.message().contains("nothing was written"), "{}", refusal.message());
        gate.open();
        assert_eq!(gate.check(), Ok(()));
    }

    #[test]
    fn refuses_while_a_transaction_does_not_end() {
        let clock = Clock::manual(Timestamp(0));
        let gate = Gate::new(&clock);
        gate.begin();

        clock.advance(STILL);
        assert_eq!(gate.check(), Ok(()));
        clock.advance(Duration::from_millis(1));
        assert!(gate.check().is_err());
        assert_eq!(gate.end(), STILL + Duration::from_millis(1));
        assert_eq!(gate.check(), Ok(()));
    }
}
