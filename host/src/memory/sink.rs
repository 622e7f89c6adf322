//! The producer side: transactions under an id.

use std::collections::BTreeMap;

use crate::fault::{Code, Fault};
use crate::id::{Offset, TopicPartition};
use crate::io::{CauseId, Committed, Outgoing, Sink, TopicFacts, TransactionError};
use crate::memory::coordinator::{End, Fenced, OffsetsRefused};
use crate::memory::group::MemoryMembership;
use crate::memory::log::Content;
use crate::memory::{Call, Cluster, LateEnd, Process, Trouble};

/// A transactional producer.
pub struct MemorySink {
    cluster: Cluster,
    group: String,
    id: String,
    epoch: u64,
    queue: Vec<Queued>,
    /// Where the last record of the open transaction lies in each partition.
    acknowledged: BTreeMap<TopicPartition, Offset>,
    has_begun: bool,
    process: Process,
}

struct Queued {
    place: TopicPartition,
    content: Content,
    cause: CauseId,
    size: usize,
}

impl MemorySink {
    /// A producer with this transactional id, ready for its first transaction; it fences the one before. `group` is
    /// the one whose offsets it commits.
    pub fn new(cluster: &Cluster, process: &Process, id: &str, group: &str) -> Self {
        let epoch = cluster.state.borrow_mut().init_producer(id);
        Self {
            cluster: cluster.clone(),
            group: group.to_owned(),
            id: id.to_owned(),
            epoch,
            queue: Vec::new(),
            acknowledged: BTreeMap::new(),
            has_begun: false,
            process: process.clone(),
        }
    }

    fn enter(&mut self, call: Call) -> Result<Trouble, TransactionError> {
        if self.process.is_dead() {
            return Err(died());
        }
        let trouble = self.cluster.call(&self.id, call);
        match trouble {
            Trouble::Dies => {
                self.process.die();
                Err(died())
            }
            Trouble::Fails => Err(failed(call)),
            Trouble::None | Trouble::AppliesAndFails | Trouble::AppliesLate(_) | Trouble::AppliesAndDies => {
                Ok(trouble)
            }
        }
    }

    fn leave(&mut self, call: Call, trouble: Trouble) -> Result<(), TransactionError> {
        match trouble {
            Trouble::AppliesAndDies => {
                self.process.die();
                Err(died())
            }
            Trouble::AppliesAndFails | Trouble::AppliesLate(_) => Err(failed(call)),
            Trouble::None | Trouble::Fails | Trouble::Dies => Ok(()),
        }
    }

    fn expect(&self, is_met: bool, misuse: &str) {
        if !is_met {
            self.cluster.state.borrow_mut().misuse.push(format!("{}: {misuse}", self.id));
        }
    }

    fn end(&mut self, end: End) -> Result<(), TransactionError> {
        self.queue.clear();
        self.acknowledged.clear();
        self.has_begun = false;
        let ended = self.cluster.state.borrow_mut().end_transaction(&self.id, self.epoch, end);
        ended.map(|_| ()).map_err(|Fenced| fenced())
    }

    /// Writes what is queued; partitions are written one after the other, as brokers do it in their own time.
    fn write_queue(&mut self) -> Result<(), TransactionError> {
        let now = self.cluster.clock.elapsed();
        let mut queue = std::mem::take(&mut self.queue);
        queue.sort_by(|one, other| other.place.cmp(&one.place));
        let mut state = self.cluster.state.borrow_mut();
        let mut refused = Vec::new();
        for record in queue {
            let facts = state.topics.get(&record.place.topic).map(|topic| topic.facts).unwrap_or_default();
            if is_refused(&record, facts) {
                state.stats.refusals += 1;
                refused.push(record.cause);
                continue;
            }
            let producer = (self.id.as_str(), self.epoch);
            let written = state.write(producer, &record.place, record.content, now);
            if let Some(offset) = written.map_err(|Fenced| fenced())? {
                self.acknowledged.insert(record.place, offset);
            }
        }
        if refused.is_empty() {
            return Ok(());
        }
        let fault = Fault::new(Code::RecordRefused, "the broker refuses the record");
        Err(TransactionError::Refused { causes: refused, fault })
    }
}

fn is_refused(record: &Queued, facts: TopicFacts) -> bool {
    let has_key = matches!(&record.content, Content::Record { key: Some(_), .. });
    record.size > facts.max_bytes || (facts.compacted && !has_key)
}

impl Sink for MemorySink {
    type Membership = MemoryMembership;

    fn begin(&mut self) -> Result<(), TransactionError> {
        let trouble = self.enter(Call::Begin)?;
        self.expect(!self.has_begun, "begins a transaction within another one");
        self.has_begun = true;
        self.leave(Call::Begin, trouble)
    }

