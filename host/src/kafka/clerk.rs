//! A thread that puts positions into transactions, so that nobody else waits when librdkafka never answers.
//!
//! `rd_kafka_send_offsets_to_transaction` takes a time-out and does not keep it in one case: the coordinator of the group is
//! dead, and has gone from the cluster's metadata before librdkafka has heard of another one. Then it waits for a change of
//! a connection that it does not make any more; seen with librdkafka 2.12.1 and one dead broker of three. Who waits for the
//! clerk gives up after the time-out, and the producer is replaced by another one with the same id, which fences it. The
//! old client lives on with its clerk until the call ends.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::bindings::rd_kafka_send_offsets_to_transaction;
use rdkafka::client::Client;

use crate::kafka::client_log;
use crate::kafka::consumer::{Membership, millis};
use crate::kafka::native::{ErrorCode, Failure, PartitionList};
use crate::kafka::producer::Reports;

/// How much later than the time-out of the call the clerk's answer may come.
const GRACE: Duration = Duration::from_secs(1);

/// What is to be put into the transaction.
pub(super) struct Request {
    pub(super) positions: PartitionList,
    pub(super) membership: Membership,
    /// The time-out of the call.
    pub(super) wait: Duration,
}

/// The thread, as its producer sees it. Dropping this waits for its end, but not for a call that does not end.
pub(super) struct Clerk<R = Request> {
    /// One request at a time: whoever asks waits for the answer, or never asks again. None once this is dropped.
    requests: Option<SyncSender<R>>,
    answers: Receiver<Result<(), Failure>>,
    thread: Option<JoinHandle<()>>,
    is_lost: Cell<bool>,
}

impl Clerk {
    /// Starts the thread of a producer.
    pub(super) fn of(client: Arc<Client<Reports>>) -> std::io::Result<Self> {
        Self::start(move |request| send(&client, request))
    }
}

impl<R: Send + 'static> Clerk<R> {
    fn start(call: impl Fn(&R) -> Result<(), Failure> + Send + 'static) -> std::io::Result<Self> {
        let (requests, inbox) = sync_channel::<R>(1);
        let (outbox, answers) = sync_channel(1);
        let work = move || {
            for request in inbox {
                if outbox.send(call(&request)).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("kafka-offsets".to_owned()).spawn(work)?;
        let (requests, thread) = (Some(requests), Some(thread));
        Ok(Self { requests, answers, thread, is_lost: Cell::new(false) })
    }

    /// Makes the call and waits for its end, not much longer than `wait`; after
    /// [`ErrorCode::RD_KAFKA_RESP_ERR__TIMED_OUT`] the producer is of no use any more.
    pub(super) fn call(&self, request: R, wait: Duration) -> Result<(), Failure> {
        let is_free = !self.is_lost.get();
        let requests = self.requests.as_ref().filter(|_| is_free);
        let is_taken = requests.is_some_and(|requests| requests.try_send(request).is_ok());
        let answer = if is_taken { self.answers.recv_timeout(wait.saturating_add(GRACE)).ok() } else { None };
        answer.unwrap_or_else(|| {
            self.is_lost.set(true);
            Err(Failure::of(ErrorCode::RD_KAFKA_RESP_ERR__TIMED_OUT))
        })
    }
}

impl<R> Drop for Clerk<R> {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take().filter(|_| !self.is_lost.get())
            && thread.join().is_err()
        {
            client_log::warn("thread", "the thread for positions of a producer panicked");
        }
    }
}

fn send(client: &Client<Reports>, request: &Request) -> Result<(), Failure> {
    // SAFETY: the client is alive, and so are list and membership while the call lasts; the error is taken over.
    unsafe {
        Failure::check(rd_kafka_send_offsets_to_transaction(
            client.native_ptr(),
            request.positions.as_ptr(),
            request.membership.as_ptr(),
            millis(request.wait),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_on_what_the_call_answers() {
        let refused = ErrorCode::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION;
        let clerk = Clerk::start(move |fails: &bool| match fails {
            true => Err(Failure::of(refused)),
            false => Ok(()),
        })
        .unwrap();

        assert!(clerk.call(false, Duration::ZERO).is_ok());
        assert_eq!(clerk.call(true, Duration::ZERO).unwrap_err().code, refused);
        assert!(clerk.call(false, Duration::ZERO).is_ok());
    }

    #[test]
    fn gives_up_on_a_call_that_never_ends_and_does_not_wait_for_it_when_dropped() {
        let (end, ended) = sync_channel::<()>(0);
        let clerk = Clerk::start(move |(): &()| {
            assert!(ended.recv().is_err());
            Ok(())
        })
        .unwrap();

        for _ in 0..2 {
            let failure = clerk.call((), Duration::ZERO).unwrap_err();
            assert_eq!(failure.code, ErrorCode::RD_KAFKA_RESP_ERR__TIMED_OUT);
        }
        drop(clerk);

        drop(end);
    }
}
