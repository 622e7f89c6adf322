//! A child process of a test: its signals, its log, its end.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::wait::{self, Seen};

/// Lines of a log that a failure shows.
const TAIL: usize = 40;

/// A program that a test started. It is killed when this is dropped; the tail of its log is printed when the test fails.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program with standard output and standard error in the file `log`, which is appended to.
    ///
    /// # Errors
    /// When the log cannot be opened or the program cannot be started.
    pub fn start(name: &str, command: &mut Command, log: PathBuf) -> Result<Self> {
        let file = File::options().create(true).append(true).open(&log);
        let file = file.with_context(|| format!("cannot open `{}`", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {name}: `{}`", command.get_program().display()))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything that the program has written.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn output(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.log)?).into_owned())
    }

    /// How the program ended, none while it runs.
    ///
    /// # Errors
    /// When the operating system does not tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Ends the program with SIGKILL and waits for its end.
    ///
    /// # Errors
    /// When it had ended by itself before: then the fault was not hit.
    pub fn kill(mut self) -> Result<()> {
        if let Some(status) = self.ended()? {
            anyhow::bail!(
                "{} was to be killed, but had ended with {status}; its log:\n{}",
                self.name,
                self.tail()
            );
        }
        self.child.kill()?;
        let status = self.child.wait()?;
        ensure!(
            status.signal() == Some(libc::SIGKILL),
            "{} ended with {status} instead of SIGKILL",
            self.name
        );
        Ok(())
    }

    /// Stops the program with SIGSTOP, until [`Process::resume`].
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn pause(&self) -> Result<()> {
        signal(self.pid(), libc::SIGSTOP)
    }

    /// Lets a paused program go on.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn resume(&self) -> Result<()> {
        signal(self.pid(), libc::SIGCONT)
    }

    /// Asks the program to end with SIGTERM and waits for it.
    ///
    /// # Errors
    /// When it does not end within the time.
    pub fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        signal(self.pid(), libc::SIGTERM)?;
        self.wait(limit)
    }

    /// Waits for the program's own end.
    ///
    /// # Errors
    /// When it does not end within the time.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let what = format!("{} to end", self.name);
        wait::until_within(limit, &what, || {
            Ok(self.ended()?.map_or_else(|| Seen::NotYet("it runs".into()), Seen::Yes))
        })
    }

    /// Waits until the log contains a text.
    ///
    /// # Errors
    /// When the program ends before, or the deadline passes.
    pub fn await_output(&mut self, text: &str) -> Result<()> {
        let what = format!("{} to write `{text}`", self.name);
        wait::until(&what, || {
            if self.output()?.contains(text) {
                return Ok(Seen::Yes(()));
            }
            if let Some(status) = self.ended()? {
                anyhow::bail!(
                    "{} ended with {status} before it wrote `{text}`; its log:\n{}",
                    self.name,
                    self.tail()
                );
            }
            Ok(Seen::NotYet(self.tail()))
        })
    }

    /// The last lines of the log.
    pub fn tail(&self) -> String {
        tail(&self.log)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only for a process that has ended, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!("--- the end of {}'s log, `{}`:\n{}", self.name, self.log.display(), self.tail());
        }
    }
}

/// The last lines of a file, for a failure's message.
pub fn tail(log: &Path) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines.iter().skip(lines.len().saturating_sub(TAIL)).copied().collect::<Vec<_>>().join("\n")
}

/// Sends a signal to a process that this test started.
///
/// # Errors
/// When there is no such process.
pub fn signal(pid: u32, signal: i32) -> Result<()> {
    let pid = libc::pid_t::try_from(pid)?;
    // SAFETY: kill takes two numbers and touches no memory of ours.
    let result = unsafe { libc::kill(pid, signal) };
    ensure!(result == 0, "cannot send signal {signal} to process {pid}: {}", std::io::Error::last_os_error());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rundir;

    fn shell(script: &str) -> Process {
        let log = rundir::make("process").unwrap().join("log");
        Process::start("a shell", Command::new("sh").args(["-c", script]), log).unwrap()
    }

    #[test]
    fn kills_the_program_when_dropped() {
        let process = shell("sleep 600");
        let pid = process.pid();

        drop(process);

        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }

    #[test]
    fn refuses_to_kill_what_has_ended_by_itself() {
        let mut process = shell("echo the reason; exit 3");
        process.wait(wait::PATIENCE).unwrap();

        let error = process.kill().unwrap_err().to_string();

        assert!(error.contains("exit status: 3") && error.contains("the reason"), "{error}");
    }

    #[test]
    fn reports_an_end_that_comes_before_the_awaited_output() {
        let error = shell("echo other").await_output("ready").unwrap_err().to_string();

        assert!(error.contains("before it wrote `ready`") && error.contains("other"), "{error}");
    }
}
