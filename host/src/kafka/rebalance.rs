//! What the group decides about a member's partitions, queued by librdkafka's callback and acted on by the worker.
//!
//! The callback runs inside a poll. It does nothing that takes time: an assignment is accepted at once, at offset 0 and
//! paused, so that nothing is read before the worker has positioned it; a revocation waits until the worker has
//! committed and calls [`crate::io::Source::release`], and the group waits with it.

use std::collections::VecDeque;
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::bindings::*;

use crate::id::{Offset, TopicPartition};
use crate::kafka::client_log;
use crate::kafka::native::{ErrorCode, PartitionList, describe, entries};

/// A decision of the group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Rebalance {
    /// These partitions are ours now, paused.
    Assigned(Vec<TopicPartition>),
    /// These partitions are wanted back.
    Revoked(Vec<TopicPartition>),
    /// These partitions belong to somebody else.
    Lost(Vec<TopicPartition>),
}

/// What the callback shares with the consumer that it serves.
#[derive(Default)]
pub(super) struct Rebalances {
    queue: Mutex<VecDeque<Rebalance>>,
    /// Nobody will act on decisions any more: the callback does it.
    closing: AtomicBool,
    /// Whether the poll under way should return at once when the group decides something. Never for batches: there
    /// librdkafka would drop the message that comes next.
    is_yielding: AtomicBool,
}

impl ClientContext for Rebalances {}

impl Rebalances {
    /// The next decision.
    pub(super) fn take(&self) -> Option<Rebalance> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Whether a decision waits.
    pub(super) fn is_waiting(&self) -> bool {
        !self.queue.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// From now on the callback gives partitions back by itself.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }

    /// Whether a decision ends the poll that is under way.
    pub(super) fn yield_polls(&self, yields: bool) {
        self.is_yielding.store(yields, Ordering::SeqCst);
    }

    fn push(&self, event: Rebalance) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push_back(event);
    }
}

/// librdkafka's rebalance callback.
pub(super) unsafe extern "C" fn on_rebalance(
    client: *mut rd_kafka_t,
    code: ErrorCode,
    partitions: *mut rd_kafka_topic_partition_list_t,
    opaque: *mut c_void,
) {
    // SAFETY: the consumer sets its `Rebalances` as the opaque and outlives the client that calls back; the list lives
    // while the call lasts.
    let (rebalances, partitions) = unsafe { (&*opaque.cast::<Rebalances>(), entries(partitions)) };
    let partitions: Vec<_> = partitions.into_iter().map(|entry| entry.partition).collect();
    let is_closing = rebalances.closing.load(Ordering::SeqCst);
    match code {
        ErrorCode::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS if !is_closing => {
            accept(client, &partitions);
            if !partitions.is_empty() {
                rebalances.push(Rebalance::Assigned(partitions));
            }
        }
        ErrorCode::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS if !is_closing && !partitions.is_empty() => {
            // SAFETY: the client is alive while it calls back.
            let is_lost = unsafe { rd_kafka_assignment_lost(client) } != 0;
            let event = if is_lost { Rebalance::Lost } else { Rebalance::Revoked };
            rebalances.push(event(partitions));
        }
        _ => unassign(client),
    }
    if rebalances.is_yielding.load(Ordering::SeqCst) {
        // SAFETY: as above. The poll that serves this callback returns, so that the worker sees the event.
        unsafe { rd_kafka_yield(client) };
    }
}

/// Takes an assignment: at offset 0, which is never read from, and paused.
fn accept(client: *mut rd_kafka_t, partitions: &[TopicPartition]) {
    let list = PartitionList::at(partitions, Offset(0));
    // SAFETY: the client is alive while it calls back, and so is the list.
    let (assigned, paused) =
        unsafe { (rd_kafka_assign(client, list.as_ptr()), rd_kafka_pause_partitions(client, list.as_ptr())) };
    for code in [assigned, paused].into_iter().filter(|code| *code != ErrorCode::RD_KAFKA_RESP_ERR_NO_ERROR) {
        client_log::warn("assignment", &format!("an assignment was not taken: {}", describe(code)));
    }
}

/// Gives everything back.
pub(super) fn unassign(client: *mut rd_kafka_t) {
    // SAFETY: the callers' clients are alive; null means no partitions.
    let code = unsafe { rd_kafka_assign(client, ptr::null()) };
    if code != ErrorCode::RD_KAFKA_RESP_ERR_NO_ERROR {
        client_log::warn("assignment", &format!("partitions were not given back: {}", describe(code)));
    }
}
