//! SQLite: a file, and values whose types are their own.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteRow, SqliteTypeInfo};
use sqlx::{Column, ConnectOptions, Row, SqliteConnection, TypeInfo, ValueRef};

use crate::fault::Fault;
use crate::ingest::cell::Cell;
use crate::ingest::sql::place::Place;
use crate::ingest::sql::read::Dialect;
use crate::ingest::sql::text::{self, Unfit};

/// How many instructions of its machine lie between two looks at whether a read was given up.
const INSTRUCTIONS: i32 = 10_000;

/// A database in a file.
pub(super) struct Sqlite {
    options: SqliteConnectOptions,
    is_abandoned: Arc<AtomicBool>,
}

impl Sqlite {
    pub(super) fn new(place: &Place, timeout: Duration) -> Result<Self, Fault> {
        let options = SqliteConnectOptions::from_str(&place.url).map_err(|error| place.refused(&error))?;
        // A wait for a lock ends a little before the wait for the row, and says what it was.
        let patience = timeout.mul_f64(0.9);
        let options = options.read_only(true).create_if_missing(false).busy_timeout(patience);
        Ok(Self { options: options.disable_statement_logging(), is_abandoned: Arc::default() })
    }
}

impl Dialect for Sqlite {
    type Database = sqlx::Sqlite;

    // One statement sees one moment, and the file is opened for reading.
    const SNAPSHOT: &'static [&'static str] = &[];
    const CAST: &'static str = "`CAST({} AS TEXT)`";

    async fn connect(&self) -> Result<SqliteConnection, sqlx::Error> {
        let mut connection = self.options.connect().await?;
        self.is_abandoned.store(false, Ordering::Relaxed);
        let is_abandoned = Arc::clone(&self.is_abandoned);
        let goes_on = move || !is_abandoned.load(Ordering::Relaxed);
        connection.lock_handle().await?.set_progress_handler(INSTRUCTIONS, goes_on);
        Ok(connection)
    }

    fn is_known(_type_info: &SqliteTypeInfo) -> bool {
        true
    }

    fn cell(row: &SqliteRow, column: usize) -> Result<Cell, Unfit> {
        let broken = |error: sqlx::Error| error.to_string();
        let value = row.try_get_raw(column).map_err(broken)?;
        if value.is_null() {
            return Ok(Cell::Null);
        }
        match value.type_info().name() {
            "INTEGER" => {
                let number = row.try_get_unchecked::<i64, _>(column).map_err(broken)?;
                Ok(boolean(row, column, number).map_or(Cell::Integer(number), Cell::Boolean))
            }
            "REAL" => text::real(row.try_get_unchecked::<f64, _>(column).map_err(broken)?),
            "TEXT" => text::text(row.try_get_unchecked::<&[u8], _>(column).map_err(broken)?),
            "BLOB" => Ok(Cell::Bytes(row.try_get_unchecked(column).map_err(broken)?)),
            other => Err(format!("is of the type {other}, which JSON does not have")),
        }
    }

    fn is_busy(error: &sqlx::Error) -> bool {
        // SQLITE_BUSY and SQLITE_LOCKED; what is above the lowest byte says more about them.
        let code = error.as_database_error().and_then(|error| error.code()?.parse::<i32>().ok());
        code.is_some_and(|code| matches!(code & 0xff, 5 | 6))
    }

    fn abandon(&self) {
        self.is_abandoned.store(true, Ordering::Relaxed);
    }
}

/// SQLite has no booleans; a column that was declared as one means them.
fn boolean(row: &SqliteRow, column: usize, number: i64) -> Option<bool> {
    let is_declared = row.columns().get(column).is_some_and(|column| column.type_info().name() == "BOOLEAN");
    match number {
        0 | 1 if is_declared => Some(number == 1),
        _ => None,
    }
}
