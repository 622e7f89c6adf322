//! What a plugin with jobs writes.

use crate::Context;
use crate::Failure;
use crate::JobKind;
use crate::Plugin;
use crate::bindings::gristmill::transform::jobs;

/// A plugin with jobs: long work in steps, between batches. List it in `export!(MyPlugin: Jobs)`.
pub trait Jobs: Plugin {
    /// Does one step. Records wait for its end: keep it short, a few thousand rows. What it sent and wrote
    /// is committed together with the cursor.
    ///
    /// # Errors
    /// Nothing of this step must be committed. The host tries again later, and after some times the job
    /// has failed, for an operator to see.
    fn step(&mut self, job: &Job<'_>, ctx: &mut Context<'_>) -> Result<Step, Failure>;
}

/// A job, as a step finds it.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// A kind of the manifest.
    pub kind: JobKind<'a>,
    /// Its name: one job of a kind and name is under way at a time.
    pub name: &'a str,
    /// Grows with each start under this name.
    pub generation: u64,
    /// What it was started with.
    pub payload: &'a [u8],
    /// What the step before gave; none in the first.
    pub cursor: Option<&'a [u8]>,
    /// Where the job stood that this one superseded.
    pub superseded_cursor: Option<&'a [u8]>,
    /// How many outputs the host would like at most in this step. A wish.
    pub budget: u32,
}

impl<'a> Job<'a> {
    pub(crate) fn new(raw: &'a jobs::Job, budget: u32) -> Self {
        Self {
            kind: JobKind::new(&raw.kind),
            name: &raw.name,
            generation: raw.generation,
            payload: &raw.payload,
            cursor: raw.cursor.as_deref(),
            superseded_cursor: raw.superseded_cursor.as_deref(),
            budget,
        }
    }
}

/// A name for the job of a key: its text, or its bytes in hexadecimal where it is none. The names of different keys may
/// be the same: give the key as the payload.
#[must_use]
pub fn job_name(key: &[u8]) -> String {
    match std::str::from_utf8(key) {
        Ok(name) => name.to_owned(),
        Err(_) => key.iter().map(|byte| format!("%{byte:02x}")).collect(),
    }
}

/// What a step came to.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[must_use]
pub struct Step {
    /// Given to the next step; none when the job is done.
    pub cursor: Option<Vec<u8>>,
    /// Rows looked at in this step, for the progress display.
    pub visited: u64,
    /// Rows of the whole job, if known.
    pub total: Option<u64>,
}

impl Step {
    /// The last one.
    pub fn done(visited: u64) -> Self {
        Self { cursor: None, visited, total: None }
    }

    /// One that another follows.
    pub fn go_on(cursor: Vec<u8>, visited: u64) -> Self {
        Self { cursor: Some(cursor), visited, total: None }
    }

    /// Says how many rows the whole job has.
    pub fn of(mut self, total: Option<u64>) -> Self {
        self.total = total;
        self
    }
}
