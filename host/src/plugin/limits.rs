//! What one instance may use: memory, table entries, and time for a call.

use std::time::Duration;

use wasmtime::ResourceLimiter;

use crate::clock;
use crate::clock::Clock;
use crate::plugin::ticker;

/// Table entries of one instance, over all its tables. A table has one for each function that is called indirectly;
/// the largest guests that we know have some ten thousand.
const TABLE_ENTRIES_MAX: usize = 100_000;

/// A call that has used this many times its limit by the wall clock ends, although it was given no chance to compute:
/// the transaction that waits for it has a limit of its own.
const PATIENCE: u32 = 20;

/// Grants memory to an instance, up to a limit over all its memories.
#[derive(Debug)]
pub(crate) struct Memory {
    limit_bytes: usize,
    used_bytes: usize,
    table_entries: usize,
    refused_bytes: Option<usize>,
}

impl Memory {
    /// Nothing is used yet.
    pub(crate) fn new(limit_bytes: u64) -> Self {
        let limit_bytes = usize::try_from(limit_bytes).unwrap_or(usize::MAX);
        Self { limit_bytes, used_bytes: 0, table_entries: 0, refused_bytes: None }
    }

    /// What all linear memories have now.
    pub(crate) fn used_bytes(&self) -> usize {
        self.used_bytes
    }

    /// What the instance may have.
    pub(crate) fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    /// What the guest last wanted to have and was refused, if it was.
    pub(crate) fn refused_bytes(&self) -> Option<usize> {
        self.refused_bytes
    }

    /// A call begins; what an earlier one was refused does not matter any more.
    pub(crate) fn forget_refused(&mut self) {
        self.refused_bytes = None;
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let wanted = self.used_bytes.saturating_add(desired.saturating_sub(current));
        if wanted > self.limit_bytes {
            self.refused_bytes = Some(wanted);
            return Ok(false);
        }
        self.used_bytes = wanted;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let wanted = self.table_entries.saturating_add(desired.saturating_sub(current));
        if wanted > TABLE_ENTRIES_MAX {
            return Ok(false);
        }
        self.table_entries = wanted;
        Ok(true)
    }
}

/// The time that a call may take. Counted in CPU time of the thread: epochs follow the wall clock, and on a busy machine
/// that runs on while the guest stands still.
#[derive(Debug)]
pub(crate) struct Deadline {
    limit: Duration,
    cpu_at_start: Duration,
    wall: Clock,
}

impl Deadline {
    /// The call begins now.
    pub(crate) fn start(limit: Duration) -> Self {
        Self { limit, cpu_at_start: clock::thread_cpu_time(), wall: Clock::system() }
    }

    /// The limit.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// How many epochs to wait before looking again; none when the time is used up.
    pub(crate) fn extension(&self) -> Option<u64> {
        let used = clock::thread_cpu_time().saturating_sub(self.cpu_at_start);
        remaining(self.limit, used, self.wall.elapsed()).map(ticker::ticks)
    }
}

/// What is left of a limit after so much CPU time and so much time on the wall.
fn remaining(limit: Duration, used: Duration, waited: Duration) -> Option<Duration> {
    let left = limit.checked_sub(used).filter(|left| !left.is_zero())?;
    (waited < limit.saturating_mul(PATIENCE)).then_some(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_memory_up_to_the_sum_of_all_memories() {
        let mut memory = Memory::new(100);

        assert!(memory.memory_growing(0, 60, None).unwrap());
        assert!(!memory.memory_growing(0, 50, None).unwrap());
        assert!(memory.memory_growing(60, 100, None).unwrap());

        assert_eq!(memory.used_bytes(), 100);
        assert_eq!(memory.refused_bytes(), Some(110));
    }

    #[test]
    fn grants_table_entries_up_to_a_bound() {
        let mut memory = Memory::new(0);

        assert!(memory.table_growing(0, TABLE_ENTRIES_MAX, None).unwrap());
        assert!(!memory.table_growing(0, 1, None).unwrap());
    }

    #[test]
    fn counts_cpu_time_and_not_the_time_that_a_busy_machine_took() {
        let limit = Duration::from_millis(500);
        let used = Duration::from_millis(100);

        assert_eq!(remaining(limit, used, Duration::from_secs(9)), Some(Duration::from_millis(400)));
        assert_eq!(remaining(limit, limit, Duration::from_millis(500)), None);
    }

    #[test]
    fn loses_patience_with_a_call_that_never_gets_to_compute() {
        let limit = Duration::from_millis(500);

        assert_eq!(remaining(limit, Duration::ZERO, limit * PATIENCE), None);
    }
}
