//! The page of a store's rows: the only one that waits for a worker.

use std::collections::BTreeMap;

use crate::api::http::Response;
use crate::api::routes::{json, refuse};
use crate::api::shapes::{Row, Rows};
use crate::fault::Code;
use crate::id::{Partition, TaskId, TransformName};
use crate::status::{self, Ask, Board, ROWS_MAX, Refusal};

/// Rows of a scan that does not say how many.
const ROWS: usize = 100;

/// What a question may name. Bytes that are no text can be given percent-encoded.
const PARAMETERS: [&str; 4] = ["key", "prefix", "after", "limit"];

/// `/api/v1/state/TRANSFORM/PARTITION/STORE`
pub(super) fn answer(
    board: &Board,
    (transform, partition, store): (&str, &str, &str),
    query: &BTreeMap<String, Vec<u8>>,
) -> Response {
    let Ok(partition) = partition.parse() else {
        return refuse(400, Code::QuestionInvalid, "the partition of the task is no number");
    };
    let task = TaskId { transform: TransformName::new(transform), partition: Partition(partition) };
    let Some(ask) = asked(query) else {
        let message = "ask for `key`, or for `prefix` with `after` and `limit`";
        return refuse(400, Code::QuestionInvalid, message);
    };
    match board.ask(&task, store, ask) {
        Some(answer) => answered(&task, store, answer),
        None => refuse(504, Code::WorkerSilent, &format!("the worker of task `{task}` does not answer")),
    }
}

fn asked(query: &BTreeMap<String, Vec<u8>>) -> Option<Ask> {
    if !query.keys().all(|name| PARAMETERS.contains(&name.as_str())) {
        return None;
    }
    if let Some(key) = query.get("key") {
        return (query.len() == 1).then(|| Ask::Get(key.clone()));
    }
    let limit = match query.get("limit") {
        Some(text) => std::str::from_utf8(text).ok()?.parse().ok()?,
        None => ROWS,
    };
    let prefix = query.get("prefix").cloned().unwrap_or_default();
    Some(Ask::Scan { prefix, after: query.get("after").cloned(), limit: limit.min(ROWS_MAX) })
}

fn answered(task: &TaskId, store: &str, answer: status::Answer) -> Response {
    let (rows, next) = match answer {
        Ok(answer) => answer,
        Err(refusal) => return refused(task, store, refusal),
    };
    let rows = rows.into_iter().map(|row| Row { key: row.key.into(), value: row.value.into() }).collect();
    json(200, &Rows { task: task.to_string(), store: store.to_owned(), rows, next: next.map(Into::into) })
}

fn refused(task: &TaskId, store: &str, refusal: Refusal) -> Response {
    let (status, code, message) = match refusal {
        Refusal::NotHere => (404, Code::TaskNotHere, format!("task `{task}` is not open on this host")),
        Refusal::NoStore => (404, Code::StoreUnknown, format!("task `{task}` has no store `{store}`")),
        Refusal::Failed(cause) => {
            (500, Code::Internal, format!("the state of task `{task}` cannot be read: {cause}"))
        }
    };
    refuse(status, code, &message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(query: &[(&str, &[u8])]) -> Option<Ask> {
        asked(&query.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect())
    }

    #[test]
    fn understands_a_key_or_a_range() {
        let scan = |prefix: &[u8], after: Option<&[u8]>, limit| {
            let after = after.map(<[u8]>::to_vec);
            Some(Ask::Scan { prefix: prefix.to_vec(), after, limit })
        };

        assert_eq!(ask(&[("key", b"\xff")]), Some(Ask::Get(b"\xff".to_vec())));
        assert_eq!(ask(&[]), scan(b"", None, ROWS));
        assert_eq!(ask(&[("prefix", b"a"), ("after", b"ab"), ("limit", b"7")]), scan(b"a", Some(b"ab"), 7));
        assert_eq!(ask(&[("limit", b"1000000")]), scan(b"", None, ROWS_MAX));
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        assert_eq!(ask(&[("key", b"a"), ("limit", b"1")]), None);
        assert_eq!(ask(&[("limit", b"many")]), None);
        assert_eq!(ask(&[("kye", b"a")]), None);
    }
}
