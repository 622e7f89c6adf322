//! The keys of a task's state: the same in the local store and in the changelog.
//!
//! ```text
//! 00                          the position record
//! 01 store 00 key             a row of a store
//! 02 table 00 key             a row of a broadcast table: the task's own copy
//! 03 table 00 key             a row of a table; in the changelog only if the table's source is not compacted
//! 04 kind 00 name             a job
//! 05 clock 00 name            a timer
//! 06 00 id                    a callout that has not ended
//! 07 00 id                    the id of one that has
//! 08 00 id                    one that a person has to look at
//! 80 index 00 term 00 00 key  an entry of an index, local; in the term 00 is written 00 ff
//! 81 matter due name          an entry of the agenda, local
//! ff                          the checkpoint, local
//! ```
//! Names come from manifests, which allow no 00 in them.

/// The key of the position record.
pub(crate) const POSITION: &[u8] = &[0x00];

/// The key of the checkpoint.
pub(crate) const CHECKPOINT: &[u8] = &[0xff];

/// The longest key that a row may have, in bytes: with a prefix and a term in front of it, local stores still take it.
pub(crate) const ROW_KEY_MAX: usize = 32 << 10;

/// The first byte of keys, for what has names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Store = 0x01,
    Broadcast = 0x02,
    Table = 0x03,
    Job = 0x04,
    Timer = 0x05,
    Callout = 0x06,
    Ended = 0x07,
    Review = 0x08,
    Index = 0x80,
    Agenda = 0x81,
}

/// What all keys of a store, table, kind of job or index begin with.
pub(crate) fn prefix(kind: Kind, name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + 2);
    key.push(kind as u8);
    key.extend_from_slice(name.as_bytes());
    key.push(0);
    key
}

/// A key below a prefix.
pub(crate) fn below(prefix: &[u8], key: &[u8]) -> Vec<u8> {
    [prefix, key].concat()
}

/// What all entries of a term begin with; `index` is the index's prefix.
pub(crate) fn term(index: &[u8], term: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(index.len() + term.len() + 2);
    key.extend_from_slice(index);
    for byte in term {
        key.push(*byte);
        if *byte == 0 {
            key.push(0xff);
        }
    }
    key.extend_from_slice(&[0, 0]);
    key
}

/// Whether a key is that of a row, whose local value has terms behind it.
pub(crate) fn is_row(key: &[u8]) -> bool {
    key.first().is_some_and(|byte| (Kind::Store as u8..=Kind::Table as u8).contains(byte))
}

/// Whether a key is in the local store alone; `logged_tables` tells for a table.
pub(crate) fn is_local(key: &[u8], is_logged_table: impl Fn(&[u8]) -> bool) -> bool {
    match key.first() {
        Some(byte) if *byte == Kind::Table as u8 => !is_logged_table(key),
        Some(byte) => *byte >= Kind::Index as u8,
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_terms_apart_that_begin_alike_or_hold_zeros() {
        let index = prefix(Kind::Index, "by-class");
        let entry = |text: &[u8], key: &[u8]| below(&term(&index, text), key);

        assert!(!entry(b"ab", b"k").starts_with(&term(&index, b"a")));
        assert!(!entry(b"a\0b", b"k").starts_with(&term(&index, b"a")));
        assert!(!entry(b"a\0\0k", b"").starts_with(&term(&index, b"a")));
        assert_ne!(entry(b"a", b"\0\0k"), entry(b"a\0\0", b"k"));
        assert!(entry(b"a", b"k").starts_with(&term(&index, b"a")));
    }

    #[test]
    fn tells_local_keys_from_logged_ones() {
        let local = |key: &[u8]| is_local(key, |key| key.starts_with(&prefix(Kind::Table, "logged")));

        assert!(!local(POSITION) && !local(&prefix(Kind::Store, "s")) && !local(&prefix(Kind::Job, "j")));
        assert!(local(CHECKPOINT) && local(&prefix(Kind::Index, "i")) && local(&prefix(Kind::Table, "t")));
        assert!(!local(&prefix(Kind::Table, "logged")));
    }
}
