//! Review records: callouts that a person has to look at. The host writes them, so that no plugin can forget it.
//!
//! ```text
//! key                          as given with the callout
//! value                        its context, as given with the callout
//! timestamp                    that of the record that caused it
//! gristmill-callout-outcome    in-doubt or gave-up
//! gristmill-callout-id         gristmill-callout-endpoint   gristmill-callout-mode   gristmill-callout-attempts
//! gristmill-callout-reason     gristmill-callout-message    gristmill-callout-last-status
//! gristmill-transform          gristmill-plugin             gristmill-omitted
//! ```

use crate::id::Timestamp;
use crate::io::{CauseId, Ended, Outgoing, Reason, Response};
use crate::record::Header;
use crate::task::culprits::Form;
use crate::task::notice::{Notice, cut};
use crate::task::spec::Spec;

/// What happened to a callout that a person has to look at; none for one that was answered.
pub(crate) fn reason(response: &Response) -> Option<(&'static str, &Reason)> {
    match &response.ended {
        Ended::InDoubt(reason) => Some(("in-doubt", reason)),
        Ended::GaveUp(reason) => Some(("gave-up", reason)),
        Ended::Answered { .. } | Ended::NotSent => None,
    }
}

/// Writes the review record of a callout that ended without an answer.
pub(crate) fn send<E>(
    spec: &Spec,
    response: &Response,
    (form, timestamp, now): (Form, Timestamp, Timestamp),
    cause: CauseId,
    send: &mut impl FnMut(&Outgoing<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let Some((outcome, reason)) = reason(response) else { return Ok(()) };
    let attempts = response.attempts.to_string();
    let status = reason.last_status.map(|status| status.to_string());
    let mut added = vec![
        Header::new("gristmill-callout-outcome", outcome.as_bytes()),
        Header::new("gristmill-callout-id", response.id.as_bytes()),
        Header::new("gristmill-callout-endpoint", response.endpoint.as_bytes()),
        Header::new("gristmill-callout-mode", response.mode.as_str().as_bytes()),
        Header::new("gristmill-callout-attempts", attempts.as_bytes()),
        Header::new("gristmill-callout-reason", reason.code.as_bytes()),
        Header::new("gristmill-callout-message", cut(&reason.message).as_bytes()),
    ];
    added.extend(
        status.as_ref().map(|status| Header::new("gristmill-callout-last-status", status.as_bytes())),
    );
    added.extend([
        Header::new("gristmill-transform", spec.transform.as_str().as_bytes()),
        Header::new("gristmill-plugin", spec.plugin.as_bytes()),
    ]);
    let notice = Notice {
        sink: &spec.callouts.review,
        key: response.key.as_deref(),
        value: Some(&response.context),
        headers: Vec::new(),
        added,
        form,
        timestamp,
        now,
    };
    notice.send(cause, send)
}
