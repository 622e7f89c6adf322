//! `state`: the task's stores and tables, through the port that the call was lent.

use wasmtime::component::Resource;

use crate::io;
use crate::io::{KeyRange, Limit, StoreIndex, behind_prefix};
use crate::plugin::bindings::v0_1::gristmill::transform::state;
use crate::plugin::bindings::v0_1::gristmill::transform::state::{Page, Row, Store};
use crate::plugin::bindings::v0_1::gristmill::transform::types::{Header, Range, Span};
use crate::plugin::context::{Context, no_answer, refusal};
use crate::plugin::text::harmless;
use crate::record::{Chunk, RecordRef};

/// Rows of a page, whatever the guest wishes.
const PAGE_ROWS_MAX: usize = 1_000;

/// Bytes after which a page ends; the row that reaches it is still part of it.
const PAGE_BYTES: usize = 1 << 20;

/// Entries that are counted at once, whatever the guest wishes: the guest's deadline does not stop the host's own work.
const COUNT_MAX: usize = 10_000;

/// Handles that an instance may hold: one for each table is enough, a forgotten one in each call is not.
const OPEN_STORES_MAX: u32 = 1_000;

/// Bytes of a name in a message.
const NAME_BYTES_SHOWN: usize = 100;

/// What a handle stands for: the number of its store or table.
fn index_of(handle: &Resource<Store>) -> StoreIndex {
    StoreIndex(handle.rep())
}

impl state::Host for Context {
    fn position(&mut self, source: String) -> wasmtime::Result<i64> {
        let position = self.state()?.position(&source).map_err(no_answer)?;
        Ok(position.0)
    }

    fn applied(&mut self, source: String) -> wasmtime::Result<Vec<(u32, i64)>> {
        let applied = self.state()?.applied(&source).map_err(no_answer)?;
        Ok(applied.into_iter().map(|(partition, offset)| (partition.0.cast_unsigned(), offset.0)).collect())
    }
}

impl state::HostStore for Context {
    fn open(&mut self, name: String) -> wasmtime::Result<Resource<Store>> {
        let Some(index) = self.state()?.store(&name) else {
            let name = harmless(&name, NAME_BYTES_SHOWN);
            return Err(refusal(format!("the manifest declares no store or table `{name}`")));
        };
        if self.open_stores >= OPEN_STORES_MAX {
            return Err(refusal(format!("more than {OPEN_STORES_MAX} stores are open")));
        }
        self.open_stores += 1;
        Ok(Resource::new_own(index.0))
    }

    fn get(&mut self, store: Resource<Store>, key: Vec<u8>) -> wasmtime::Result<Option<Vec<u8>>> {
        let row = self.state()?.get(index_of(&store), &key).map_err(no_answer)?;
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
            let row = state.get(index_of(&store), key).map_err(no_answer)?;
            if let Some(row) = row.as_ref().and_then(Chunk::first) {
                page.push(&row)?;
            }
            // Many spans of the same key ask for more than there is in the world; the answer must fit into the guest.
            if page.bytes.len() > limit_bytes {
                return Err(refusal("the rows of `get-many` do not fit into the memory of the instance"));
            }
        }
        Ok(page.end(None))
    }

    fn put(&mut self, store: Resource<Store>, key: Vec<u8>, value: Vec<u8>) -> wasmtime::Result<()> {
        self.state_mut()?.put(index_of(&store), &key, &value).map_err(no_answer)
    }

    fn delete(&mut self, store: Resource<Store>, key: Vec<u8>) -> wasmtime::Result<()> {
        self.state_mut()?.delete(index_of(&store), &key).map_err(no_answer)
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
        self.scan_range(&store, range, limit)
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
        self.scan_range(&store, range, limit)
    }

    fn scan_index(
        &mut self,
        store: Resource<Store>,
        index: String,
        term: Vec<u8>,
        after: Option<Vec<u8>>,
        limit: u32,
    ) -> wasmtime::Result<Page> {
        let state = self.state()?;
        let found = state.scan_index(index_of(&store), &index, &term, after.as_deref(), page_limit(limit));
        page(found.map_err(no_answer)?)
    }

    fn count_index(
        &mut self,
        store: Resource<Store>,
        index: String,
        term: Vec<u8>,
        after: Option<Vec<u8>>,
        limit: u32,
    ) -> wasmtime::Result<(u64, Option<Vec<u8>>)> {
        let limit = clamp(limit, COUNT_MAX);
        let counted = self.state()?.count_index(index_of(&store), &index, &term, after.as_deref(), limit);
        counted.map_err(no_answer)
    }

    fn drop(&mut self, _store: Resource<Store>) -> wasmtime::Result<()> {
        self.open_stores = self.open_stores.saturating_sub(1);
        Ok(())
    }
}

