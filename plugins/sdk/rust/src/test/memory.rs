//! The host of the test driver: tables, stores and timers in memory.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::rc::Rc;

use crate::Clock;
use crate::Level;
use crate::Source;
use crate::Table;
use crate::Timestamp;
use crate::arena;
use crate::bindings::gristmill::transform::jobs::Job;
use crate::bindings::gristmill::transform::state::Page;
use crate::bindings::gristmill::transform::state::Row;
use crate::bindings::gristmill::transform::types;
use crate::host::Host;
use crate::host::Keys;
use crate::test::Input;
use crate::test::manifest::Manifest;
use crate::test::state::State;
use crate::test::stop;

/// Rows of a page: few, so that tests with small tables turn pages too.
const PAGE_ROWS: usize = 3;

/// The terms of a row: of an index, key and value.
pub(super) type TermsOf = Rc<dyn Fn(&str, &[u8], &[u8]) -> BTreeSet<Vec<u8>>>;

/// Tables, stores, jobs, clocks and the log.
#[derive(Clone)]
pub(super) struct Memory {
    manifest: Rc<Manifest>,
    pub(super) terms: TermsOf,
    /// Whether the plugin lists a handler of timers.
    takes_timers: bool,
    tables: BTreeMap<String, BTreeMap<Vec<u8>, Input>>,
    pub(super) state: State,
    /// The next offset of every source.
    positions: Vec<i64>,
    /// The next offset of each partition of the broadcast sources, by the source's position.
    applied: BTreeMap<(usize, u32), i64>,
    pub(super) now: Timestamp,
    pub(super) stream_time: Timestamp,
    pub(super) lines: Vec<(Level, String)>,
}

impl Memory {
    pub(super) fn new(manifest: Rc<Manifest>, terms: TermsOf, takes_timers: bool) -> Self {
        let [now, stream_time] = [Timestamp::from_millis(0), Timestamp::from_millis(-1)];
        let positions = vec![0; manifest.sources.len()];
        Self {
            manifest,
            terms,
            takes_timers,
            tables: BTreeMap::new(),
            state: State::default(),
            positions,
            applied: BTreeMap::new(),
            now,
            stream_time,
            lines: Vec::new(),
        }
    }

    /// Makes a row of a record.
    pub(super) fn apply(&mut self, table: &str, record: &Input) {
        let rows = self.tables.entry(table.to_owned()).or_default();
        match (&record.key, &record.value) {
            (Some(key), Some(_)) => drop(rows.insert(key.clone(), record.clone())),
            (Some(key), None) => drop(rows.remove(key)),
            // A record without a key is no row.
            (None, _) => {}
        }
    }

    pub(super) fn record(&self, table: &str, key: &[u8]) -> Option<&Input> {
        self.tables.get(table)?.get(key)
    }

    pub(super) fn value(&self, table: &str, key: &[u8]) -> Option<&[u8]> {
        self.record(table, key)?.value.as_deref()
    }

    /// The next offset of the source at a position of the manifest.
    pub(super) fn next(&mut self, source: usize) -> Option<&mut i64> {
        self.positions.get_mut(source)
    }

    /// Moves a partition of a broadcast source on behind a record; other sources have none of these positions.
    pub(super) fn advance(&mut self, source: usize, record: &Input) {
        if self.manifest.sources.get(source).is_some_and(|source| source.broadcast) {
            let applied = self.applied.entry((source, record.partition)).or_default();
            *applied = (record.offset + 1).max(*applied);
        }
    }

    fn has_store(&self, name: &str) -> bool {
        self.manifest.stores.iter().any(|store| store == name)
    }

    fn store(&mut self, name: &str) -> &mut BTreeMap<Vec<u8>, Vec<u8>> {
        if !self.has_store(name) {
            stop(&format!("the plugin writes to `{name}`, which is no store of the manifest"));
        }
        self.state.stores.entry(name.to_owned()).or_default()
    }

