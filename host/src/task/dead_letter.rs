//! Dead letters: the record as it was, with what happened to it in headers.
//!
//! ```text
//! key, value, headers      unchanged
//! timestamp                unchanged, or the wall clock when the topic would refuse it
//! gristmill-error-code     gristmill-error-message
//! gristmill-source-topic   gristmill-source-partition   gristmill-source-offset   gristmill-source-timestamp
//! gristmill-transform      gristmill-plugin             gristmill-omitted
//! ```
//! A timer and an answer to a callout lie in no topic. Their dead letters say what they are of in `gristmill-kind`, `timer` or
//! `callout`, and have no topic and offset. Of a timer, key and value are its name and its payload, of an answer the key that
//! the callout was given and the answer's body, with `gristmill-callout-id`, `-endpoint` and `-status`.

use crate::id::Timestamp;
use crate::io::{CauseId, Ended, Outgoing, Response};
use crate::record::{Header, RecordRef};
use crate::task::culprits::Form;
use crate::task::notice::{Notice, cut};
use crate::task::run::{Condemned, Run};
use crate::task::spec::{Spec, own_name};

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
        let response = self.run.responses().get(self.condemned.index as usize);
        let status = response.and_then(status).map(|status| status.to_string());
        let mut added = vec![
            Header::new("gristmill-error-code", self.condemned.code.as_bytes()),
            Header::new("gristmill-error-message", cut(&self.condemned.message).as_bytes()),
        ];
        match own_name(place.source) {
            Some(name) => {
                added.push(Header::new("gristmill-kind", name.trim_end_matches('s').as_bytes()));
                added.push(Header::new("gristmill-source-partition", partition.as_bytes()));
            }
            None => added.extend([
                Header::new("gristmill-source-topic", topic.as_bytes()),
                Header::new("gristmill-source-partition", partition.as_bytes()),
                Header::new("gristmill-source-offset", offset.as_bytes()),
            ]),
        }
        if let Some(response) = response {
            added.push(Header::new("gristmill-callout-id", response.id.as_bytes()));
            added.push(Header::new("gristmill-callout-endpoint", response.endpoint.as_bytes()));
        }
        added
            .extend(status.as_ref().map(|status| Header::new("gristmill-callout-status", status.as_bytes())));
        added.extend([
            Header::new("gristmill-source-timestamp", timestamp.as_bytes()),
            Header::new("gristmill-transform", spec.transform.as_str().as_bytes()),
            Header::new("gristmill-plugin", spec.plugin.as_bytes()),
        ]);
        let notice = Notice {
            sink: &spec.dead_letters,
            key: self.record.key(),
            value: self.record.value(),
            headers: self.record.headers().collect(),
            added,
            form: self.form,
            timestamp: self.record.timestamp(),
            now: self.now,
        };
        notice.send(cause, send)
    }
}

fn status(response: &Response) -> Option<u16> {
    match &response.ended {
        Ended::Answered { status, .. } => Some(*status),
        Ended::GaveUp(reason) | Ended::InDoubt(reason) => reason.last_status,
        Ended::NotSent => None,
    }
}
