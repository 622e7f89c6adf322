//! Following the changes of a small broadcast table: every row that the change touches goes out again, and
//! no other.
//!
//! A plugin joins the rows of a large table with a small one, over an index: items with their classes. When
//! a class changes, a job walks over its items. What was last sent for an item need not be kept anywhere,
//! because it can be derived, and so an item whose join is the same as then is not sent again:
//!
//! - Each change gets an **epoch**, a number that grows. Kept of it are the class, its value before, and the
//!   position of the items at that time.
//! - Each walk keeps the **segments** of keys that it has passed, with the epoch of that time.
//! - An item was last joined at the newest of these epochs: the last one whose position is not beyond the
//!   item's offset, since the item came after that change; that of the newest segment that holds its key,
//!   over the walks of all its classes; and that of a repetition, if somebody had it sent again.
//! - The classes as of an epoch are those of now, with the later changes undone.
//!
//! Why it is so: an item's row does not change without a record, a record is joined when it is handled,
//! and a walk joins each item of its class that it passes, whether or not it sends it. These are all the
//! joins that there are; batches and steps do not run at the same time, and a step is committed with its
//! segment. An item that got the class after a walk had passed its key has a newer record.
//!
//! When no walk is left, all items are joined with the classes of now, and the history is dropped. That is
//! not so for the items of a walk that somebody has cancelled: its class becomes a **suspect**. What was last
//! sent for an item of a suspect is unknown unless the history tells, so it is sent; the next walk of the
//! class that comes to its end clears it. The history keeps a bounded number of changes; what lies before
//! the oldest one is unknown too.
//!
//! All of that lies in a store of the plugin, so that other instances and other hosts see it.

use crate::Context;
use crate::Failure;
use crate::IndexName;
use crate::Job;
use crate::JobKind;
use crate::Packed;
use crate::Record;
use crate::Reject;
use crate::Row;
use crate::Step;
use crate::Store;
use crate::Table;
use crate::follow::history::History;
use crate::follow::rows::Rows;
use crate::host::Keys;
use crate::job::job_name;
use crate::walk;
use crate::walk::Cursor;

mod history;
mod lookup;
mod rows;
mod segments;

pub use lookup::Lookup;
pub use lookup::Passing;

/// Changes that are kept. A row costs a look at each of them, and more come in one walk by accident only.
const CHANGES: usize = 64;
/// Repetitions that are kept while changes are.
const REPEATED: usize = 1024;
/// Rows that are looked at to find out whether the task has handled records before.
const LOOKED_AT: u32 = 1000;

/// What a [`Follow`] works with, as the manifest names it.
#[derive(Clone, Copy, Debug)]
pub struct Followed {
    /// The small table.
    pub changes: Table,
    /// The large table.
    pub rows: Table,
    /// The index of the large table whose terms are keys of the small one.
    pub index: IndexName<'static>,
    /// The kind of the jobs; one for each key of the small table, with its name.
    pub job: JobKind<'static>,
    /// A store for nothing else: `key = "tuple"`, `value = "bytes"`.
    pub store: Store<Packed, [u8]>,
}

/// Whether changes start walks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Mode {
    /// They do.
    #[default]
    Follow,
    /// They do not: only rows that come after a change are joined with it.
    Still,
}

/// A small table, parsed and kept in the plugin's memory, whose changes are followed by the rows of a large
/// one.
///
/// In force is the last record of a key that parses: one that does not is rejected and changes nothing, now
/// and after a restart. So the values are kept in the plugin's own store; the table shows what the topic
/// says.
///
/// ```ignore
/// // in Plugin::new
/// let classes = Follow::new(
///     Followed {
///         changes: tables::CLASSES,
///         rows: tables::ITEMS,
///         index: indexes::BY_CLASS,
///         job: jobs::FOLLOW_CLASS,
///         store: stores::FOLLOW,
///     },
///     Class::parse,
/// );
/// // in Plugin::record
/// sources::CLASSES => self.classes.apply(record, ctx),
/// sources::ITEMS => { let classes = self.classes.join(record, ctx); /* classes.get(b"bulky") */ }
/// // in Jobs::step
/// self.classes.step(job, ctx, |row, passing, ctx| {
///     let names = class_names(row.value);
///     if let Some(best) = passing.changed(&names, |classes| best_of(&names, classes)) {
///         ctx.send(sinks::ENRICHED).key(row.key).headers(row.headers).value(&enriched(row.value, best));
///     }
///     Ok(())
/// })
/// ```
pub struct Follow<T> {
    followed: Followed,
    parse: Parse<T>,
    mode: Mode,
    meaning: String,
    /// None until it is first needed. What it holds is in the store, too.
    state: Option<History<T>>,
}

