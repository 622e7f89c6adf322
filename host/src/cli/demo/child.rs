//! The host as a child process of the demo: started, killed without warning, started again, asked to stop.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::clock::Clock;

/// A running `gristmill run`. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Host {
    process: Child,
    log: PathBuf,
}

impl Host {
    /// Starts this very program with `run FILE`; what it logs goes to `log`, appended.
    pub(super) fn start(pipeline: &Path, log: &Path) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("the demo cannot find its own program")?;
        let file = File::options().create(true).append(true).open(log).context("the host's log cannot be written")?;
        let process = Command::new(program)
            .arg("run")
            .arg(pipeline)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .context("the host cannot be started")?;
        Ok(Self { process, log: log.to_owned() })
    }

    /// SIGKILL: no handler runs, nothing is flushed, nothing is committed.
    pub(super) fn kill(mut self) -> anyhow::Result<()> {
        self.process.kill().context("the host cannot be killed")?;
        self.process.wait()?;
        Ok(())
    }

    /// SIGTERM, and waits for the end.
    pub(super) fn stop(mut self, clock: &Clock, patience: Duration) -> anyhow::Result<()> {
        let pid = libc::pid_t::try_from(self.process.id())?;
        // SAFETY: the process is our own child and has not been waited for, so its id is not anybody else's.
        if unsafe { libc::kill(pid, libc::SIGTERM) } != 0 {
            bail!("the host cannot be signalled");
        }
        let deadline = clock.elapsed() + patience;
        loop {
            match self.process.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("the host ended with {status}; its last words:\n{}", self.last_words()),
                None if clock.elapsed() > deadline => bail!("the host did not stop within {patience:?}"),
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// How it ended, if it did although nobody asked it to.
    pub(super) fn ended(&mut self) -> Option<(ExitStatus, String)> {
        let status = self.process.try_wait().ok().flatten()?;
        Some((status, self.last_words()))
    }

    /// The end of its log.
    fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines.get(lines.len().saturating_sub(12)..).unwrap_or_default().join("\n")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Both fail only when it has ended already, which is what is wanted.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
