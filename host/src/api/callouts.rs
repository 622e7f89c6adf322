//! The page of callouts: asks the worker of each task that makes some.

use std::collections::BTreeMap;

use crate::api::http::Response;
use crate::api::routes::{json, refuse};
use crate::api::shapes::{Callout, CalloutReason, Callouts};
use crate::fault::Code;
use crate::id::TransformName;
use crate::status::{Ask, Board, CalloutStatus, ROWS_MAX, Refusal, TaskState, TaskStatus, Which};

/// Callouts of each task and kind when the question does not say how many.
const CALLOUTS: usize = 100;

/// What is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Question {
    /// The callout with this id.
    One(String),
    /// So many of each task and kind.
    All(usize),
}

/// `/api/v1/callouts?id=ID` or `?limit=N`
pub(super) fn answer(board: &Board, query: &BTreeMap<String, Vec<u8>>) -> Response {
    let Some(question) = asked(query) else {
        return refuse(400, Code::QuestionInvalid, "ask for `id`, or for all with a `limit`");
    };
    let (mut callouts, mut more) = (Vec::new(), false);
    // What somebody has to look at comes first.
    for which in [Which::Review, Which::Open] {
        for task in tasks(board) {
            let Some(answer) = board.ask(&task.id, "", question.ask(which)) else {
                let message = format!("the worker of task `{}` does not answer", task.id);
                return refuse(504, Code::WorkerSilent, &message);
            };
            match answer {
                Ok((rows, next)) => {
                    let found = rows.iter().filter_map(|row| serde_json::from_slice(&row.value).ok());
                    let meant = found.filter(|found| question.is_about(found));
                    callouts.extend(meant.map(|found| callout(&task, found)));
                    more |= next.is_some() && matches!(question, Question::All(_));
                }
                // It has been given away since.
                Err(Refusal::NotHere | Refusal::NoStore) => {}
                Err(Refusal::Failed(cause)) => {
                    let message = format!("the state of task `{}` cannot be read: {cause}", task.id);
                    return refuse(500, Code::Internal, &message);
                }
            }
        }
    }
    let (app, instance) = (board.app().to_string(), board.instance().to_string());
    json(200, &Callouts { app, instance, callouts, more })
}

fn asked(query: &BTreeMap<String, Vec<u8>>) -> Option<Question> {
    match query.iter().next() {
        Some(_) if query.len() > 1 => None,
        Some((name, id)) if name == "id" => Some(Question::One(String::from_utf8(id.clone()).ok()?)),
        Some((name, limit)) if name == "limit" => {
            let limit: usize = std::str::from_utf8(limit).ok()?.parse().ok()?;
            Some(Question::All(limit.min(ROWS_MAX)))
        }
        Some(_) => None,
        None => Some(Question::All(CALLOUTS)),
    }
}

impl Question {
    fn ask(&self, which: Which) -> Ask {
        match self {
            Self::One(id) => Ask::Callouts { which, after: Some(before(id)), limit: 1 },
            Self::All(limit) => Ask::Callouts { which, after: None, limit: *limit },
        }
    }

    fn is_about(&self, found: &CalloutStatus) -> bool {
        match self {
            Self::One(id) => found.id == *id,
            Self::All(_) => true,
        }
    }
}

/// A text behind which an id comes before all others that there are.
fn before(id: &str) -> String {
    let mut text = id.to_owned();
    let Some(last) = text.pop() else { return text };
    // Not every number is a character; the next lower one that is serves as well.
    let lower = (0..u32::from(last)).rev().find_map(char::from_u32);
    text.extend(lower.into_iter().chain(lower.map(|_| char::MAX)));
    text
}

/// The open tasks of this process that make callouts.
fn tasks(board: &Board) -> impl Iterator<Item = TaskStatus> {
    let calling = board.transforms().iter().map(|transform| transform.deployment());
    let calling = calling.filter(|deployment| !deployment.endpoints.is_empty());
    let calling: Vec<TransformName> = calling.map(|deployment| deployment.name.clone()).collect();
    let tasks = board.tasks().into_iter().map(|(_, task)| task);
    tasks.filter(move |task| task.state == TaskState::Running && calling.contains(&task.id.transform))
}

/// A callout of a task as the page has it.
fn callout(task: &TaskStatus, status: CalloutStatus) -> Callout {
    let last_status = status.last_status;
    Callout {
        task: task.id.to_string(),
        transform: task.id.transform.to_string(),
        id: status.id,
        state: status.state,
        endpoint: status.endpoint,
        mode: status.mode,
        method: status.method,
        path: status.path,
        attempts: status.attempts,
        intended_ms: status.intended,
        reason: status.reason.map(|(code, message)| CalloutReason { code, message, last_status }),
        key: status.key,
        retry_of: status.retry_of,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(query: &[(&str, &[u8])]) -> Option<Question> {
        asked(&query.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect())
    }

    #[test]
    fn understands_an_id_or_a_limit() {
        assert_eq!(ask(&[("id", b"a")]), Some(Question::One("a".to_owned())));
        assert_eq!(ask(&[]), Some(Question::All(CALLOUTS)));
        assert_eq!(ask(&[("limit", b"1000000")]), Some(Question::All(ROWS_MAX)));
        for wrong in [&[("id", &b"a"[..]), ("limit", b"1")][..], &[("limit", b"many")], &[("ID", b"a")]] {
            assert_eq!(ask(wrong), None);
        }
    }

    #[test]
    fn finds_the_place_before_an_id() {
        for id in ["3-815-9a3c", "a~retry-7", "\u{e000}", "é"] {
            let before = before(id);
            assert!(before.as_str() < id, "{before:?}");
            let smaller = ["3-815-9a3b", "a~retry-6", "a~retry-", "3-81", "a"];
            assert!(smaller.iter().all(|other| *other >= id || *other <= before.as_str()), "{before:?}");
        }
    }
}