    /// The rows of a store or table behind a key, as records.
    fn behind(&self, name: &str, after: Option<&[u8]>) -> Vec<(Vec<u8>, Input)> {
        let first = after.map_or(Bound::Unbounded, Bound::Excluded);
        let range = (first, Bound::Unbounded);
        if self.has_store(name) {
            let row = |(key, value): (&Vec<u8>, &Vec<u8>)| (key.clone(), Input::row(key, value));
            return self
                .state
                .stores
                .get(name)
                .map_or(Vec::new(), |rows| rows.range::<[u8], _>(range).map(row).collect());
        }
        if !self.manifest.sources.iter().any(|source| source.kept && source.name == name) {
            stop(&format!("the plugin reads `{name}`, which is no store or table of the manifest"));
        }
        let row = |(key, record): (&Vec<u8>, &Input)| (key.clone(), record.clone());
        self.tables.get(name).map_or(Vec::new(), |rows| rows.range::<[u8], _>(range).map(row).collect())
    }

    fn has_term(&self, store: &str, index: (&str, &[u8]), key: &[u8], record: &Input) -> bool {
        if !self.manifest.indexes.iter().any(|(name, on)| name == index.0 && on == store) {
            stop(&format!("the manifest has no index `{}` on `{store}`", index.0));
        }
        (self.terms)(index.0, key, record.value.as_deref().unwrap_or_default()).contains(index.1)
    }

    fn source(&self, name: &str) -> i64 {
        let position = self.manifest.sources.iter().position(|source| source.name == name);
        let next = position.and_then(|position| self.positions.get(position));
        next.copied().unwrap_or_else(|| stop(&format!("the manifest has no source `{name}`")))
    }

    /// What an endpoint may be called with.
    pub(super) fn methods(&self, endpoint: &str) -> Option<&[String]> {
        let own = self.manifest.endpoints.iter().find(|(name, _)| name == endpoint);
        own.map(|(_, methods)| methods.as_slice())
    }

    fn check_timers(&self) {
        if !self.takes_timers {
            stop(
                "the plugin uses timers, and does not list `Timers` among its handlers: a host refuses them",
            );
        }
    }

    fn check_job(&self, kind: &str) {
        if !self.manifest.jobs.iter().any(|job| job == kind) {
            stop(&format!("the manifest has no job `{kind}`"));
        }
    }
}

/// Appends a row to a page.
fn push(page: &mut Page, key: &[u8], record: &Input) {
    page.rows.push(Row {
        key: arena::push(&mut page.bytes, key),
        value: arena::push(&mut page.bytes, record.value.as_deref().unwrap_or_default()),
        headers: headers(record, &mut page.headers, &mut page.bytes),
        timestamp: record.timestamp.millis(),
        offset: record.offset,
    });
}

/// Appends the headers of a record.
pub(super) fn headers(record: &Input, list: &mut Vec<types::Header>, bytes: &mut Vec<u8>) -> types::Range {
    let start = arena::number(list.len());
    for (name, value) in &record.headers {
        let name = arena::push(bytes, name);
        let value = value.as_ref().map(|value| arena::push(bytes, value));
        list.push(types::Header { name, value });
    }
    types::Range { start, len: arena::number(record.headers.len()) }
}

impl Host for Memory {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn stream_time(&self) -> Timestamp {
        self.stream_time
    }

    fn get(&mut self, store: &'static str, key: &[u8]) -> Option<Vec<u8>> {
        if self.has_store(store) {
            return self.state.stores.get(store)?.get(key).cloned();
        }
        self.value(store, key).map(<[u8]>::to_vec)
    }

    fn row(&mut self, store: &'static str, key: &[u8]) -> Page {
        let mut page = Page { rows: Vec::new(), headers: Vec::new(), bytes: Vec::new(), next: None };
        if let Some(record) = self.record(store, key) {
            push(&mut page, key, record);
        }
        page
    }

