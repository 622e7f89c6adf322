//! Building the indexes of a local copy that was made for other ones: in steps, between the records.
//!
//! Records go on meanwhile. A call that scans an index is dropped and waits, and so do the plugin's jobs.

use std::time::Duration;

use crate::event;
use crate::fault::Fault;
use crate::id::Timestamp;
use crate::status::{JobState, JobStatus};
use crate::task::rows::Indexer;
use crate::task::state::rebuild::Stretch;
use crate::task::{Surroundings, Task, Turn};

/// How `jobs list` calls it.
pub const REBUILD: &str = "gristmill.index";

/// A call that needs an index waits so long for it before it is made again.
pub(super) const PATIENCE: Duration = Duration::from_millis(50);

/// An index that is being built.
#[derive(Debug)]
pub(super) struct Rebuild {
    /// The last key that is done.
    cursor: Vec<u8>,
    /// Rows that were done since the task was opened.
    visited: u64,
    began: Duration,
    /// A step was made last: the next turn is for records.
    had_turn: bool,
}

impl Rebuild {
    pub(super) fn new(cursor: Vec<u8>) -> Self {
        Self { cursor, visited: 0, began: Duration::ZERO, had_turn: false }
    }

    pub(super) fn cursor(&self) -> &[u8] {
        &self.cursor
    }

    /// How it is shown.
    pub(super) fn status(&self, indexes: &str, elapsed: Duration) -> JobStatus {
        let seconds = elapsed.saturating_sub(self.began).as_secs_f64().max(0.001);
        JobStatus {
            kind: REBUILD.to_owned(),
            name: indexes.to_owned(),
            generation: 0,
            visited: self.visited,
            emitted: 0,
            total: None,
            per_second: self.visited as f64 / seconds,
            left: None,
            state: JobState::Running,
        }
    }
}

impl Task {
    /// A step of the rebuild, when it is its turn.
    pub(super) fn rebuild_turn(&mut self, around: &Surroundings<'_>) -> Result<Option<Turn>, Fault> {
        let must_wait = self.waiting() > 0;
        let Some(rebuild) = &mut self.rebuild else { return Ok(None) };
        if std::mem::take(&mut rebuild.had_turn) && must_wait {
            return Ok(None);
        }
        rebuild.had_turn = true;
        if rebuild.visited == 0 {
            rebuild.began = around.elapsed;
        }
        let from = rebuild.cursor.clone();
        match self.state.next_stretch(&from)? {
            Stretch::Rows { store, rows, locals, cursor } => {
                let layout = std::sync::Arc::clone(self.state.layout());
                let Some(table) = layout.stores.get(store) else { return Ok(None) };
                let mut indexer = Indexer { instance: &mut self.instance, task: &self.id, around };
                let terms = indexer.all_terms(&layout, table, &rows)?;
                self.move_rebuild(cursor, rows.len() as u64);
                let checkpoint = self.checkpoint(around.now);
                self.state.write_terms((store, &rows, &locals), &terms, &checkpoint)?;
            }
            Stretch::Entries { orphans, cursor } => {
                self.move_rebuild(cursor, 0);
                let checkpoint = self.checkpoint(around.now);
                self.state.remove_entries(orphans, &checkpoint)?;
            }
            Stretch::Done => self.end_rebuild(around.now)?,
        }
        Ok(Some(Turn::Searching))
    }

    fn move_rebuild(&mut self, cursor: Vec<u8>, visited: u64) {
        if let Some(rebuild) = &mut self.rebuild {
            rebuild.cursor = cursor;
            rebuild.visited = rebuild.visited.saturating_add(visited);
            event::JobStepped { task: &self.id, kind: REBUILD, visited, emitted: 0 }.emit();
        }
    }

    fn end_rebuild(&mut self, now: Timestamp) -> Result<(), Fault> {
        let Some(rebuild) = self.rebuild.take() else { return Ok(()) };
        let name = self.index_names();
        let (kind, visited) = (REBUILD, rebuild.visited);
        event::JobEnded { task: &self.id, kind, name: &name, visited, emitted: 0, fault: None }.emit();
        self.state.set_indexed(true);
        let checkpoint = self.checkpoint(now);
        self.state.remove_entries(Vec::new(), &checkpoint)
    }

    /// The names of its indexes.
    pub(super) fn index_names(&self) -> String {
        let names: Vec<_> = self.state.layout().indexes.iter().map(|index| index.name.as_str()).collect();
        names.join(", ")
    }
}
