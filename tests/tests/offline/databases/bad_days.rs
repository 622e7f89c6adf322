//! Databases that are not there, are killed, are locked, or change while they are read.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use gristmill_host::config::ingest::DatabaseUrl;
use gristmill_host::config::secret::SecretSource;
use gristmill_host::fault::{Code, Fault};
use gristmill_host::ingest::mapping::Row;
use gristmill_host::ingest::run::Rows;
use gristmill_host::ingest::sql::SqlRows;
use gristmill_host::memory::MemoryTopics;
use gristmill_tests::database::{Database, PASSWORD, Server, USER};
use sqlx::{Connection, Executor};

use super::{Target, open, read, run, table};

/// Enough rows that they do not fit between a server and a reader that has stopped.
const MANY: u32 = 100_000;

/// Fills a table with rows of 400 bytes.
fn fill(database: &Database, name: &str) {
    let numbers = match database.url().starts_with("postgres") {
        true => format!("generate_series(1, {MANY}) AS numbers(n)"),
        false => format!("(SELECT seq AS n FROM seq_1_to_{MANY}) AS numbers"),
    };
    database.execute(&format!("CREATE TABLE {name} (k INT PRIMARY KEY, v INT, filler TEXT)")).unwrap();
    let rows = format!("SELECT n, 0, REPEAT('x', 400) FROM {numbers}");
    database.execute(&format!("INSERT INTO {name} {rows}")).unwrap();
}

/// Rows at one of which something happens.
struct Interrupted<'a> {
    rows: SqlRows,
    seen: u32,
    happens: &'a mut dyn FnMut(),
}

impl Rows for Interrupted<'_> {
    fn each(&mut self, visit: &mut dyn FnMut(Row) -> Result<(), Fault>) -> Result<(), Fault> {
        self.rows.each(&mut |row| {
            self.seen += 1;
            if self.seen == 100 {
                (self.happens)();
            }
            visit(row)
        })
    }
}

#[test]
fn publishes_nothing_when_the_database_dies_in_the_middle_of_a_read() {
    for server in [Server::Postgres, Server::Mariadb] {
        let mut database = Database::start(server).unwrap();
        fill(&database, "classes");
        let mut ingest = Target::sqlite().ingest("SELECT k, v, filler FROM classes");
        ingest.database = DatabaseUrl::Plain(database.url());
        ingest.password = Some(SecretSource::Env("PASSWORD".to_owned()));
        let topics = MemoryTopics::default();
        let mut die = || database.kill().unwrap();
        let mut rows = Interrupted { rows: open(&ingest), seen: 0, happens: &mut die };

        let fault = run(&topics, &ingest, &mut rows).unwrap_err();

        assert_eq!(fault.code(), Code::DatabaseFailed, "{}", fault.report());
        assert!((100..MANY).contains(&rows.seen), "{} rows", rows.seen);
        assert!(topics.transactions().is_empty());

        // While it is down there is nobody to ask; once it is back, everything comes.
        let fault = run(&topics, &ingest, &mut open(&ingest)).unwrap_err();
        assert_eq!(fault.code(), Code::DatabaseUnreachable, "{}", fault.report());
        assert!(fault.message().contains(&database.url()), "{fault}");
        database.restart().unwrap();
        assert_eq!(run(&topics, &ingest, &mut open(&ingest)).unwrap(), u64::from(MANY));
    }
}

