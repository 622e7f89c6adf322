//! A batch as a plugin reads it.

use crate::Context;
use crate::Failure;
use crate::Plugin;
use crate::Source;
use crate::Timestamp;
use crate::arena;
use crate::bindings::gristmill::transform::types;
use crate::record::Headers;
use crate::record::Record;

/// Records of one partition of one source, in offset order, at least one.
///
/// How many there are has no meaning: the same records may come again in other batches.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    raw: &'a types::Batch,
}

impl<'a> Batch<'a> {
    /// Checks once that all spans lie in the arena, so that the views need not.
    pub(crate) fn new(raw: &'a types::Batch) -> Result<Self, Failure> {
        let length = raw.bytes.len();
        let inside = |span: &Option<types::Span>| span.is_none_or(|span| arena::holds(length, span));
        let records = raw.records.iter().all(|record| {
            let headers = u64::from(record.headers.start) + u64::from(record.headers.len);
            inside(&record.key) && inside(&record.value) && headers <= raw.headers.len() as u64
        });
        let headers =
            raw.headers.iter().all(|header| arena::holds(length, header.name) && inside(&header.value));
        if records && headers && raw.previous.iter().all(inside) {
            Ok(Self { raw })
        } else {
            Err(Failure::Fatal("the host sent a batch whose spans lie outside of it".to_owned()))
        }
    }

    /// The source of all its records.
    #[must_use]
    pub fn source(&self) -> Source {
        Source::new(self.raw.source)
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.raw.records.len()
    }

    /// Never true for a batch that the host sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.raw.records.is_empty()
    }

    /// Bytes of all keys, values and headers.
    #[must_use]
    pub fn size(&self) -> usize {
        self.raw.bytes.len()
    }

    /// The records, in offset order.
    pub fn records(&self) -> impl Iterator<Item = Record<'a>> + use<'a> {
        let raw = self.raw;
        let bytes = raw.bytes.as_slice();
        raw.records.iter().enumerate().map(move |(position, record)| {
            let view = |span: Option<types::Span>| span.map(|span| arena::slice(bytes, span));
            Record {
                key: view(record.key),
                value: view(record.value),
                headers: Headers::new(arena::items(&raw.headers, record.headers), bytes),
                timestamp: Timestamp::from_millis(record.timestamp),
                offset: record.offset,
                partition: raw.partition,
                previous: view(raw.previous.get(position).copied().flatten()),
            }
        })
    }

    /// Gives each record to [`Plugin::record`]: what a plugin does with a batch unless it has a better
    /// idea.
    ///
    /// # Errors
    /// None; a rejection is noted in the outcome.
    pub fn each<P: Plugin>(&self, plugin: &mut P, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let source = self.source();
        for (position, record) in self.records().enumerate() {
            ctx.at(position, |ctx| plugin.record(source, &record, ctx));
        }
        Ok(())
    }
}
