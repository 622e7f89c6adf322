//! Callouts as they are kept in state: those that have not ended, the ids of those that have, and those that a person has to
//! look at.
//!
//! ```text
//! 06 00 id       01 number stage attempts intended timestamp mode endpoint method path headers body key context retry-of
//! 07 00 id       01 forget: when the id is forgotten, 8 bytes, the highest first
//! 08 00 id       as the first, with a stage that says why
//!
//! stage          0 queued
//!                1 dispatching
//!                2 answered: status, headers, body, attempts     an answer that came through the inbox
//!                3 in doubt: code, message, optional status
//!                4 given up: code, message, optional status
//! ```

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use crate::fault::Fault;
use crate::id::Timestamp;
use crate::io::{CalloutMode, Ended, Reason, behind_prefix};
use crate::task::state::TaskState;
use crate::task::state::agenda::Matter;
use crate::task::state::bytes::{Reader, put_bytes, put_number, put_optional};
use crate::task::state::key::{self, Kind};

const VERSION: u8 = 1;

/// So many ids are forgotten at most when a callout ends: two for one keeps pace, and a call stays short.
const FORGOTTEN_MAX: usize = 100;

/// Where a callout stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    /// It waits for a place.
    Queued,
    /// It may be sent, once this is committed.
    Dispatching,
    /// It has ended, and the plugin does not know yet.
    Ended(Ended),
}

/// A callout.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct CalloutRow {
    /// In the order of their intents.
    pub(crate) number: u64,
    pub(crate) stage: Stage,
    /// Requests that were made for it.
    pub(crate) attempts: u32,
    /// Wall clock when the intent was made.
    pub(crate) intended: Timestamp,
    /// That of the record that caused it.
    pub(crate) timestamp: Timestamp,
    /// What was promised when it was dispatched.
    pub(crate) mode: CalloutMode,
    pub(crate) endpoint: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) context: Vec<u8>,
    /// The callout that an operator retried with this one.
    pub(crate) retry_of: Option<String>,
}

impl CalloutRow {
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_number(&mut out, self.number);
        put_stage(&mut out, &self.stage);
        put_number(&mut out, u64::from(self.attempts));
        put_time(&mut out, self.intended);
        put_time(&mut out, self.timestamp);
        out.push(u8::from(self.mode == CalloutMode::Idempotent));
        for text in [&self.endpoint, &self.method, &self.path] {
            put_bytes(&mut out, text.as_bytes());
        }
        put_headers(&mut out, &self.headers);
        put_optional(&mut out, self.body.as_deref());
        put_optional(&mut out, self.key.as_deref());
        put_bytes(&mut out, &self.context);
        put_optional(&mut out, self.retry_of.as_deref().map(str::as_bytes));
        out
    }

    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        (reader.byte()? == VERSION).then_some(())?;
        Some(Self {
            number: reader.number()?,
            stage: stage(&mut reader)?,
            attempts: u32::try_from(reader.number()?).ok()?,
            intended: time(&mut reader)?,
            timestamp: time(&mut reader)?,
            mode: match reader.byte()? {
                0 => CalloutMode::AtMostOnce,
                _ => CalloutMode::Idempotent,
            },
            endpoint: reader.text()?.to_owned(),
            method: reader.text()?.to_owned(),
            path: reader.text()?.to_owned(),
            headers: headers(&mut reader)?,
            body: reader.optional()?.map(<[u8]>::to_vec),
            key: reader.optional()?.map(<[u8]>::to_vec),
            context: reader.bytes()?.to_vec(),
            retry_of: match reader.optional()? {
                Some(id) => Some(std::str::from_utf8(id).ok()?.to_owned()),
                None => None,
            },
        })
    }
}

fn put_stage(out: &mut Vec<u8>, stage: &Stage) {
    let reason = |out: &mut Vec<u8>, number: u8, reason: &Reason| {
        out.push(number);
        put_bytes(out, reason.code.as_bytes());
        put_bytes(out, reason.message.as_bytes());
        put_number(out, u64::from(reason.last_status.unwrap_or_default()));
    };
    match stage {
        Stage::Queued | Stage::Ended(Ended::NotSent) => out.push(0),
        Stage::Dispatching => out.push(1),
        Stage::Ended(Ended::Answered { status, headers, body }) => {
            out.push(2);
            put_number(out, u64::from(*status));
            put_headers(out, headers);
            put_bytes(out, body);
        }
        Stage::Ended(Ended::InDoubt(why)) => reason(out, 3, why),
        Stage::Ended(Ended::GaveUp(why)) => reason(out, 4, why),
    }
}