/// Makes a value of a key and the bytes of a record, or says why it cannot.
type Parse<T> = fn(&[u8], &[u8]) -> Result<T, Reject>;

impl<T: PartialEq> Follow<T> {
    /// Follows the changes of a table; `parse` gets key and value. Values that are equal are no change.
    pub fn new(followed: Followed, parse: Parse<T>) -> Self {
        Self { followed, parse, mode: Mode::Follow, meaning: String::new(), state: None }
    }

    /// Sets whether changes start walks.
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Says what the join depends on beside the rows and values: settings, as a text. When it is another one
    /// than before, what rows were last joined with is unknown, and the next walk of each term sends all of
    /// its rows. It starts none: rows that need not wait are re-emitted by hand.
    #[must_use]
    pub fn meaning(mut self, meaning: impl Into<String>) -> Self {
        self.meaning = meaning.into();
        self
    }

    /// Takes over a record of the small table, and starts a walk if it changes something.
    ///
    /// # Errors
    /// `no-key` if the record has no key, else what `parse` says: hand it on to reject the record.
    pub fn apply(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Reject> {
        let term = record.key.ok_or_else(|| Reject::new("no-key", "a record of a table needs a key"))?;
        let new = record.value.map(|value| (self.parse)(term, value)).transpose()?;
        let (followed, mode) = (self.followed, self.mode);
        let history = self.loaded(ctx);
        let rows = Rows(followed.store);
        let changed = history.values.get(term) != new.as_ref();
        if !changed && !history.suspects.contains(term) {
            return Ok(());
        }
        let before = if changed { rows.value(term, ctx) } else { None };
        let old = history.set(term, new);
        if changed {
            rows.put_value(term, record.value, ctx);
        }
        if mode == Mode::Still {
            if changed {
                abandon(history, followed, None, ctx);
                rows.suspect(history, term, ctx);
            }
            return Ok(());
        }
        // Without rows there is nothing that could be out of date: the first records of a new task.
        if ctx.table(followed.rows).scan(None, 1).rows().next().is_none() {
            return Ok(());
        }
        tidy(history, followed, ctx);
        if changed {
            let position = ctx.host().position_of(followed.rows);
            history.change(term, position, old);
            rows.put_change(history, before.as_deref(), ctx);
            if history.changes.len() > CHANGES {
                rows.cut(history, ctx);
            }
        }
        history.walks.entry(term.to_vec()).or_default().done = false;
        rows.put_walk(history, term, ctx);
        ctx.start(followed.job, &job_name(term), term);
        Ok(())
    }

    /// The values to join a record of the large table with. Ask for every record, also for one that the
    /// host gives again.
    pub fn join(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Lookup<'_, T> {
        let followed = self.followed;
        let history = self.loaded(ctx);
        if let Some(key) = record.key
            && history.is_live()
            && record.offset < ctx.host().position_of(followed.rows)
        {
            repeat(history, followed, key, ctx);
        }
        history.now()
    }

    /// The values to join a row of the large table with that is sent again for a reason of the plugin's own:
    /// somebody has asked for it, say.
    pub fn join_again(&mut self, key: &[u8], ctx: &mut Context<'_>) -> Lookup<'_, T> {
        let followed = self.followed;
        let history = self.loaded(ctx);
        if history.is_live() {
            repeat(history, followed, key, ctx);
        }
        history.now()
    }

    /// One step of a walk: gives rows to `each`, with what tells whether their join has changed.
    ///
    /// # Errors
    /// Those of `each`.
    pub fn step(
        &mut self,
        job: &Job<'_>,
        ctx: &mut Context<'_>,
        mut each: impl FnMut(&Row<'_>, &Passing<'_, T>, &mut Context<'_>) -> Result<(), Failure>,
    ) -> Result<Step, Failure> {
        let (followed, mode) = (self.followed, self.mode);
        let history = self.loaded(ctx);
        if mode == Mode::Still {
            abandon(history, followed, Some(job.name), ctx);
            return Ok(Step::done(0));
        }
        // An operator can start a walk too, by the name alone.
        let term = if job.payload.is_empty() { job.name.as_bytes() } else { job.payload };
        let known = history.walks.get(term).and_then(|walk| walk.at.clone());
        let mut cursor = Cursor::of(job, known.as_deref());
        let over = walk::Over { table: followed.rows, index: followed.index, term };
        let advance =
            cursor.advance(&over, job.budget, ctx, |row, ctx| each(row, &Passing::new(row, history), ctx))?;
        let at = if advance.finished { None } else { cursor.at.clone() };
        history.pass(term, &advance, at);
        let rows = Rows(followed.store);
        rows.put_walk(history, term, ctx);
        if advance.finished {
            rows.clear(history, term, ctx);
            tidy(history, followed, ctx);
        }
        Ok(advance.step(&cursor))
    }

    fn loaded(&mut self, ctx: &mut Context<'_>) -> &mut History<T> {
        let (followed, parse, meaning) = (self.followed, self.parse, &self.meaning);
        self.state.get_or_insert_with(|| {
            let rows = Rows(followed.store);
            let mut history =
                rows.load(parse, ctx).unwrap_or_else(|| seed(followed, parse, meaning.as_bytes(), ctx));
            if history.meaning != meaning.as_bytes() {
                history.meaning = meaning.as_bytes().to_vec();
                doubt(&mut history, rows, ctx);
            }
            history
        })
    }
}

/// The history of a task that has none: in force is what the table says.
fn seed<T: PartialEq>(
    followed: Followed,
    parse: Parse<T>,
    meaning: &[u8],
    ctx: &mut Context<'_>,
) -> History<T> {
    let rows = Rows(followed.store);
    let mut history = History { meaning: meaning.to_vec(), ..History::default() };
    let mut values = Vec::new();
    ctx.table(followed.changes).each(|row| {
        if let Ok(value) = parse(row.key, row.value) {
            values.push((row.key.to_vec(), row.value.to_vec()));
            history.set(row.key, Some(value));
        }
    });
    // An older version of the plugin may have joined rows with values that nobody knows.
    let position = ctx.host().position_of(followed.rows);
    let page = ctx.host().page(followed.rows.name(), Keys::ALL, None, LOOKED_AT);
    let is_new = page.rows.iter().all(|row| row.offset >= position);
    for (term, value) in values {
        rows.put_value(&term, Some(&value), ctx);
    }
    rows.put_state(&history, ctx);
    if !is_new {
        doubt(&mut history, rows, ctx);
    }
    history
}

/// Forgets what rows were last joined with. Walks that are under way go on.
fn doubt<T: PartialEq>(history: &mut History<T>, rows: Rows, ctx: &mut Context<'_>) {
    let terms: Vec<Vec<u8>> = history.values.keys().map(<[u8]>::to_vec).collect();
    for term in terms {
        rows.suspect(history, &term, ctx);
    }
    for walk in history.walks.values_mut() {
        walk.segments.0.clear();
    }
    let walks: Vec<Vec<u8>> = history.walks.keys().cloned().collect();
    for term in walks {
        rows.put_walk(history, &term, ctx);
    }
    if history.is_live() {
        history.epoch += 1;
        rows.forget(history, ctx);
    } else {
        rows.put_state(history, ctx);
    }
}

/// Drops the history when no walk is left.
fn tidy<T: PartialEq>(history: &mut History<T>, followed: Followed, ctx: &mut Context<'_>) {
    let mut walks = history.walks.iter().filter(|(_, walk)| !walk.done);
    // One that is not done and not under way was cancelled, or has failed.
    if !walks.any(|(term, _)| ctx.is_under_way(followed.job, &job_name(term))) {
        Rows(followed.store).drop_history(history, ctx);
    }
}

/// Ends all walks; the one whose step this is ends by itself.
fn abandon<T: PartialEq>(
    history: &mut History<T>,
    followed: Followed,
    own: Option<&str>,
    ctx: &mut Context<'_>,
) {
    for (term, walk) in &history.walks {
        let name = job_name(term);
        if !walk.done && own != Some(name.as_str()) {
            ctx.cancel(followed.job, &name);
        }
    }
    Rows(followed.store).drop_history(history, ctx);
}

/// Notes that a row is joined now, although it has not changed.
fn repeat<T: PartialEq>(history: &mut History<T>, followed: Followed, key: &[u8], ctx: &mut Context<'_>) {
    let rows = Rows(followed.store);
    history.repeated.insert(key.to_vec(), history.epoch);
    if history.repeated.len() > REPEATED {
        rows.forget(history, ctx);
    } else {
        rows.put_repeated(history, key, ctx);
    }
}
