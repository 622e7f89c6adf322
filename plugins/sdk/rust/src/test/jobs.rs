//! Jobs in the test driver.

use crate::Exported;
use crate::Failure;
use crate::JobKind;
use crate::test::Output;
use crate::test::Stepped;
use crate::test::Task;
use crate::test::call;
use crate::test::stop;

/// Steps after which jobs are said never to end.
const STEPS: usize = 100_000;

impl<P: Exported + 'static> Task<P> {
    /// The jobs that are waiting or under way: kind and name, in the order of both.
    #[must_use]
    pub fn jobs(&self) -> Vec<(String, String)> {
        self.memory.state.jobs.keys().cloned().collect()
    }

    /// Starts a job, as an operator can.
    pub fn start_job(&mut self, kind: JobKind<'_>, name: &str) {
        self.memory.state.start(kind.name(), name, b"");
    }

    /// Ends a job, as an operator can. False if there was none.
    pub fn cancel_job(&mut self, kind: JobKind<'_>, name: &str) -> bool {
        self.memory.state.cancel(kind.name(), name)
    }

    /// Does one step of a job, and the same one with a new instance, which must do the same.
    ///
    /// # Panics
    /// There is no such job, the step fails, or the instances do not agree.
    #[track_caller]
    pub fn step(&mut self, kind: JobKind<'_>, name: &str, budget: u32) -> Stepped {
        match self.try_step(kind, name, budget) {
            Ok(stepped) => stepped,
            Err(failure) => stop(&format!("the step of `{name}` failed: {failure}")),
        }
    }

    /// As [`Task::step`], for steps that may fail. After a failure the plugin is made anew, and the job
    /// stands where it stood.
    ///
    /// # Errors
    /// What the plugin says.
    ///
    /// # Panics
    /// There is no such job, or the instances do not agree.
    #[track_caller]
    pub fn try_step(&mut self, kind: JobKind<'_>, name: &str, budget: u32) -> Result<Stepped, Failure> {
        let Some(job) = self.memory.state.find(kind.name(), name) else {
            stop(&format!("there is no job `{name}` of kind `{}`", kind.name()))
        };
        let mut memory = self.memory.clone();
        let own = call::step(&mut self.plugin, &mut self.memory, &job, budget);
        let other = call::step(&mut self.instance(), &mut memory, &job, budget);
        if own != other || self.memory.state.seen() != memory.state.seen() {
            stop(&format!(
                "the step of `{name}` is another one for a new instance: what a plugin does may not depend on \
                 what its memory holds\n  own: {own:?}, {}\n  new: {other:?}, {}",
                self.memory.state.seen(),
                memory.state.seen()
            ));
        }
        if own.is_err() {
            self.plugin = self.instance();
        }
        own.map(|(outcome, step)| Stepped {
            outputs: outcome.outputs,
            skipped: outcome.skipped,
            done: step.cursor.is_none(),
            visited: step.visited,
            total: step.total,
        })
    }

    /// Does steps of all jobs, in turns, until none is left, and gives what they sent.
    ///
    /// # Panics
    /// They never end, or as [`Task::step`].
    #[track_caller]
    pub fn run_jobs(&mut self, budget: u32) -> Vec<Output> {
        let mut outputs = Vec::new();
        for _ in 0..STEPS {
            let jobs = self.jobs();
            if jobs.is_empty() {
                return outputs;
            }
            for (kind, name) in jobs {
                // Another one of this turn may have ended it.
                if self.memory.state.find(&kind, &name).is_some() {
                    outputs.extend(self.step(JobKind::new(&kind), &name, budget).outputs);
                }
            }
        }
        stop("the jobs do not end")
    }
}
