//! `state`: the task's tables, read through the port that the call was lent. Stores come with the local engine.

use wasmtime::component::Resource;

use crate::io::{KeyRange, Limit, StateError, StoreIndex};
use crate::plugin::bindings::v0_1::gristmill::transform::state;
use crate::plugin::bindings::v0_1::gristmill::transform::state::{Page, Row, Store};
use crate::plugin::bindings::v0_1::gristmill::transform::types::{Header, Range, Span};
use crate::plugin::context::{Context, refusal};
use crate::plugin::imports::NOT_YET;
use crate::record::{Chunk, RecordRef};

/// Rows of a page, whatever the guest wishes.
const PAGE_ROWS_MAX: usize = 1_000;

/// Bytes after which a page ends; the row that reaches it is still part of it.
const PAGE_BYTES: usize = 1 << 20;

/// Handles that an instance may hold: one for each table is enough, a forgotten one in each call is not.
const OPEN_STORES_MAX: u32 = 1_000;

/// What a handle stands for: the number of its table.
fn table(handle: &Resource<Store>) -> StoreIndex {
    StoreIndex(handle.rep())
}

impl state::Host for Context {
    fn position(&mut self, _source: String) -> wasmtime::Result<i64> {
        Err(refusal(format!("`position` is {NOT_YET}")))
    }
}

impl state::HostStore for Context {
    fn open(&mut self, name: String) -> wasmtime::Result<Resource<Store>> {
        let Some(table) = self.state()?.store(&name) else {
            return Err(refusal(format!("the manifest declares no table `{}`", name.escape_default())));
        };
        if self.open_stores >= OPEN_STORES_MAX {
            return Err(refusal(format!("more than {OPEN_STORES_MAX} stores are open")));
        }
        self.open_stores += 1;
        Ok(Resource::new_own(table.0))
    }

    fn get(&mut self, store: Resource<Store>, key: Vec<u8>) -> wasmtime::Result<Option<Vec<u8>>> {
        let row = self.state()?.get(table(&store), &key).map_err(refused)?;
        Ok(row.as_ref().and_then(Chunk::first).and_then(|row| row.value().map(<[u8]>::to_vec)))
    }

    fn get_many(
        &mut self,
        store: Resource<Store>,
        keys: Vec<Span>,
        bytes: Vec<u8>,
    ) -> wasmtime::Result<Page> {
        let limit_bytes = self.memory.limit_bytes();
        let state = self.state()?;
        let mut page = PageBuilder::default();
        for span in keys {
            let key =
                slice(&bytes, span).ok_or_else(|| refusal("a key of `get-many` lies outside of `bytes`"))?;
            if let Some(row) = state.get(table(&store), key).map_err(refused)?.as_ref().and_then(Chunk::first)
            {
                page.push(&row)?;
            }
            // Many spans of the same key ask for more than there is in the world; the answer must fit into the guest.
            if page.bytes.len() > limit_bytes {
                return Err(refusal("the rows of `get-many` do not fit into the memory of the instance"));
            }
        }
        Ok(page.end(None))
    }

    fn put(&mut self, _store: Resource<Store>, _key: Vec<u8>, _value: Vec<u8>) -> wasmtime::Result<()> {
        Err(refusal("a table cannot be written: it is what its topic says"))
    }

    fn delete(&mut self, _store: Resource<Store>, _key: Vec<u8>) -> wasmtime::Result<()> {
        Err(refusal("a table cannot be written: it is what its topic says"))
    }

    fn scan(
        &mut self,
        store: Resource<Store>,
        start: Option<Vec<u8>>,
        end: Option<Vec<u8>>,
        after: Option<Vec<u8>>,
        limit: u32,
    ) -> wasmtime::Result<Page> {
        let range = KeyRange { start: start.as_deref(), end: end.as_deref(), after: after.as_deref() };
        self.page(table(&store), range, limit)
    }

