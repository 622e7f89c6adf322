//! The database of the tests' Logistics: a table of classes in a file of SQLite, changed and read without the host's code.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Row};
use tokio::runtime::{Builder, Runtime};

use crate::client::{Client, Isolation};
use crate::read;

/// The times of a class, in days.
pub type Times = (i64, i64);

/// A table of classes.
pub struct Ledger {
    path: PathBuf,
    runtime: Runtime,
    connection: SqliteConnection,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ledger({})", self.path.display())
    }
}

impl Ledger {
    /// Makes an empty one.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(path: &Path) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
        let connection = runtime.block_on(options.connect())?;
        let mut ledger = Self { path: path.to_owned(), runtime, connection };
        ledger.execute("CREATE TABLE class (name TEXT PRIMARY KEY, min_days INTEGER, max_days INTEGER)")?;
        Ok(ledger)
    }

    /// Runs a statement.
    ///
    /// # Errors
    /// What the database answers.
    pub fn execute(&mut self, statement: &str) -> Result<()> {
        let run = sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&mut self.connection);
        self.runtime.block_on(run).with_context(|| format!("`{statement}` failed"))?;
        Ok(())
    }

    /// Sets the times of a class, new or not.
    ///
    /// # Errors
    /// What the database answers.
    pub fn set(&mut self, name: &str, (min, max): Times) -> Result<()> {
        self.execute(&format!("INSERT OR REPLACE INTO class VALUES ('{name}', {min}, {max})"))
    }

    /// What the table says.
    ///
    /// # Errors
    /// What the database answers.
    pub fn classes(&mut self) -> Result<BTreeMap<String, Times>> {
        let all = sqlx::query("SELECT name, min_days, max_days FROM class").fetch_all(&mut self.connection);
        let rows = self.runtime.block_on(all)?;
        let class = |row: &sqlx::sqlite::SqliteRow| Ok((row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?)));
        rows.iter().map(class).collect()
    }

    /// The section of a pipeline file that publishes it in a topic; `more` is added to it.
    pub fn section(&self, topic: &str, more: &str) -> String {
        format!(
            "[ingest.classes]\nkind = \"sql\"\ntopic = \"{topic}\"\ndatabase = \"sqlite:{}\"\n\
             query = \"SELECT name, min_days, max_days FROM class\"\nkey = \"name\"\n\
             value.minimumTime = {{ column = \"min_days\", type = \"integer\" }}\n\
             value.maximumTime = {{ column = \"max_days\", type = \"integer\" }}\n{more}",
            self.path.display()
        )
    }
}

/// The value of a class as its record has it.
pub fn value((min, max): Times) -> String {
    format!("{{\"minimumTime\":{min},\"maximumTime\":{max}}}")
}

/// What a topic says, and whether any of its records changed nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// The latest value of each key.
    pub table: BTreeMap<String, String>,
    /// Records that say what the topic said already.
    pub idle: usize,
    /// All committed records.
    pub records: usize,
}

impl Published {
    /// Reads the committed records of a topic.
    ///
    /// # Errors
    /// When the topic cannot be read.
    pub fn of(client: &Client, topic: &str) -> Result<Self> {
        let mut published = Self::default();
        for record in read::whole(client, topic, Isolation::Committed)? {
            let key = record.key_text();
            let value = record.value.as_ref().map(|value| String::from_utf8_lossy(value).into_owned());
            published.records += 1;
            if published.table.get(&key) == value.as_ref() {
                published.idle += 1;
            }
            match value {
                Some(value) => drop(published.table.insert(key, value)),
                None => drop(published.table.remove(&key)),
            }
        }
        Ok(published)
    }
}
