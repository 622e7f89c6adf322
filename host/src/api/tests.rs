//! The API over its socket, with a board that stands for a running host.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};

use serde::de::DeserializeOwned;
use tempfile::TempDir;

use super::*;
use crate::api::shapes::{Asked, Ingests, Jobs, Readiness, Refused, Rows, Stores, Tasks, Text, Transforms};
use crate::clock::Clock;
use crate::id::{InstanceName, Offset, Partition, Timestamp, TopicPartition};
use crate::status::testing::{pipeline, pipeline_with_ingests, task};
use crate::status::{
    Ask, IngestState, JobState, JobStatus, PublishedCounts, Refusal, RestoreStatus, RunRequest, RunStatus,
    Slot, StoreStatus, TaskState, TaskStatus, WorkerStatus,
};

/// A board with one transform and one worker, and its API.
struct Desk {
    clock: Clock,
    board: Arc<Board>,
    slot: Slot,
    directory: TempDir,
    api: Api,
}

fn any_port() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

fn desk() -> Desk {
    let clock = Clock::manual(Timestamp(0));
    let board = Arc::new(Board::new(&pipeline(&["t"], 1), &InstanceName::new("a"), clock.clone()));
    let slot = board.slot(&"t".into(), "shop.t.a.0");
    let directory = TempDir::new().unwrap();
    let api = Api::start(&board, any_port(), directory.path()).unwrap();
    Desk { clock, board, slot, directory, api }
}

impl Desk {
    fn show(&mut self, tasks: Vec<TaskStatus>) {
        self.slot.show(Duration::ZERO, WorkerStatus { has_producer: true, tasks });
    }