fn stage(reader: &mut Reader<'_>) -> Option<Stage> {
    let reason = |reader: &mut Reader<'_>| {
        let (code, message) = (reader.text()?.to_owned(), reader.text()?.to_owned());
        let status = u16::try_from(reader.number()?).ok()?;
        Some(Reason { code, message, last_status: (status > 0).then_some(status) })
    };
    Some(match reader.byte()? {
        0 => Stage::Queued,
        1 => Stage::Dispatching,
        2 => Stage::Ended(Ended::Answered {
            status: u16::try_from(reader.number()?).ok()?,
            headers: headers(reader)?,
            body: reader.bytes()?.to_vec(),
        }),
        3 => Stage::Ended(Ended::InDoubt(reason(reader)?)),
        4 => Stage::Ended(Ended::GaveUp(reason(reader)?)),
        _ => return None,
    })
}

fn put_headers(out: &mut Vec<u8>, headers: &[(String, String)]) {
    put_number(out, headers.len() as u64);
    for (name, value) in headers {
        put_bytes(out, name.as_bytes());
        put_bytes(out, value.as_bytes());
    }
}

fn headers(reader: &mut Reader<'_>) -> Option<Vec<(String, String)>> {
    let count = reader.number()?;
    (0..count).map(|_| Some((reader.text()?.to_owned(), reader.text()?.to_owned()))).collect()
}

fn put_time(out: &mut Vec<u8>, time: Timestamp) {
    out.extend_from_slice(&time.0.to_be_bytes());
}

fn time(reader: &mut Reader<'_>) -> Option<Timestamp> {
    let mut bytes = [0u8; 8];
    for byte in &mut bytes {
        *byte = reader.byte()?;
    }
    Some(Timestamp(i64::from_be_bytes(bytes)))
}

/// The id of a callout that has ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct EndedRow {
    /// When it is forgotten.
    pub(crate) forget: Timestamp,
}

impl EndedRow {
    fn write(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_time(&mut out, self.forget);
        out
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        (reader.byte()? == VERSION).then_some(())?;
        Some(Self { forget: time(&mut reader)? })
    }

    /// The id in a key of such a row.
    pub(super) fn id_in(key: &[u8]) -> Option<&[u8]> {
        key.strip_prefix(key::prefix(Kind::Ended, "").as_slice())
    }
}

fn key_of(kind: Kind, id: &str) -> Vec<u8> {
    key::below(&key::prefix(kind, ""), id.as_bytes())
}

impl TaskState {
    /// A callout that has not ended, as the call has it.
    pub(crate) fn callout(&self, id: &str) -> Result<Option<CalloutRow>, Fault> {
        Ok(self.get_local(&key_of(Kind::Callout, id))?.and_then(|bytes| CalloutRow::read(&bytes)))
    }

    /// A callout that a person has to look at, as the call has it.
    pub(crate) fn callout_in_review(&self, id: &str) -> Result<Option<CalloutRow>, Fault> {
        Ok(self.get_local(&key_of(Kind::Review, id))?.and_then(|bytes| CalloutRow::read(&bytes)))
    }

