//! Callouts, as they are shown to people.

use crate::fault::Fault;
use crate::io::Ended;
use crate::status::{Answer, CalloutStatus, ROWS_MAX, Refusal, Row, Which};
use crate::task::Task;
use crate::task::state::callout::{CalloutRow, Stage};
use crate::task::state::key::Kind;

impl Task {
    /// Callouts of it, in the order of their ids; those of the open transaction are among them.
    ///
    /// # Errors
    /// The store failed.
    pub fn callouts(&self, which: Which, after: Option<&str>, limit: usize) -> Answer {
        let kind = match which {
            Which::Open => Kind::Callout,
            Which::Review => Kind::Review,
        };
        let limit = limit.clamp(1, ROWS_MAX);
        let found = self.state.callouts_behind(kind, after, limit);
        let found = found.map_err(|fault: Fault| Refusal::Failed(fault.to_string()))?;
        let next = found.last().filter(|_| found.len() == limit).map(|(id, _)| id.clone().into_bytes());
        let row = |(id, row): (String, CalloutRow)| {
            let key = id.clone().into_bytes();
            // Texts and numbers: there is nothing that JSON cannot hold.
            Row { key, value: serde_json::to_vec(&shown(id, row)).unwrap_or_default() }
        };
        Ok((found.into_iter().map(row).collect(), next))
    }
}

fn shown(id: String, row: CalloutRow) -> CalloutStatus {
    let (state, reason) = match row.stage {
        Stage::Queued | Stage::Ended(Ended::NotSent) => ("queued", None),
        Stage::Dispatching => ("dispatching", None),
        Stage::Ended(Ended::Answered { .. }) => ("answered", None),
        Stage::Ended(Ended::InDoubt(reason)) => ("in-doubt", Some(reason)),
        Stage::Ended(Ended::GaveUp(reason)) => ("gave-up", Some(reason)),
    };
    CalloutStatus {
        id,
        state: state.to_owned(),
        endpoint: row.endpoint,
        mode: row.mode.as_str().to_owned(),
        method: row.method,
        path: row.path,
        attempts: row.attempts,
        intended: row.intended.0,
        key: row.key.and_then(|key| String::from_utf8(key).ok()),
        last_status: reason.as_ref().and_then(|reason| reason.last_status),
        reason: reason.map(|reason| (reason.code, reason.message)),
        retry_of: row.retry_of,
    }
}
