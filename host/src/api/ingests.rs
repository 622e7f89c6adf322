//! The page of ingests, and the order to run one now.

use std::collections::BTreeMap;

use crate::api::http::{Request, Response};
use crate::api::pages::fault;
use crate::api::routes::{json, refuse};
use crate::api::shapes::{Asked, Ingest, IngestRun, Ingests};
use crate::api::token::Token;
use crate::config::ingest::{IngestKind, Schedule};
use crate::config::units::format_duration;
use crate::fault::Code;
use crate::status::{Board, IngestBoard, IngestState, RunStatus};

/// `/api/v1/ingests`
pub(super) fn page(board: &Board) -> Ingests {
    Ingests {
        app: board.app().to_string(),
        instance: board.instance().to_string(),
        ingests: board.ingests().iter().map(ingest).collect(),
    }
}

fn ingest(board: &IngestBoard) -> Ingest {
    let status = board.status();
    let (state, stopped, address, progress) = match status.state {
        IngestState::Starting => ("starting", None, None, None),
        IngestState::Waiting => ("waiting", None, None, None),
        IngestState::Running { stage, done } => ("running", None, None, Some((stage.to_owned(), done))),
        IngestState::Serving(address) => ("serving", None, Some(address.to_string()), None),
        IngestState::ByHand => ("by-hand", None, None, None),
        IngestState::Stopped(stopped) => ("stopped", Some(fault(stopped)), None, None),
    };
    let described = board.ingest();
    let (stage, done) = progress.unzip();
    Ingest {
        name: described.name.to_string(),
        kind: described.kind.as_str().to_owned(),
        topic: described.topic.to_string(),
        state: state.to_owned(),
        fault: stopped,
        schedule: schedule(&described.kind),
        address,
        stage,
        done,
        next_at: status.next.map(|next| next.0),
        runs: status.runs,
        last: status.last.map(run),
        served: status.served,
    }
}

fn schedule(kind: &IngestKind) -> Option<String> {
    let IngestKind::Sql(sql) = kind else { return None };
    match &sql.schedule {
        Schedule::ByHand => None,
        Schedule::Every(every) => Some(format!("every {}", format_duration(*every))),
        Schedule::Cron(cron) => Some(cron.clone()),
    }
}

fn run(run: RunStatus) -> IngestRun {
    let published = run.published;
    IngestRun {
        ended_at: run.ended.0,
        took_ms: u64::try_from(run.took.as_millis()).unwrap_or(u64::MAX),
        inserts: published.map(|counts| counts.inserts),
        updates: published.map(|counts| counts.updates),
        deletes: published.map(|counts| counts.deletes),
        unchanged: published.map(|counts| counts.unchanged),
        fault: run.fault.map(fault),
    }
}

/// `POST /api/v1/ingests/NAME/run?allow_deletes=true`
pub(super) fn order(board: &Board, token: &Token, name: &str, request: &Request) -> Response {
    if !token.is(request.token.as_deref()) {
        return refuse(
            401,
            Code::TokenRefused,
            "an order needs the token of this host as `Authorization: Bearer TOKEN`",
        );
    }
    let Some(ingest) = board.ingest(name) else {
        return refuse(404, Code::QuestionInvalid, &format!("there is no ingest `{name}`"));
    };
    if !matches!(ingest.ingest().kind, IngestKind::Sql(_)) {
        let kind = ingest.ingest().kind.as_str();
        let message = format!("ingest `{name}` is of kind `{kind}`, which does not run on request");
        return refuse(409, Code::CommandUnfit, &message);
    }
    if let IngestState::Stopped(stopped) = ingest.status().state {
        return refuse(409, stopped.code, &stopped.message);
    }
    let Some(allow_deletes) = allows_deletes(&request.query) else {
        return refuse(
            400,
            Code::QuestionInvalid,
            "`allow_deletes` is `true` or `false`, and there is nothing else",
        );
    };
    let ticket = ingest.request(allow_deletes);
    json(202, &Asked { ingest: name.to_owned(), ticket })
}

fn allows_deletes(query: &BTreeMap<String, Vec<u8>>) -> Option<bool> {
    match query.iter().next() {
        None => Some(false),
        Some((name, value)) if name == "allow_deletes" && query.len() == 1 => match value.as_slice() {
            b"true" | b"" => Some(true),
            b"false" => Some(false),
            _ => None,
        },
        Some(_) => None,
    }
}
