//! Carries a table over: pages into transactions until the table has ended, then the verification.
//!
//! ```text
//!             none ──────> copying ──────────────> copied ──────────────> done
//!   the topic is empty        │ each page:            the topic is read      nothing to do
//!                             │ its records and the   whole and compared
//!                             │ progress, together
//!
//! aborted or unknown: claim the name, read the progress, go on from what it says
//! ```
//! Nothing is remembered but the progress, so that a crash at any moment and an unknown outcome are the same thing.

use std::collections::HashSet;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::ingest::{DynamodbIngest, Ingest};
use crate::fault::{Code, Fault, Retry};
use crate::ingest::dynamodb::item::ItemMapping;
use crate::ingest::dynamodb::pace::Pace;
use crate::ingest::dynamodb::pages::{Page, PageError, Pages};
use crate::ingest::dynamodb::progress::{self, Progress, Stage};
use crate::ingest::dynamodb::verify::{KeyDigest, key_digest, verify};
use crate::ingest::mapping::Row;
use crate::io::{Change, Outlet, PublishError};

/// How long the table or the cluster may fail in a row. Throttling is no failure: it may last as long as it likes.
const PATIENCE: Duration = Duration::from_secs(300);

/// What a carry-over tells whoever watches it.
#[derive(Clone, PartialEq, Debug)]
pub enum Moment {
    /// It begins, or goes on with a table that is about this large.
    Begun {
        /// Items that are in the topic already.
        items: u64,
        /// Items of the table, about.
        expected: u64,
    },
    /// A page is committed; these are the sums.
    Page {
        /// Items in the topic.
        items: u64,
        /// Bytes in the topic.
        bytes: u64,
    },
    /// It waits, and why.
    Waiting {
        /// For how long.
        pause: Duration,
        /// What failed.
        reason: String,
    },
    /// The topic is read; so many records of it so far.
    Verifying(u64),
}

/// Told what happens.
pub type Watch<'a> = &'a mut dyn FnMut(&Moment);

/// Whether there was anything to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It was carried over and verified.
    Done,
    /// It had been before.
    DoneBefore,
}

/// What was carried over.
#[derive(Clone, PartialEq, Debug)]
pub struct Report {
    /// Whether there was anything to do.
    pub outcome: Outcome,
    /// Items that were in the topic already when this run began.
    pub resumed: u64,
    /// What is in the topic.
    pub progress: Progress,
}

/// A carry-over with everything that it needs.
pub struct CarryOver<'a> {
    ingest: &'a Ingest,
    table: &'a DynamodbIngest,
    pages: &'a mut dyn Pages,
    outlet: &'a mut dyn Outlet,
    pace: Pace,
    watch: Watch<'a>,
    resumed: Option<u64>,
}

/// Why a try has ended before the end.
enum Stop {
    /// The progress has to be read again.
    Again(Fault),
    /// It cannot go on.
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        match fault.code().retry() {
            Retry::Backoff => Self::Again(fault),
            Retry::Never => Self::Fault(fault),
        }
    }
}

impl From<PublishError> for Stop {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Aborted(fault) => fault.into(),
            PublishError::Unknown(fault) => Self::Again(fault),
            // Claiming the name again would end the later run in turn.
            PublishError::Superseded(fault) => Self::Fault(fault),
        }
    }
}

/// Where a try has come to.
struct Carried {
    progress: Progress,
    mapping: ItemMapping,
    /// The keys in the topic, when items can have the same one.
    keys: Option<HashSet<KeyDigest>>,
}

impl<'a> CarryOver<'a> {
    /// A carry-over that has not begun.
    pub fn new(
        ingest: &'a Ingest,
        table: &'a DynamodbIngest,
        pages: &'a mut dyn Pages,
        outlet: &'a mut dyn Outlet,
        clock: Clock,
        watch: Watch<'a>,
    ) -> Self {
        let pace = Pace::new(clock, table.per_second);
        Self { ingest, table, pages, outlet, pace, watch, resumed: None }
    }