    fn scan_prefix(
        &mut self,
        store: Resource<Store>,
        prefix: Vec<u8>,
        after: Option<Vec<u8>>,
        limit: u32,
    ) -> wasmtime::Result<Page> {
        let end = behind_prefix(&prefix);
        let range = KeyRange { start: Some(&prefix), end: end.as_deref(), after: after.as_deref() };
        self.page(table(&store), range, limit)
    }

    fn scan_index(
        &mut self,
        _store: Resource<Store>,
        _index: String,
        _term: Vec<u8>,
        _after: Option<Vec<u8>>,
        _limit: u32,
    ) -> wasmtime::Result<Page> {
        Err(refusal(format!("`store.scan-index` is {NOT_YET}")))
    }

    fn count_index(
        &mut self,
        _store: Resource<Store>,
        _index: String,
        _term: Vec<u8>,
        _after: Option<Vec<u8>>,
        _limit: u32,
    ) -> wasmtime::Result<(u64, Option<Vec<u8>>)> {
        Err(refusal(format!("`store.count-index` is {NOT_YET}")))
    }

    fn drop(&mut self, _store: Resource<Store>) -> wasmtime::Result<()> {
        self.open_stores = self.open_stores.saturating_sub(1);
        Ok(())
    }
}

impl Context {
    fn page(&self, table: StoreIndex, range: KeyRange<'_>, limit: u32) -> wasmtime::Result<Page> {
        let limit = usize::try_from(limit).unwrap_or(PAGE_ROWS_MAX).clamp(1, PAGE_ROWS_MAX);
        let found =
            self.state()?.scan(table, range, Limit { rows: limit, bytes: PAGE_BYTES }).map_err(refused)?;
        let mut page = PageBuilder::default();
        for row in found.rows.iter() {
            page.push(&row)?;
        }
        Ok(page.end(found.next.as_deref()))
    }
}

/// Why the state has no answer, as the error of an imported function.
fn refused(error: StateError) -> wasmtime::Error {
    match error {
        StateError::Refused(message) => refusal(message),
        StateError::Failed(fault) => wasmtime::Error::new(fault),
    }
}

/// Rows on their way to the guest.
#[derive(Default)]
struct PageBuilder {
    rows: Vec<Row>,
    headers: Vec<Header>,
    bytes: Vec<u8>,
}

impl PageBuilder {
    fn push(&mut self, row: &RecordRef<'_>) -> wasmtime::Result<()> {
        let key = self.append(row.key().unwrap_or_default())?;
        let value = self.append(row.value().unwrap_or_default())?;
        let start = count(self.headers.len())?;
        for header in row.headers() {
            let name = self.append(header.name)?;
            let value = header.value.map(|value| self.append(value)).transpose()?;
            self.headers.push(Header { name, value });
        }
        let headers = Range { start, len: count(self.headers.len())? - start };
        let (timestamp, offset) = (row.timestamp().0, row.offset().0);
        self.rows.push(Row { key, value, headers, timestamp, offset });
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> wasmtime::Result<Span> {
        let span = Span { start: count(self.bytes.len())?, len: count(bytes.len())? };
        self.bytes.extend_from_slice(bytes);
        Ok(span)
    }

    fn end(self, next: Option<&[u8]>) -> Page {
        let Self { rows, headers, bytes } = self;
        Page { rows, headers, bytes, next: next.map(<[u8]>::to_vec) }
    }
}

fn count(len: usize) -> wasmtime::Result<u32> {
    u32::try_from(len).map_err(|_| refusal("a page of rows is larger than a guest can address"))
}

fn slice(bytes: &[u8], span: Span) -> Option<&[u8]> {
    let start = span.start as usize;
    bytes.get(start..start.checked_add(span.len as usize)?)
}

/// The first key behind all that begin with a prefix; none when there is no such key.
fn behind_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < u8::MAX)?;
    let mut end = prefix.get(..=last)?.to_vec();
    *end.last_mut()? += 1;
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_a_prefix_behind_its_last_key() {
        assert_eq!(behind_prefix(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(behind_prefix(b"a\xff\xff"), Some(b"b".to_vec()));
        assert_eq!(behind_prefix(b"\xff"), None);
        assert_eq!(behind_prefix(b""), None);
    }
}
