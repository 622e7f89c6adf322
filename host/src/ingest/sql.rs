//! The rows of an SQL query, from SQLite, PostgreSQL and MySQL or MariaDB.
//!
//! ```text
//! place                      where the database is, and what of it must never be shown
//! read                       connect, describe, read row by row: the same for all databases
//! sqlite  postgres  mysql    how each of them connects, takes a snapshot, and writes its values
//! text                       numbers, dates and times as JSON has them
//! ```
//! A read sees one moment of the database and never holds more than a few rows in memory. Every wait, for the connection and for
//! each row, ends after the ingest's `timeout`.

mod mysql;
mod place;
mod postgres;
mod read;
mod sqlite;
mod text;

use crate::config::env::Lookup;
use crate::config::ingest::SqlIngest;
use crate::fault::Fault;
use crate::ingest::mapping::Row;
use crate::ingest::run::Rows;
use crate::ingest::sql::mysql::Mysql;
use crate::ingest::sql::place::{Kind, Place};
use crate::ingest::sql::postgres::Postgres;
use crate::ingest::sql::read::Question;
use crate::ingest::sql::sqlite::Sqlite;

/// The rows of an ingest's query. It connects anew for every read.
pub struct SqlRows {
    database: Database,
    question: Question,
}

enum Database {
    Sqlite(Sqlite),
    Postgres(Postgres),
    Mysql(Mysql),
}

impl SqlRows {
    /// Reads the secrets of `owner`, such as ``ingest `classes` ``, and what its URL says. Connects to nothing.
    ///
    /// # Errors
    /// `secret_missing`, `invalid_value`.
    pub fn open(ingest: &SqlIngest, owner: &str, lookup: Lookup<'_>) -> Result<Self, Fault> {
        let place = Place::read(&ingest.database, ingest.password.as_ref(), owner, lookup)?;
        let database = match place.kind {
            Kind::Sqlite => Database::Sqlite(Sqlite::new(&place, ingest.timeout)?),
            Kind::Postgres => Database::Postgres(Postgres::new(&place)?),
            Kind::Mysql => Database::Mysql(Mysql::new(&place)?),
        };
        Ok(Self { database, question: Question::new(ingest, owner, place) })
    }

    /// Connects, and lets the database check the query and its columns. Reads no row.
    ///
    /// # Errors
    /// `database_unreachable`, `database_failed`, `column_missing`, and `ingest_value_unfit` for a column of a type that JSON
    /// does not have.
    pub fn check(&mut self) -> Result<(), Fault> {
        match &self.database {
            Database::Sqlite(database) => read::check(database, &self.question),
            Database::Postgres(database) => read::check(database, &self.question),
            Database::Mysql(database) => read::check(database, &self.question),
        }
    }
}

impl Rows for SqlRows {
    fn each(&mut self, visit: &mut dyn FnMut(Row) -> Result<(), Fault>) -> Result<(), Fault> {
        match &self.database {
            Database::Sqlite(database) => read::each(database, &self.question, visit),
            Database::Postgres(database) => read::each(database, &self.question, visit),
            Database::Mysql(database) => read::each(database, &self.question, visit),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sqlx::{ConnectOptions, Executor};

    use super::*;
    use crate::config::ingest::{DatabaseUrl, Schedule};
    use crate::fault::Code;

    fn rows(path: &str, query: &str) -> SqlRows {
        let ingest = SqlIngest {
            database: DatabaseUrl::Plain(format!("sqlite:{path}")),
            password: None,
            query: query.to_owned(),
            key: "class".to_owned(),
            members: None,
            schedule: Schedule::ByHand,
            deletes_max: 0.2,
            rows_max: 1_000,
            timeout: Duration::from_secs(10),
        };
        SqlRows::open(&ingest, "ingest `classes`", &|_| None).unwrap()
    }

    /// A database with one class.
    fn database() -> (tempfile::TempDir, String) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("logistics.db");
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut connection = options.connect().await.unwrap();
            let made = "CREATE TABLE classes (class TEXT, days INT); INSERT INTO classes VALUES ('bulky', 2)";
            connection.execute(made).await.unwrap();
        });
        let path = path.to_str().unwrap().to_owned();
        (directory, path)
    }

    #[test]
    fn gives_the_rows_of_a_query_and_connects_anew_each_time() {
        let (_directory, path) = database();
        let mut rows = rows(&path, "SELECT class, days FROM classes");

        rows.check().unwrap();
        for _ in 0..2 {
            let mut seen = Vec::new();
            rows.each(&mut |row| {
                seen.push(row);
                Ok(())
            })
            .unwrap();

            assert_eq!(seen, [Row { key: b"bulky".to_vec(), value: br#"{"days":2}"#.to_vec() }]);
        }
    }

    #[test]
    fn names_a_database_that_is_not_there() {
        let fault = rows("/nowhere/logistics.db", "SELECT 1 AS class").check().unwrap_err();

        assert_eq!(fault.code(), Code::DatabaseUnreachable);
        assert!(fault.line().contains("`sqlite:/nowhere/logistics.db`"), "{}", fault.line());
    }

    #[test]
    fn says_what_is_wrong_with_a_query_before_it_reads() {
        let (_directory, path) = database();

        for (query, code, word) in [
            ("SELECT hours FROM classes", Code::DatabaseFailed, "no such column: hours"),
            ("DELETE FROM classes", Code::DatabaseFailed, "the query has no columns"),
            ("SELECT class, class FROM classes", Code::DatabaseFailed, "more than one column `class`"),
            ("SELECT days FROM classes", Code::ColumnMissing, "there is no column `class`"),
        ] {
            let fault = rows(&path, query).check().unwrap_err();

            assert_eq!(fault.code(), code, "{query}");
            assert!(fault.line().contains(word), "{}", fault.line());
        }
    }
}
