//! What a record says of the time when it was made: the header `gristmill-after`.
//!
//! ```text
//! gristmill-after: delivery-classes/0@17,delivery-classes/1@3
//! ```
//! The host writes it on sinks that declare `after`: the task that made the record had applied its broadcast source up to
//! these offsets, inclusive, and nothing of the partitions that are not named.

use crate::record::Headers;

const HEADER: &str = "gristmill-after";

/// Whether a record was made before all of this was applied: the next offsets of a broadcast source, by partition.
///
/// A record without the header was made before anything. What topic a position is of is not looked at, because a plugin
/// does not know the names of its topics. When a header names several of them, the lowest position of a partition counts.
pub(crate) fn is_older(headers: Headers<'_>, applied: &[(u32, i64)]) -> bool {
    let value = headers.last(HEADER).unwrap_or_default();
    applied.iter().any(|(partition, next)| made_at(value, *partition) < *next)
}

/// The next offset of a partition when the record was made.
fn made_at(value: &[u8], partition: u32) -> i64 {
    let text = std::str::from_utf8(value).unwrap_or_default();
    let own = text.split(',').filter_map(read).filter(|(named, _)| *named == partition);
    own.map(|(_, last)| last.saturating_add(1)).min().unwrap_or(0)
}

/// Partition and last offset.
fn read(text: &str) -> Option<(u32, i64)> {
    let (place, offset) = text.trim().rsplit_once('@')?;
    let (_, partition) = place.rsplit_once('/')?;
    Some((partition.parse().ok()?, offset.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena;
    use crate::bindings::gristmill::transform::types;

    fn is_older_than(value: Option<&str>, applied: &[(u32, i64)]) -> bool {
        let mut bytes = Vec::new();
        let headers: Vec<_> = value
            .iter()
            .map(|value| types::Header {
                name: arena::push(&mut bytes, HEADER.as_bytes()),
                value: Some(arena::push(&mut bytes, value.as_bytes())),
            })
            .collect();
        is_older(Headers::new(&headers, &bytes), applied)
    }

    #[test]
    fn compares_each_partition_with_the_last_offset_that_the_header_names() {
        let applied = [(0, 18), (2, 4)];

        for (value, expected) in [
            ("classes/0@17,classes/2@3", false),
            ("classes/2@3, classes/0@17", false),
            ("classes/0@99,classes/1@0,classes/2@3", false),
            ("classes/0@16,classes/2@3", true),
            ("classes/0@17,classes/2@2", true),
            ("classes/0@17", true),
            ("a/b/0@17,a/b/2@3", false),
            ("classes/0@17,classes/2@3,other/0@5", true),
            ("", true),
            ("classes/0", true),
            ("classes/x@17,classes/2@y", true),
        ] {
            assert_eq!(is_older_than(Some(value), &applied), expected, "{value}");
        }
    }

    #[test]
    fn takes_a_record_without_the_header_for_older_than_anything() {
        assert!(is_older_than(None, &[(0, 1)]));
        assert!(!is_older_than(None, &[]), "there is nothing that it could be older than");
    }
}
