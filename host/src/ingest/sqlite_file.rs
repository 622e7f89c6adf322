//! A SQLite file that somebody works with while an ingest reads it: the logistics database of the demo.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, Row};
use tokio::runtime::Runtime;

use crate::fault::{Code, Fault};

/// A database that this process writes: one connection, one statement at a time.
pub struct SqliteFile {
    runtime: Runtime,
    connection: SqliteConnection,
}

impl SqliteFile {
    /// Opens the file, and makes it if it is missing.
    ///
    /// # Errors
    /// `internal`.
    pub fn open(path: &Path) -> Result<Self, Fault> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime =
            runtime.map_err(|error| Fault::new(Code::Internal, "a database has no thread").because(error))?;
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
        let connection = runtime.block_on(options.connect()).map_err(|error| {
            Fault::new(Code::Internal, format!("cannot open the database `{}`", path.display()))
                .because(error)
        })?;
        Ok(Self { runtime, connection })
    }

    /// Executes statements, several between semicolons, and gives how many rows they have changed.
    ///
    /// # Errors
    /// `internal`, with what the database says.
    pub fn execute(&mut self, sql: &str) -> Result<u64, Fault> {
        let done = self.connection.execute(AssertSqlSafe(sql.to_owned()));
        let done = self.runtime.block_on(done).map_err(|error| failed(sql, error))?;
        Ok(done.rows_affected())
    }

    /// The rows of a query whose columns are text, in its order.
    ///
    /// # Errors
    /// `internal`, with what the database says.
    pub fn texts(&mut self, sql: &str) -> Result<Vec<Vec<String>>, Fault> {
        let rows = self.connection.fetch_all(AssertSqlSafe(sql.to_owned()));
        let rows = self.runtime.block_on(rows).map_err(|error| failed(sql, error))?;
        let texts = |row: sqlx::sqlite::SqliteRow| (0..row.len()).map(|column| row.try_get(column)).collect();
        rows.into_iter().map(texts).collect::<Result<_, _>>().map_err(|error| failed(sql, error))
    }
}

fn failed(sql: &str, error: sqlx::Error) -> Fault {
    Fault::new(Code::Internal, format!("the database does not take `{sql}`")).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_statements_write() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("logistics.db");
        let mut file = SqliteFile::open(&path).unwrap();

        file.execute("CREATE TABLE class (name TEXT PRIMARY KEY, days INTEGER NOT NULL)").unwrap();
        file.execute("INSERT INTO class VALUES ('bulky', 12), ('letter', 1)").unwrap();
        let changed = file.execute("UPDATE class SET days = days + 1").unwrap();
        drop(file);
        let mut again = SqliteFile::open(&path).unwrap();
        let rows = again.texts("SELECT name, CAST(days AS TEXT) FROM class ORDER BY name").unwrap();

        assert_eq!(changed, 2);
        assert_eq!(rows, [["bulky", "13"], ["letter", "2"]]);
    }

    #[test]
    fn says_which_statement_is_wrong() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = SqliteFile::open(&directory.path().join("logistics.db")).unwrap();

        let fault = file.execute("UPDATE nothing SET days = 1").unwrap_err();

        assert!(fault.report().contains("UPDATE nothing"), "{}", fault.report());
    }
}