#[test]
fn gives_the_rows_of_one_moment_while_others_write() {
    for target in Target::all() {
        let name = table("moment", &target);
        target.execute(&format!("CREATE TABLE {name} (k INT PRIMARY KEY, v INT)"));
        let values: Vec<_> = (0..5_000).map(|n| format!("({n}, 0)")).collect();
        target.execute(&format!("INSERT INTO {name} VALUES {}", values.join(",")));
        let ingest = target.ingest(&format!("SELECT k, v FROM {name}"));
        let mut write = || {
            target.execute(&format!("UPDATE {name} SET v = 1"));
            target.execute(&format!("DELETE FROM {name} WHERE k >= 4000"));
            target.execute(&format!("INSERT INTO {name} VALUES (9000, 1)"));
        };
        let mut rows = Interrupted { rows: open(&ingest), seen: 0, happens: &mut write };

        let mut seen = Vec::new();
        rows.each(&mut |row| {
            seen.push(row);
            Ok(())
        })
        .unwrap();

        assert_eq!(seen.len(), 5_000);
        assert!(seen.iter().all(|row| row.value == br#"{"v":0}"#));
        assert_eq!(read(&ingest).unwrap().len(), 4_001, "what was written shows in the next read");
    }
}

#[test]
fn shows_no_password_when_it_is_wrong() {
    for target in [Target::postgres(), Target::mariadb()] {
        let Target::Server(server) = &target else { panic!("no server") };
        let wrong = "oper-sesame-17";
        let mut ingest = target.ingest("SELECT 1 AS k");
        let whole = server.url().replacen(USER, &format!("{USER}:{wrong}"), 1);
        let lookup = |name: &str| Some(if name == "URL" { whole.clone() } else { wrong.to_owned() });

        let apart = SqlRows::open(&ingest, "ingest `classes`", &lookup).unwrap().check().unwrap_err();
        ingest.database = DatabaseUrl::Secret(SecretSource::Env("URL".to_owned()));
        ingest.password = None;
        let inside = SqlRows::open(&ingest, "ingest `classes`", &lookup).unwrap().check().unwrap_err();

        for fault in [apart, inside] {
            assert_eq!(fault.code(), Code::DatabaseUnreachable);
            let told = format!("{} {fault:?}", fault.report());
            assert!(!told.contains(wrong) && !told.contains(PASSWORD), "{told}");
            assert!(
                fault.message().starts_with("ingest `classes` cannot connect to the database "),
                "{told}"
            );
        }
    }
}

#[test]
fn reads_a_database_whose_whole_url_is_a_secret() {
    let target = Target::postgres();
    let Target::Server(server) = &target else { panic!("no server") };
    let whole = server.url().replacen(USER, &format!("{USER}:{PASSWORD}"), 1);
    let mut ingest = target.ingest("SELECT 1 AS k");
    ingest.database = DatabaseUrl::Secret(SecretSource::Env("URL".to_owned()));
    ingest.password = None;

    SqlRows::open(&ingest, "ingest `classes`", &|_| Some(whole.clone())).unwrap().check().unwrap();
}

#[test]
fn gives_up_a_database_that_accepts_and_never_answers() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for scheme in ["postgres", "mysql"] {
        let mut ingest = Target::sqlite().ingest("SELECT 1 AS k");
        ingest.timeout = Duration::from_millis(300);
        ingest.database =
            DatabaseUrl::Plain(format!("{scheme}://{}/logistics", listener.local_addr().unwrap()));

        let fault = read(&ingest).unwrap_err();

        assert_eq!(fault.code(), Code::DatabaseUnreachable);
        assert!(fault.cause().contains("no answer within 300ms"), "{}", fault.report());
    }
}

#[test]
fn gives_up_a_query_that_does_not_end() {
    for (target, query) in [
        (Target::postgres(), "SELECT 1 AS k, pg_sleep(600) AS v"),
        (Target::mariadb(), "SELECT 1 AS k, SLEEP(600) AS v"),
        (
            Target::sqlite(),
            "WITH RECURSIVE n(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM n) SELECT count(*) AS k FROM n",
        ),
    ] {
        let mut ingest = target.ingest(query);
        ingest.timeout = Duration::from_millis(500);

        let fault = read(&ingest).unwrap_err();

        assert_eq!(fault.code(), Code::DatabaseFailed);
        assert!(fault.remedy().contains("`timeout`"), "{}", fault.report());
    }
}

/// A database of SQLite that is written without a log beside it, and so locks readers out.
fn exclusive() -> (Target, sqlx::SqliteConnection, tokio::runtime::Runtime) {
    let target = Target::sqlite();
    target.execute("PRAGMA journal_mode = DELETE; CREATE TABLE classes (k TEXT, v INT)");
    let Target::File(path) = &target else { panic!("no file") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let url = format!("sqlite:{}", path.display());
    let writer = runtime.block_on(async {
        let mut writer = sqlx::SqliteConnection::connect(&url).await.unwrap();
        writer.execute("BEGIN EXCLUSIVE").await.unwrap();
        writer.execute("INSERT INTO classes VALUES ('bulky', 2)").await.unwrap();
        writer
    });
    (target, writer, runtime)
}

#[test]
fn waits_for_whoever_writes_a_file_of_sqlite() {
    let (target, mut writer, runtime) = exclusive();
    let ingest = target.ingest("SELECT k, v FROM classes");
    let (begun, begins) = mpsc::channel();
    let reader = thread::spawn(move || {
        begun.send(()).unwrap();
        read(&ingest)
    });
    begins.recv().unwrap();

    runtime.block_on(writer.execute("COMMIT")).unwrap();

    assert_eq!(reader.join().unwrap().unwrap(), ["bulky {\"v\":2}"]);
}

#[test]
fn does_not_wait_for_ever_for_a_file_of_sqlite() {
    let (target, _writer, _runtime) = exclusive();
    let mut ingest = target.ingest("SELECT k, v FROM classes");
    ingest.timeout = Duration::from_millis(500);

    let fault = read(&ingest).unwrap_err();

    assert_eq!(fault.code(), Code::DatabaseUnreachable);
    assert!(fault.remedy().contains("the transaction that locks it"), "{}", fault.report());
}
