//! The host of the test driver: tables in memory.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::Failure;
use crate::Level;
use crate::Plugin;
use crate::Source;
use crate::Table;
use crate::Timestamp;
use crate::arena;
use crate::bindings::gristmill::transform::state::Page;
use crate::bindings::gristmill::transform::state::Row;
use crate::bindings::gristmill::transform::types;
use crate::guest;
use crate::host::Host;
use crate::host::Keys;
use crate::test::Input;
use crate::test::Outcome;
use crate::test::manifest::Declared;

/// Rows of a page: few, so that tests with small tables turn pages too.
const PAGE_ROWS: usize = 3;

/// Tables, clocks and the log.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    tables: BTreeMap<String, BTreeMap<Vec<u8>, Input>>,
    pub(super) now: Timestamp,
    stream_time: Timestamp,
    pub(super) lines: Vec<(Level, String)>,
}

impl Default for Memory {
    fn default() -> Self {
        let [now, stream_time] = [Timestamp::from_millis(0), Timestamp::from_millis(-1)];
        Self { tables: BTreeMap::new(), now, stream_time, lines: Vec::new() }
    }
}

impl Memory {
    pub(super) fn put(&mut self, table: &str, key: &[u8], value: &[u8]) {
        self.apply(table, &super::record(key, value));
    }

    fn apply(&mut self, table: &str, record: &Input) {
        let rows = self.tables.entry(table.to_owned()).or_default();
        match (&record.key, &record.value) {
            (Some(key), Some(_)) => drop(rows.insert(key.clone(), record.clone())),
            (Some(key), None) => drop(rows.remove(key)),
            // A record without a key is no row.
            (None, _) => {}
        }
    }

    fn row(&self, table: &str, key: &[u8]) -> Option<&[u8]> {
        self.tables.get(table)?.get(key)?.value.as_deref()
    }
}

/// One call as a host makes it: the table first, then the plugin.
pub(super) fn call<P: Plugin>(
    plugin: &mut P,
    memory: &mut Memory,
    declared: &Declared,
    source: Source,
    records: &[Input],
) -> Result<Outcome, Failure> {
    let mut batch = types::Batch {
        source: source.position(),
        partition: 0,
        records: Vec::new(),
        headers: Vec::new(),
        previous: Vec::new(),
        bytes: Vec::new(),
    };
    for record in records {
        if declared.previous {
            let value = record.key.as_ref().and_then(|key| memory.row(&declared.name, key));
            batch.previous.push(value.map(|value| arena::push(&mut batch.bytes, value)));
        }
        batch.records.push(types::InputRecord {
            key: record.key.as_ref().map(|key| arena::push(&mut batch.bytes, key)),
            value: record.value.as_ref().map(|value| arena::push(&mut batch.bytes, value)),
            headers: headers(record, &mut batch.headers, &mut batch.bytes),
            timestamp: record.timestamp.millis(),
            offset: record.offset,
        });
        if declared.kept {
            memory.apply(&declared.name, record);
        }
        memory.stream_time = memory.stream_time.max(record.timestamp);
    }
    guest::process(plugin, memory, &batch).map(|raw| Outcome::read(&raw))
}

fn headers(record: &Input, list: &mut Vec<types::Header>, bytes: &mut Vec<u8>) -> types::Range {
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

    fn get(&mut self, table: Table, key: &[u8]) -> Option<Vec<u8>> {
        self.row(table.name(), key).map(<[u8]>::to_vec)
    }

    fn page(&mut self, table: Table, keys: Keys<'_>, after: Option<&[u8]>) -> Page {
        let mut page = Page { rows: Vec::new(), headers: Vec::new(), bytes: Vec::new(), next: None };
        let Some(rows) = self.tables.get(table.name()) else { return page };
        let prefix = match keys {
            Keys::All => b"",
            Keys::Prefix(prefix) => prefix,
        };
        let first = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut last = None;
        for (key, record) in rows.range::<[u8], _>((first, Bound::Unbounded)) {
            if !key.starts_with(prefix) {
                continue;
            }
            if page.rows.len() == PAGE_ROWS {
                page.next = last;
                break;
            }
            page.rows.push(Row {
                key: arena::push(&mut page.bytes, key),
                value: arena::push(&mut page.bytes, record.value.as_deref().unwrap_or_default()),
                headers: headers(record, &mut page.headers, &mut page.bytes),
                timestamp: record.timestamp.millis(),
                offset: record.offset,
            });
            last = Some(key.clone());
        }
        page
    }

    fn enabled(&self, _level: Level) -> bool {
        true
    }

    fn log(&mut self, level: Level, message: &str, _fields: &[(&str, &str)]) {
        self.lines.push((level, message.to_owned()));
    }
}
