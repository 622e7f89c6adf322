//! Stores: ordered key-value state of the plugin's own, with typed keys and values.

use std::fmt;
use std::marker::PhantomData;

use crate::arena;
use crate::bindings::gristmill::transform::state::Page;
use crate::host::Host;
use crate::host::Keys;
use crate::outcome::Draft;

pub(crate) mod format;
mod tuple;

pub use format::Json;
pub use format::Key;
pub use format::Value;
pub use tuple::Element;
pub use tuple::Packed;

/// Rows that are asked for at once.
const PAGE_ROWS: u32 = 1000;

/// A store of the manifest: one of the constants in `stores`.
///
/// The manifest says how keys and values are written, for people who look into it, and the constant has
/// types that fit: `str` for text, `[u8]` for bytes, [`Packed`] for a tuple, [`Kept`](crate::Kept) for a record and any
/// JSON value. [`Store::of`]
/// names the types that the plugin means:
///
/// ```
/// # use gristmill::{Json, Packed, Store};
/// # mod stores { use gristmill::*; pub const PENDING: Store<Packed, Json<serde_json::Value>> = Store::new("pending"); }
/// # #[derive(serde::Serialize, serde::Deserialize)] struct Order { pieces: u64 }
/// /// Orders by customer and number.
/// const PENDING: Store<(&str, u64), Json<Order>> = stores::PENDING.of();
/// ```
pub struct Store<K: ?Sized, V: ?Sized> {
    name: &'static str,
    types: PhantomData<Types<K, V>>,
}

/// A function, so that a constant is `Sync` whatever the types are.
type Types<K, V> = fn() -> (Box<K>, Box<V>);

impl<K: ?Sized, V: ?Sized> Clone for Store<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: ?Sized, V: ?Sized> Copy for Store<K, V> {}

impl<K: ?Sized, V: ?Sized> fmt::Debug for Store<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Store").field(&self.name).finish()
    }
}

impl<K: Key + ?Sized, V: Value + ?Sized> Store<K, V> {
    /// The store with this name.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name, types: PhantomData }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// The same store with other types, of the same formats.
    #[must_use]
    pub const fn of<L, W>(self) -> Store<L, W>
    where
        L: Key<Format = K::Format> + ?Sized,
        W: Value<Format = V::Format> + ?Sized,
    {
        Store::new(self.name)
    }
}

/// A store, for the time of a call. Reads see the writes of the call; they are committed together with
/// its outputs, or not at all. Each access crosses to the host, for about half a microsecond.
///
/// A row that cannot be read as the types of the store counts as absent and ends the call: nothing of it
/// is committed, the task stops, and the operator reads why.
pub struct StoreRef<'a, K: ?Sized, V: ?Sized> {
    host: &'a mut dyn Host,
    draft: &'a mut Draft,
    store: Store<K, V>,
}

impl<'a, K: Key + ?Sized, V: Value + ?Sized> StoreRef<'a, K, V> {
    pub(crate) fn new(host: &'a mut dyn Host, draft: &'a mut Draft, store: Store<K, V>) -> Self {
        Self { host, draft, store }
    }

    /// The value of a key; none if there is no row.
    #[must_use]
    pub fn get(&mut self, key: &K) -> Option<V::Got> {
        let value = self.host.get(self.store.name, &packed(key))?;
        let read = V::read(&value);
        self.check(read, "value")
    }

    /// Sets the value of a key.
    pub fn put(&mut self, key: &K, value: &V::Given) {
        let mut bytes = Vec::new();
        match V::write(value, &mut bytes) {
            Ok(()) => self.host.put(self.store.name, &packed(key), &bytes),
            Err(why) => self.spoil(&format!("cannot be given a value: {why}")),
        }
    }

    /// Removes a row, if there is one.
    pub fn delete(&mut self, key: &K) {
        self.host.delete(self.store.name, &packed(key));
    }

    /// Visits the rows whose keys begin with what `prefix` is written as, in the order of their keys. The
    /// elements that a tuple begins with are a prefix of it.
    pub fn prefix<P>(&mut self, prefix: &P, visit: impl FnMut(K::Got, V::Got))
    where
        P: Key<Format = K::Format> + ?Sized,
    {
        self.walk(Keys::Prefix(&packed(prefix)), visit);
    }

    /// The first rows whose keys begin with what `prefix` is written as, at most `limit`. There may
    /// be fewer than the limit although there are more: large rows come in small pages. Good for work that deletes what
    /// it has done, and comes back for the rest.
    pub fn first<P>(&mut self, prefix: &P, limit: u32) -> First<K::Got, V::Got>
    where
        P: Key<Format = K::Format> + ?Sized,
    {
        let page = self.host.page(self.store.name, Keys::Prefix(&packed(prefix)), None, limit);
        let mut rows = Vec::with_capacity(page.rows.len());
        self.read(&page, |key, value| rows.push((key, value)));
        First { rows, has_more: page.next.is_some() }
    }

    /// Visits the rows with `start <= key < end`, in the order of their keys; none is no bound.
    pub fn range(&mut self, start: Option<&K>, end: Option<&K>, visit: impl FnMut(K::Got, V::Got)) {
        let (start, end) = (start.map(packed), end.map(packed));
        self.walk(Keys::Range { start: start.as_deref(), end: end.as_deref() }, visit);
    }

    fn walk(&mut self, keys: Keys<'_>, mut visit: impl FnMut(K::Got, V::Got)) {
        let mut after = None;
        loop {
            let page = self.host.page(self.store.name, keys, after.as_deref(), PAGE_ROWS);
            self.read(&page, &mut visit);
            after = page.next;
            if after.is_none() {
                return;
            }
        }
    }

    fn read(&mut self, page: &Page, mut visit: impl FnMut(K::Got, V::Got)) {
        for row in &page.rows {
            let key = K::read(arena::slice(&page.bytes, row.key));
            let value = V::read(arena::slice(&page.bytes, row.value));
            let row = (self.check(key, "key"), self.check(value, "value"));
            if let (Some(key), Some(value)) = row {
                visit(key, value);
            }
        }
    }

    fn check<T>(&mut self, read: Result<T, String>, what: &str) -> Option<T> {
        read.map_err(|why| self.spoil(&format!("has a {what} that cannot be read: {why}"))).ok()
    }

    fn spoil(&mut self, message: &str) {
        self.draft.spoil(format!("the store `{}` {message}", self.store.name));
    }
}

/// The first rows of some.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct First<K, V> {
    /// Keys and values, in the order of the keys.
    pub rows: Vec<(K, V)>,
    /// Whether there are more behind them.
    pub has_more: bool,
}

fn packed<K: Key + ?Sized>(key: &K) -> Vec<u8> {
    let mut bytes = Vec::new();
    key.write(&mut bytes);
    bytes
}
