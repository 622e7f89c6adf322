//! A small table, parsed and kept in the plugin's memory.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::hash::Hasher;

use crate::Context;
use crate::Record;
use crate::Reject;
use crate::Table;

/// A mirror of a broadcast table: each value parsed once, looked up without crossing to the host.
///
/// It fills itself from the host's table when it is first asked, so a new instance after a restart sees
/// what the old one saw. Records of the source must be given to [`Mirror::apply`], which keeps it in step.
/// Rows that do not parse are not in it. When rows that were sent before must hear of changes, take a
/// [`Follow`](crate::Follow).
///
/// ```
/// # use gristmill::{Context, Mirror, Record, Reject, Table};
/// # const CLASSES: Table = Table::new("classes");
/// let mut classes = Mirror::new(CLASSES, |_key, value| {
///     std::str::from_utf8(value).map(str::len).map_err(|_| Reject::new("not-text", "the class is no text"))
/// });
/// # fn use_it(classes: &mut Mirror<usize>, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Reject> {
/// // A record of the source `classes`:
/// classes.apply(record)?;
/// // A record of another source:
/// let class = classes.get(ctx, b"bulky");
/// # Ok(()) }
/// ```
pub struct Mirror<T> {
    table: Table,
    parse: Parse<T>,
    /// None until the first look-up.
    rows: Option<Rows<T>>,
}

/// The rows of a [`Mirror`].
pub struct Rows<T>(HashMap<Box<[u8]>, T, BuildHasherDefault<Fnv>>);

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self(HashMap::default())
    }
}

impl<T> Rows<T> {
    pub(crate) fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.0.keys().map(AsRef::as_ref)
    }

    /// Sets or removes the row of a key, and gives the old one.
    pub(crate) fn set(&mut self, key: &[u8], row: Option<T>) -> Option<T> {
        match row {
            Some(row) => self.0.insert(key.into(), row),
            None => self.0.remove(key),
        }
    }

    /// The row of a key, if there is one and it parses.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&T> {
        self.0.get(key)
    }
}

/// Makes a row of a key and a value, or says why it cannot.
type Parse<T> = fn(&[u8], &[u8]) -> Result<T, Reject>;

impl<T> Mirror<T> {
    /// An empty mirror of a table; `parse` gets key and value.
    pub fn new(table: Table, parse: Parse<T>) -> Self {
        Self { table, parse, rows: None }
    }

    /// The row of a key, if there is one and it parses.
    pub fn get(&mut self, ctx: &mut Context<'_>, key: &[u8]) -> Option<&T> {
        self.rows(ctx).get(key)
    }

    /// The rows, for more than one look-up.
    pub fn rows(&mut self, ctx: &mut Context<'_>) -> &Rows<T> {
        let (table, parse) = (self.table, self.parse);
        self.rows.get_or_insert_with(|| {
            let mut rows = HashMap::default();
            ctx.table(table).each(|row| {
                if let Ok(parsed) = parse(row.key, row.value) {
                    rows.insert(row.key.into(), parsed);
                }
            });
            Rows(rows)
        })
    }

    /// Takes over a record of the table's source. A record that does not parse removes the row, and so
    /// does a tombstone: the table itself holds what the topic says, and the row is of no use.
    ///
    /// # Errors
    /// `no-key` if the record has no key, else what `parse` says: hand it on to reject the record.
    pub fn apply(&mut self, record: &Record<'_>) -> Result<(), Reject> {
        let key = record.key.ok_or_else(|| Reject::new("no-key", "a record of a table needs a key"))?;
        let parsed = record.value.map(|value| (self.parse)(key, value)).transpose();
        // Before the first look-up there is nothing to keep in step: the table has the record already.
        let Some(Rows(rows)) = &mut self.rows else { return parsed.map(drop) };
        match parsed {
            Ok(Some(row)) => drop(rows.insert(key.into(), row)),
            Ok(None) => drop(rows.remove(key)),
            Err(reject) => {
                rows.remove(key);
                return Err(reject);
            }
        }
        Ok(())
    }
}

/// FNV-1a: fast for short keys. Who could craft collisions could as well fill the table.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