impl Context {
    fn scan_range(&self, store: &Resource<Store>, range: KeyRange<'_>, limit: u32) -> wasmtime::Result<Page> {
        let state = self.state()?;
        match in_order(range) {
            Some(range) => page(state.scan(index_of(store), range, page_limit(limit)).map_err(no_answer)?),
            None => Ok(PageBuilder::default().end(None)),
        }
    }
}

/// A range whose bounds make sense; none when no key can lie in it. Guests ask for anything.
fn in_order(range: KeyRange<'_>) -> Option<KeyRange<'_>> {
    let KeyRange { start, end, after } = range;
    // A page that went on before the range begins is its first one.
    let after = after.filter(|after| start.is_none_or(|start| *after >= start));
    let first = after.or(start);
    if let (Some(first), Some(end)) = (first, end)
        && first >= end
    {
        return None;
    }
    Some(KeyRange { start, end, after })
}

fn page_limit(limit: u32) -> Limit {
    Limit { rows: clamp(limit, PAGE_ROWS_MAX), bytes: PAGE_BYTES }
}

/// What a guest wishes, within what it can have.
fn clamp(wish: u32, most: usize) -> usize {
    usize::try_from(wish).unwrap_or(most).clamp(1, most)
}

/// What was found, as the guest gets it.
fn page(found: io::Page) -> wasmtime::Result<Page> {
    let mut page = PageBuilder::default();
    for row in found.rows.iter() {
        page.push(&row)?;
    }
    Ok(page.end(found.next))
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

    fn end(self, next: Option<Vec<u8>>) -> Page {
        let Self { rows, headers, bytes } = self;
        Page { rows, headers, bytes, next }
    }
}

fn count(len: usize) -> wasmtime::Result<u32> {
    u32::try_from(len).map_err(|_| refusal("a page of rows is larger than a guest can address"))
}

fn slice(bytes: &[u8], span: Span) -> Option<&[u8]> {
    let start = span.start as usize;
    bytes.get(start..start.checked_add(span.len as usize)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range<'a>(bounds: [Option<&'a str>; 3]) -> KeyRange<'a> {
        let [start, end, after] = bounds.map(|bound| bound.map(str::as_bytes));
        KeyRange { start, end, after }
    }

    #[test]
    fn asks_for_no_range_in_which_no_key_can_lie() {
        assert_eq!(in_order(range([Some("b"), Some("a"), None])), None);
        assert_eq!(in_order(range([Some("b"), Some("b"), None])), None);
        assert_eq!(in_order(range([None, Some("b"), Some("c")])), None);
        let whole = range([None, None, Some("c")]);
        assert_eq!(in_order(whole), Some(whole));
        let open = range([Some("b"), Some("d"), Some("c")]);
        assert_eq!(in_order(open), Some(open));
    }

    #[test]
    fn begins_a_range_at_its_start_although_a_page_ended_before_it() {
        assert_eq!(in_order(range([Some("b"), None, Some("a")])), Some(range([Some("b"), None, None])));
    }
}
