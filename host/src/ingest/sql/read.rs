//! Connects to a database, asks it about its columns, and reads row by row.

use std::future::{Future, poll_fn};
use std::time::Duration;

use sqlx::{AssertSqlSafe, Column, Connection, Database, Either, Executor, Row as _, SqlSafeStr, Statement};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::config::ingest::{Member, SqlIngest};
use crate::config::units::format_duration;
use crate::fault::{Code, Fault};
use crate::ingest::cell::Cell;
use crate::ingest::mapping::{Mapping, Row};
use crate::ingest::sql::place::Place;
use crate::ingest::sql::text::Unfit;

/// What one kind of database does its own way.
pub(super) trait Dialect {
    /// Its driver.
    type Database: Database;

    /// Begins a transaction that sees one moment and writes nothing.
    const SNAPSHOT: &'static [&'static str];

    /// A cast to text, for hints, with `{}` in place of the column.
    const CAST: &'static str;

    /// Connects.
    fn connect(&self) -> impl Future<Output = Result<ConnectionOf<Self>, sqlx::Error>>;

    /// Whether values of a type can be read. One that is known only with each value says yes.
    fn is_known(type_info: &<Self::Database as Database>::TypeInfo) -> bool;

    /// Reads a value of a known type.
    fn cell(row: &<Self::Database as Database>::Row, column: usize) -> Result<Cell, Unfit>;

    /// What the user can do about a connection that is refused.
    fn hint(_error: &sqlx::Error) -> Option<&'static str> {
        None
    }

    /// Whether somebody else holds the database, so that the same thing may succeed later.
    fn is_busy(_error: &sqlx::Error) -> bool {
        false
    }

    /// Ends what the database computes for a read that has been given up.
    fn abandon(&self) {}
}

type ConnectionOf<D> = <<D as Dialect>::Database as Database>::Connection;

/// What an ingest asks of a database.
pub(super) struct Question {
    owner: String,
    place: Place,
    query: String,
    key: String,
    members: Option<Vec<Member>>,
    timeout: Duration,
}

/// Why a step did not succeed.
enum Trouble {
    Late,
    Driver(sqlx::Error),
}

/// How the columns of a result become rows of the ingest.
struct Shape {
    mapping: Mapping,
    names: Vec<String>,
    /// The positions of the columns that are used: what is wrong with the others does not matter.
    used: Vec<usize>,
    key: usize,
}

impl Question {
    pub(super) fn new(ingest: &SqlIngest, owner: &str, place: Place) -> Self {
        Self {
            owner: owner.to_owned(),
            place,
            query: ingest.query.clone(),
            key: ingest.key.clone(),
            members: ingest.members.clone(),
            timeout: ingest.timeout,
        }
    }

    fn runtime(&self) -> Result<Runtime, Fault> {
        Builder::new_current_thread().enable_all().build().map_err(|error| {
            Fault::new(Code::Internal, format!("{} cannot start its runtime", self.owner)).because(error)
        })
    }

