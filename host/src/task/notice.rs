//! A record that tells people about another one: what that one was, and what became of it in headers.
//!
//! One that would be too large leaves out its value, then its key and headers too, and says so in `gristmill-omitted`.

use crate::id::{Partition, Timestamp};
use crate::io::{CauseId, Outgoing};
use crate::record::Header;
use crate::task::check::{is_too_far_ahead, record_size};
use crate::task::culprits::Form;
use crate::task::spec::SinkSpec;

/// Longer texts are cut: a header is no place for a core dump.
const TEXT_LENGTH_MAX: usize = 4096;

/// The header `gristmill-omitted` and its value, in bytes.
const OMITTED: usize = 48;

/// A notice to be sent.
pub(crate) struct Notice<'a> {
    /// Where it goes.
    pub(crate) sink: &'a SinkSpec,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    /// The headers that the record had.
    pub(crate) headers: Vec<Header<'a>>,
    /// The headers that say what became of it.
    pub(crate) added: Vec<Header<'a>>,
    /// The largest form that is left after refusals.
    pub(crate) form: Form,
    /// Unchanged, or the wall clock when the topic would refuse it.
    pub(crate) timestamp: Timestamp,
    /// Wall clock.
    pub(crate) now: Timestamp,
}

impl Notice<'_> {
    /// Sends it in the largest form that the topic takes.
    pub(crate) fn send<E>(
        mut self,
        cause: CauseId,
        send: &mut impl FnMut(&Outgoing<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let form = self.fitting_form();
        let (key, value) = match form {
            Form::Whole => (self.key, self.value),
            Form::WithoutValue => (self.key, None),
            Form::Bare => (None, None),
        };
        match form {
            Form::Whole => {}
            Form::WithoutValue => self.added.push(Header::new("gristmill-omitted", b"value")),
            Form::Bare => self.added.push(Header::new("gristmill-omitted", b"key, value, headers")),
        }
        let mut headers = if form == Form::Bare { Vec::new() } else { self.headers };
        headers.append(&mut self.added);
        let facts = self.sink.facts;
        let is_fit = self.timestamp.0 >= 0 && !is_too_far_ahead(self.timestamp, self.now, facts.ahead_max);
        send(&Outgoing {
            topic: &self.sink.topic,
            partition: None::<Partition>,
            // A compacted topic is refused at the start, so a missing key does no harm here.
            key,
            value,
            headers: &headers,
            timestamp: is_fit.then_some(self.timestamp),
            cause,
        })
    }

    /// The largest form that the topic takes, not larger than the one that is left after refusals.
    fn fitting_form(&self) -> Form {
        let max_bytes = self.sink.facts.max_bytes;
        let bytes = |header: &Header<'_>| header.name.len() + header.value.map_or(0, <[u8]>::len);
        let headers = self.headers.iter().chain(&self.added);
        let (payload, count) =
            headers.fold((0usize, 0usize), |(sum, count), header| (sum + bytes(header), count + 1));
        let key = self.key.map_or(0, <[u8]>::len);
        let without_value = record_size(key + payload + OMITTED, count);
        let fitting = if without_value.saturating_add(self.value.map_or(0, <[u8]>::len)) <= max_bytes {
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
pub(crate) fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_LENGTH_MAX)).unwrap_or(text)
}
