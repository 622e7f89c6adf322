//! Dead letters: the record as it was, with what happened to it in headers.
//!
//! ```text
//! key, value, headers      unchanged
//! timestamp                unchanged, or the wall clock when the topic would refuse it
//! gristmill-error-code     gristmill-error-message
//! gristmill-source-topic   gristmill-source-partition   gristmill-source-offset   gristmill-source-timestamp
//! gristmill-transform      gristmill-plugin             gristmill-omitted
//! ```
//! A dead letter that would be too large leaves out its value, then its key and headers too, and says so in
//! `gristmill-omitted`: its place in the source tells where they are.

use crate::id::Timestamp;
use crate::io::{CauseId, Outgoing};
use crate::record::{Header, RecordRef};
use crate::task::check::{is_too_far_ahead, record_size};
use crate::task::culprits::Form;
use crate::task::run::{Condemned, Run};
use crate::task::spec::Spec;

/// Longer messages are cut: a dead letter is no place for a core dump.
const MESSAGE_LENGTH_MAX: usize = 4096;

/// A dead letter to be sent.
pub(crate) struct Letter<'a> {
    pub(crate) run: &'a Run,
    pub(crate) record: RecordRef<'a>,
    pub(crate) condemned: &'a Condemned,
    pub(crate) form: Form,
    pub(crate) now: Timestamp,
}

impl Letter<'_> {
    pub(crate) fn send<E>(
        &self,
        spec: &Spec,
        cause: CauseId,
        send: &mut impl FnMut(&Outgoing<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let place = self.run.place(&self.record);
        let topic = spec.source(place.source).map_or("", |source| source.topic.as_str());
        let (partition, offset) = (place.partition.to_string(), place.offset.to_string());
        let timestamp = self.record.timestamp().to_string();
        let mut added = vec![
            Header::new("gristmill-error-code", self.condemned.code.as_bytes()),
            Header::new("gristmill-error-message", cut(&self.condemned.message).as_bytes()),
            Header::new("gristmill-source-topic", topic.as_bytes()),
            Header::new("gristmill-source-partition", partition.as_bytes()),
            Header::new("gristmill-source-offset", offset.as_bytes()),
            Header::new("gristmill-source-timestamp", timestamp.as_bytes()),
            Header::new("gristmill-transform", spec.transform.as_str().as_bytes()),
            Header::new("gristmill-plugin", spec.plugin.as_bytes()),
        ];
        let facts = spec.dead_letters.facts;
        let form = self.fitting_form(&added, facts.max_bytes);
        // A compacted dead-letter topic is refused at the start, so a missing key does no harm here.
        let (key, value) = match form {
            Form::Whole => (self.record.key(), self.record.value()),
            Form::WithoutValue => (self.record.key(), None),
            Form::Bare => (None, None),
        };
        match form {
            Form::Whole => {}
            Form::WithoutValue => added.push(Header::new("gristmill-omitted", b"value")),
            Form::Bare => added.push(Header::new("gristmill-omitted", b"key, value, headers")),
        }
        let own = (form != Form::Bare).then(|| self.record.headers()).into_iter().flatten();
        let headers: Vec<_> = own.chain(added).collect();
        let timestamp = self.record.timestamp();
        let is_fit = timestamp.0 >= 0 && !is_too_far_ahead(timestamp, self.now, facts.ahead_max);
        send(&Outgoing {
            topic: &spec.dead_letters.topic,
            partition: None,
            key,
            value,
            headers: &headers,
            timestamp: is_fit.then_some(timestamp),
            cause,
        })
    }

    /// The largest form that the topic takes, not larger than the one that is left after refusals.
    fn fitting_form(&self, added: &[Header<'_>], max_bytes: usize) -> Form {
        let sum = |headers: &mut dyn Iterator<Item = Header<'_>>| {
            headers.fold((0usize, 0usize), |(bytes, count), header| {
                (bytes + header.name.len() + header.value.map_or(0, <[u8]>::len), count + 1)
            })
        };
        let (added_bytes, added_count) = sum(&mut added.iter().copied());
        let (own_bytes, own_count) = sum(&mut self.record.headers());
        let key = self.record.key().map_or(0, <[u8]>::len);
        let value = self.record.value().map_or(0, <[u8]>::len);
        // The header `gristmill-omitted` and its value.
        const OMITTED: usize = 48;
        let without_value = record_size(key + own_bytes + added_bytes + OMITTED, own_count + added_count);
        let fitting = if without_value.saturating_add(value) <= max_bytes {
            Form::Whole
        } else if without_value <= max_bytes {
            Form::WithoutValue
        } else {
            Form::Bare
        };
        fitting.max(self.form)
    }
}

/// The first part of a text, cut between characters.
fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MESSAGE_LENGTH_MAX)).unwrap_or(text)
}