    /// Waits for a step, not for ever.
    fn wait<T>(
        &self,
        runtime: &Runtime,
        step: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, Trouble> {
        match runtime.block_on(async { timeout(self.timeout, step).await }) {
            Ok(result) => result.map_err(Trouble::Driver),
            Err(_) => Err(Trouble::Late),
        }
    }

    fn because(&self, fault: Fault, trouble: &Trouble) -> Fault {
        match trouble {
            Trouble::Late => {
                fault.because(format!("there was no answer within {}", format_duration(self.timeout)))
            }
            Trouble::Driver(error) => fault.because(self.place.shown(error)),
        }
    }

    fn unreachable<D: Dialect>(&self, trouble: &Trouble) -> Fault {
        let message = format!("{} cannot connect to the database {}", self.owner, self.place.name());
        let fault = self.because(Fault::new(Code::DatabaseUnreachable, message), trouble);
        match trouble {
            Trouble::Driver(error) => D::hint(error).into_iter().fold(fault, Fault::hint),
            Trouble::Late => fault,
        }
    }

    fn failed<D: Dialect>(&self, what: &str, trouble: &Trouble) -> Fault {
        let is_busy = matches!(trouble, Trouble::Driver(error) if D::is_busy(error));
        if is_busy {
            let message = format!("{} waits in vain for the database {}", self.owner, self.place.name());
            let fault = self.because(Fault::new(Code::DatabaseUnreachable, message), trouble);
            return fault.hint("end the transaction that locks it, or raise `timeout`");
        }
        let message = format!("{} {what} the database {}", self.owner, self.place.name());
        let fault = self.because(Fault::new(Code::DatabaseFailed, message), trouble);
        match trouble {
            Trouble::Driver(sqlx::Error::Database(_)) => {
                fault.hint("correct `query` in the pipeline file, or look into the database's log")
            }
            Trouble::Late => fault.hint("make the query quicker, or raise `timeout`"),
            Trouble::Driver(_) => fault,
        }
    }
}

impl Shape {
    /// Learns what the columns of a result are.
    fn new<D: Dialect>(
        question: &Question,
        columns: &[<D::Database as Database>::Column],
    ) -> Result<Self, Fault> {
        let names: Vec<_> = columns.iter().map(|column| column.name().to_owned()).collect();
        let refused =
            |problem: String| Fault::new(Code::DatabaseFailed, format!("{}: {problem}", question.owner));
        if names.is_empty() {
            let fault = refused("the query has no columns".to_owned());
            return Err(fault.hint("set `query` to one `SELECT`"));
        }
        let mapping = Mapping::new(&question.key, question.members.as_deref(), &names)?;
        let is_used = |name: &String| match &question.members {
            Some(members) => *name == question.key || members.iter().any(|member| member.field == *name),
            None => true,
        };
        let used: Vec<_> = (0..names.len()).filter(|at| names.get(*at).is_some_and(is_used)).collect();
        for column in used.iter().filter_map(|at| columns.get(*at)) {
            let name = column.name();
            if names.iter().filter(|other| *other == name).count() > 1 {
                let fault = refused(format!("the query has more than one column `{name}`"));
                return Err(fault.hint("give them different names with `AS`"));
            }
            if !D::is_known(column.type_info()) {
                let kind = column.type_info();
                let message = format!(
                    "{}: column `{name}` has the type {kind}, which JSON does not have",
                    question.owner
                );
                let cast = D::CAST.replace("{}", name);
                return Err(
                    Fault::new(Code::IngestValueUnfit, message).hint(format!("cast it in the query: {cast}"))
                );
            }
        }
        let key = names.iter().position(|name| *name == question.key).unwrap_or_default();
        Ok(Self { mapping, names, used, key })
    }

    /// Turns a row of the driver into one of the ingest.
    fn row<D: Dialect>(
        &self,
        row: &<D::Database as Database>::Row,
        cells: &mut Vec<Cell>,
    ) -> Result<Row, Fault> {
        cells.clear();
        cells.resize(self.names.len(), Cell::Null);
        for at in &self.used {
            let cell = D::cell(row, *at).map_err(|problem| self.unfit::<D>(row, *at, &problem))?;
            if let Some(place) = cells.get_mut(*at) {
                *place = cell;
            }
        }
        self.mapping.row(cells)
    }

