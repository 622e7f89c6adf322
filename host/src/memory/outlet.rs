//! Topics in memory for ingests, with the bad days that a cluster has.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::fault::{Code, Fault};
use crate::id::TopicName;
use crate::io::{Change, Outlet, PublishError, Published, UpTo};

/// A cluster, as far as ingests see it. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemoryTopics(Arc<Mutex<Shared>>);

#[derive(Debug, Default)]
struct Shared {
    /// What was committed, a transaction after the other.
    transactions: Vec<Vec<Change>>,
    /// How often each name was claimed.
    claims: BTreeMap<String, u64>,
    troubles: VecDeque<OutletTrouble>,
}

/// What happens to the next call of [`Outlet::publish`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OutletTrouble {
    /// It is aborted.
    Abort,
    /// Its outcome is unknown, and it was committed.
    UnknownCommitted,
    /// Its outcome is unknown, and it was not committed.
    UnknownLost,
}

/// The topics under the name of an ingest.
#[derive(Debug)]
pub struct MemoryOutlet {
    topics: MemoryTopics,
    name: String,
    /// The claim that it has; 0 is none.
    claim: u64,
    /// How many transactions it has followed.
    followed: usize,
}

impl MemoryTopics {
    /// The outlet of an ingest.
    pub fn outlet(&self, name: &str) -> MemoryOutlet {
        MemoryOutlet { topics: self.clone(), name: name.to_owned(), claim: 0, followed: 0 }
    }

    /// All transactions that were committed.
    pub fn transactions(&self) -> Vec<Vec<Change>> {
        self.lock().transactions.clone()
    }

    /// The latest value of each key of a topic that is not deleted.
    pub fn table(&self, topic: &TopicName) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut table = BTreeMap::new();
        for change in self.lock().transactions.iter().flatten().filter(|change| change.topic == *topic) {
            match &change.value {
                Some(value) => drop(table.insert(change.key.clone(), value.clone())),
                None => drop(table.remove(&change.key)),
            }
        }
        table
    }

    /// Commits records as somebody else does.
    pub fn put(&self, changes: Vec<Change>) {
        self.lock().transactions.push(changes);
    }

    /// What happens to the calls of [`Outlet::publish`] that come next, in this order.
    pub fn trouble(&self, trouble: OutletTrouble) {
        self.lock().troubles.push_back(trouble);
    }

    /// No trouble is left.
    pub fn heal(&self) {
        self.lock().troubles.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn visit_all(
    transactions: &[Vec<Change>],
    topic: &TopicName,
    visit: &mut dyn FnMut(Published<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    transactions
        .iter()
        .flatten()
        .filter(|change| change.topic == *topic)
        .try_for_each(|change| visit(Published { key: Some(&change.key), value: change.value.as_deref() }))
}

impl Outlet for MemoryOutlet {
    fn claim(&mut self) -> Result<(), Fault> {
        let mut shared = self.topics.lock();
        let claims = shared.claims.entry(self.name.clone()).or_default();
        *claims += 1;
        self.claim = *claims;
        Ok(())
    }

    fn read(
        &mut self,
        topic: &TopicName,
        visit: &mut dyn FnMut(Published<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        visit_all(&self.topics.transactions(), topic, visit)
    }

    fn follow(
        &mut self,
        topic: &TopicName,
        _: UpTo,
        visit: &mut dyn FnMut(Published<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let transactions = self.topics.transactions();
        let news = transactions.get(self.followed..).unwrap_or_default();
        self.followed = transactions.len();
        visit_all(news, topic, visit)
    }

    fn publish(
        &mut self,
        changes: &mut dyn Iterator<Item = Result<Change, Fault>>,
    ) -> Result<(), PublishError> {
        let changes = changes.collect::<Result<Vec<_>, _>>().map_err(PublishError::Aborted)?;
        if changes.is_empty() {
            return Ok(());
        }
        let mut shared = self.topics.lock();
        if shared.claims.get(&self.name) != Some(&self.claim) {
            let fault = Fault::new(Code::IngestSuperseded, "a later run has taken over");
            return Err(PublishError::Superseded(fault));
        }
        let trouble = shared.troubles.pop_front();
        if matches!(trouble, None | Some(OutletTrouble::UnknownCommitted)) {
            shared.transactions.push(changes);
        }
        let fault = |code| Fault::new(code, "the cluster has a bad day");
        match trouble {
            None => Ok(()),
            Some(OutletTrouble::Abort) => Err(PublishError::Aborted(fault(Code::TransactionAborted))),
            Some(OutletTrouble::UnknownCommitted | OutletTrouble::UnknownLost) => {
                // Only a new claim tells; whatever it finds is decided by then.
                self.claim = 0;
                Err(PublishError::Unknown(fault(Code::ProducerReplaced)))
            }
        }
    }
}
