//! Handing rows of a table to the plugin again, as the host's own kind of job.
//!
//! The plugin sees ordinary records of the table's source: the rows as they are now, with the places that they came from.
//! That is what a dead letter of one of them names, and how the plugin can tell them from new ones: they lie before its
//! position. Nothing about the table changes.

use crate::fault::{Code, Fault};
use crate::id::SourceIndex;
use crate::io::{KeyRange, Limit, Page, State as _, StateError};
use crate::task::effects::{Effects, JobName};
use crate::task::order::Order;
use crate::task::run::{Goal, Run};
use crate::task::state::job::JobRow;
use crate::task::state::key::Kind;
use crate::task::state::layout::{Layout, Store};
use crate::task::{Surroundings, Task, Turn, jobs};

/// The kind of the jobs that repeat rows. No manifest can name it: names there have no dots.
pub const REPEAT: &str = "gristmill.repeat";

/// Entries of an index that are counted at most, to know how long the job will take.
const COUNTED_MAX: usize = 100_000;

/// The table of a partitioned source.
pub(super) fn table<'l>(layout: &'l Layout, source: &str) -> Option<(&'l Store, SourceIndex)> {
    let table = layout.stores.iter().find(|store| store.kind == Kind::Table && store.name == source)?;
    Some((table, table.source.as_ref()?.0))
}

impl Task {
    /// Makes a run of the next rows of such a job.
    pub(super) fn repeat_page(&mut self, row: JobRow, around: &Surroundings<'_>) -> Turn {
        let order = match Order::read(Some(&row.job.payload)) {
            Ok(order) => order,
            Err(message) => return self.end_job(row, Some(Fault::new(Code::OrderInvalid, message)), around),
        };
        let limit = Limit {
            rows: self.spec.batch.records.min(self.jobs.budget(&jobs::name(&row)) as usize).max(1),
            bytes: self.spec.batch.bytes,
        };
        let (source, page) = match self.page(&order, row.job.cursor.as_deref(), limit) {
            Ok(found) => found,
            Err(StateError::Failed(fault)) => return Turn::Damaged(fault),
            Err(StateError::Refused(message)) => {
                return self.end_job(row, Some(Fault::new(Code::OrderInvalid, message)), around);
            }
        };
        if page.rows.is_empty() {
            self.begin_call(around.now);
            self.move_repeat(&jobs::name(&row), page.next, (0, 0), around);
            self.keep_call();
            self.has_effects = true;
            let outcome = crate::io::Outcome::default();
            return Turn::Made(Box::new(Effects::of_step(jobs::name(&row), outcome, self.stream_time, 0)));
        }
        let until = page.rows.last().map(|last| last.offset()).unwrap_or_default();
        let mut run = Run::new((source, self.id.partition), page.rows, until);
        run.goal = Goal::Job { name: jobs::name(&row), cursor: page.next };
        self.culprits.mark(&mut run);
        self.runs.push_front(run);
        Turn::Searching
    }

    fn page(
        &self,
        order: &Order,
        after: Option<&[u8]>,
        limit: Limit,
    ) -> Result<(SourceIndex, Page), StateError> {
        let refused = || StateError::Refused("the plugin has no such table any more".to_owned());
        let (Order::RepeatAll { source } | Order::RepeatTerm { source, .. }) = order else {
            return Err(refused());
        };
        let (_, index) = table(self.state.layout(), source).ok_or_else(refused)?;
        let store = self.state.store(source).ok_or_else(refused)?;
        let page = match order {
            Order::RepeatTerm { index: name, term, .. } => {
                self.state.scan_index(store, name, term.as_bytes(), after, limit)?
            }
            _ => self.state.scan(store, KeyRange { start: None, end: None, after }, limit)?,
        };
        Ok((index, page))
    }

    /// Starts such a job, as part of the call under way. One of its name begins anew: all rows are wanted as of now.
    pub(super) fn start_repeat(&mut self, name: &str, order: &Order) {
        let total = self.count_repeat(order);
        self.state.start_own_job((REPEAT, name), order.write(), total);
    }

    /// How many rows such a job will hand out, if that is quick to find.
    fn count_repeat(&self, order: &Order) -> Option<u64> {
        let Order::RepeatTerm { source, index, term } = order else { return None };
        let store = self.state.store(source)?;
        let counted = self.state.count_index(store, index, term.as_bytes(), None, COUNTED_MAX).ok()?;
        counted.1.is_none().then_some(counted.0)
    }

    /// Moves such a job to a cursor, or ends it, as part of the call under way.
    pub(super) fn move_repeat(
        &mut self,
        name: &JobName,
        cursor: Option<Vec<u8>>,
        counts: (u64, u64),
        around: &Surroundings<'_>,
    ) {
        // Nobody else can have touched it: orders wait while one of its runs is under way.
        let Ok(Some(row)) = self.state.job_row(name) else { return };
        let outputs = usize::try_from(counts.1).unwrap_or(usize::MAX);
        self.jobs.stepped(&row, true, outputs, around.elapsed);
        self.move_job_on(row, cursor, counts);
    }
}