    /// Carries the table over, from wherever an earlier run has come to.
    ///
    /// # Errors
    /// `topic_not_empty`, `carry_over_changed`, `carry_over_mismatch`; what is wrong with an item; what the table and the
    /// cluster answer, once they have failed for five minutes. What is committed stays; another run goes on from there.
    pub fn run(mut self) -> Result<Report, Fault> {
        loop {
            match self.attempt() {
                Ok(report) => return Ok(report),
                Err(Stop::Fault(fault)) => return Err(fault),
                Err(Stop::Again(fault)) => self.pause(fault)?,
            }
        }
    }

    /// Goes on from the progress to the end, unless something comes in between.
    fn attempt(&mut self) -> Result<Report, Stop> {
        self.outlet.claim()?;
        let source = progress::source(self.table);
        let progress = match self.read_progress()? {
            Some(progress) if progress.source == source => progress,
            Some(_) => return Err(self.changed("it was begun with another table, key or value").into()),
            None => self.first_progress(source)?,
        };
        let outcome = match (progress.stage, self.resumed) {
            (Stage::Done, None) => Outcome::DoneBefore,
            _ => Outcome::Done,
        };
        let resumed = *self.resumed.get_or_insert(progress.items);
        let progress = match progress.stage {
            Stage::Copying => self.copy(progress)?,
            Stage::Copied | Stage::Done => progress,
        };
        let progress = match progress.stage {
            Stage::Copying | Stage::Copied => self.confirm(progress)?,
            Stage::Done => progress,
        };
        Ok(Report { outcome, resumed, progress })
    }

    /// What the latest record says.
    fn read_progress(&mut self) -> Result<Option<Progress>, Fault> {
        let name = self.ingest.name.as_str().as_bytes();
        let mut latest = None;
        self.outlet.read(&self.ingest.progress_topic(), &mut |record| {
            if record.key == Some(name) {
                latest = record.value.map(<[u8]>::to_vec);
            }
            Ok(())
        })?;
        let Some(value) = latest else { return Ok(None) };
        match Progress::decode(&value) {
            Some(progress) => Ok(Some(progress)),
            None => Err(self.changed("its progress was not written by this version of the host")),
        }
    }

    fn changed(&self, cause: &str) -> Fault {
        let message = format!("the carry-over `{}` cannot be gone on with", self.ingest.name);
        let hint = format!(
            "set `table`, `key` and `value` back; or begin anew: delete the topics `{}` and `{}`, and make the first one again",
            self.ingest.topic,
            self.ingest.progress_topic(),
        );
        Fault::new(Code::CarryOverChanged, message).because(cause.to_owned()).hint(hint)
    }

    /// What has not begun begins with an empty topic: what is in it could not be told from what was carried over.
    fn first_progress(&mut self, source: String) -> Result<Progress, Fault> {
        let topic = &self.ingest.topic;
        self.outlet.read(topic, &mut |_| {
            let message = format!("topic `{topic}` is not empty, and no carry-over has begun to fill it");
            Err(Fault::new(Code::TopicNotEmpty, message))
        })?;
        let absent = self.table.members.iter().flatten().map(|member| member.field.clone()).collect();
        Ok(Progress { source, absent, ..Progress::default() })
    }

    /// Copies the pages that are left.
    fn copy(&mut self, progress: Progress) -> Result<Progress, Stop> {
        let facts = self.patiently(|pages| pages.table())?;
        let mapping = ItemMapping::new(self.table, facts.key);
        let keys = mapping.can_repeat().then(|| self.keys()).transpose()?;
        (self.watch)(&Moment::Begun { items: progress.items, expected: facts.items.max(progress.items) });
        let mut carried = Carried { progress, mapping, keys };
        while carried.progress.stage == Stage::Copying {
            self.pace.await_page();
            let after = carried.progress.cursor.clone();
            let page = self.patiently(|pages| pages.page(after.as_ref()))?;
            self.pace.page(page.items.len());
            let rows = self.rows(&mut carried, page)?;
            self.publish(rows, &carried.progress)?;
            self.pace.succeeded();
            let Progress { items, bytes, .. } = carried.progress;
            (self.watch)(&Moment::Page { items, bytes });
        }
        Ok(carried.progress)
    }