    /// The status and the body of a page.
    fn get(&self, path: &str) -> (u16, String) {
        talk(self.api.address(), &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    }

    fn page<T: DeserializeOwned>(&self, path: &str) -> T {
        let (status, body) = self.get(path);
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    fn refused(&self, path: &str) -> (u16, String) {
        let (status, body) = self.get(path);
        (status, serde_json::from_str::<Refused>(&body).unwrap().error.code)
    }
}

fn talk(address: SocketAddr, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn code(code: Code) -> String {
    code.as_str().to_owned()
}

#[test]
fn is_ready_when_every_worker_works_and_no_task_is_held_up() {
    let mut desk = desk();
    let reasons = |desk: &Desk| {
        let (status, body) = desk.get("/readyz");
        let readiness: Readiness = serde_json::from_str(&body).unwrap();
        assert_eq!(status, if readiness.ready { 200 } else { 503 });
        readiness.reasons.into_iter().map(|reason| reason.code).collect::<Vec<_>>()
    };
    assert_eq!(desk.get("/healthz"), (200, "alive\n".to_owned()));
    assert_eq!(reasons(&desk), ["worker_absent"]);

    desk.slot.show(Duration::ZERO, WorkerStatus::default());
    assert_eq!(reasons(&desk), ["worker_without_producer"]);

    desk.show(vec![TaskStatus { state: TaskState::Restoring, ..task("t", 0) }]);
    assert_eq!(reasons(&desk), ["task_restoring"]);

    let fault = Fault::new(Code::TooManyTraps, "too many");
    desk.show(vec![TaskStatus { state: TaskState::from(&fault), ..task("t", 0) }]);
    assert_eq!(reasons(&desk), ["too_many_traps"]);

    desk.show(vec![task("t", 0), TaskStatus { state: TaskState::Closed, ..task("t", 1) }]);
    assert_eq!(reasons(&desk), Vec::<String>::new());

    desk.clock.advance(Duration::from_secs(60));
    assert_eq!(reasons(&desk), ["worker_silent"]);

    desk.board.stop(&"t".into(), &Fault::new(Code::PositionLost, "gone"));
    assert_eq!(reasons(&desk), ["position_lost"]);
}

#[test]
fn shows_transforms_with_what_they_are_bound_to() {
    let mut desk = desk();
    let state = |desk: &Desk| desk.page::<Transforms>("/api/v1/transforms").transforms[0].state.clone();
    assert_eq!(state(&desk), "starting");

    desk.show(vec![]);
    let page: Transforms = desk.page("/api/v1/transforms");

    assert_eq!((page.app.as_str(), page.instance.as_str()), ("shop", "a"));
    let transform = &page.transforms[0];
    assert_eq!((transform.name.as_str(), transform.state.as_str()), ("t", "running"));
    assert_eq!((transform.group.as_str(), transform.plugin.name.as_str()), ("shop.t", "delivery-time"));
    assert_eq!(
        (transform.sources[0].kind.as_deref(), transform.sources[0].topic.as_str()),
        (Some("table"), "items")
    );
    assert_eq!(
        (transform.sinks[0].name.as_str(), transform.dead_letters.as_str()),
        ("enriched", "shop.dead")
    );
    assert_eq!(
        (transform.workers[0].name.as_str(), transform.workers[0].state.as_str()),
        ("shop.t.a.0", "working")
    );
    desk.board.stop(&"t".into(), &Fault::new(Code::PositionLost, "gone"));
    assert_eq!(state(&desk), "stopped");
}

#[test]
fn shows_tasks_with_their_lag_where_the_end_is_known() {
    let mut desk = desk();
    let fault = Fault::new(Code::PluginFatal, "it said no").hint("ask it");
    desk.show(vec![task("t", 0), TaskStatus { state: TaskState::from(&fault), ..task("t", 1) }]);
    let place = TopicPartition::new(&"items".into(), Partition(0));
    desk.board.set_ends([(place, Offset(12))].into());

    let page: Tasks = desk.page("/api/v1/tasks");

    let [first, second] = page.tasks.as_slice() else { panic!("{page:?}") };
    assert_eq!((first.task.as_str(), first.state.as_str(), first.waiting), ("t/0", "running", 4));
    assert_eq!((first.lag, first.worker.as_str(), &first.fault), (Some(10), "shop.t.a.0", &None));
    let position = &first.positions[0];
    assert_eq!((position.position, position.committed, position.end), (3, Some(2), Some(12)));
    assert_eq!((second.state.as_str(), second.lag), ("stopped", None));
    let fault = second.fault.as_ref().unwrap();
    assert_eq!((fault.code.as_str(), fault.message.as_str()), ("plugin_fatal", "it said no"));
    assert_eq!(fault.hint.as_deref(), Some("ask it"));
}

/// A task that does everything that a task can be busy with.
fn busy() -> TaskStatus {
    let job = JobStatus {
        kind: "follow-class".to_owned(),
        name: "class:bulky".to_owned(),
        generation: 2,
        visited: 30,
        emitted: 20,
        total: Some(120),
        per_second: 9.5,
        left: Some(Duration::from_secs(10)),
        state: JobState::Running,
    };
    let failed = JobState::Failed { code: "trap".to_owned(), message: "it trapped".to_owned() };
    TaskStatus {
        restores: vec![RestoreStatus {
            place: TopicPartition::new(&"shop.t.changelog".into(), Partition(0)),
            read: Offset(5),
            until: Some(Offset(9)),
        }],
        jobs: vec![
            job.clone(),
            JobStatus { name: "class:small".to_owned(), total: None, state: failed, ..job },
        ],
        stores: vec![StoreStatus { name: "items".to_owned(), rows: Some(7), bytes: None }],
        callouts: crate::status::CalloutCounts::default(),
        ..task("t", 0)
    }
}

#[test]
fn shows_what_tasks_are_busy_with() {
    let mut desk = desk();
    desk.show(vec![busy()]);

    let jobs = desk.page::<Jobs>("/api/v1/jobs").jobs;
    let stores = desk.page::<Stores>("/api/v1/stores").stores;
    let tasks = desk.page::<Tasks>("/api/v1/tasks").tasks;

    let [running, failed] = jobs.as_slice() else { panic!("{jobs:?}") };
    assert_eq!(
        (running.task.as_str(), running.kind.as_str(), running.generation),
        ("t/0", "follow-class", 2)
    );
    assert_eq!((running.visited, running.emitted, running.total), (30, 20, Some(120)));
    assert_eq!((running.progress, running.per_second, running.left_ms), (Some(0.25), 9.5, Some(10_000)));
    assert_eq!((failed.state.as_str(), failed.progress), ("failed", None));
    assert_eq!(failed.fault.as_ref().unwrap().code, "trap");
    assert_eq!((stores[0].name.as_str(), stores[0].rows, stores[0].bytes), ("items", Some(7), None));
    assert_eq!((tasks[0].restores[0].read, tasks[0].restores[0].until), (5, Some(9)));
}

#[test]
fn counts_what_the_board_shows() {
    let mut desk = desk();
    desk.show(vec![busy()]);
    desk.board.set_ends([(TopicPartition::new(&"items".into(), Partition(0)), Offset(12))].into());

    let (status, page) = desk.get("/metrics");

    assert_eq!(status, 200);
    for line in [
        r#"gristmill_ready{app="shop"} 1"#,
        r#"gristmill_worker_up{app="shop",transform="t",worker="shop.t.a.0"} 1"#,
        r#"gristmill_task_state{app="shop",transform="t",task="t/0",state="running"} 1"#,
        r#"gristmill_task_state{app="shop",transform="t",task="t/0",state="stopped"} 0"#,
        r#"gristmill_task_waiting_records{app="shop",transform="t",task="t/0"} 4"#,
        r#"gristmill_source_lag_records{app="shop",transform="t",task="t/0",topic="items",partition="0"} 10"#,
        r#"gristmill_source_committed_offset{app="shop",transform="t",task="t/0",topic="items",partition="0"} 2"#,
        r#"gristmill_source_position_offset{app="shop",transform="t",task="t/0",topic="items",partition="0"} 3"#,
        r#"gristmill_job_rows{app="shop",transform="t",task="t/0",kind="follow-class",job="class:bulky"} 120"#,
        r#"gristmill_job_visited_rows{app="shop",transform="t",task="t/0",kind="follow-class",job="class:small"} 30"#,
        r#"gristmill_store_rows{app="shop",transform="t",task="t/0",store="items"} 7"#,
        r#"gristmill_restore_left_records{app="shop",transform="t",task="t/0",topic="shop.t.changelog",partition="0"} 4"#,
    ] {
        assert!(page.lines().any(|other| other == line), "no line {line} in\n{page}");
    }
}

#[test]
fn hands_questions_to_the_worker_and_its_answers_back() {
    let mut desk = desk();
    desk.show(vec![task("t", 0)]);
    let row = |key: &[u8]| crate::status::Row { key: key.to_vec(), value: b"{}".to_vec() };

    let asked = |path: &str, answer: crate::status::Answer| {
        let request = format!("GET /api/v1/state/{path} HTTP/1.1\r\n\r\n");
        let address = desk.api.address();
        let client = std::thread::spawn(move || talk(address, &request));
        let question = loop {
            match desk.slot.question() {
                Some(question) => break question,
                None => std::thread::yield_now(),
            }
        };
        question.reply.try_send(answer).unwrap();
        let (status, body) = client.join().unwrap();
        (question, status, body)
    };

    let (question, status, body) = asked("t/0/items?key=a%20b", Ok((vec![row(b"a b")], None)));
    assert_eq!((question.ask, question.store.as_str(), status), (Ask::Get(b"a b".to_vec()), "items", 200));
    let rows: Rows = serde_json::from_str(&body).unwrap();
    assert_eq!((rows.task.as_str(), &rows.rows[0].key), ("t/0", &Text::Text("a b".to_owned())));
    let (_, _, body) = asked("t/0/items", Ok((vec![row(b"\xff")], Some(vec![255]))));
    let rows: Rows = serde_json::from_str(&body).unwrap();
    assert_eq!(rows.next, Some(Text::Hex { hex: "ff".to_owned() }));
    for (refusal, expected, status) in [
        (Refusal::NoStore, Code::StoreUnknown, 404),
        (Refusal::NotHere, Code::TaskNotHere, 404),
        (Refusal::Failed("broken".to_owned()), Code::Internal, 500),
    ] {
        let (_, answered, body) = asked("t/0/items", Err(refusal));
        let refused: Refused = serde_json::from_str(&body).unwrap();
        assert_eq!((answered, refused.error.code), (status, code(expected)));
    }
}

#[test]
fn answers_other_pages_while_a_worker_hangs() {
    let mut desk = desk();
    desk.show(vec![task("t", 0)]);
    let address = desk.api.address();
    let waiting = std::thread::spawn(move || talk(address, "GET /api/v1/state/t/0/items HTTP/1.1\r\n\r\n"));
    let question = loop {
        match desk.slot.question() {
            Some(question) => break question,
            None => std::thread::yield_now(),
        }
    };

    let pages = ["/healthz", "/readyz", "/metrics", "/api/v1/tasks"].map(|path| desk.get(path).0);

    assert_eq!(pages, [200; 4]);
    assert!(!waiting.is_finished());
    drop(question);
    let (status, body) = waiting.join().unwrap();
    assert_eq!(status, 504);
    assert_eq!(serde_json::from_str::<Refused>(&body).unwrap().error.code, code(Code::WorkerSilent));
}

#[test]
fn refuses_what_it_has_no_page_for() {
    let desk = desk();
    let invalid = |status| (status, code(Code::QuestionInvalid));

    assert_eq!(desk.refused("/api/v1/secrets"), invalid(404));
    assert_eq!(desk.refused("/api/v1/state/t/x/items"), invalid(400));
    assert_eq!(desk.refused("/api/v1/state/t/0/items?kye=1"), invalid(400));
    assert_eq!(desk.refused("/api/v1/state/t/0/items?key=1"), (404, code(Code::TaskNotHere)));
    assert_eq!(desk.refused("/api/v1/state/other/0/items?key=1"), (404, code(Code::TaskNotHere)));
}

#[test]
fn changes_nothing_and_serves_nobody_elses_browser() {
    let desk = desk();
    let address = desk.api.address();
    let status = |request: &str| talk(address, request).0;

    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        assert_eq!(
            status(&format!("{method} /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\n\r\n")),
            405,
            "{method}"
        );
    }
    assert_eq!(status("GET /api/v1/jobs HTTP/1.1\r\nHost: evil.example\r\n\r\n"), 403);
    assert_eq!(status(&format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\n\r\n")), 200);
    assert_eq!(status("nonsense\r\n\r\n"), 400);
    assert_eq!(status(&format!("GET /{} HTTP/1.1\r\n", "x".repeat(9000))), 400);
    assert_eq!(talk(address, "HEAD /healthz HTTP/1.1\r\n\r\n"), (200, String::new()));
}

#[test]
fn takes_another_port_when_its_own_is_taken() {
    let taken = TcpListener::bind(any_port()).unwrap();
    let wanted = taken.local_addr().unwrap();
    let first = desk();

    let directory = TempDir::new().unwrap();
    let api = Api::start(&first.board, wanted, directory.path()).unwrap();

    assert_ne!(api.address(), wanted);
    assert_eq!(talk(api.address(), "GET /healthz HTTP/1.1\r\n\r\n").0, 200);
    let found = AddressFile::read(directory.path());
    let found = found.unwrap();
    assert_eq!((found.address, found.instance.as_str()), (api.address(), "a"));
}

#[test]
fn says_that_an_address_cannot_be_used() {
    let desk = desk();
    // Set aside for documentation: no machine has it.
    let fault =
        Api::start(&desk.board, "192.0.2.1:9180".parse().unwrap(), desk.directory.path()).unwrap_err();

    assert_eq!(fault.code(), Code::AddressUnusable);
}

#[test]
fn leaves_nothing_behind_when_it_ends() {
    let Desk { api, directory, .. } = desk();
    let address = api.address();
    assert!(AddressFile::read(directory.path()).is_some());

    drop(api);

    assert_eq!(AddressFile::read(directory.path()), None);
    assert!(TcpStream::connect(address).is_err());
    assert!(TcpListener::bind(address).is_ok());
}

/// A desk whose pipeline has two ingests.
fn desk_with_ingests() -> Desk {
    let clock = Clock::manual(Timestamp(0));
    let board = Arc::new(Board::new(&pipeline_with_ingests(), &InstanceName::new("a"), clock.clone()));
    let slot = board.slot(&"t".into(), "shop.t.a.0");
    let directory = TempDir::new().unwrap();
    let api = Api::start(&board, any_port(), directory.path()).unwrap();
    Desk { clock, board, slot, directory, api }
}

impl Desk {
    fn token(&self) -> String {
        AddressFile::read(self.directory.path()).unwrap().token.unwrap()
    }

    fn order(&self, path: &str, token: &str) -> (u16, String) {
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n");
        talk(self.api.address(), &head)
    }
}

#[test]
fn shows_what_ingests_do_and_what_came_of_their_runs() {
    let desk = desk_with_ingests();
    let board = desk.board.ingest("classes").unwrap();
    let page = |desk: &Desk| desk.page::<Ingests>("/api/v1/ingests").ingests.remove(0);
    let ingest = page(&desk);
    assert_eq!((ingest.name.as_str(), ingest.kind.as_str(), ingest.topic.as_str()), ("classes", "sql", "c"));
    assert_eq!((ingest.state.as_str(), ingest.schedule.as_deref()), ("starting", Some("every 10m")));

    board.show(|status| status.state = IngestState::Running { stage: "table", done: 7_000 });
    let ingest = page(&desk);
    assert_eq!(
        (ingest.state.as_str(), ingest.stage.as_deref(), ingest.done),
        ("running", Some("table"), Some(7_000))
    );

    let published = Some(PublishedCounts { inserts: 1, updates: 2, deletes: 3, unchanged: 4 });
    let took = Duration::from_millis(5);
    board.show(|status| status.last = Some(RunStatus { ended: Timestamp(9), took, published, fault: None }));
    let last = page(&desk).last.unwrap();
    assert_eq!((last.ended_at, last.took_ms), (9, 5));
    assert_eq!(
        (last.inserts, last.updates, last.deletes, last.unchanged),
        (Some(1), Some(2), Some(3), Some(4))
    );

    board.stop(&Fault::new(Code::TopicMissing, "gone"));
    let ingest = page(&desk);
    assert_eq!((ingest.state.as_str(), ingest.fault.unwrap().code.as_str()), ("stopped", "topic_missing"));
    assert!(desk.get("/readyz").1.contains("ingest `classes` has stopped: gone"));
}

#[test]
fn takes_orders_from_whoever_has_the_token_and_nobody_else() {
    let desk = desk_with_ingests();
    let path = "/api/v1/ingests/classes/run";
    let asked = |desk: &Desk| desk.board.ingest("classes").unwrap().await_request(Duration::ZERO, || false);

    for token in ["", "0123456789abcdef0123456789abcdef"] {
        let (status, body) = desk.order(path, token);
        let refused: Refused = serde_json::from_str(&body).unwrap();
        assert_eq!((status, refused.error.code), (401, code(Code::TokenRefused)));
    }
    assert_eq!(talk(desk.api.address(), &format!("POST {path} HTTP/1.1\r\n\r\n")).0, 401);
    assert_eq!(asked(&desk), None);

    let (status, body) = desk.order(path, &desk.token());
    assert_eq!((status, serde_json::from_str::<Asked>(&body).unwrap().ticket), (202, 1), "{body}");
    assert_eq!(asked(&desk), Some(RunRequest { allow_deletes: false, ticket: 1 }));
    assert_eq!(desk.order(&format!("{path}?allow_deletes=true"), &desk.token()).0, 202);
    assert_eq!(desk.order(path, &desk.token()).0, 202);
    assert_eq!(asked(&desk), Some(RunRequest { allow_deletes: true, ticket: 3 }));
}

#[test]
fn refuses_orders_that_make_no_sense() {
    let desk = desk_with_ingests();
    let refused = |path: &str| {
        let (status, body) = desk.order(path, &desk.token());
        (status, serde_json::from_str::<Refused>(&body).unwrap().error.code)
    };

    assert_eq!(refused("/api/v1/ingests/other/run"), (404, code(Code::QuestionInvalid)));
    assert_eq!(refused("/api/v1/ingests/rest/run"), (409, code(Code::CommandUnfit)));
    assert_eq!(
        refused("/api/v1/ingests/classes/run?allow_deletes=maybe"),
        (400, code(Code::QuestionInvalid))
    );
    assert_eq!(refused("/api/v1/ingests"), (405, code(Code::QuestionInvalid)));
    desk.board.ingest("classes").unwrap().stop(&Fault::new(Code::TopicMissing, "gone"));
    assert_eq!(refused("/api/v1/ingests/classes/run"), (409, code(Code::TopicMissing)));
}

#[test]
fn keeps_its_token_from_other_users() {
    use std::os::unix::fs::PermissionsExt;

    let desk = desk();

    let mode = std::fs::metadata(AddressFile::path(desk.directory.path())).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
