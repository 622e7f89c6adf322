//! A run of an SQL ingest on a real cluster and a real database.

use crate::app::ingest::checks;
use crate::app::topics::Facts;
use crate::clock::Clock;
use crate::config::env;
use crate::config::ingest::{Ingest, SqlIngest};
use crate::config::pipeline::Kafka;
use crate::fault::{Code, Fault, Retry};
use crate::ingest::difference::{Counts, Verdict};
use crate::ingest::mapping::Row;
use crate::ingest::run::{Deletes, Rows, Run, Watch};
use crate::ingest::sql::SqlRows;
use crate::io::PublishError;
use crate::kafka::outlet::KafkaOutlet;

/// How often a run is begun anew that failed for a reason that may pass.
const ATTEMPTS: u32 = 3;

/// An ingest that can be run again and again. Nothing is kept from one run to the next.
#[derive(Clone, Debug)]
pub struct SqlJob {
    kafka: Kafka,
    ingest: Ingest,
    sql: SqlIngest,
    record_bytes_max: usize,
}

/// What a run would publish.
#[derive(Clone, PartialEq, Debug)]
pub struct Preview {
    /// How many rows are what.
    pub counts: Counts,
    /// The first changed rows, in the order of the query.
    pub changed: Vec<(Verdict, Row)>,
    /// The first keys that would be deleted.
    pub deleted: Vec<Vec<u8>>,
    /// Why the run would be refused, for its deletes.
    pub refused: Option<String>,
}

impl SqlJob {
    /// The job of an ingest; `facts` say what its topic takes.
    pub fn new(kafka: &Kafka, ingest: &Ingest, sql: &SqlIngest, facts: &Facts) -> Self {
        let record_bytes_max =
            facts.get(&ingest.topic).map(|facts| facts.facts()).unwrap_or_default().max_bytes;
        Self { kafka: kafka.clone(), ingest: ingest.clone(), sql: sql.clone(), record_bytes_max }
    }

    /// What is ingested.
    pub fn ingest(&self) -> &Ingest {
        &self.ingest
    }

    /// What of it is SQL.
    pub fn sql(&self) -> &SqlIngest {
        &self.sql
    }

    /// Publishes what changed. A run that fails for a reason that may pass is begun anew a few times; each of them learns
    /// from the topic what the one before it has done.
    ///
    /// # Errors
    /// Those of [`Run`]'s steps; nothing was published then, or all of it and only the answer was lost.
    pub fn run(&self, deletes: Deletes, watch: Watch<'_>) -> Result<Counts, Fault> {
        let clock = Clock::system();
        let mut attempt = 1;
        loop {
            let failed = match self.attempt(deletes, watch) {
                Ok(counts) => return Ok(counts),
                Err(PublishError::Superseded(fault)) => return Err(fault),
                Err(PublishError::Aborted(fault) | PublishError::Unknown(fault)) => fault,
            };
            if failed.code().retry() == Retry::Never
                || attempt == ATTEMPTS
                || clock.elapsed() > self.sql.timeout
            {
                return Err(failed);
            }
            attempt += 1;
        }
    }

    fn attempt(&self, deletes: Deletes, watch: Watch<'_>) -> Result<Counts, PublishError> {
        // A secret that changed since the last run is read anew.
        let mut rows = self.rows().map_err(PublishError::Aborted)?;
        let mut outlet = self.outlet();
        let run = self.compared(&mut outlet, &mut rows, deletes, watch).map_err(PublishError::Aborted)?;
        run.publish(&mut outlet, watch)
    }

    fn compared(
        &self,
        outlet: &mut KafkaOutlet,
        rows: &mut dyn Rows,
        deletes: Deletes,
        watch: Watch<'_>,
    ) -> Result<Run, Fault> {
        let mut run = Run::begin(&self.ingest.topic, &self.sql, outlet, watch)?;
        run.compare(rows, watch)?;
        run.check_deletes(deletes)?;
        Ok(run)
    }

    /// What a run would publish, with up to `shown` of its changes. It disturbs no run that is under way.
    ///
    /// # Errors
    /// Those of [`Run`]'s steps, but for too many deletes, which are a part of the answer.
    pub fn preview(&self, shown: usize, watch: Watch<'_>) -> Result<Preview, Fault> {
        let mut rows = self.rows()?;
        let mut run = Run::look(&self.ingest.topic, &self.sql, &mut self.outlet(), watch)?;
        let mut changed = Vec::new();
        rows.each(&mut |row| {
            let verdict = run.row(&row)?;
            if verdict != Verdict::Same && changed.len() < shown {
                changed.push((verdict, row));
            }
            Ok(())
        })?;
        let deleted = run.deleted().take(shown).map(<[u8]>::to_vec).collect();
        let refused = run.check_deletes(Deletes::Bounded).err();
        let refused = refused.filter(|fault| fault.code() == Code::IngestDeletes);
        Ok(Preview {
            counts: run.counts(),
            changed,
            deleted,
            refused: refused.map(|fault| fault.message().to_owned()),
        })
    }

    fn rows(&self) -> Result<SqlRows, Fault> {
        SqlRows::open(&self.sql, &checks::owner(&self.ingest), &env::process)
    }

    fn outlet(&self) -> KafkaOutlet {
        KafkaOutlet::new(&self.kafka, &self.ingest.transactional_id(), self.record_bytes_max)
    }
}