    /// Whether there is or was a callout with this id, as far as that is remembered.
    pub(crate) fn knows_callout(&self, id: &str) -> Result<bool, Fault> {
        for kind in [Kind::Callout, Kind::Ended] {
            if self.get_local(&key_of(kind, id))?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// All callouts that have not ended, by number.
    pub(crate) fn open_callouts(&self) -> Result<BTreeMap<u64, (String, CalloutRow)>, Fault> {
        let mut rows = BTreeMap::new();
        self.each_below(&key::prefix(Kind::Callout, ""), &mut |id, value| {
            if let (Ok(id), Some(row)) = (std::str::from_utf8(id), CalloutRow::read(value)) {
                rows.insert(row.number, (id.to_owned(), row));
            }
            ControlFlow::Continue(())
        })?;
        Ok(rows)
    }

    /// Callouts behind an id, in the order of their ids: those that have not ended, or those that a person has to look at.
    pub(crate) fn callouts_behind(
        &self,
        kind: Kind,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<(String, CalloutRow)>, Fault> {
        let mut rows = Vec::new();
        let prefix = key::prefix(kind, "");
        let start = after.map(|after| key::below(&prefix, after.as_bytes()));
        let start = start.as_deref().map_or(Bound::Included(prefix.as_slice()), Bound::Excluded);
        let end = behind_prefix(&prefix);
        let range = (start, end.as_deref().map_or(Bound::Unbounded, Bound::Excluded));
        self.scan_local(range, &mut |key, value| {
            let id = key.get(prefix.len()..).unwrap_or_default();
            if let (Ok(id), Some(row)) = (std::str::from_utf8(id), CalloutRow::read(value)) {
                rows.push((id.to_owned(), row));
            }
            if rows.len() >= most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(rows)
    }

    /// Writes a callout that has not ended, as part of the call.
    pub(crate) fn set_callout(&mut self, id: &str, row: &CalloutRow) {
        self.call.set(key_of(Kind::Callout, id), Some(row.write()));
    }

    /// A number for a new callout.
    pub(crate) fn next_number(&mut self) -> u64 {
        self.generation.call += 1;
        self.generation.call
    }

    /// A callout has ended, as part of the call: its id is remembered for a while, and itself if a person has to look at it.
    pub(crate) fn end_callout(&mut self, id: &str, (forget, review): (Timestamp, Option<&CalloutRow>)) {
        self.call.set(key_of(Kind::Callout, id), None);
        self.call.set(key_of(Kind::Ended, id), Some(EndedRow { forget }.write()));
        self.put_entry(Matter::Forget, forget, id.as_bytes());
        if let Some(row) = review {
            self.call.set(key_of(Kind::Review, id), Some(row.write()));
        }
    }

    /// Nobody has to look at a callout any more, as part of the call.
    pub(crate) fn close_callout(&mut self, id: &str) {
        self.call.set(key_of(Kind::Review, id), None);
    }

    /// Forgets ids whose time is over, as part of the call.
    pub(crate) fn forget_callouts(&mut self) -> Result<(), Fault> {
        let now = self.now;
        if self.next_due(Matter::Forget)?.is_none_or(|due| due > now) {
            return Ok(());
        }
        for (due, id) in self.due(Matter::Forget, now, FORGOTTEN_MAX)?.entries {
            let row = key::below(&key::prefix(Kind::Ended, ""), &id);
            let ended = self.get_local(&row)?.and_then(|bytes| EndedRow::read(&bytes));
            if ended.is_some_and(|ended| ended.forget == due) {
                self.call.set(row, None);
            }
            self.drop_entry(Matter::Forget, due, &id);
            self.pass_entry(Matter::Forget, due, &id);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(stage: Stage) -> CalloutRow {
        CalloutRow {
            number: 300,
            stage,
            attempts: 2,
            intended: Timestamp(5),
            timestamp: Timestamp(-1),
            mode: CalloutMode::Idempotent,
            endpoint: "details".into(),
            method: "GET".into(),
            path: "/a".into(),
            headers: vec![("accept".into(), "x".into())],
            body: Some(Vec::new()),
            key: None,
            context: b"c".to_vec(),
            retry_of: Some("old".into()),
        }
    }

    #[test]
    fn reads_what_it_wrote_and_nothing_that_was_cut() {
        let reason = Reason { code: "c".into(), message: "m".into(), last_status: Some(503) };
        let headers = vec![("a".into(), "b".into())];
        for stage in [
            Stage::Queued,
            Stage::Dispatching,
            Stage::Ended(Ended::Answered { status: 200, headers, body: b"{}".to_vec() }),
            Stage::Ended(Ended::InDoubt(reason.clone())),
            Stage::Ended(Ended::GaveUp(Reason { last_status: None, ..reason })),
        ] {
            let row = row(stage);
            let bytes = row.write();

            assert!((0..bytes.len()).all(|end| CalloutRow::read(&bytes[..end]).is_none()));
            assert_eq!(CalloutRow::read(&bytes), Some(row));
        }
    }
}
