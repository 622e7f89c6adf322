//! Walking over the rows of an index term, in steps.
//!
//! A walk goes over the keys in their order. One that took over from another begins where that one stood,
//! goes on to the end, and from the beginning to where it began: so a walk that is superseded again and
//! again still comes round.

use crate::Context;
use crate::Failure;
use crate::IndexName;
use crate::Job;
use crate::Row;
use crate::Step;
use crate::Table;
use crate::host::Keys;
use crate::table::Page;
use crate::wire::Reader;
use crate::wire::Writer;

/// Rows that are asked for at once, at most.
const PAGE_ROWS: usize = 1000;
/// A step looks at so many times its budget of rows, when most of them give no output.
const ROWS_AN_OUTPUT: usize = 2;
/// Index entries that a step counts. No row is read for them.
const COUNTED_A_STEP: u32 = 4_000;

/// What is walked over.
pub(crate) struct Over<'a> {
    pub(crate) table: Table,
    pub(crate) index: IndexName<'a>,
    pub(crate) term: &'a [u8],
}

/// How far a walk has come.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Cursor {
    /// The last key that was passed; none before the first one.
    pub(crate) at: Option<Vec<u8>>,
    /// The last key of the way after the wrap; none when the walk began at the first key.
    stop: Option<Vec<u8>>,
    wrapped: bool,
    counted: u64,
    counting: Counting,
}

/// How far the rows of the whole walk are counted.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Counting {
    Behind(Option<Vec<u8>>),
    Done,
}

impl Default for Counting {
    fn default() -> Self {
        Self::Behind(None)
    }
}

/// Keys that a step has passed: `from < key <= to`. None is before the first or behind the last key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Stretch {
    pub(crate) from: Option<Vec<u8>>,
    pub(crate) to: Option<Vec<u8>>,
}

/// What a step came to.
#[derive(Debug, Default)]
pub(crate) struct Advance {
    pub(crate) visited: u64,
    pub(crate) passed: Vec<Stretch>,
    pub(crate) finished: bool,
}

impl Advance {
    /// The answer to the host.
    pub(crate) fn step(&self, cursor: &Cursor) -> Step {
        let next = (!self.finished).then(|| cursor.write());
        Step { cursor: next, visited: self.visited, total: cursor.total() }
    }
}

impl Cursor {
    /// Where a job stands. In its first step that is where the job stood that it superseded, or at the key
    /// that the caller knows better.
    pub(crate) fn of(job: &Job<'_>, known: Option<&[u8]>) -> Self {
        // A cursor of another form is that of another version: the walk begins again.
        if let Some(cursor) = job.cursor {
            return Self::read(cursor).unwrap_or_default();
        }
        let superseded = job.superseded_cursor.and_then(Self::read).and_then(|cursor| cursor.at);
        let at = superseded.or_else(|| known.map(<[u8]>::to_vec));
        Self { stop: at.clone(), at, ..Self::default() }
    }

    /// Goes on until the budget of outputs is used up.
    pub(crate) fn advance(
        &mut self,
        over: &Over<'_>,
        budget: u32,
        ctx: &mut Context<'_>,
        mut each: impl FnMut(&Row<'_>, &mut Context<'_>) -> Result<(), Failure>,
    ) -> Result<Advance, Failure> {
        let budget = (budget as usize).max(1);
        let most = budget.saturating_mul(ROWS_AN_OUTPUT);
        let sent_before = ctx.sent();
        let mut advance = Advance::default();
        let mut seen = 0;
        while !advance.finished && seen < most {
            let sent = ctx.sent().saturating_sub(sent_before);
            let limit = budget.saturating_sub(sent).min(most - seen).min(PAGE_ROWS);
            if limit == 0 {
                break;
            }
            let keys = Keys::Term { index: over.index.name(), term: over.term };
            let limit = crate::arena::number(limit);
            let page = Page(ctx.host().page(over.table.name(), keys, self.at.as_deref(), limit));
            // A page without rows costs something too.
            seen += 1.max(page.0.rows.len());
            advance.visited += self.visit(&page, |row| each(row, ctx))?;
            advance.finished = self.pass(page, &mut advance.passed);
        }
        self.count(over, ctx);
        Ok(advance)
    }

    /// Visits the rows of a page, up to where the walk ends.
    fn visit(
        &self,
        page: &Page,
        mut each: impl FnMut(&Row<'_>) -> Result<(), Failure>,
    ) -> Result<u64, Failure> {
        let mut visited = 0;
        for row in page.rows() {
            if self.ends_before(row.key) {
                break;
            }
            each(&row)?;
            visited += 1;
        }
        Ok(visited)
    }

    fn ends_before(&self, key: &[u8]) -> bool {
        self.wrapped && self.stop.as_deref().is_some_and(|stop| key > stop)
    }

    /// Moves behind a page. True when that was the last one.
    fn pass(&mut self, page: Page, passed: &mut Vec<Stretch>) -> bool {
        let from = self.at.take();
        let beyond = page.0.next.as_deref().is_some_and(|next| self.ends_before(next));
        let (to, finished) = match page.0.next {
            Some(next) if !beyond => (Some(next), false),
            _ if self.wrapped => (self.stop.clone(), true),
            _ => (None, self.stop.is_none()),
        };
        self.wrapped |= to.is_none();
        self.at.clone_from(&to);
        passed.push(Stretch { from, to });
        finished
    }

    fn count(&mut self, over: &Over<'_>, ctx: &mut Context<'_>) {
        let Counting::Behind(after) = &self.counting else { return };
        let index = (over.index.name(), over.term);
        let (count, next) = ctx.host().count(over.table.name(), index, after.as_deref(), COUNTED_A_STEP);
        self.counted += count;
        self.counting = next.map_or(Counting::Done, |next| Counting::Behind(Some(next)));
    }

    /// The rows of the whole walk, when they are counted.
    fn total(&self) -> Option<u64> {
        (self.counting == Counting::Done).then_some(self.counted)
    }

    fn write(&self) -> Vec<u8> {
        let writer = Writer::new()
            .option(self.at.as_deref())
            .option(self.stop.as_deref())
            .flag(self.wrapped)
            .number(self.counted);
        match &self.counting {
            Counting::Behind(after) => writer.flag(false).option(after.as_deref()).done(),
            Counting::Done => writer.flag(true).done(),
        }
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes)?;
        let at = reader.option()?.map(<[u8]>::to_vec);
        let stop = reader.option()?.map(<[u8]>::to_vec);
        let (wrapped, counted) = (reader.flag()?, reader.number()?);
        let counting = match reader.flag()? {
            true => Counting::Done,
            false => Counting::Behind(reader.option()?.map(<[u8]>::to_vec)),
        };
        reader.is_empty().then_some(Self { at, stop, wrapped, counted, counting })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_cursors_that_it_writes() {
        let key = |text: &str| Some(text.as_bytes().to_vec());
        for cursor in [
            Cursor::default(),
            Cursor { at: key("b"), stop: key(""), wrapped: true, counted: 7, counting: Counting::Done },
            Cursor { counting: Counting::Behind(key("x")), counted: 1, ..Cursor::default() },
        ] {
            let written = cursor.write();
            assert_eq!(Cursor::read(&written), Some(cursor));
            assert!((0..written.len()).all(|length| Cursor::read(&written[..length]).is_none()));
        }
    }
}
