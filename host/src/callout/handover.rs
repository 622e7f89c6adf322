//! Whether a byte of a request was handed to a connection: decided once, by the connection itself.
//!
//! ```text
//!            the connection is about to write, in time
//!   waiting ------------------------------------------> handed
//!      |  \-------- the same, too late ---------------> late
//!      \----------- withdrawn ------------------------> shut
//! ```
//! What is shut or late will never be written: the connection asks before its first byte, and is refused. Each attempt has a
//! number, so that a connection of an attempt that was concluded as unsent cannot write for the one after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Clock;

/// Where a request is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// No byte of it was handed to a connection.
    Waiting,
    /// Perhaps all of it was, perhaps a part.
    Handed,
    /// None was, and none will be: its call was withdrawn.
    Shut,
    /// None was, and none will be: it came too late after its commit.
    Late,
}

/// The request of one call; of one attempt after the other.
#[derive(Debug)]
pub(super) struct Handover {
    /// The number of the attempt, and its stage in the lowest two bits.
    state: AtomicU64,
    is_withdrawn: AtomicBool,
    clock: Clock,
    /// From then on nothing is handed over, by [`Clock::elapsed`].
    deadline: Option<Duration>,
}

/// One attempt, as its connection sees it.
#[derive(Clone, Debug)]
pub(super) struct Ticket {
    request: Arc<Handover>,
    attempt: u64,
}

/// What an attempt without an answer has come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Conclusion {
    /// Nothing of it was handed over, and nothing will be; another attempt may be made.
    Unsent,
    /// Some of it was.
    Handed,
    /// Nothing was, and no other attempt may be made.
    Over,
}

const WAITING: u64 = 0;
const HANDED: u64 = 1;
const SHUT: u64 = 2;
const LATE: u64 = 3;
const STAGES: u64 = 3;
const NEXT_ATTEMPT: u64 = 4;

impl Handover {
    /// A request that is not handed over from the deadline on.
    pub(super) fn new(clock: Clock, deadline: Option<Duration>) -> Self {
        Self { state: AtomicU64::new(WAITING), is_withdrawn: AtomicBool::new(false), clock, deadline }
    }

    /// Where it is.
    pub(super) fn stage(&self) -> Stage {
        match self.state() & STAGES {
            WAITING => Stage::Waiting,
            HANDED => Stage::Handed,
            SHUT => Stage::Shut,
            _ => Stage::Late,
        }
    }

    /// The attempt that is made now.
    pub(super) fn ticket(self: &Arc<Self>) -> Ticket {
        Ticket { request: Arc::clone(self), attempt: self.state() & !STAGES }
    }

    /// Whether the deadline has passed.
    pub(super) fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| self.clock.elapsed() >= deadline)
    }

    /// Nothing is to be handed over any more. Whether that came in time: else a byte was handed over already, and what comes of
    /// it is waited for.
    pub(super) fn withdraw(&self) -> bool {
        self.is_withdrawn.store(true, Ordering::SeqCst);
        self.shut()
    }

    /// Begins another attempt after one that was handed over, if the call was not withdrawn meanwhile.
    pub(super) fn again(&self) -> bool {
        let state = self.state();
        if state & STAGES == HANDED {
            self.change(state, (state & !STAGES) + NEXT_ATTEMPT);
        }
        // In this order: whoever withdraws marks first and shuts then.
        if self.is_withdrawn.load(Ordering::SeqCst) {
            self.shut();
        }
        self.stage() == Stage::Waiting
    }

    /// Whether it was waiting, whatever the attempt.
    fn shut(&self) -> bool {
        loop {
            let state = self.state();
            if state & STAGES != WAITING {
                return false;
            }
            if self.change(state, state | SHUT) {
                return true;
            }
        }
    }

    fn state(&self) -> u64 {
        self.state.load(Ordering::SeqCst)
    }

    fn change(&self, from: u64, to: u64) -> bool {
        self.state.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

impl Ticket {
    /// Whether the next bytes may be written; from the first yes on they count as handed over.
    pub(super) fn hand(&self) -> bool {
        let waiting = self.attempt | WAITING;
        if self.request.state() == waiting {
            let stage = if self.request.is_late() { LATE } else { HANDED };
            self.request.change(waiting, self.attempt | stage);
        }
        self.request.state() == self.attempt | HANDED
    }

    /// Ends the attempt. After [`Conclusion::Unsent`] its connection cannot write any more.
    pub(super) fn conclude(&self) -> Conclusion {
        if self.request.change(self.attempt | WAITING, self.attempt + NEXT_ATTEMPT) {
            return Conclusion::Unsent;
        }
        match self.request.stage() {
            Stage::Handed => Conclusion::Handed,
            Stage::Waiting | Stage::Shut | Stage::Late => Conclusion::Over,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Timestamp;

    fn handover(deadline: Option<Duration>) -> (Clock, Arc<Handover>) {
        let clock = Clock::manual(Timestamp(0));
        (clock.clone(), Arc::new(Handover::new(clock, deadline)))
    }

    #[test]
    fn hands_over_until_its_deadline() {
        let (clock, early) = handover(Some(Duration::from_secs(5)));
        let late = Arc::new(Handover::new(clock.clone(), Some(Duration::from_secs(5))));
        let (ticket, late_ticket) = (early.ticket(), late.ticket());
        clock.advance(Duration::from_millis(4_999));
        assert!(ticket.hand());
        clock.advance(Duration::from_millis(1));

        assert!(ticket.hand(), "what was begun is ended");
        assert!(!late_ticket.hand());
        assert_eq!((early.stage(), late.stage()), (Stage::Handed, Stage::Late));
        assert_eq!(late_ticket.conclude(), Conclusion::Over);
    }

    #[test]
    fn is_never_handed_over_once_it_was_withdrawn_in_time() {
        let (_, request) = handover(None);
        let ticket = request.ticket();

        assert!(request.withdraw());
        assert!(!ticket.hand() && !request.again() && !request.ticket().hand());
        assert_eq!((request.stage(), ticket.conclude()), (Stage::Shut, Conclusion::Over));
    }

    #[test]
    fn cannot_be_withdrawn_once_it_was_handed_over_but_is_not_repeated() {
        let (_, request) = handover(None);
        let ticket = request.ticket();
        assert!(ticket.hand() && !request.withdraw());

        assert!(ticket.hand(), "the rest of it may be written");
        assert_eq!(ticket.conclude(), Conclusion::Handed);
        assert!(!request.again() && !request.ticket().hand());
    }

    #[test]
    fn can_be_repeated() {
        let (_, request) = handover(None);
        let first = request.ticket();

        assert!(first.hand() && request.again());
        assert!(!first.hand(), "the first attempt is over");
        assert_eq!(request.stage(), Stage::Waiting);
        assert!(request.ticket().hand());
    }

    #[test]
    fn is_either_unsent_or_handed_over_however_the_threads_race() {
        for _ in 0..2_000 {
            let (_, request) = handover(None);
            let ticket = request.ticket();
            let other = ticket.clone();
            let writer = std::thread::spawn(move || other.hand());

            let conclusion = ticket.conclude();
            let is_handed = writer.join().unwrap();

            assert_eq!(conclusion == Conclusion::Handed, is_handed, "{conclusion:?}");
        }
    }
}