    fn unfit<D: Dialect>(&self, row: &<D::Database as Database>::Row, at: usize, problem: &str) -> Fault {
        let key = match D::cell(row, self.key) {
            Ok(Cell::Text(key) | Cell::Number(key)) => format!(" `{key}`"),
            Ok(Cell::Integer(key)) => format!(" `{key}`"),
            _ => String::new(),
        };
        let column = self.names.get(at).map_or("", String::as_str);
        let message = format!("the row{key} does not fit: column `{column}` {problem}");
        Fault::new(Code::IngestValueUnfit, message)
    }
}

/// Lets the database look at the query and its columns.
pub(super) fn check<D: Dialect>(dialect: &D, question: &Question) -> Result<(), Fault>
where
    for<'c> &'c mut ConnectionOf<D>: Executor<'c, Database = D::Database>,
{
    let runtime = question.runtime()?;
    let result = begin(dialect, question, &runtime);
    let result = result.map(|(connection, _)| close(question, &runtime, connection));
    // A name that is still being looked up cannot be interrupted.
    runtime.shutdown_background();
    result
}

/// Gives every row.
pub(super) fn each<D: Dialect>(
    dialect: &D,
    question: &Question,
    visit: &mut dyn FnMut(Row) -> Result<(), Fault>,
) -> Result<(), Fault>
where
    for<'c> &'c mut ConnectionOf<D>: Executor<'c, Database = D::Database>,
{
    let runtime = question.runtime()?;
    let result = begin(dialect, question, &runtime).and_then(|(mut connection, shape)| {
        stream::<D>(question, &runtime, &mut connection, &shape, visit)?;
        close(question, &runtime, connection);
        Ok(())
    });
    if result.is_err() {
        dialect.abandon();
    }
    runtime.shutdown_background();
    result
}

/// Connects, begins a transaction and describes the query.
fn begin<D: Dialect>(
    dialect: &D,
    question: &Question,
    runtime: &Runtime,
) -> Result<(ConnectionOf<D>, Shape), Fault>
where
    for<'c> &'c mut ConnectionOf<D>: Executor<'c, Database = D::Database>,
{
    let connection = question.wait(runtime, dialect.connect());
    let mut connection = connection.map_err(|trouble| question.unreachable::<D>(&trouble))?;
    let failed = |trouble: Trouble| question.failed::<D>("cannot read from", &trouble);
    for statement in D::SNAPSHOT {
        question.wait(runtime, connection.execute(*statement)).map_err(failed)?;
    }
    let query = AssertSqlSafe(question.query.clone()).into_sql_str();
    let statement = question.wait(runtime, connection.prepare(query)).map_err(failed)?;
    let shape = Shape::new::<D>(question, statement.columns())?;
    Ok((connection, shape))
}

/// Runs the query and gives its rows, one after the other, as they come.
fn stream<D: Dialect>(
    question: &Question,
    runtime: &Runtime,
    connection: &mut ConnectionOf<D>,
    shape: &Shape,
    visit: &mut dyn FnMut(Row) -> Result<(), Fault>,
) -> Result<(), Fault>
where
    for<'c> &'c mut ConnectionOf<D>: Executor<'c, Database = D::Database>,
{
    // With arguments, though there are none, so that the query is prepared: only then it is one statement.
    let query = (AssertSqlSafe(question.query.clone()), Some(Default::default()));
    let mut results = connection.fetch_many(query);
    let (mut cells, mut is_over) = (Vec::new(), false);
    loop {
        let next = poll_fn(|context| results.as_mut().poll_next(context));
        let next = question.wait(runtime, async { next.await.transpose() });
        match next.map_err(|trouble| question.failed::<D>("cannot read all rows from", &trouble))? {
            Some(Either::Right(row)) if !is_over && row.columns().len() == shape.names.len() => {
                visit(shape.row::<D>(&row, &mut cells)?)?;
            }
            Some(Either::Right(_)) => {
                let message = format!("{}: the query is more than one statement", question.owner);
                return Err(Fault::new(Code::DatabaseFailed, message).hint("set `query` to one `SELECT`"));
            }
            Some(Either::Left(_)) => is_over = true,
            None => return Ok(()),
        }
    }
}

/// Says goodbye. What was read is whole already, so that a failure does not matter.
fn close<C: Connection>(question: &Question, runtime: &Runtime, connection: C) {
    drop(question.wait(runtime, connection.close()));
}