    fn page(&mut self, store: &'static str, keys: Keys<'_>, after: Option<&[u8]>, limit: u32) -> Page {
        let mut page = Page { rows: Vec::new(), headers: Vec::new(), bytes: Vec::new(), next: None };
        let limit = PAGE_ROWS.min(limit as usize).max(1);
        let (mut seen, mut last) = (0, None);
        for (key, record) in self.behind(store, after) {
            let (counts, is_row) = match keys {
                Keys::Prefix(prefix) => (key.starts_with(prefix), key.starts_with(prefix)),
                Keys::Range { start, end } => {
                    let inside = start.is_none_or(|start| key.as_slice() >= start)
                        && end.is_none_or(|end| key.as_slice() < end);
                    (inside, inside)
                }
                // As if every row had once had the term: a host looks at such entries, and gives no rows
                // for them.
                Keys::Term { index, term } => (true, self.has_term(store, (index, term), &key, &record)),
            };
            if !counts {
                continue;
            }
            if seen == limit {
                page.next = last;
                break;
            }
            seen += 1;
            if is_row {
                push(&mut page, &key, &record);
            }
            last = Some(key);
        }
        page
    }

    fn count(
        &mut self,
        store: &'static str,
        index: (&str, &[u8]),
        after: Option<&[u8]>,
        limit: u32,
    ) -> (u64, Option<Vec<u8>>) {
        let mut rows = self.behind(store, after);
        rows.retain(|(key, record)| self.has_term(store, index, key, record));
        let limit = PAGE_ROWS.min(limit as usize);
        let next = rows.get(limit).and_then(|_| rows.get(limit.wrapping_sub(1))).map(|(key, _)| key.clone());
        (rows.len().min(limit) as u64, next)
    }

    fn put(&mut self, store: &'static str, key: &[u8], value: &[u8]) {
        self.store(store).insert(key.to_vec(), value.to_vec());
    }

    fn delete(&mut self, store: &'static str, key: &[u8]) {
        self.store(store).remove(key);
    }

    fn position(&mut self, source: Source) -> i64 {
        let name = self.manifest.sources.get(source.position() as usize).map(|source| source.name.clone());
        self.source(&name.unwrap_or_default())
    }

    fn position_of(&mut self, table: Table) -> i64 {
        self.source(table.name())
    }

    fn applied(&mut self, source: Source) -> Vec<(u32, i64)> {
        let own = source.position() as usize;
        if !self.manifest.sources.get(own).is_some_and(|source| source.broadcast) {
            stop(&format!("the manifest has no broadcast source at {source:?}"));
        }
        let places = self.applied.iter().filter(|((source, _), _)| *source == own);
        places.map(|((_, partition), next)| (*partition, *next)).collect()
    }

    fn start(&mut self, kind: &str, name: &str, payload: &[u8]) -> u64 {
        self.check_job(kind);
        self.state.start(kind, name, payload)
    }

    fn cancel(&mut self, kind: &str, name: &str) -> bool {
        self.check_job(kind);
        self.state.cancel(kind, name)
    }

    fn find(&mut self, kind: &str, name: &str) -> Option<Job> {
        self.check_job(kind);
        self.state.find(kind, name)
    }

    fn set_timer(&mut self, clock: Clock, name: &[u8], due: Timestamp, payload: &[u8]) {
        self.check_timers();
        self.state.timers.insert((clock, name.to_vec()), (due, payload.to_vec()));
    }

    fn cancel_timer(&mut self, clock: Clock, name: &[u8]) {
        self.check_timers();
        self.state.timers.remove(&(clock, name.to_vec()));
    }

    fn enabled(&self, _level: Level) -> bool {
        true
    }

    fn log(&mut self, level: Level, message: &str, _fields: &[(&str, &str)]) {
        self.lines.push((level, message.to_owned()));
    }
}
