//! A job as it is kept in state.
//!
//! ```text
//! 01                    version of the format
//! started               8 bytes, the highest first
//! generation visited emitted
//! total                 0, or 1 and the number
//! failure               0, or 1, a code and a message
//! payload               bytes
//! cursor, superseded    optional bytes
//! ```

use crate::id::Timestamp;
use crate::io::Job;
use crate::task::state::bytes::{Reader, put_bytes, put_number, put_optional};

const VERSION: u8 = 1;

/// A job with its progress.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct JobRow {
    pub(crate) job: Job,
    pub(crate) started: Timestamp,
    /// Rows looked at.
    pub(crate) visited: u64,
    /// Records sent.
    pub(crate) emitted: u64,
    /// Rows in all, if the plugin knows.
    pub(crate) total: Option<u64>,
    /// Why it was given up: a code and a message.
    pub(crate) failure: Option<(String, String)>,
}

impl JobRow {
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.started.0.to_be_bytes());
        [self.job.generation, self.visited, self.emitted]
            .iter()
            .for_each(|number| put_number(&mut out, *number));
        match self.total {
            None => out.push(0),
            Some(total) => {
                out.push(1);
                put_number(&mut out, total);
            }
        }
        match &self.failure {
            None => out.push(0),
            Some((code, message)) => {
                out.push(1);
                put_bytes(&mut out, code.as_bytes());
                put_bytes(&mut out, message.as_bytes());
            }
        }
        put_bytes(&mut out, &self.job.payload);
        put_optional(&mut out, self.job.cursor.as_deref());
        put_optional(&mut out, self.job.superseded_cursor.as_deref());
        out
    }

    /// `kind` and `name` come from the key.
    pub(crate) fn read(kind: &str, name: &[u8], bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        (reader.byte()? == VERSION).then_some(())?;
        let mut started = [0u8; 8];
        for byte in &mut started {
            *byte = reader.byte()?;
        }
        let (generation, visited, emitted) = (reader.number()?, reader.number()?, reader.number()?);
        let total = if reader.byte()? == 1 { Some(reader.number()?) } else { None };
        let failure = match reader.byte()? {
            1 => Some((reader.text()?.to_owned(), reader.text()?.to_owned())),
            _ => None,
        };
        let job = Job {
            kind: kind.to_owned(),
            name: String::from_utf8(name.to_vec()).ok()?,
            generation,
            payload: reader.bytes()?.to_vec(),
            cursor: reader.optional()?.map(<[u8]>::to_vec),
            superseded_cursor: reader.optional()?.map(<[u8]>::to_vec),
        };
        Some(Self { job, started: Timestamp(i64::from_be_bytes(started)), visited, emitted, total, failure })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_wrote_and_nothing_that_was_cut() {
        let job = Job {
            kind: "follow-class".into(),
            name: "bulky".into(),
            generation: 300,
            payload: b"p".to_vec(),
            cursor: Some(Vec::new()),
            superseded_cursor: None,
        };
        let failure = Some(("trap".into(), "boom".into()));
        let row = JobRow { job, started: Timestamp(5), visited: 1, emitted: 2, total: Some(3), failure };
        let bytes = row.write();

        assert!((0..bytes.len()).all(|end| JobRow::read("follow-class", b"bulky", &bytes[..end]).is_none()));
        assert_eq!(JobRow::read("follow-class", b"bulky", &bytes), Some(row));
    }
}
