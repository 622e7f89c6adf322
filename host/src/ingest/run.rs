//! One run of an ingest: what a table says now and its topic does not, in one transaction.
//!
//! ```text
//! begin      claim the name, read the topic        whoever ran before can publish nothing any more
//! compare    the rows, one after the other         changes wait in a spool; nothing is written yet
//! publish    inserts, updates, deletes             one transaction, and only while the name is ours
//! ```
//! The order is what makes two runs at the same time harmless: the later one reads topic and table after it has ended the
//! earlier one, so what is published is never older than what was published before.

use crate::config::ingest::SqlIngest;
use crate::fault::{Code, Fault};
use crate::id::TopicName;
use crate::ingest::difference::{Comparison, Counts, Verdict};
use crate::ingest::mapping::Row;
use crate::ingest::spool::Spool;
use crate::io::{Change, Outlet, PublishError};

/// The rows of a table, read anew each time.
pub trait Rows {
    /// Gives every row, in any order.
    ///
    /// # Errors
    /// What `visit` answers; `database_unreachable`, `database_failed`, and what is wrong with a row. Then nothing can be said
    /// about the rows that did not come.
    fn each(&mut self, visit: &mut dyn FnMut(Row) -> Result<(), Fault>) -> Result<(), Fault>;
}

/// Whether a run may delete a larger share than is configured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Deletes {
    /// Not more than `deletes_max`.
    #[default]
    Bounded,
    /// Everything that the table does not have.
    Allowed,
}

/// How far a run is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// So many records of the topic have been read.
    Topic(u64),
    /// So many rows of the table have been compared.
    Table(u64),
    /// So many changes of this many are on their way.
    Publish(u64, u64),
}

/// Told how far a run is, once for every [`PROGRESS_STEP`] records.
pub type Watch<'a> = &'a mut dyn FnMut(Progress);

/// How many records lie between two reports of progress.
pub const PROGRESS_STEP: u64 = 1_000;

/// A run between its beginning and its end.
pub struct Run {
    topic: TopicName,
    deletes_max: f64,
    comparison: Comparison,
    changed: Spool,
    compared: u64,
}

impl Run {
    /// Claims the name and learns what is published.
    ///
    /// # Errors
    /// What the outlet answers, `ingest_too_large`.
    pub fn begin(
        topic: &TopicName,
        ingest: &SqlIngest,
        outlet: &mut dyn Outlet,
        watch: Watch<'_>,
    ) -> Result<Self, Fault> {
        outlet.claim()?;
        Self::look(topic, ingest, outlet, watch)
    }

    /// Learns what is published without claiming the name: for a run that will publish nothing.
    ///
    /// # Errors
    /// What the outlet answers, `ingest_too_large`.
    pub fn look(
        topic: &TopicName,
        ingest: &SqlIngest,
        outlet: &mut dyn Outlet,
        watch: Watch<'_>,
    ) -> Result<Self, Fault> {
        let mut comparison = Comparison::new(ingest.rows_max);
        let mut read = 0;
        outlet.read(topic, &mut |record| {
            read += 1;
            if read % PROGRESS_STEP == 0 {
                watch(Progress::Topic(read));
            }
            comparison.publish(record)
        })?;
        let (topic, deletes_max) = (topic.clone(), ingest.deletes_max);
        Ok(Self { topic, deletes_max, comparison, changed: Spool::default(), compared: 0 })
    }

    /// Compares all rows of the table.
    ///
    /// # Errors
    /// What the rows answer, `ingest_key_twice`, `ingest_too_large`, `disk_full`.
    pub fn compare(&mut self, rows: &mut dyn Rows, watch: Watch<'_>) -> Result<(), Fault> {
        rows.each(&mut |row| {
            self.row(&row)?;
            if self.compared.is_multiple_of(PROGRESS_STEP) {
                watch(Progress::Table(self.compared));
            }
            Ok(())
        })
    }

    /// Compares one row.
    ///
    /// # Errors
    /// `ingest_key_twice`, `ingest_too_large`, `disk_full`.
    pub fn row(&mut self, row: &Row) -> Result<Verdict, Fault> {
        self.compared += 1;
        let verdict = self.comparison.row(row)?;
        if verdict != Verdict::Same {
            self.changed.push(row)?;
        }
        Ok(verdict)
    }

    /// What changed, after the last row.
    pub fn counts(&self) -> Counts {
        self.comparison.counts()
    }

    /// The keys that would be deleted, in no order.
    pub fn deleted(&self) -> impl Iterator<Item = &[u8]> {
        self.comparison.deleted()
    }

    /// Whether the run may delete what it would delete.
    ///
    /// # Errors
    /// `ingest_deletes`.
    pub fn check_deletes(&self, deletes: Deletes) -> Result<(), Fault> {
        let share = self.comparison.deleted_share();
        if deletes == Deletes::Allowed || share <= self.deletes_max {
            return Ok(());
        }
        let message = format!(
            "the run would delete {} of {} published keys of `{}`: {:.0} %, and `deletes_max` is {:.0} %",
            self.counts().deletes,
            self.comparison.published(),
            self.topic,
            share * 100.0,
            self.deletes_max * 100.0,
        );
        Err(Fault::new(Code::IngestDeletes, message))
    }

    /// Publishes what changed, or nothing of it.
    ///
    /// # Errors
    /// What became of the transaction. After [`PublishError::Unknown`] another run finds out and does the rest.
    pub fn publish(self, outlet: &mut dyn Outlet, watch: Watch<'_>) -> Result<Counts, PublishError> {
        let counts = self.counts();
        let rows = self.changed.rewind().map_err(PublishError::Aborted)?;
        let change = |key, value| Change { topic: self.topic.clone(), key, value };
        let changed = rows.map(|row| row.map(|row| change(row.key, Some(row.value))));
        let deleted = self.comparison.deleted().map(|key| Ok(change(key.to_vec(), None)));
        let mut sent = 0;
        let mut changes = changed.chain(deleted).inspect(|_| {
            sent += 1;
            if sent % PROGRESS_STEP == 0 {
                watch(Progress::Publish(sent, counts.changes()));
            }
        });
        outlet.publish(&mut changes)?;
        Ok(counts)
    }
}

#[cfg(test)]
mod tests;