    fn send(&mut self, record: &Outgoing<'_>) -> Result<(), TransactionError> {
        let trouble = self.enter(Call::Send)?;
        self.expect(self.has_begun, "sends a record outside of a transaction");
        let place = match record.partition {
            Some(partition) => TopicPartition::new(record.topic, partition),
            None => self.cluster.place_of(record.topic, record.key),
        };
        let owned = |bytes: &[u8]| bytes.to_vec();
        let headers = record.headers.iter().map(|header| (owned(header.name), header.value.map(owned)));
        let content = Content::Record {
            key: record.key.map(owned),
            value: record.value.map(owned),
            headers: headers.collect(),
            timestamp: record.timestamp.unwrap_or_else(|| self.cluster.clock.now()),
        };
        let size = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        let (producer, now) = ((self.id.as_str(), self.epoch), self.cluster.clock.elapsed());
        self.cluster.state.borrow_mut().add_partition(producer, &place, now);
        self.queue.push(Queued { place, content, cause: record.cause, size });
        self.leave(Call::Send, trouble)
    }

    fn flush(&mut self) -> Result<(), TransactionError> {
        let trouble = self.enter(Call::Flush)?;
        let written = self.write_queue();
        self.leave(Call::Flush, trouble)?;
        written
    }

    fn acknowledged(&self, changelog: &TopicPartition) -> Option<Offset> {
        self.expect(self.queue.is_empty(), "asks where its records lie before they are acknowledged");
        self.acknowledged.get(changelog).copied()
    }

    fn send_offsets(
        &mut self,
        positions: &[(TopicPartition, Committed)],
        membership: &MemoryMembership,
    ) -> Result<(), TransactionError> {
        let trouble = self.enter(Call::SendOffsets)?;
        self.expect(self.queue.is_empty(), "sends offsets before everything is acknowledged");
        self.expect(!positions.is_empty(), "sends no offsets, so that nothing fences it");
        let now = self.cluster.clock.elapsed();
        let (producer, member) = ((self.id.as_str(), self.epoch), (membership, now));
        let added = self.cluster.state.borrow_mut().add_offsets(producer, &self.group, positions, member);
        self.leave(Call::SendOffsets, trouble)?;
        match added {
            Ok(()) => Ok(()),
            Err(OffsetsRefused::Fenced) => Err(fenced()),
            Err(OffsetsRefused::Stale) => {
                let message = "the offsets come from an old generation of the group";
                Err(TransactionError::Abort(Fault::new(Code::TransactionAborted, message)))
            }
        }
    }

    fn commit(&mut self) -> Result<(), TransactionError> {
        let trouble = self.enter(Call::Commit)?;
        self.expect(self.has_begun, "commits no transaction");
        if let Trouble::AppliesLate(delay) = trouble {
            let at = self.cluster.clock.elapsed().saturating_add(delay);
            let (id, epoch) = (self.id.clone(), self.epoch);
            self.cluster.state.borrow_mut().late_ends.push(LateEnd { id, epoch, at });
            return Err(failed(Call::Commit));
        }
        let ended = self.end(End::Commit);
        self.leave(Call::Commit, trouble)?;
        ended
    }

    fn abort(&mut self) -> Result<(), TransactionError> {
        let trouble = self.enter(Call::Abort)?;
        let ended = self.end(End::Abort);
        self.leave(Call::Abort, trouble)?;
        ended
    }

    fn replace(&mut self) -> Result<(), TransactionError> {
        let trouble = self.enter(Call::Replace)?;
        self.queue.clear();
        self.acknowledged.clear();
        self.has_begun = false;
        self.epoch = self.cluster.state.borrow_mut().init_producer(&self.id);
        self.leave(Call::Replace, trouble)
    }
}

/// What the client makes of a request that failed: some failures abort the transaction, those at its end leave the
/// outcome unknown.
fn failed(call: Call) -> TransactionError {
    let fault = |code| Fault::new(code, format!("the call `{call:?}` failed"));
    match call {
        Call::Begin | Call::Commit | Call::Abort | Call::Replace => {
            TransactionError::Replace(fault(Code::ProducerReplaced))
        }
        _ => TransactionError::Abort(fault(Code::TransactionAborted)),
    }
}

fn fenced() -> TransactionError {
    TransactionError::Fenced(Fault::new(Code::ProducerReplaced, "another producer has the transactional id"))
}

fn died() -> TransactionError {
    TransactionError::Fatal(Fault::new(Code::Internal, "the simulated process has died"))
}
