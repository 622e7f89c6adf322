//! The host as a child process of the demo: started, killed without warning, started again, asked to stop. And commands, as
//! people type them.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::clock::Clock;
use crate::fault::{Code, Fault};

/// How long a host that is not needed any more may take to leave.
const FAREWELL: Duration = Duration::from_secs(10);

/// A running `gristmill run`. Dropping it asks it to stop, and kills it when it does not.
#[derive(Debug)]
pub(super) struct Host {
    process: Child,
    log: PathBuf,
}

impl Host {
    /// Starts this very program with `run FILE`; what it logs goes to `log`, appended.
    /// It leaves its consumer groups at its end, so that they can be deleted.
    pub(super) fn start(pipeline: &Path, log: &Path) -> Result<Self, Fault> {
        let cannot = |error| Fault::new(Code::Internal, "the host cannot be started").because(error);
        let file = File::options().create(true).append(true).open(log).map_err(cannot)?;
        let process = Command::new(std::env::current_exe().map_err(cannot)?)
            .args(["run", "--leave"])
            .arg(pipeline)
            // Ctrl-C is for the demo, which then asks it to stop: two signals would end it at once.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(file.try_clone().map_err(cannot)?)
            .stderr(file)
            .spawn()
            .map_err(cannot)?;
        Ok(Self { process, log: log.to_owned() })
    }

    /// SIGKILL: no handler runs, nothing is flushed, nothing is committed.
    pub(super) fn kill(mut self) -> Result<(), Fault> {
        let killed = self.process.kill().and_then(|()| self.process.wait());
        killed.map_err(|error| Fault::new(Code::Internal, "the host cannot be killed").because(error))?;
        Ok(())
    }

    /// SIGTERM, and waits for the end.
    pub(super) fn stop(mut self, clock: &Clock, patience: Duration) -> Result<(), Fault> {
        self.ask_to_stop()?;
        let deadline = clock.elapsed() + patience;
        loop {
            match self.ended() {
                Some((status, _)) if status.success() => return Ok(()),
                Some((status, words)) => {
                    return Err(
                        Fault::new(Code::CheckFailed, format!("the host ended with {status}")).because(words)
                    );
                }
                None if clock.elapsed() > deadline => {
                    return Err(Fault::new(
                        Code::CheckFailed,
                        format!("the host did not stop within {patience:?}"),
                    ));
                }
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    fn ask_to_stop(&mut self) -> Result<(), Fault> {
        if self.ended().is_some() {
            return Ok(());
        }
        let pid = libc::pid_t::try_from(self.process.id()).unwrap_or(libc::pid_t::MAX);
        // SAFETY: the process is our own child and has not been waited for, so its id is not anybody else's.
        match unsafe { libc::kill(pid, libc::SIGTERM) } {
            0 => Ok(()),
            _ => Err(Fault::new(Code::Internal, "the host cannot be signalled")),
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

/// Runs a command of this very program to its end, and gives what it says.
///
/// # Errors
/// `check_failed` when it fails, with what it says then.
pub(super) fn command(arguments: &[&str]) -> Result<String, Fault> {
    let cannot = |error| Fault::new(Code::Internal, "a command cannot be run").because(error);
    let output = Command::new(std::env::current_exe().map_err(cannot)?)
        .args(arguments)
        .process_group(0)
        .stdin(Stdio::null())
        .output()
        .map_err(cannot)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned());
    }
    let what = format!("`gristmill {}` ended with {}", arguments.join(" "), output.status);
    Err(Fault::new(Code::CheckFailed, what).because(String::from_utf8_lossy(&output.stderr)))
}

impl Drop for Host {
    fn drop(&mut self) {
        let clock = Clock::system();
        let is_asked = self.ask_to_stop().is_ok();
        while is_asked && self.ended().is_none() && clock.elapsed() < FAREWELL {
            std::thread::sleep(Duration::from_millis(20));
        }
        // Both fail only when it has ended already, which is what is wanted.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
