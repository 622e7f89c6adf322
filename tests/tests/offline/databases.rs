//! Ingests of SQL from real databases: what becomes of every type, and of every bad day.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy allows these in tests, but does not see that the helpers of a test are a part of it"
)]

mod bad_days;
mod bad_rows;
mod encryption;
mod memory;
mod types;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use gristmill_host::config::ingest::{DatabaseUrl, Member, MemberKind, Schedule, SqlIngest};
use gristmill_host::config::secret::SecretSource;
use gristmill_host::fault::Fault;
use gristmill_host::id::TopicName;
use gristmill_host::ingest::mapping::Row;
use gristmill_host::ingest::run::{Deletes, Rows, Run};
use gristmill_host::ingest::sql::SqlRows;
use gristmill_host::memory::MemoryTopics;
use gristmill_tests::database::{self, Database, PASSWORD, Server};
use gristmill_tests::rundir;

/// A database that a test fills and an ingest reads.
enum Target {
    Server(&'static Database),
    /// A file of SQLite.
    File(PathBuf),
}

impl Target {
    /// All three.
    fn all() -> Vec<Self> {
        vec![Self::sqlite(), Self::postgres(), Self::mariadb()]
    }

    fn sqlite() -> Self {
        let path = rundir::make("sqlite").unwrap().join("logistics.db");
        // As applications use it that let others read while they write.
        database::execute(&format!("sqlite:{}?mode=rwc", path.display()), "PRAGMA journal_mode = WAL")
            .unwrap();
        Self::File(path)
    }

    fn postgres() -> Self {
        Self::Server(Database::shared(Server::Postgres).unwrap())
    }

    fn mariadb() -> Self {
        Self::Server(Database::shared(Server::Mariadb).unwrap())
    }

    fn execute(&self, statements: &str) {
        let result: Result<()> = match self {
            Self::Server(server) => server.execute(statements),
            Self::File(path) => database::execute(&format!("sqlite:{}", path.display()), statements),
        };
        result.unwrap();
    }

    /// An ingest with a query, whose key is the column `k`.
    fn ingest(&self, query: &str) -> SqlIngest {
        let (url, password) = match self {
            Self::Server(server) => (server.url(), Some(SecretSource::Env("PASSWORD".to_owned()))),
            Self::File(path) => (format!("sqlite:{}", path.display()), None),
        };
        SqlIngest {
            database: DatabaseUrl::Plain(url),
            password,
            query: query.to_owned(),
            key: "k".to_owned(),
            members: None,
            schedule: Schedule::ByHand,
            deletes_max: 0.2,
            rows_max: 5_000_000,
            timeout: Duration::from_secs(30),
        }
    }
}

/// A table's name that no other test has.
fn table(test: &str, target: &Target) -> String {
    let kind = match target {
        Target::Server(server) => server.url().split(':').next().unwrap_or_default().to_owned(),
        Target::File(_) => "sqlite".to_owned(),
    };
    format!("{test}_{kind}")
}

fn open(ingest: &SqlIngest) -> SqlRows {
    let lookup = |name: &str| (name == "PASSWORD").then(|| PASSWORD.to_owned());
    SqlRows::open(ingest, "ingest `classes`", &lookup).unwrap()
}

/// All rows, as `key value`.
fn read(ingest: &SqlIngest) -> Result<Vec<String>, Fault> {
    let mut rows = Vec::new();
    open(ingest).each(&mut |row| {
        rows.push(text(&row));
        Ok(())
    })?;
    rows.sort();
    Ok(rows)
}

fn text(row: &Row) -> String {
    format!("{} {}", String::from_utf8_lossy(&row.key), String::from_utf8_lossy(&row.value))
}

/// Runs an ingest into topics in memory.
fn run(topics: &MemoryTopics, ingest: &SqlIngest, rows: &mut dyn Rows) -> Result<u64, Fault> {
    let mut outlet = topics.outlet("classes");
    let mut run = Run::begin(&topic(), ingest, &mut outlet, &mut |_| {})?;
    run.compare(rows, &mut |_| {})?;
    run.check_deletes(Deletes::Bounded)?;
    let counts = run.publish(&mut outlet, &mut |_| {}).map_err(|error| error.into_fault())?;
    Ok(counts.changes())
}

fn topic() -> TopicName {
    TopicName::new("delivery-classes")
}

fn member(field: &str, kind: MemberKind) -> Member {
    Member { name: field.to_owned(), field: field.to_owned(), kind, required: false }
}
