//! What can be known of ingests before they run.

use crate::config::env;
use crate::config::ingest::{Ingest, IngestKind};
use crate::config::pipeline::Pipeline;
use crate::fault::Fault;
use crate::ingest::sql::SqlRows;

/// Checks what needs neither a broker nor a database: that the secrets are there.
///
/// # Errors
/// `secret_missing`, `invalid_value`.
pub fn offline(pipeline: &Pipeline) -> Result<(), Fault> {
    for ingest in &pipeline.ingests {
        match &ingest.kind {
            IngestKind::Sql(sql) => drop(SqlRows::open(sql, &owner(ingest), &env::process)?),
            IngestKind::Http(http) => drop(http.token.read(&owner(ingest), &env::process)?),
            // The client finds its credentials in many places, some of them on the network.
            IngestKind::Dynamodb(_) => {}
        }
    }
    Ok(())
}

/// Lets the databases check the queries.
///
/// # Errors
/// `database_unreachable`, `database_failed`, `column_missing`, `ingest_value_unfit`.
pub fn databases(pipeline: &Pipeline) -> Result<(), Fault> {
    for ingest in &pipeline.ingests {
        if let IngestKind::Sql(sql) = &ingest.kind {
            SqlRows::open(sql, &owner(ingest), &env::process)?.check()?;
        }
    }
    Ok(())
}

/// Whose fault it is, in messages.
pub(super) fn owner(ingest: &Ingest) -> String {
    format!("ingest `{}`", ingest.name)
}
