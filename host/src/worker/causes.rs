//! The numbers that records carry through a transaction, so that a refused one can be traced to what it was made for.

use crate::id::{Offset, Partition};
use crate::io::CauseId;
use crate::task::effects::{Cause, Effects, Origin, cause};

/// The causes of the records of one transaction. No allocation for each record.
#[derive(Debug, Default)]
pub(crate) struct Causes {
    batches: Vec<Batch>,
    offsets: Vec<Offset>,
    next: u32,
}

#[derive(Debug)]
struct Batch {
    base: u32,
    task: Partition,
    origin: Origin,
    /// Where its offsets lie.
    offsets: std::ops::Range<usize>,
}

impl Causes {
    /// Takes in the effects of a task, and gives the number from which on they count.
    pub(crate) fn add(&mut self, task: Partition, effects: &Effects) -> u32 {
        let (base, start) = (self.next, self.offsets.len());
        self.offsets.extend(effects.offsets());
        let offsets = start..self.offsets.len();
        self.batches.push(Batch { base, task, origin: effects.origin(), offsets });
        self.next = self.next.saturating_add(effects.causes());
        base
    }

    /// Takes in the changelog of a task, and gives the number of all its records.
    pub(crate) fn add_state(&mut self, task: Partition) -> u32 {
        let (base, offsets) = (self.next, self.offsets.len()..self.offsets.len());
        self.batches.push(Batch { base, task, origin: Origin::State, offsets });
        self.next = self.next.saturating_add(1);
        base
    }

    /// The task and what the record was made for.
    pub(crate) fn find(&self, id: CauseId) -> Option<(Partition, Cause)> {
        let behind = self.batches.partition_point(|batch| batch.base <= id.0);
        let batch = self.batches.get(behind.checked_sub(1)?)?;
        let offsets = self.offsets.get(batch.offsets.clone())?;
        cause(&batch.origin, offsets, id.0 - batch.base).map(|cause| (batch.task, cause))
    }

    pub(crate) fn clear(&mut self) {
        self.batches.clear();
        self.offsets.clear();
        self.next = 0;
    }
}