    /// The keys that the topic has.
    fn keys(&mut self) -> Result<HashSet<KeyDigest>, Fault> {
        let mut keys = HashSet::new();
        self.outlet.read(&self.ingest.topic, &mut |record| {
            keys.extend(record.key.map(key_digest));
            Ok(())
        })?;
        Ok(keys)
    }

    /// The records of a page; the progress is then that behind the page.
    fn rows(&self, carried: &mut Carried, page: Page) -> Result<Vec<Row>, Fault> {
        let mut rows = Vec::with_capacity(page.items.len());
        let progress = &mut carried.progress;
        for item in &page.items {
            let row = carried.mapping.record(item)?;
            if carried.keys.as_mut().is_some_and(|keys| !keys.insert(key_digest(&row.key))) {
                return Err(self.twice(&row, &carried.mapping.name(item)));
            }
            progress.add(&row);
            progress.absent.retain(|name| !item.contains_key(name));
            rows.push(row);
        }
        progress.pages += 1;
        progress.read_units += page.read_units;
        progress.cursor = page.next;
        if progress.cursor.is_none() {
            progress.stage = Stage::Copied;
        }
        Ok(rows)
    }

    fn twice(&self, row: &Row, item: &str) -> Fault {
        let (key, table) = (String::from_utf8_lossy(&row.key), &self.table.table);
        let message =
            format!("two items of table `{table}` have the key `{key}`, and `{item}` is the later one");
        let cause = format!("`{}` alone does not tell the items of the table apart", self.table.key);
        let hint = "name in `key` an attribute that no two items share, or remove one of the two; then run the command again";
        Fault::new(Code::IngestKeyTwice, message).because(cause).hint(hint)
    }

    /// Records and progress share one fate.
    fn publish(&mut self, rows: Vec<Row>, progress: &Progress) -> Result<(), PublishError> {
        let row =
            |row: Row| Change { topic: self.ingest.topic.clone(), key: row.key, value: Some(row.value) };
        let progress = Change {
            topic: self.ingest.progress_topic(),
            key: self.ingest.name.as_str().as_bytes().to_vec(),
            value: Some(progress.encode()),
        };
        self.outlet.publish(&mut rows.into_iter().map(row).chain([progress]).map(Ok))
    }

    /// Verifies, and says so in the progress.
    fn confirm(&mut self, mut progress: Progress) -> Result<Progress, Stop> {
        let watch = &mut *self.watch;
        verify(&self.ingest.topic, &progress, self.outlet, &mut |read| watch(&Moment::Verifying(read)))?;
        progress.stage = Stage::Done;
        self.publish(Vec::new(), &progress)?;
        Ok(progress)
    }

    /// Asks the table until it answers.
    fn patiently<T>(
        &mut self,
        mut ask: impl FnMut(&mut dyn Pages) -> Result<T, PageError>,
    ) -> Result<T, Stop> {
        loop {
            match ask(self.pages) {
                Ok(answer) => return Ok(answer),
                Err(PageError::Failed(fault)) => return Err(Stop::Fault(fault)),
                Err(PageError::Throttled(fault)) => {
                    let pause = self.pace.throttled();
                    self.wait(pause, &fault);
                }
                Err(PageError::Unavailable(fault)) => self.pause(fault).map_err(Stop::Fault)?,
            }
        }
    }

    /// Waits before the next try, or gives the fault back when the patience has ended.
    fn pause(&mut self, fault: Fault) -> Result<(), Fault> {
        let (pause, failing) = self.pace.failed();
        if failing >= PATIENCE {
            return Err(fault);
        }
        self.wait(pause, &fault);
        Ok(())
    }

    fn wait(&mut self, pause: Duration, fault: &Fault) {
        (self.watch)(&Moment::Waiting { pause, reason: fault.line() });
        self.pace.sleep(pause);
    }
}

#[cfg(test)]
mod tests;
